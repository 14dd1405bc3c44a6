#include "fuse/io_modes.h"

#include "common/log.h"

#include <sys/stat.h>

#include <cassert>
#include <utility>

namespace hearth {
namespace {

// The kernel reads a backing file from its start to its own end, not to the length of the FUSE inode (it does not clamp),
// so a longer one would show bytes that are not in the file.
bool is_exactly_the_file(const MappedBlock& block, std::uint64_t file_length_bytes) {
  if (block.fd < 0 || block.fd_offset_bytes != 0 || file_length_bytes == 0) return false;
  struct stat info {};
  return ::fstat(block.fd, &info) == 0 && static_cast<std::uint64_t>(info.st_size) == file_length_bytes;
}

// Root's writes leave those bits, which the kernel could not do for a backing file.
bool keeps_no_privileges(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & (S_ISUID | S_ISGID)) == 0;
}

}  // namespace

void IoModes::enable(Enabled enabled, std::string reason) {
  const std::lock_guard lock(mutex_);
  enabled_ = enabled == Enabled::yes;
  reason_ = std::move(reason);
}

std::string IoModes::state() const {
  const std::lock_guard lock(mutex_);
  return enabled_ ? "on" : reason_;
}

IoModes::Opened IoModes::choose(State& state, const MappedBlock* block, std::uint64_t file_length_bytes) {
  if (!enabled_ || block == nullptr || !is_exactly_the_file(*block, file_length_bytes)) return {};
  const Opened opened = backed_by(backing_.add(block->fd));
  if (opened.mode == Opened::Mode::passthrough) state.hold = block->hold;
  return opened;
}

IoModes::Opened IoModes::backed_by(Result<std::int32_t> id) {
  if (!id) {
    if (id.code() == Code::permission_denied || id.code() == Code::unsupported) {
      enabled_ = false;
      reason_ = id.error().message();
      log_warn("fuse_passthrough_off", {{"reason", reason_}});
    }
    return {};
  }
  ++backing_count_;
  return {.mode = Opened::Mode::passthrough, .backing_id = *id};
}

IoModes::Opened IoModes::open(NodeId node, const MappedBlock* block, std::uint64_t file_length_bytes) {
  const std::lock_guard lock(mutex_);
  State& state = nodes_[node];
  if (state.handles == 0) state.opened = choose(state, block, file_length_bytes);
  ++state.handles;
  return state.opened;
}

IoModes::Opened IoModes::open_in_place(NodeId node, int fd) {
  const std::lock_guard lock(mutex_);
  State& state = nodes_[node];
  if (state.handles == 0 && enabled_ && keeps_no_privileges(fd)) state.opened = backed_by(backing_.add_written(fd));
  ++state.handles;
  return state.opened;
}

void IoModes::release(NodeId node) {
  std::shared_ptr<const void> hold;  // dropped outside the lock: it may talk to the worker
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(node);
  assert(found != nodes_.end() && found->second.handles > 0);
  if (--found->second.handles != 0) return;
  if (found->second.opened.mode == Opened::Mode::passthrough) {
    backing_.remove(found->second.opened.backing_id);
    --backing_count_;
  }
  hold = std::move(found->second.hold);
  nodes_.erase(found);
}

std::uint64_t IoModes::handles(NodeId node) const {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? 0 : found->second.handles;
}

std::size_t IoModes::open_nodes() const {
  const std::lock_guard lock(mutex_);
  return nodes_.size();
}

std::size_t IoModes::backing_count() const {
  const std::lock_guard lock(mutex_);
  return backing_count_;
}

}  // namespace hearth

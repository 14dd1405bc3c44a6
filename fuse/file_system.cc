#include "fuse/file_system.h"

#include "common/log.h"
#include "common/object_identity.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace hearth {
namespace {

constexpr std::string_view version_xattr = "user.hearth.version";
constexpr std::string_view locations_xattr = "user.hearth.locations";
constexpr std::string_view capability_xattr = "security.capability";
constexpr Duration capacity_freshness = std::chrono::seconds(1);
// An open version does not change, so this only bounds how late its mode bits follow.
constexpr Duration open_attr_timeout = std::chrono::seconds(1);

Error changed(const std::string& path) {
  return Error(Code::stale, path + " has another version now; open it again");
}

}  // namespace

FileSystem::FileSystem(const MountOptions& options, Source& source, BackingFiles& backing, FileStatus root)
    : options_(options), source_(source), nodes_(options.subtree, std::move(root),
                                                  options.writing == MountOptions::Writing::allow
                                                      ? NodeTable::Objects::shared_by_names
                                                      : NodeTable::Objects::one_per_name),
      modes_(backing) {}

std::string FileSystem::path_of(NodeId node) const {
  auto path = nodes_.path(node);
  return path ? *path : "inode " + std::to_string(node);
}

Result<NodeEntry> FileSystem::enter(NodeId parent, std::string_view name, FileStatus status) {
  TRY(node, nodes_.enter(parent, name, status));
  // What the master knows of a file that is being written is of before.
  if (const LiveFiles::Handle live = takes_changes(status) ? lives_.find(node) : nullptr) {
    const auto now = live->status(status);
    if (now) status = *now;
  }
  NodeEntry entry;
  entry.node = node;
  entry.entry_timeout = std::min<Duration>(status.ttl, options_.entry_timeout);
  entry.attr_timeout = std::min<Duration>(status.ttl, options_.attr_timeout);
  if (locked_places_.contains(parent)) entry.entry_timeout = entry.attr_timeout = Duration::zero();
  entry.status = std::move(status);
  return entry;
}

Result<NodeEntry> FileSystem::lookup(NodeId parent, std::string_view name) {
  constexpr std::size_t longest_name = 255;  // what statfs tells; the kernel itself stops at 1,024
  if (name.size() > longest_name) return Error(Code::name_too_long, "a name of " + std::to_string(name.size()) + " bytes");
  TRY(path, nodes_.path(parent, name));
  const bool writes = options_.writing == MountOptions::Writing::allow;
  if (writes && opened_ahead_.is_often_replaced(path, real_clock().now())) {
    auto entry = lookup_and_open(parent, name, path);
    if (entry) return entry;
  }
  if (locked_places_.contains(parent)) source_.forget(path);
  const ToldEpochs::Moment asked = epochs_.now(path);
  TRY(status, source_.stat(path));
  // What was done under another name of the file is not known under this one.
  if (takes_changes(status) && status.link_count > 1 && status.type != EntryType::directory) {
    TRY(again, source_.change(LookAgain{.path = path}, this_process()));
    if (!again.status) return Error(Code::not_found, path + " was removed");
    status = std::move(*again.status);
  }
  return enter(parent, name, std::move(status), asked);
}

Result<NodeEntry> FileSystem::entry_of(const DirectoryHandle& directory, const DirectoryItem& item) {
  return enter(directory.node, item.name, item.status, directory.opened);
}

Result<NodeAttributes> FileSystem::attributes(NodeId node) {
  if (node == root_node) root_asked_ = true;
  TRY(known, nodes_.status(node));
  if (takes_changes(known)) {
    TRY(better, attributes_past_the_path(node, known));
    if (better) return std::move(*better);
  } else if (known.type == EntryType::regular && nodes_.pinned(node)) {
    // The version of an open file is immutable: its size is true whatever the store and the master say now, and
    // reading it does not depend on them being up. A path that changed is caught by the lookup.
    return NodeAttributes{std::move(known), std::min(open_attr_timeout, options_.attr_timeout)};
  }
  TRY(path, nodes_.path(node));
  const ToldEpochs::Moment asked = epochs_.now(path);
  auto status = source_.stat(path);
  if (!status) {
    // The name is gone, but the kernel still has the inode: it has to look the path up again.
    if (status.code() == Code::not_found && node != root_node) return changed(path);
    return std::move(status).error();
  }
  if (!nodes_.refresh(node, *status)) return changed(path);
  if (epochs_.told_since(asked)) nodes_.set_told(node);
  const Duration timeout = std::min<Duration>(status->ttl, options_.attr_timeout);
  return NodeAttributes{std::move(*status), timeout};
}

Status FileSystem::access(NodeId node, int mask) {
  TRY(now, attributes(node));
  if ((mask & W_OK) != 0 && !takes_changes(now.status)) return Error(Code::read_only, "the mount is read only");
  return ok();  // the kernel checked the mode bits (default_permissions)
}

Result<std::string> FileSystem::readlink(NodeId node) {
  CHECK_OK(confirm(node));
  TRY(status, nodes_.status(node));
  if (status.type != EntryType::symlink) return Error(Code::invalid_argument, path_of(node) + " is not a symlink");
  return std::move(status.symlink_target);
}

Result<std::shared_ptr<FileHandle>> FileSystem::open(NodeId node, int flags, const Caller& caller) {
  CHECK_OK(confirm(node));
  TRY(known, nodes_.status(node));
  const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
  if (writes) {
    CHECK_OK(check_writable());
    if (!known.writable) return Error(Code::read_only, path_of(node) + " lies where nothing can be changed");
    return open_live(node, LiveFile::Access::write, flags, caller);
  }
  // What changed a moment ago has no version yet that a cache could keep.
  if (takes_changes(known) && (lives_.find(node) || has_nonce(known.version))) {
    return open_live(node, LiveFile::Access::read, flags, this_process());
  }
  TRY(path, nodes_.path(node));
  auto file = source_.open(path);
  if (!file && file.code() != Code::not_found) return std::move(file).error();
  if (!file || !nodes_.refresh(node, (*file)->status())) {
    source_.forget(path);  // the lookup that follows must not be answered from before the change
    counters_.stale_open();
    if (takes_changes(known)) note_replaced(path, known);
    return changed(path);
  }
  auto handle = std::make_shared<FileHandle>();
  handle->node = node;
  handle->file = std::move(*file);
  const std::uint64_t length_bytes = handle->file->status().length_bytes;
  if (length_bytes > 0) {
    auto block = handle->file->map();
    if (block && block->bytes.size() == length_bytes) handle->block = std::move(*block);
    if (!block && log_enabled(LogLevel::debug)) {
      log_debug("fuse_file_not_mapped", {{"path", path}, {"reason", block.error().message()}});
    }
  }
  CHECK_OK(nodes_.pin(node));
  if (nodes_.take_drop_pages(node)) handle->pages = FileHandle::Pages::drop;
  handle->may_go_live = takes_changes(known);
  // The kernel would go on reading that memory after somebody wrote to the file.
  const bool may_pass_through = handle->block && !handle->may_go_live;
  handle->opened = modes_.open(node, may_pass_through ? &*handle->block : nullptr, length_bytes);
  counters_.open_files.fetch_add(1, std::memory_order_relaxed);
  handle->opened.mode == IoModes::Opened::Mode::passthrough ? counters_.opened_passthrough()
                                                            : counters_.opened_cached();
  consider_prefetch(path, *handle);
  return handle;
}

void FileSystem::consider_prefetch(const std::string& path, const FileHandle& handle) {
  // The first read of a file of one page makes it resident anyway.
  constexpr std::uint64_t one_page_bytes = 1U << 20;
  const FileStatus& status = handle.file->status();
  if (options_.prefetch == MountOptions::Prefetch::off || handle.block || status.length_bytes <= one_page_bytes ||
      status.length_bytes > options_.prefetch_max_bytes) {
    return;
  }
  std::string key = path;
  key.append(1, '\0').append(status.version);
  prefetcher_.add(std::move(key), handle.file);
}

Result<ReadView> FileSystem::read(const FileHandle& handle, std::uint64_t offset, std::size_t size,
                                  std::span<std::byte> scratch) {
  if (const LiveFiles::Handle live = live_of(handle)) {
    if (size > scratch.size()) return Error(Code::internal, "a read of more than the mount's max_read");
    TRY(count, live->read(scratch.first(size), offset, handle.quiet ? &handle.quiet : nullptr));
    counters_.read_copied(count);
    return ReadView{.bytes = scratch.first(count), .hold = nullptr};
  }
  const std::uint64_t length = handle.file->status().length_bytes;
  if (offset >= length) return ReadView{};
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(size, length - offset));
  if (handle.block) {
    counters_.read_mapped(wanted);
    return ReadView{.bytes = handle.block->bytes.subspan(offset, wanted), .hold = handle.block->hold};
  }
  Result<ReadView> shared = handle.file->view(offset, wanted);
  if (shared && shared->bytes.size() == wanted) {
    counters_.read_mapped(wanted);
    return shared;
  }
  if (wanted > scratch.size()) return Error(Code::internal, "a read of more than the mount's max_read");
  TRY(count, handle.file->pread(scratch.first(wanted), offset));
  // The kernel would take a short answer for the end of the file and show zeros behind it.
  if (count != wanted) {
    return Error(Code::io_error, path_of(handle.node) + ": " + std::to_string(count) + " of " +
                                     std::to_string(wanted) + " bytes at " + std::to_string(offset) +
                                     " inside the file; read it again");
  }
  counters_.read_copied(count);
  return ReadView{.bytes = scratch.first(wanted), .hold = nullptr};
}

void FileSystem::release(FileHandle& handle) {
  modes_.release(handle.node);
  const bool was_last = nodes_.unpin(handle.node) == 0;
  if (was_last && options_.writing == MountOptions::Writing::allow) end_live(handle.node);
  counters_.open_files.fetch_sub(1, std::memory_order_relaxed);
}

Result<std::shared_ptr<DirectoryHandle>> FileSystem::opendir(NodeId node) {
  // One that was removed has no path, and is empty.
  std::string path;
  if (nodes_.has_name(node)) {
    TRY(found, nodes_.path(node));
    path = std::move(found);
  }
  const ToldEpochs::Moment opened = epochs_.now(path == "/" ? path : path + "/");
  CHECK_OK(nodes_.pin(node));
  counters_.open_directories.fetch_add(1, std::memory_order_relaxed);
  return std::shared_ptr<DirectoryHandle>(new DirectoryHandle{node, {source_, std::move(path)}, opened});
}

void FileSystem::releasedir(DirectoryHandle& handle) {
  nodes_.unpin(handle.node);
  counters_.open_directories.fetch_sub(1, std::memory_order_relaxed);
}

Result<Capacity> FileSystem::capacity(NodeId node) {
  // A file that was removed while it is open has no path.
  const auto named = nodes_.has_name(node) ? nodes_.path(node) : nodes_.path(root_node);
  const auto status = nodes_.status(node);
  TRY(path, named);
  const bool attached = status && status->attachment != 0;
  const std::string key = attached ? std::to_string(status->attachment) : path;
  const TimePoint now = real_clock().now();
  {
    const std::lock_guard lock(capacity_mutex_);
    const auto known = capacities_.find(key);
    if (known != capacities_.end() && now - known->second.asked < capacity_freshness) return known->second.capacity;
  }
  auto fresh = source_.capacity(path);
  const std::lock_guard lock(capacity_mutex_);
  const auto known = capacities_.find(key);
  // While the master is away nobody waits for it anew each time.
  if (!fresh && known == capacities_.end()) return fresh;
  if (!fresh) {
    known->second.asked = real_clock().now();
    return known->second.capacity;
  }
  constexpr std::size_t most_capacities = 1024;
  if (capacities_.size() >= most_capacities) capacities_.clear();
  capacities_[key] = {*fresh, now};
  return fresh;
}

Result<std::string> FileSystem::xattr(NodeId node, std::string_view name, const Caller& caller) {
  TRY(status, nodes_.status(node));
  if (name == version_xattr && status.type == EntryType::regular) return std::move(status.version);
  if (name == locations_xattr && status.type == EntryType::regular) {
    TRY(path, nodes_.path(node));
    return source_.locations(path);
  }
  if (!takes_changes(status)) return Error(Code::not_found, std::string(name));
  // The kernel itself wants to know, at the first write; everybody may.
  if (const LiveFiles::Handle live = name == capability_xattr ? lives_.find(node) : nullptr) return live->xattr(std::string(name));
  TRY(path, nodes_.path(node));
  return source_.xattr(path, std::string(name), caller);
}

Result<std::vector<std::string>> FileSystem::xattr_names(NodeId node, const Caller& caller) {
  TRY(status, nodes_.status(node));
  std::vector<std::string> names;
  if (takes_changes(status)) {
    // Ours are not listed there: a program that copies attributes could not set them.
    TRY(path, nodes_.path(node));
    return source_.xattr_names(path, caller);
  }
  if (status.type == EntryType::regular) names = {std::string(version_xattr), std::string(locations_xattr)};
  return names;
}

}  // namespace hearth

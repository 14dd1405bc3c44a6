#include "fuse/request.h"

#include "common/log.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace hearth {
namespace {

// Not an answer about the files, but trouble.
bool worth_a_line(Code code) {
  switch (code) {
    case Code::internal:
    case Code::corrupt:
    case Code::no_space:
    case Code::io_error:
    case Code::unavailable:
    case Code::deadline_exceeded:
    case Code::overloaded:
    case Code::version_mismatch:
    case Code::unauthenticated:
    case Code::bad_frame:
    case Code::wrong_epoch: return true;
    default: return false;
  }
}

}  // namespace

Request::Request(fuse_req_t req, FuseOp op, NodeId node)
    : req_(req),
      op_(op),
      node_(node),
      context_(*static_cast<MountContext*>(fuse_req_userdata(req))),
      began_(std::chrono::steady_clock::now()) {}

void Request::may_wait() {
  pending_ = std::make_shared<PendingRequest>([req = req_, &counters = files().counters()] {
    counters.interrupted();
    fuse_reply_err(req, EINTR);
  });
  fuse_req_interrupt_func(req_, &Request::interrupted, this);
}

bool Request::take() {
  if (!pending_) return true;
  if (!pending_->claim()) {
    count(MountCounters::Outcome::failed);
    return false;
  }
  fuse_req_interrupt_func(req_, nullptr, nullptr);  // waits for interrupted() if it runs now
  return true;
}

void Request::fail(const Error& error, int error_number) {
  const bool expected = error_number == ENOENT || error_number == ENODATA || error_number == ESTALE;
  // An errno of its own is a system call's word about one file (EFBIG, ENXIO, EXDEV): its caller hears it.
  const bool about_one_file = error.error_number() != info(error.code()).error_number;
  if (worth_a_line(error.code()) && !about_one_file) {
    context_.errors.write(fuse_op_names[static_cast<std::size_t>(op_)], files().path_of(node_), error);
  }
  count(expected ? MountCounters::Outcome::done : MountCounters::Outcome::failed);
  fuse_reply_err(req_, error_number);
}

void Request::interrupted(fuse_req_t, void* data) {
  auto* self = static_cast<Request*>(data);
  auto pending = self->pending_;  // `self` ends when the request is answered
  self->context_.interrupts->add(std::move(pending));
}

struct stat to_stat(const FileStatus& status) {
  struct stat info {};
  info.st_ino = status.inode;
  info.st_mode = status.mode & 07777U;
  switch (status.type) {
    case EntryType::regular: info.st_mode |= S_IFREG; break;
    case EntryType::directory: info.st_mode |= S_IFDIR; break;
    case EntryType::symlink: info.st_mode |= S_IFLNK; break;
    case EntryType::other:  // a kind that is not known can be listed, and opening it fails at once
      info.st_mode |= status.special != 0 ? status.special & S_IFMT : S_IFSOCK;
      info.st_rdev = status.device;
      break;
  }
  info.st_nlink = status.link_count;
  info.st_uid = status.uid;
  info.st_gid = status.gid;
  info.st_size = static_cast<off_t>(status.type == EntryType::symlink ? status.symlink_target.size() : status.length_bytes);
  constexpr std::uint64_t unit = 512;
  info.st_blocks = static_cast<blkcnt_t>((status.allocated_bytes.value_or(status.length_bytes) + unit - 1) / unit);
  info.st_blksize = 128 << 10;  // what stdio and cp read at once; a buffer of it is allocated per open FILE
  constexpr std::int64_t second_ns = 1'000'000'000;
  const auto to_timespec = [](std::int64_t ns) {
    std::int64_t whole = ns / second_ns;
    if (ns % second_ns < 0) --whole;
    return timespec{whole, ns - whole * second_ns};
  };
  info.st_mtim = to_timespec(status.mtime_ns);
  info.st_ctim = to_timespec(status.ctime_ns);
  info.st_atim = status.atime_ns != 0 ? to_timespec(status.atime_ns) : info.st_mtim;
  return info;
}

fuse_entry_param to_param(const NodeEntry& entry) {
  fuse_entry_param param{};
  param.ino = entry.node;
  param.attr = to_stat(entry.status);
  param.attr_timeout = to_seconds(entry.attr_timeout);
  param.entry_timeout = to_seconds(entry.entry_timeout);
  return param;
}

std::span<std::byte> thread_scratch(std::size_t size) {
  struct Buffer {
    std::byte* bytes = nullptr;
    std::size_t size = 0;
    ~Buffer() { std::free(bytes); }
  };
  thread_local Buffer buffer;
  constexpr std::size_t page = 4096;
  if (buffer.size < size) {
    std::free(buffer.bytes);
    buffer.size = (size + page - 1) / page * page;
    buffer.bytes = static_cast<std::byte*>(std::aligned_alloc(page, buffer.size));
    if (buffer.bytes == nullptr) throw std::bad_alloc();
  }
  return {buffer.bytes, size};
}

void MountErrorLog::write(std::string_view operation, const std::string& path, const Error& error) {
  constexpr std::uint64_t lines_per_second = 10;
  std::uint64_t left_out = 0;
  {
    const std::lock_guard lock(mutex_);
    const TimePoint now = std::chrono::steady_clock::now();
    if (now - second_ >= std::chrono::seconds(1)) {
      second_ = now;
      lines_ = 0;
    }
    if (++lines_ > lines_per_second) {
      ++left_out_;
      return;
    }
    left_out = std::exchange(left_out_, 0);
  }
  log_warn("fuse_request_failed",
           {{"op", operation}, {"path", path}, {"error", error.to_string()}, {"lines_left_out", left_out}});
}

}  // namespace hearth

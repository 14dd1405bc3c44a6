#include "fuse/live_files.h"

#include "common/file_io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string_view>
#include <utility>

namespace hearth {
namespace {

constexpr std::string_view which = "a file of the under-store";  // the caller of the mount knows its name

Error failed(std::string_view call) { return system_call_failed(which, call); }

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000LL + time.tv_nsec; }

timespec to_timespec(const std::optional<SetAttributes::Time>& time) {
  if (!time) return {0, UTIME_OMIT};
  if (time->now) return {0, UTIME_NOW};
  constexpr std::int64_t second_ns = 1'000'000'000;
  std::int64_t seconds = time->ns / second_ns;
  if (time->ns % second_ns < 0) --seconds;
  return {seconds, time->ns - seconds * second_ns};
}

// "" where the kernel does not say, as of a file that was removed.
std::string place_of(int fd) {
  std::string place(PATH_MAX, '\0');
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = ::readlink(link.c_str(), place.data(), place.size());
  if (length <= 0 || static_cast<std::size_t>(length) == place.size()) return {};
  place.resize(static_cast<std::size_t>(length));
  constexpr std::string_view removed = " (deleted)";
  return place.starts_with('/') && !place.ends_with(removed) ? place : std::string();
}

}  // namespace

std::optional<std::string> moved_path(std::string_view path, std::string_view place, std::string_view place_now) {
  std::size_t shared = 0;  // bytes at the end of both, in whole components
  for (std::size_t i = 1; i <= std::min(path.size(), place.size()) && path[path.size() - i] == place[place.size() - i]; ++i) {
    if (path[path.size() - i] == '/') shared = i;
  }
  if (shared == 0) return std::nullopt;
  const std::string_view above = place.substr(0, place.size() - shared);
  if (!place_now.starts_with(above) || place_now.substr(above.size()).substr(0, 1) != "/") return std::nullopt;
  return std::string(path.substr(0, path.size() - shared)) + std::string(place_now.substr(above.size()));
}

void LiveFile::note_path(const std::string& path) {
  if (is_staged()) return;
  std::string place = with_descriptor(place_of);
  const std::lock_guard lock(mutex_);
  path_then_ = place.empty() ? std::string() : path;
  place_then_ = std::move(place);
}

std::optional<std::string> LiveFile::path_now() const {
  if (is_staged()) return std::nullopt;
  const std::string place = with_descriptor(place_of);
  const std::lock_guard lock(mutex_);
  if (place.empty() || path_then_.empty()) return std::nullopt;
  return moved_path(path_then_, place_then_, place);
}

LiveFile::Access LiveFile::access() const {
  const std::lock_guard lock(mutex_);
  return access_;
}

void LiveFile::replace(UniqueFd fd, Access access) {
  auto fresh = std::make_shared<const UniqueFd>(std::move(fd));
  const std::lock_guard lock(mutex_);
  fd_.swap(fresh);
  access_ = access;
}

LiveFile::Descriptor LiveFile::descriptor() const {
  const std::lock_guard lock(mutex_);
  return fd_;
}

void LiveFile::note_announced(FileStatus status) {
  const std::lock_guard lock(mutex_);
  announced_ = std::move(status);
}

std::optional<FileStatus> LiveFile::announced() const {
  const std::lock_guard lock(mutex_);
  return announced_;
}

Result<std::string> LiveFile::xattr(const std::string& name) const {
  const Descriptor fd = descriptor();
  constexpr std::size_t longest = 65536;  // XATTR_SIZE_MAX
  std::string value(longest, '\0');
  const ssize_t count = ::fgetxattr(fd->get(), name.c_str(), value.data(), value.size());
  if (count < 0 && errno == ENODATA) return Error(Code::not_found, "no " + name).with_error_number(ENODATA);
  if (count < 0) return failed("getxattr");
  value.resize(static_cast<std::size_t>(count));
  return value;
}

Result<UniqueFd> LiveFile::reopen(int flags) const {
  const Descriptor fd = descriptor();
  UniqueFd again(::open(("/proc/self/fd/" + std::to_string(fd->get())).c_str(), flags | O_CLOEXEC));
  if (!again) return failed("reopening");
  return again;
}

Result<std::size_t> LiveFile::read(std::span<std::byte> into, std::uint64_t offset, const UniqueFd* quiet) const {
  const Descriptor kept = descriptor();
  const UniqueFd* fd = quiet != nullptr ? quiet : kept.get();
  return read_at(fd->get(), into, offset, which);
}

// As the kernel does for a local file; the daemon, as root, would be allowed to leave them.
void LiveFile::drop_privileges(const UniqueFd& fd, std::uint32_t uid) const {
  if (uid == 0) return;
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0 || (info.st_mode & (S_ISUID | S_ISGID)) == 0) return;
  mode_t mode = info.st_mode & 07777 & ~static_cast<mode_t>(S_ISUID);
  if ((mode & S_IXGRP) != 0) mode &= ~static_cast<mode_t>(S_ISGID);  // without it the bit means mandatory locks
  ::fchmod(fd.get(), mode);
}

Status LiveFile::write(std::span<const std::byte> bytes, std::uint64_t offset, Place place, std::uint32_t uid) {
  const Descriptor fd = descriptor();
  drop_privileges(*fd, uid);
  const Status written = place == Place::at_end ? append_to(fd->get(), bytes, which) : write_at(fd->get(), bytes, offset, which);
  mark_written();  // a write that failed may have written some
  return written;
}

Status LiveFile::truncate(std::uint64_t length, std::uint32_t uid) {
  const Descriptor fd = descriptor();
  drop_privileges(*fd, uid);
  if (::ftruncate(fd->get(), static_cast<off_t>(length)) != 0) return failed("truncate");
  mark_written();
  return ok();
}

Status LiveFile::allocate(int mode, std::uint64_t offset, std::uint64_t length, std::uint32_t uid) {
  const Descriptor fd = descriptor();
  drop_privileges(*fd, uid);
  if (::fallocate(fd->get(), mode, static_cast<off_t>(offset), static_cast<off_t>(length)) != 0) return failed("fallocate");
  mark_written();
  return ok();
}

Status LiveFile::sync(Sync what) const {
  const Descriptor fd = descriptor();
  const int result = what == Sync::data ? ::fdatasync(fd->get()) : ::fsync(fd->get());
  return result == 0 ? ok() : failed("sync");
}

Result<std::uint64_t> LiveFile::seek(std::uint64_t offset, int whence) const {
  const Descriptor fd = descriptor();
  const off_t found = ::lseek(fd->get(), static_cast<off_t>(offset), whence);  // nobody uses the descriptor's own position
  if (found < 0) return failed("seek");
  return static_cast<std::uint64_t>(found);
}

Result<std::size_t> LiveFile::copy_to(LiveFile& other, std::uint64_t from, std::uint64_t to, std::size_t length, std::uint32_t uid) {
  const Descriptor source = descriptor();
  const Descriptor target = other.descriptor();
  other.drop_privileges(*target, uid);
  off_t in = static_cast<off_t>(from);
  off_t out = static_cast<off_t>(to);
  const ssize_t count = ::copy_file_range(source->get(), &in, target->get(), &out, length, 0);
  if (count < 0) return failed("copy_file_range");
  other.mark_written();
  return static_cast<std::size_t>(count);
}

Result<std::optional<FileStatus>> LiveFile::publish(const std::string& path) {
  if (!take_written()) return std::optional<FileStatus>();
  auto published = publish_(path);
  if (!published) {
    mark_written();
    return std::move(published).error();
  }
  return std::optional(std::move(*published));
}

Status LiveFile::set_attributes(const SetAttributes& set) {
  const Descriptor fd = descriptor();
  mark_written();
  constexpr auto keep = static_cast<std::uint32_t>(-1);
  if ((set.uid || set.gid) && ::fchown(fd->get(), set.uid.value_or(keep), set.gid.value_or(keep)) != 0) return failed("chown");
  if (set.mode && ::fchmod(fd->get(), *set.mode & 07777) != 0) return failed("chmod");
  if (set.atime || set.mtime) {
    const timespec times[2] = {to_timespec(set.atime), to_timespec(set.mtime)};
    if (::futimens(fd->get(), times) != 0) return failed("utimens");
  }
  return ok();
}

Result<FileStatus> LiveFile::status(FileStatus known) const {
  const Descriptor fd = descriptor();
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return failed("stat");
  constexpr std::uint64_t unit = 512;
  known.length_bytes = static_cast<std::uint64_t>(info.st_size);
  known.allocated_bytes = static_cast<std::uint64_t>(info.st_blocks) * unit;
  known.mode = info.st_mode & 07777;
  known.uid = info.st_uid;
  known.gid = info.st_gid;
  if (!is_staged()) known.link_count = static_cast<std::uint32_t>(info.st_nlink);
  known.atime_ns = nanoseconds(info.st_atim);
  known.mtime_ns = nanoseconds(info.st_mtim);
  known.ctime_ns = nanoseconds(info.st_ctim);
  return known;
}

namespace {

constexpr std::size_t most_ahead = 64;
constexpr Duration ahead_for = std::chrono::seconds(1);

}  // namespace

void OpenedAhead::note_replaced(const std::string& path, TimePoint now) {
  const std::lock_guard lock(mutex_);
  if (replaced_.size() >= most_ahead) std::erase_if(replaced_, [now](const auto& one) { return one.second <= now; });
  if (replaced_.size() < most_ahead) replaced_[path] = now + ahead_for;
}

bool OpenedAhead::is_often_replaced(const std::string& path, TimePoint now) {
  const std::lock_guard lock(mutex_);
  const auto found = replaced_.find(path);
  return found != replaced_.end() && now < found->second;
}

void OpenedAhead::put(NodeId node, OpenedInPlace opened, TimePoint now) {
  const std::lock_guard lock(mutex_);
  std::erase_if(opened_, [now](const auto& one) { return one.second.until <= now; });
  if (opened_.size() < most_ahead) opened_[node] = Entry{std::move(opened), now + ahead_for};
}

std::optional<OpenedInPlace> OpenedAhead::take(NodeId node, TimePoint now) {
  const std::lock_guard lock(mutex_);
  const auto found = opened_.find(node);
  if (found == opened_.end()) return std::nullopt;
  const bool in_time = now < found->second.until;
  OpenedInPlace opened = std::move(found->second.opened);
  opened_.erase(found);
  if (!in_time) return std::nullopt;
  return opened;
}

LiveFiles::Handle LiveFiles::find(NodeId node) const {
  const std::shared_lock lock(mutex_);
  const auto found = files_.find(node);
  return found == files_.end() ? nullptr : found->second;
}

LiveFiles::Handle LiveFiles::put(NodeId node, UniqueFd fd, LiveFile::Access access, LiveFile::Publish publish) {
  const std::unique_lock lock(mutex_);
  Handle& file = files_[node];
  if (file == nullptr) {
    file = std::make_shared<LiveFile>(std::move(fd), access, std::move(publish));
  } else if (access == LiveFile::Access::write && file->access() == LiveFile::Access::read) {
    file->replace(std::move(fd), access);
  }
  return file;
}

}  // namespace hearth

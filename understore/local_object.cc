#include "understore/local_object.h"

#include "common/rng.h"
#include "understore/store_path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <ctime>

namespace hearth {
namespace {

constexpr unsigned wanted_fields = STATX_BASIC_STATS;
constexpr std::string_view nonce_mark = "-n";

std::string hex(std::uint64_t number) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr;
  return {digits.data(), end};
}

// Times outside of 64 bits (before 1677, after 2262) stay at the nearest that fits.
std::int64_t nanoseconds(const statx_timestamp& time) {
  constexpr std::int64_t second_ns = 1'000'000'000;
  constexpr std::int64_t last_second = INT64_MAX / second_ns - 1;
  return std::clamp<std::int64_t>(time.tv_sec, -last_second, last_second) * second_ns + time.tv_nsec;
}

// The clock that stamps files, not the process's: the two are compared with each other.
std::int64_t kernel_now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

// A stamp from the future is settled too: a change now would be stamped with now.
Settled settled_since(std::int64_t changed_ns, std::chrono::nanoseconds needed) {
  const std::int64_t age = kernel_now_ns() - changed_ns;
  return age < needed.count() && age > -needed.count() ? Settled::no : Settled::yes;
}

FileType type_of(std::uint16_t mode) {
  if (S_ISREG(mode)) return FileType::regular;
  if (S_ISDIR(mode)) return FileType::directory;
  if (S_ISLNK(mode)) return FileType::symlink;
  return FileType::other;
}

std::string version_of(const ConfinedRoot& root, const struct statx& status, FileType type) {
  const std::uint64_t device = makedev(status.stx_dev_major, status.stx_dev_minor);
  const auto ctime = static_cast<std::uint64_t>(nanoseconds(status.stx_ctime));
  std::string version = "l1-" + hex(status.stx_ino);
  if (type == FileType::directory) {
    version += "-" + hex(static_cast<std::uint64_t>(nanoseconds(status.stx_mtime))) + "-" + hex(ctime);
  } else {
    version += "-" + hex(ctime) + "-" + hex(status.stx_size);
  }
  if (device != root.device()) version += "-d" + hex(device);
  return version;
}

LocalObject object_of(const ConfinedRoot& root, const struct statx& status) {
  LocalObject object;
  ObjectInfo& info = object.info;
  info.type = type_of(status.stx_mode);
  info.length_bytes = info.type == FileType::regular || info.type == FileType::symlink ? status.stx_size : 0;
  info.mode = status.stx_mode & 07777;
  info.uid = status.stx_uid;
  info.gid = status.stx_gid;
  info.link_count = status.stx_nlink;
  info.mtime_ns = nanoseconds(status.stx_mtime);
  info.ctime_ns = nanoseconds(status.stx_ctime);
  info.atime_ns = nanoseconds(status.stx_atime);
  if (info.type == FileType::other) info.special = status.stx_mode & S_IFMT;
  if (S_ISCHR(status.stx_mode) || S_ISBLK(status.stx_mode)) info.device = makedev(status.stx_rdev_major, status.stx_rdev_minor);
  constexpr std::uint64_t sector = 512;  // of stx_blocks, whatever the file system's own
  info.allocated_bytes = status.stx_blocks * sector;
  info.version = version_of(root, status, info.type);
  if (info.type == FileType::directory) {
    const std::int64_t changed = std::max(info.mtime_ns, info.ctime_ns);
    if (settled_since(changed, directory_settle_time) == Settled::no) add_nonce(info);
  } else {
    object.settled = settled_since(info.ctime_ns, settle_time);
  }
  return object;
}

// readlinkat(2) takes an empty name for a symlink opened with O_PATH.
Status read_target(const ConfinedRoot& root, int fd, const char* name, std::string_view path, ObjectInfo& info) {
  std::string target(PATH_MAX, '\0');
  const ssize_t length = ::readlinkat(fd, name, target.data(), target.size());
  if (length < 0) return root.error_for(path, errno);
  target.resize(static_cast<std::size_t>(length));
  info.symlink_target = std::move(target);
  return ok();
}

}  // namespace

Result<LocalObject> look_at_fd(const ConfinedRoot& root, int fd, std::string_view path) {
  struct statx status {};
  if (::statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, wanted_fields, &status) != 0) return root.error_for(path, errno);
  LocalObject object = object_of(root, status);
  object.info.name = split_store_path(path).name;
  if (object.info.type == FileType::symlink) CHECK_OK(read_target(root, fd, "", path, object.info));
  return object;
}

Result<LocalObject> look_at_entry(const ConfinedRoot& root, int fd, const std::string& name,
                                  std::string_view directory) {
  const std::string path = directory.empty() ? name : std::string(directory) + "/" + name;
  struct statx status {};
  if (::statx(fd, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, wanted_fields, &status) != 0) {
    return root.error_for(path, errno);
  }
  LocalObject object = object_of(root, status);
  object.info.name = name;
  if (object.info.type == FileType::symlink) {
    const Status target = read_target(root, fd, name.c_str(), path, object.info);
    // EINVAL: replaced by something else between the two looks.
    if (!target && target.code() == Code::invalid_argument) return root.error_for(path, ENOENT);
    CHECK_OK(target);
  }
  return object;
}

Status check_version(const ConfinedRoot& root, int fd, std::string_view path, std::string_view version) {
  struct statx status {};
  if (::statx(fd, "", AT_EMPTY_PATH, wanted_fields, &status) != 0) return root.error_for(path, errno);
  const auto nonce = version.find(nonce_mark);
  const bool unquiet = nonce != std::string_view::npos &&
                       settled_since(nanoseconds(status.stx_ctime), settle_time) == Settled::no;
  if (unquiet || version_of(root, status, FileType::regular) != version.substr(0, nonce)) {
    return Error(Code::stale, printable_path(path) + " changed underneath (expected version " + std::string(version) +
                                  "); open it again");
  }
  return ok();
}

void add_nonce(ObjectInfo& info) {
  if (info.version.empty()) return;
  info.version += std::string(nonce_mark) + hex(system_rng().next());
}

}  // namespace hearth

#include "tiering/disk/posix_directory.h"

#include "tiering/disk/buffer_pool.h"
#include "tiering/disk/disk_name.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace hearth::disk {
namespace {

constexpr mode_t file_mode = 0600;
constexpr mode_t directory_mode = 0700;

// openat(), which follows no symlink in any component where the kernel has openat2 (5.6; sandboxes may hide it).
int open_beneath(int directory, const char* name, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.mode = (flags & O_CREAT) != 0 ? file_mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long opened = ::syscall(SYS_openat2, directory, name, &how, sizeof how);
  if (opened >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(opened);
  return ::openat(directory, name, flags, file_mode);
}

Code code_of(int error_number) {
  switch (error_number) {
    case ESTALE:
    case ENODEV:
    case ENXIO:
    case ESHUTDOWN: return Code::unavailable;
    case EIO: return Code::io_error;
    default: return code_from_errno(error_number);
  }
}

}  // namespace

Result<PosixDirectory> PosixDirectory::open(std::string path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    const int failed = errno;
    return Error(code_from_errno(failed), "cache directory '" + path + "' can not be opened: " + std::strerror(failed));
  }
  if (::faccessat(fd.get(), ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
    const int failed = errno;
    return Error(code_from_errno(failed),
                 "cache directory '" + path + "' is not writable by this process: " + std::strerror(failed));
  }
  PosixDirectory directory(std::move(path), std::move(fd));
  TRY(location, location_of(directory.path_));
  directory.location_ = location;
  return directory;
}

Result<PosixDirectory::Location> PosixDirectory::location_of(const std::string& path) {
  const auto failed = [&path](int error_number) {
    const bool gone = error_number == ENOENT || error_number == ENOTDIR;
    return Error(gone ? Code::unavailable : code_of(error_number),
                 "cache directory '" + path + "' is not there: " + std::strerror(error_number) + "; mount its device or make it again");
  };
  struct stat here {};
  struct stat above {};
  if (::stat(path.c_str(), &here) != 0) return failed(errno);
  if (!S_ISDIR(here.st_mode)) return failed(ENOTDIR);
  if (::stat((path + "/..").c_str(), &above) != 0) return failed(errno);
  return Location{.device = here.st_dev, .inode = here.st_ino, .mount_point = here.st_dev != above.st_dev};
}

Status PosixDirectory::check_place() const {
  TRY(now, location_of(path_));
  if (now.device == location_.device && now.inode == location_.inode) return ok();
  if (location_.mount_point && !now.mount_point) {
    return Error(Code::unavailable, "nothing is mounted at cache directory '" + path_ + "' any more; mount its device, or another one, again");
  }
  return Error(Code::stale, "another directory is at '" + path_ + "' now");
}

Error PosixDirectory::error(int error_number, std::string_view verb, std::string_view name) const {
  Code code = code_of(error_number);
  struct stat self {};
  const bool gone = error_number == ENOENT && (::fstat(fd(), &self) != 0 || self.st_nlink == 0);
  if (gone) code = Code::unavailable;
  return Error(code, std::string(verb) + " '" + std::string(name) + "' in cache directory '" + path_ +
                         "': " + (gone ? "the directory is gone" : std::strerror(error_number)));
}

int PosixDirectory::flags_of(DiskOpen how, DiskCaching caching) {
  int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
  if (how != DiskOpen::existing) flags |= O_CREAT;
  if (how == DiskOpen::create_new) flags |= O_EXCL;
  if (caching == DiskCaching::direct) flags |= O_DIRECT;
  return flags;
}

Result<UniqueFd> PosixDirectory::open_file(const std::string& name, DiskOpen how, DiskCaching caching) const {
  const int flags = flags_of(how, caching);
  UniqueFd file(open_beneath(fd(), name.c_str(), flags));
  if (!file && errno == ENOENT && how != DiskOpen::existing && !directory_of(name).empty()) {
    CHECK_OK(make_directory_of(name));
    file = UniqueFd(open_beneath(fd(), name.c_str(), flags));
  }
  if (!file) return error(errno, "open", name);
  return file;
}

Status PosixDirectory::make_directory_of(const std::string& name) const {
  const std::string directory(directory_of(name));
  if (::mkdirat(fd(), directory.c_str(), directory_mode) == 0 || errno == EEXIST) return ok();
  return error(errno, "make directory", directory);
}

Result<PosixDirectory::Place> PosixDirectory::place_of(const std::string& name) const {
  const std::string below(directory_of(name));
  if (below.empty()) return Place{.directory = fd(), .leaf = name};
  UniqueFd holder(::openat(fd(), below.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!holder) return error(errno, "open directory", below);
  const int directory = holder.get();
  return Place{.holder = std::move(holder), .directory = directory, .leaf = name.substr(below.size() + 1)};
}

Status PosixDirectory::remove(const std::string& name) const {
  TRY(place, place_of(name));
  if (::unlinkat(place.directory, place.leaf.c_str(), 0) == 0) return ok();
  return error(errno, "remove", name);
}

Status PosixDirectory::rename(const std::string& from, const std::string& to) const {
  TRY(source, place_of(from));
  if (::faccessat(source.directory, source.leaf.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) return error(errno, "rename", from);
  if (!directory_of(to).empty()) CHECK_OK(make_directory_of(to));
  TRY(target, place_of(to));
  if (::renameat(source.directory, source.leaf.c_str(), target.directory, target.leaf.c_str()) == 0) return ok();
  return error(errno, "rename", from);
}

Status PosixDirectory::sync(const std::set<std::string>& directories) const {
  for (const std::string& each : directories) {
    UniqueFd below;
    if (!each.empty()) {
      below = UniqueFd(::openat(fd(), each.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!below) return error(errno, "open directory", each);
    }
    if (::fsync(each.empty() ? fd() : below.get()) != 0) return error(errno, "sync directory", each);
  }
  return ok();
}

Result<DiskSpace> PosixDirectory::space() const {
  struct statvfs found {};
  if (::fstatvfs(fd(), &found) != 0) return error(errno, "statfs of", ".");
  DiskSpace space;
  space.total_bytes = std::uint64_t{found.f_blocks} * found.f_frsize;
  space.free_bytes = std::uint64_t{found.f_bavail} * found.f_frsize;
  // Some file systems (btrfs) make inodes as they need them and count none.
  space.free_inodes = found.f_files == 0 ? UINT64_MAX : std::uint64_t{found.f_favail};
  return space;
}

std::string PosixDirectory::probe_direct() const {
  const std::string name = ".hearth-probe-" + std::to_string(::getpid());
  auto file = open_file(name, DiskOpen::create_or_open, DiskCaching::direct);
  const int failed = errno;
  // Where O_DIRECT is refused, the file may have been made before the refusal.
  ::unlinkat(fd(), name.c_str(), 0);
  if (!file && failed == EINVAL) return "the file system refuses O_DIRECT";
  if (!file) return file.error().message();
  const DiskBuffer buffer = plain_buffer(disk_alignment_bytes);
  std::memset(buffer.bytes().data(), 0, disk_alignment_bytes);
  const ssize_t wrote = ::pwrite(file->get(), buffer.bytes().data(), disk_alignment_bytes, 0);
  if (wrote < 0 && errno == EINVAL) return "the file system refuses direct writes of 4 KiB";
  return "";  // any other failure is of this moment (no space), not of the file system
}

Status PosixFile::read(std::uint64_t offset, std::span<std::byte> into) const {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    // A direct read that ended inside a sector met the end of the file; going on from there is EINVAL.
    if (got == 0 || (got < 0 && errno == EINVAL && done > 0)) return short_read(name, offset, into.size());
    if (got < 0) return directory->error(errno, "read", name);
    done += static_cast<std::size_t>(got);
  }
  return ok();
}

Status PosixFile::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = ::pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return directory->error(errno, "write", name);
    if (put == 0) return directory->error(EIO, "write", name);
    done += static_cast<std::size_t>(put);
  }
  return ok();
}

Status PosixFile::sync() const {
  if (::fdatasync(fd) == 0) return ok();
  return directory->error(errno, "sync", name);
}

Status PosixFile::allocate(std::uint64_t length_bytes) const {
  if (length_bytes == 0 || ::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(length_bytes)) == 0) return ok();
  return directory->error(errno, "allocate", name);
}

Status PosixFile::truncate(std::uint64_t length_bytes) const {
  if (::ftruncate(fd, static_cast<off_t>(length_bytes)) == 0) return ok();
  return directory->error(errno, "truncate", name);
}

Status PosixFile::punch(std::uint64_t offset, std::uint64_t length_bytes) const {
  constexpr int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (length_bytes == 0) return ok();
  if (::fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(length_bytes)) == 0) return ok();
  return directory->error(errno, "punch", name);
}

Result<std::uint64_t> PosixFile::length_bytes() const {
  struct stat found {};
  if (::fstat(fd, &found) != 0) return directory->error(errno, "stat", name);
  if (!S_ISREG(found.st_mode)) {
    return Error(Code::invalid_argument, "'" + std::string(name) + "' in cache directory '" + directory->path() +
                                             "' is no regular file: remove it");
  }
  return static_cast<std::uint64_t>(found.st_size);
}

Result<UniqueFd> PosixFile::share() const {
  // Reopened rather than duplicated: a duplicate could write.
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  UniqueFd shared(::open(self.c_str(), O_RDONLY | O_CLOEXEC));
  if (!shared) return directory->error(errno, "share", name);
  return shared;
}

}  // namespace hearth::disk

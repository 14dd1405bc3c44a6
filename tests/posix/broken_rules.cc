// A library for LD_PRELOAD that breaks one rule of POSIX, named by HEARTH_BROKEN_RULE: what the suite and fsx are shown
// to find (can_fail.py). Rules are one each, so that a test that finds one does so for the right reason.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>

namespace {

bool broken(const char* rule) {
  static const char* const named = std::getenv("HEARTH_BROKEN_RULE");
  return named != nullptr && std::strcmp(named, rule) == 0;
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

// Every `period`th call.
bool now_and_then(int period) {
  static int calls = 0;
  return ++calls % period == 0;
}

int fewer_flags(int flags) {
  if (broken("exclusive")) flags &= ~O_EXCL;
  if (broken("append")) flags &= ~O_APPEND;
  if (broken("truncate-at-open")) flags &= ~O_TRUNC;
  if (broken("no-follow")) flags &= ~O_NOFOLLOW;
  if (broken("directory-only") && (flags & O_TMPFILE) != O_TMPFILE) flags &= ~O_DIRECTORY;
  return flags;
}

void bend(struct stat* s) {
  if (broken("no-links") && s->st_nlink == 0) s->st_nlink = 1;
  if (broken("link-count") && S_ISREG(s->st_mode) && s->st_nlink > 1) s->st_nlink = 1;
  if (broken("inode-number")) s->st_ino += static_cast<ino_t>(s->st_mode);
  if (broken("size") && s->st_size > 0) --s->st_size;
  if (broken("modification-time")) s->st_mtim = s->st_ctim;
  if (broken("change-time")) s->st_ctim = s->st_mtim;
  if (broken("sticky-bits")) s->st_mode &= ~static_cast<mode_t>(S_ISVTX);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return next<decltype(open)>("open")(path, fewer_flags(flags), mode);
}

int lstat(const char* path, struct stat* s) noexcept {
  const int outcome = next<decltype(lstat)>("lstat")(path, s);
  if (outcome == 0) bend(s);
  return outcome;
}

int fstat(int fd, struct stat* s) noexcept {
  const int outcome = next<decltype(fstat)>("fstat")(fd, s);
  if (outcome == 0) bend(s);
  return outcome;
}

ssize_t pwrite(int fd, const void* bytes, size_t length, off_t at) {
  if (broken("lost-write") && length > 1 && now_and_then(20)) return static_cast<ssize_t>(length);
  return next<decltype(pwrite)>("pwrite")(fd, bytes, length, at);
}

int ftruncate(int fd, off_t size) noexcept {
  struct stat s;
  if (broken("truncate") && ::fstat(fd, &s) == 0 && size < s.st_size) return 0;
  return next<decltype(ftruncate)>("ftruncate")(fd, size);
}

int rename(const char* from, const char* to) noexcept {
  if (broken("rename")) return ::link(from, to);
  return next<decltype(rename)>("rename")(from, to);
}

int renameat2(int from_directory, const char* from, int to_directory, const char* to, unsigned flags) noexcept {
  if (broken("rename-flags")) flags = 0;
  return next<decltype(renameat2)>("renameat2")(from_directory, from, to_directory, to, flags);
}

int unlink(const char* path) noexcept {
  if (broken("unlink")) return ::rename(path, ".hidden");
  return next<decltype(unlink)>("unlink")(path);
}

mode_t umask(mode_t mask) noexcept {
  return next<decltype(umask)>("umask")(broken("umask") ? 0 : mask);
}

int chmod(const char* path, mode_t mode) noexcept {
  return next<decltype(chmod)>("chmod")(path, broken("mode") ? mode & 0777U : mode);
}

int chown(const char* path, uid_t uid, gid_t gid) noexcept {
  return next<decltype(chown)>("chown")(path, uid, broken("group") ? static_cast<gid_t>(-1) : gid);
}

int access(const char* path, int mode) noexcept {
  return broken("access") ? 0 : next<decltype(access)>("access")(path, mode);
}

int utimensat(int directory, const char* path, const timespec times[2], int flags) noexcept {
  timespec cut[2] = {};
  if (!broken("nanoseconds") || times == nullptr)
    return next<decltype(utimensat)>("utimensat")(directory, path, times, flags);
  for (int i = 0; i < 2; ++i) cut[i].tv_sec = times[i].tv_sec;
  return next<decltype(utimensat)>("utimensat")(directory, path, cut, flags);
}

int flock(int fd, int operation) noexcept {
  return broken("flock") ? 0 : next<decltype(flock)>("flock")(fd, operation);
}

int fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void* value = va_arg(rest, void*);
  va_end(rest);
  if (broken("record-locks") && (command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK)) return 0;
  return next<decltype(fcntl)>("fcntl")(fd, command, value);
}

dirent* readdir(DIR* scan) {
  dirent* entry = next<decltype(readdir)>("readdir")(scan);
  if (entry != nullptr && broken("name-is-skipped") && now_and_then(700))
    entry = next<decltype(readdir)>("readdir")(scan);
  if (entry != nullptr && broken("entry-type")) entry->d_type = DT_REG;
  if (entry != nullptr && broken("entry-number")) ++entry->d_ino;
  return entry;
}

void* mmap(void* at, size_t length, int protection, int flags, int fd, off_t offset) noexcept {
  if (broken("shared-mapping") && fd >= 0) flags = (flags & ~MAP_SHARED) | MAP_PRIVATE;
  return next<decltype(mmap)>("mmap")(at, length, protection, flags, fd, offset);
}

off_t lseek(int fd, off_t at, int whence) noexcept {
  const auto real = next<decltype(lseek)>("lseek");
  if (broken("data-is-a-hole") && whence == SEEK_DATA) return real(fd, 0, SEEK_END);
  return real(fd, at, whence);
}

int fallocate(int fd, int mode, off_t at, off_t length) {
  return broken("holes") ? 0 : next<decltype(fallocate)>("fallocate")(fd, mode, at, length);
}

ssize_t copy_file_range(int from, off64_t* at, int to, off64_t* where, size_t length, unsigned flags) {
  if (!broken("copy")) return next<decltype(copy_file_range)>("copy_file_range")(from, at, to, where, length, flags);
  if (at != nullptr) *at += static_cast<off64_t>(length);
  if (where != nullptr) *where += static_cast<off64_t>(length);
  return static_cast<ssize_t>(length);
}

int setxattr(const char* path, const char* name, const void* value, size_t length, int flags) noexcept {
  if (broken("access-list") && std::strncmp(name, "system.", 7) == 0) return 0;
  return next<decltype(setxattr)>("setxattr")(path, name, value, length, broken("xattr-flags") ? 0 : flags);
}

int fsync(int fd) {
  return broken("sync") ? (errno = EINVAL, -1) : next<decltype(fsync)>("fsync")(fd);
}

int statvfs(const char* path, struct statvfs* s) noexcept {
  const int outcome = next<int(const char*, struct statvfs*)>("statvfs")(path, s);
  if (outcome == 0 && broken("statfs")) s->f_bfree = s->f_blocks + 1;
  return outcome;
}

}  // extern "C"

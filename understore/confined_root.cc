#include "understore/confined_root.h"

#include "understore/store_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>

namespace hearth {
namespace {

// A rename elsewhere in the tree makes the kernel give up a resolution that meets ".." (EAGAIN).
constexpr int max_resolve_attempts = 64;

int open_at(int directory, const char* path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  for (int attempt = 0;; ++attempt) {
    const long fd = ::syscall(SYS_openat2, directory, path, &how, sizeof how);
    const bool again = fd < 0 && (errno == EAGAIN || errno == EINTR) && attempt < max_resolve_attempts;
    if (!again) return static_cast<int>(fd);
  }
}

bool means_unreachable(int number) {
  switch (number) {
    case ESTALE: case ENOTCONN: case ENODEV: case ENXIO: case ETIMEDOUT: case EHOSTDOWN: case EHOSTUNREACH:
    case ENETDOWN: case ENETUNREACH: case ECONNREFUSED: case ECONNRESET: case ECONNABORTED: case ESHUTDOWN:
    case EAGAIN: case EMFILE: case ENFILE: case ENOMEM:
      return true;
    default:
      return false;
  }
}

}  // namespace

Result<ConfinedRoot> ConfinedRoot::open(const std::string& directory) {
  ConfinedRoot root;
  root.directory_ = directory;
  root.fd_ = UniqueFd(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.fd_) {
    const int number = errno;
    return Error(code_from_errno(number), "directory " + printable_path(directory) + " can not be opened: " +
                                              std::strerror(number) + "; check that it exists and is mounted");
  }
  struct stat status {};
  if (::fstat(root.fd_.get(), &status) != 0) return root.error_for("", errno);
  root.device_ = status.st_dev;
  root.inode_ = status.st_ino;
  const UniqueFd probe(open_at(root.fd_.get(), ".", O_PATH | O_DIRECTORY));
  if (!probe && (errno == ENOSYS || errno == EPERM)) {
    return Error(Code::unsupported, "this system refuses openat2 (Linux 5.6, not blocked by seccomp), without which "
                                    "paths can not be confined to " + printable_path(directory));
  }
  return root;
}

Result<UniqueFd> ConfinedRoot::open_beneath(std::string_view path, std::uint64_t flags) const {
  return resolve(path, path.empty() ? std::string_view(".") : path, flags);
}

Result<UniqueFd> ConfinedRoot::open_parent(std::string_view path) const {
  const std::string resolved = path.empty() ? "." : std::string(path) + "/.";
  return resolve(path, resolved, O_RDONLY | O_DIRECTORY);
}

Result<UniqueFd> ConfinedRoot::resolve(std::string_view path, std::string_view resolved, std::uint64_t flags) const {
  CHECK_OK(check_store_path(path));
  if (path.empty()) CHECK_OK(check_present());
  UniqueFd fd(open_at(fd_.get(), std::string(resolved).c_str(), flags));
  if (!fd) return error_for(path, errno);
  return fd;
}

Status ConfinedRoot::check_present() const {
  struct stat status {};
  if (::stat(directory_.c_str(), &status) != 0) {
    const int number = errno;
    return Error(Code::unavailable, "the attached directory " + printable_path(directory_) + " is not there (" +
                                        std::strerror(number) + "); nothing beneath it is taken as deleted; mount it again");
  }
  if (status.st_dev != device_ || status.st_ino != inode_) {
    return Error(Code::unavailable, "another directory is in the place of the attached " + printable_path(directory_) +
                                        " (unmounted or replaced?); mount it again, or detach and attach");
  }
  return ok();
}

Error ConfinedRoot::error_for(std::string_view path, int number) const {
  const std::string object = printable_path(path) + " in " + printable_path(directory_);
  if (number == ENOENT) {
    const Status present = check_present();
    if (!present) return present.error();
    return Error(Code::not_found, object + " does not exist");
  }
  if (number == EXDEV) {
    return Error(Code::permission_denied, object + " leads out of the attached directory through a symlink; attach the "
                                                   "target's directory instead");
  }
  if (number == EACCES || number == EPERM) {
    return Error(Code::permission_denied, object + " may not be accessed by the user that runs this process; give it "
                                                   "permission or run as the owner");
  }
  if (number == ELOOP) {
    return Error(Code::symlink_loop, object + " is a symlink, or too many symlinks lead to it; resolve it first");
  }
  const Code code = means_unreachable(number) ? Code::unavailable : code_from_errno(number);
  return Error(code, object + ": " + std::strerror(number));
}

}  // namespace hearth

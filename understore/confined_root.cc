#include "understore/confined_root.h"

#include "understore/store_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

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

struct Identity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t mount = 0;
  bool is_directory = false;
};

// Of `path`, or of `directory` itself when it is empty. False with errno.
bool identify(int directory, const char* path, int flags, Identity& out) {
  struct statx status {};
  if (::statx(directory, path, flags, STATX_TYPE | STATX_INO | STATX_MNT_ID, &status) != 0) return false;
  out.device = makedev(status.stx_dev_major, status.stx_dev_minor);
  out.inode = status.stx_ino;
  out.mount = (status.stx_mask & STATX_MNT_ID) != 0 ? status.stx_mnt_id : 0;
  out.is_directory = S_ISDIR(status.stx_mode);
  return true;
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
  Identity identity;
  if (!identify(root.fd_.get(), "", AT_EMPTY_PATH, identity)) return root.error_for("", errno);
  root.device_ = identity.device;
  root.inode_ = identity.inode;
  root.mount_ = identity.mount;
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

UniqueFd ConfinedRoot::try_open(const std::string& path, std::uint64_t flags) const {
  if (path.empty()) return UniqueFd(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));  // "." would ask for search permission
  return UniqueFd(open_at(fd_.get(), path.c_str(), flags));
}

Result<UniqueFd> ConfinedRoot::resolve(std::string_view path, std::string_view resolved, std::uint64_t flags) const {
  CHECK_OK(check_store_path(path));
  if (path.empty()) CHECK_OK(check_present());
  UniqueFd fd(open_at(fd_.get(), std::string(resolved).c_str(), flags));
  if (!fd) return error_for(path, errno);
  return fd;
}

Result<ConfinedRoot::Place> ConfinedRoot::look_at_place() const {
  Identity there;
  if (!identify(AT_FDCWD, directory_.c_str(), 0, there)) {
    const int number = errno;
    return Error(Code::unavailable, "the attached directory " + printable_path(directory_) + " is not there (" +
                                        std::strerror(number) + "); nothing beneath it is taken as deleted; mount it again");
  }
  if (there.device == device_ && there.inode == inode_) return Place::same;
  if (there.is_directory && there.device == device_ && there.mount == mount_) return Place::swapped;
  return Error(Code::unavailable, "something else is in the place of the attached directory " + printable_path(directory_) +
                                      " (unmounted?); mount it again, or detach and attach");
}

Status ConfinedRoot::check_present() const {
  TRY(place, look_at_place());
  if (place == Place::same) return ok();
  return Error(Code::unavailable, "the attached directory " + printable_path(directory_) +
                                      " was just replaced by another one; try again");
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

// The writing side of the local store: each change is on stable storage when it returns.
#include "common/rng.h"
#include "understore/local_files.h"
#include "understore/store_path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace hearth {
namespace {

// Removes an unfinished file unless the rename took it.
struct Unfinished {
  int directory;
  std::string name;
  ~Unfinished() {
    if (!name.empty()) ::unlinkat(directory, name.c_str(), 0);
  }
};

bool write_all(int fd, const std::string& content) {
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t count = ::write(fd, content.data() + done, content.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return true;
}

}  // namespace

Result<LocalFiles::Place> LocalFiles::place_of(const ConfinedRoot& root, const std::string& path) const {
  CHECK_OK(check_store_path(path));
  if (path.empty()) return Error(Code::invalid_argument, "the root of an attachment can not be replaced, moved or removed");
  SplitPath split = split_store_path(path);
  TRY(parent, root.open_parent(split.parent));
  return Place{.parent = std::move(parent), .name = std::move(split.name)};
}

Result<LocalObject> LocalFiles::write(const std::string& path, const std::string& content) {
  TRY(root, present_root());
  TRY(place, place_of(*root, path));
  const int directory = place.parent.get();
  struct stat old {};
  const bool replaces = ::fstatat(directory, place.name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0;
  if (replaces && S_ISDIR(old.st_mode)) return root->error_for(path, EISDIR);

  char suffix[17];
  std::snprintf(suffix, sizeof suffix, "%016llx", static_cast<unsigned long long>(system_rng().next()));
  Unfinished unfinished{.directory = directory, .name = std::string(unfinished_prefix) + suffix};
  const UniqueFd fd(::openat(directory, unfinished.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) {
    const int number = errno;
    unfinished.name.clear();
    return root->error_for(path, number);
  }
  if (replaces && S_ISREG(old.st_mode)) {
    // Ownership first: changing it clears set-user-id. Only root can give files away; others keep their own.
    if (::fchown(fd.get(), old.st_uid, old.st_gid) != 0 && errno != EPERM) return root->error_for(path, errno);
    if (::fchmod(fd.get(), old.st_mode & 07777) != 0) return root->error_for(path, errno);
  }
  if (!write_all(fd.get(), content) || ::fsync(fd.get()) != 0) return root->error_for(path, errno);
  if (::renameat(directory, unfinished.name.c_str(), directory, place.name.c_str()) != 0) {
    return root->error_for(path, errno);
  }
  unfinished.name.clear();
  if (::fsync(directory) != 0) return root->error_for(path, errno);
  TRY(object, look_at_fd(*root, fd.get(), path));
  return object;
}

Status LocalFiles::remove(const std::string& path) {
  TRY(root, present_root());
  TRY(place, place_of(*root, path));
  struct stat status {};
  if (::fstatat(place.parent.get(), place.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return root->error_for(path, errno);
  }
  const int flags = S_ISDIR(status.st_mode) ? AT_REMOVEDIR : 0;
  if (::unlinkat(place.parent.get(), place.name.c_str(), flags) != 0) return root->error_for(path, errno);
  if (::fsync(place.parent.get()) != 0) return root->error_for(path, errno);
  return ok();
}

Status LocalFiles::rename(const std::string& from, const std::string& to) {
  TRY(root, present_root());
  TRY(source, place_of(*root, from));
  TRY(target, place_of(*root, to));
  if (::renameat(source.parent.get(), source.name.c_str(), target.parent.get(), target.name.c_str()) != 0) {
    // Both are beneath the root, so "other device" means a mount in between, not an escape.
    if (errno == EXDEV) {
      return Error(Code::unsupported, printable_path(from) + " and " + printable_path(to) +
                                          " are on different file systems; copy and remove instead");
    }
    return root->error_for(from, errno);
  }
  if (::fsync(target.parent.get()) != 0 || ::fsync(source.parent.get()) != 0) return root->error_for(to, errno);
  return ok();
}

Result<LocalObject> LocalFiles::make_directory(const std::string& path, std::uint32_t mode) {
  TRY(root, present_root());
  TRY(place, place_of(*root, path));
  if (::mkdirat(place.parent.get(), place.name.c_str(), mode & 07777) != 0) return root->error_for(path, errno);
  if (::fsync(place.parent.get()) != 0) return root->error_for(path, errno);
  return look_at_entry(*root, place.parent.get(), place.name, split_store_path(path).parent);
}

}  // namespace hearth

#include "tiering/nvme/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace hearth {

Result<DirectoryLock> DirectoryLock::take(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return Error(code_from_errno(errno), "cannot open the lock file " + path + ": " + std::strerror(errno));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    std::array<char, 32> holder{};
    const ssize_t read = ::pread(fd.get(), holder.data(), holder.size() - 1, 0);
    const std::string who = read > 0 ? "process " + std::string(holder.data(), std::strcspn(holder.data(), "\n")) : "another process";
    return Error(Code::busy, "the cache directory of " + path + " is in use by " + who +
                                 "; give each worker a directory of its own, or stop that one");
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  // A courtesy for the message above: a lock without a number locks as well.
  if (::ftruncate(fd.get(), 0) == 0 && ::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) return DirectoryLock(std::move(fd));
  return DirectoryLock(std::move(fd));
}

}  // namespace hearth

// A directory and what lies beneath it; nothing outside it can be reached through this.
//
// Symlinks in the middle of a path are followed while they stay beneath the root; the last component
// is never followed. The kernel enforces it (openat2, RESOLVE_BENEATH), also against races.
//
// Threads: any; every method blocks, so call it from the pool.
// Owns:    a descriptor of the root. While it is open the file system can not be unmounted normally.
// Fails:   not_found only when the root is still the one that was opened; unavailable when it is
//          gone, replaced or its file system does not answer; permission_denied on an escape.
#pragma once

#include <hearth/result.h>

#include "common/fd.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace hearth {

class ConfinedRoot {
 public:
  static Result<ConfinedRoot> open(const std::string& directory);

  // Path rules of store_path.h; "" is the root. O_CLOEXEC and O_NOFOLLOW are added.
  Result<UniqueFd> open_beneath(std::string_view path, std::uint64_t flags) const;
  // A directory in the middle of a longer path: here a symlink in the last component is followed too.
  Result<UniqueFd> open_parent(std::string_view path) const;
  // As open_beneath(), and "a/." follows a symlink in the last component; -1 with errno on failure (EXDEV: it leads out).
  // The place is not looked at, and `path` was checked. Of the root it asks no permission.
  UniqueFd try_open(const std::string& path, std::uint64_t flags) const;
  // The error for a failed system call on `path`.
  Error error_for(std::string_view path, int error_number) const;
  // unavailable when the directory's place is empty or taken by another one.
  Status check_present() const;
  // The place holds either this directory or, as when an administrator swapped trees, another one of the same mount.
  // unavailable when it holds neither: what shows at an unmounted mount point is not a new tree.
  enum class Place : std::uint8_t { same, swapped };
  Result<Place> look_at_place() const;
  // Whether `other`, opened at the same place, is one that look_at_place() calls same or swapped.
  bool shares_mount(const ConfinedRoot& other) const { return device_ == other.device_ && mount_ == other.mount_; }

  const std::string& directory() const { return directory_; }
  std::uint64_t device() const { return device_; }

 private:
  ConfinedRoot() = default;
  Result<UniqueFd> resolve(std::string_view path, std::string_view resolved, std::uint64_t flags) const;

  // Set once.
  std::string directory_;
  UniqueFd fd_;
  std::uint64_t device_ = 0;
  std::uint64_t inode_ = 0;
  std::uint64_t mount_ = 0;  // 0 before Linux 5.8: only the device is compared
};

}  // namespace hearth

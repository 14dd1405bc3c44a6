// One process for one directory: an advisory lock on a file in it, which the kernel lets go of however the process ends.
//
// Threads: any.
// Owns:    the descriptor; the lock ends with it. The file stays, with the number of its last holder for people to read.
// Fails:   busy (another open tier has it; the message says which process), not_found, permission_denied.
#pragma once

#include "common/fd.h"

#include <hearth/result.h>

#include <string>

namespace hearth {

class DirectoryLock {
 public:
  DirectoryLock() = default;
  static Result<DirectoryLock> take(const std::string& path);

 private:
  explicit DirectoryLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace hearth

// Removing a directory with all below it (Client::remove_tree).
#pragma once

#include <hearth/result.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace hearth {

struct TreeRemoval {
  std::uint64_t removed = 0;  // names; in a store that knows keys only, objects
  std::uint64_t failed = 0;   // names that are still there, the directories above them not counted
  struct Failure {
    std::string path;
    Error error;
  };
  std::vector<Failure> failures;  // of the first 100
};

struct RemoveTreeOptions {
  enum class Go : std::uint8_t { on, stop };
  // Called now and then on the caller's thread with how far it is.
  std::function<Go(const TreeRemoval& so_far)> progress;
};

}  // namespace hearth

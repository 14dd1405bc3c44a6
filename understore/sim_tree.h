// One object of the simulated store. Private to sim_store*.cc.
//
// Threads: guarded by the store's mutex.
#pragma once

#include "understore/sim_store.h"

#include <map>
#include <string>

namespace hearth {

struct SimStore::Node {
  FileType type = FileType::regular;
  std::uint32_t mode = 0644;
  std::uint64_t inode = 0;
  std::uint64_t change = 1;  // counts like ctime: every change of content or entries
  std::int64_t changed_ns = 0;
  // Regular: literal text, or the oracle's bytes.
  bool literal = false;
  std::string text;  // also a symlink's target
  std::uint64_t length_bytes = 0;
  std::uint64_t seed = 0;
  std::uint64_t version_number = 1;
  // Directory. In byte order, so a listing continues behind the last name it gave.
  std::map<std::string, NodeHandle, std::less<>> children;
};

}  // namespace hearth

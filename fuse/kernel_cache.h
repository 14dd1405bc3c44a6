// What the kernel keeps of the mount, and how it is told to drop it: the seam between notices and the session.
//
// Threads: any but those that answer requests: expire() waits for the lock of the directory, which the kernel holds while a
//          request about a name in it is answered.
#pragma once

#include "fuse/node_table.h"

#include <string>
#include <utility>
#include <vector>

namespace hearth {

class KernelCache {
 public:
  virtual ~KernelCache() = default;
  // attributes: never waits. pages: attributes too; waits for pages that are being read.
  enum class Drop : std::uint8_t { attributes, pages };
  virtual void drop(NodeId node, Drop what) = 0;
  // The name is looked up again before it is used.
  virtual void expire(NodeId parent, const std::string& name) = 0;
};

// What a notice makes the kernel drop.
struct KernelWork {
  std::vector<std::pair<NodeId, KernelCache::Drop>> nodes;
  std::vector<NodeTable::Name> names;
};

}  // namespace hearth

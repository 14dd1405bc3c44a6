// The inodes that the kernel knows: one per (entry of a directory, file version).
//
// A regular file that changed, or a symlink with another target, is a new node with a new id. So the page cache and the
// backing file that the kernel keeps for a node always belong to one version, and an old open handle
// keeps reading its own. A directory keeps its node as long as the name is a directory.
// Ids are never reused. A path is built on demand from the names.
//
// Threads: any; one mutex, held for map operations only.
// Owns:    nodes, until the kernel has forgotten them, nothing lies under them and nobody has them open.
// Fails:   stale (an id that is not in the table).
#pragma once

#include <hearth/client.h>
#include <hearth/result.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace hearth {

using NodeId = std::uint64_t;
inline constexpr NodeId root_node = 1;  // FUSE_ROOT_ID

// Whether both are the same content in the eyes of the kernel's caches.
bool same_node_content(const FileStatus& one, const FileStatus& other);

class NodeTable {
 public:
  struct Node {
    NodeId parent = 0;
    std::string name;  // raw bytes
    FileStatus status;
    std::uint64_t lookups = 0;   // references of the kernel
    std::uint64_t children = 0;  // nodes that need this one for their path
    std::uint64_t opens = 0;
  };

  // `root_path` is the mounted subtree, "/" or "/a/b".
  NodeTable(std::string root_path, FileStatus root);

  // The node for what `name` is now, one lookup richer.
  Result<NodeId> enter(NodeId parent, std::string_view name, const FileStatus& status);
  void forget(NodeId id, std::uint64_t lookups);

  Result<std::string> path(NodeId id) const;
  Result<std::string> path(NodeId parent, std::string_view name) const;
  Result<FileStatus> status(NodeId id) const;
  NodeId parent(NodeId id) const;  // of the root: the root
  // Newer attributes of the same content.
  void refresh(NodeId id, const FileStatus& status);

  // An open node keeps its place and its attributes.
  Status pin(NodeId id);
  void unpin(NodeId id);
  bool pinned(NodeId id) const;

  std::size_t size() const;  // without the root

 private:
  struct Entry {
    NodeId parent;
    std::string_view name;  // of the node itself
    bool operator==(const Entry&) const = default;
  };
  struct EntryHash {
    std::size_t operator()(const Entry& entry) const {
      return std::hash<std::string_view>{}(entry.name) ^ (entry.parent * 0x9E3779B97F4A7C15ULL);
    }
  };

  Result<std::string> path_locked(NodeId id) const;
  void drop_if_unused(NodeId id);

  const std::string root_path_;
  mutable std::mutex mutex_;
  // Guarded by mutex_
  std::unordered_map<NodeId, Node> nodes_;
  std::unordered_map<Entry, NodeId, EntryHash> current_;  // the newest node of each entry
  NodeId next_ = root_node + 1;
};

}  // namespace hearth

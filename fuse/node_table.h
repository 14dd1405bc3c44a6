// The inodes that the kernel knows: one per (object, version).
//
// A regular file that changed elsewhere, or a symlink with another target, is a new node with a new id. So the page cache
// and the backing file that the kernel keeps for a node always belong to one version, and an old open handle
// keeps reading its own. A directory keeps its node as long as the name is a directory.
// In a mount that takes changes an object is one node under all its names and versions, where versions tell objects apart
// (object_key()): while nobody has it open another version only makes the kernel drop its pages, and a file that is open in
// place is *live*, the kernel and its file agree by themselves. Only a file that changed elsewhere while it was open here,
// and not in place, gets a new node.
// Ids are never reused. A path is built on demand from the names.
//
// Threads: any; one mutex, held for map operations only.
// Owns:    nodes, until the kernel has forgotten them, nothing lies under them and nobody has them open.
// Fails:   stale (an id that is not in the table, or a node without a name left).
#pragma once

#include "common/clock.h"

#include <hearth/client.h>
#include <hearth/result.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace hearth {

using NodeId = std::uint64_t;
inline constexpr NodeId root_node = 1;  // FUSE_ROOT_ID

// Whether both are the same content in the eyes of the kernel's caches.
bool same_node_content(const FileStatus& one, const FileStatus& other);

class NodeTable {
 public:
  enum class Objects : std::uint8_t { one_per_name, shared_by_names };
  // What a node is while its file is open in place.
  enum class Content : std::uint8_t { of_version, live };

  struct Name {
    NodeId parent = 0;
    std::string name;  // raw bytes
  };
  struct Node {
    std::list<Name> names;  // the first makes its path; none: the root, or a file that was removed
    FileStatus status;
    std::string object;          // key in by_object_; "" when it has none
    std::uint64_t lookups = 0;   // references of the kernel
    std::uint64_t children = 0;  // names that need this one for their path
    std::uint64_t opens = 0;
    Content content = Content::of_version;
    bool drop_pages = false;  // what the kernel cached is of another version
    bool told = false;        // that it changed elsewhere; nothing has confirmed it since
    TimePoint made{};
  };

  // `root_path` is the mounted subtree, "/" or "/a/b".
  NodeTable(std::string root_path, FileStatus root, Objects objects = Objects::one_per_name);

  // The node for what `name` is now, one lookup richer.
  Result<NodeId> enter(NodeId parent, std::string_view name, const FileStatus& status);
  void forget(NodeId id, std::uint64_t lookups);

  Result<std::string> path(NodeId id) const;
  Result<std::string> path(NodeId parent, std::string_view name) const;
  std::vector<std::string> paths(NodeId id) const;  // under all names that are known
  Result<FileStatus> status(NodeId id) const;
  NodeId parent(NodeId id) const;  // of the root: the root
  // The node that stands under a name, if any does.
  std::optional<NodeId> find(NodeId parent, std::string_view name) const;
  bool has_name(NodeId id) const;
  // The node is this now. False: it is another version or object than the node's, which stays as it was.
  bool refresh(NodeId id, const FileStatus& status);
  // Whether the kernel has to drop what it cached of the node, at the open that asks; once.
  bool take_drop_pages(NodeId id);
  // Of all nodes of its object, the one that names lead to.
  bool is_newest(NodeId id) const;
  // The content is known to be this version now: the kernel's pages are right for it.
  void adopt(NodeId id, const FileStatus& status);
  void set_content(NodeId id, Content content);

  // What happened to names in this mount.
  void drop_name(NodeId parent, std::string_view name);
  void move_name(NodeId parent, std::string_view name, NodeId to_parent, std::string_view to_name);
  void exchange_names(NodeId parent, std::string_view name, NodeId to_parent, std::string_view to_name);

  // An open node keeps its place and its attributes.
  Status pin(NodeId id);
  // The open handles that are left.
  std::uint64_t unpin(NodeId id);
  bool pinned(NodeId id) const;

  // A notice said that `path` changed elsewhere, with tree: and all below it. The nodes that are concerned, each with the
  // names that the kernel has to look up again because the node alone does not tell: it is open, or has several.
  struct Told {
    NodeId node = 0;
    EntryType type = EntryType::regular;
    Content content = Content::of_version;
    std::vector<Name> names;
  };
  // Only of nodes made at `since` or later.
  std::vector<Told> tell(std::string_view path, ChangeNotice::Path::Reach reach, TimePoint since = TimePoint::min());
  std::vector<Told> tell_all(TimePoint since = TimePoint::min());
  bool was_told(NodeId id) const;
  void set_told(NodeId id);
  // The node of its directory and its name there, whether or not anything is known of it; nothing: the directory is not known.
  std::optional<Name> place_of(std::string_view path) const;

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

  std::optional<Name> place_locked(std::string_view path) const;
  static Told tell_locked(NodeId id, Node& node);
  bool lies_below(NodeId id, NodeId directory) const;
  Result<std::string> path_locked(NodeId id) const;
  Result<std::string> path_of_name(const Name& name) const;
  std::string object_key(const FileStatus& status) const;
  // Whether the node goes on as `status`; then it is that.
  bool take_over(Node& node, const FileStatus& status) const;
  // Something happened under the node's names, perhaps that its file went: then the store may have given the number of its inode to another.
  static bool may_be_recycled(const Node& node, const FileStatus& status);
  bool is_newest_locked(NodeId id) const;
  // `name` is a node's own or a new one; a node that stood there before is superseded and keeps its own record of it.
  void put_name(NodeId id, Name name);
  void drop_name_locked(NodeId parent, std::string_view name);
  void drop_object_unless_live(NodeId id);
  void drop_if_unused(NodeId id);

  const std::string root_path_;
  const Objects objects_;
  mutable std::mutex mutex_;
  // Guarded by mutex_
  std::unordered_map<NodeId, Node> nodes_;
  std::unordered_map<Entry, NodeId, EntryHash> current_;  // the newest node of each entry
  std::unordered_map<std::string, NodeId> by_object_;     // the newest node of each object that can have several names
  NodeId next_ = root_node + 1;
};

}  // namespace hearth

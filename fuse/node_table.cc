#include "fuse/node_table.h"

#include <cassert>
#include <utility>
#include <vector>

namespace hearth {
namespace {

Error unknown_node(NodeId id) {
  return Error(Code::stale, "inode " + std::to_string(id) + " of the mount is not known any more; look it up again");
}

}  // namespace

bool same_node_content(const FileStatus& one, const FileStatus& other) {
  if (one.type != other.type) return false;
  if (one.type == EntryType::directory) return true;
  return one.version == other.version && one.length_bytes == other.length_bytes &&
         one.symlink_target == other.symlink_target;
}

NodeTable::NodeTable(std::string root_path, FileStatus root)
    : root_path_(root_path == "/" ? std::string() : std::move(root_path)) {
  Node node;
  node.parent = root_node;
  node.status = std::move(root);
  node.lookups = 1;  // the kernel never looks the root up, nor forgets it
  nodes_.emplace(root_node, std::move(node));
}

Result<NodeId> NodeTable::enter(NodeId parent, std::string_view name, const FileStatus& status) {
  const std::lock_guard lock(mutex_);
  const auto above = nodes_.find(parent);
  if (above == nodes_.end()) return unknown_node(parent);
  const auto known = current_.find(Entry{parent, name});
  if (known != current_.end()) {
    Node& node = nodes_.at(known->second);
    if (same_node_content(node.status, status)) {
      node.status = status;
      ++node.lookups;
      return known->second;
    }
    current_.erase(known);  // the old node stays reachable by its id until the kernel forgets it
  }
  const NodeId id = next_++;
  Node node;
  node.parent = parent;
  node.name = name;
  node.status = status;
  node.lookups = 1;
  ++above->second.children;
  const auto placed = nodes_.emplace(id, std::move(node)).first;  // addresses of nodes are stable
  current_.emplace(Entry{parent, placed->second.name}, id);
  return id;
}

void NodeTable::forget(NodeId id, std::uint64_t lookups) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end() || id == root_node) return;
  assert(found->second.lookups >= lookups);
  found->second.lookups -= lookups;
  drop_if_unused(id);
}

void NodeTable::drop_if_unused(NodeId id) {
  while (id != root_node) {
    const auto found = nodes_.find(id);
    const Node& node = found->second;
    if (node.lookups != 0 || node.children != 0 || node.opens != 0) return;
    const NodeId parent = node.parent;
    const auto entry = current_.find(Entry{parent, node.name});
    if (entry != current_.end() && entry->second == id) current_.erase(entry);
    nodes_.erase(found);
    --nodes_.at(parent).children;
    id = parent;
  }
}

Result<std::string> NodeTable::path_locked(NodeId id) const {
  std::vector<std::string_view> names;
  while (id != root_node) {
    const auto found = nodes_.find(id);
    if (found == nodes_.end()) return unknown_node(id);
    names.push_back(found->second.name);
    id = found->second.parent;
  }
  std::string path = root_path_;
  for (auto name = names.rbegin(); name != names.rend(); ++name) path.append("/").append(*name);
  return path.empty() ? std::string("/") : path;
}

Result<std::string> NodeTable::path(NodeId id) const {
  const std::lock_guard lock(mutex_);
  return path_locked(id);
}

Result<std::string> NodeTable::path(NodeId parent, std::string_view name) const {
  const std::lock_guard lock(mutex_);
  TRY(path, path_locked(parent));
  if (path != "/") path += '/';
  path += name;
  return path;
}

Result<FileStatus> NodeTable::status(NodeId id) const {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return unknown_node(id);
  return found->second.status;
}

NodeId NodeTable::parent(NodeId id) const {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? root_node : found->second.parent;
}

void NodeTable::refresh(NodeId id, const FileStatus& status) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found != nodes_.end() && same_node_content(found->second.status, status)) found->second.status = status;
}

Status NodeTable::pin(NodeId id) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return unknown_node(id);
  ++found->second.opens;
  return ok();
}

void NodeTable::unpin(NodeId id) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  assert(found != nodes_.end() && found->second.opens > 0);
  --found->second.opens;
  drop_if_unused(id);
}

bool NodeTable::pinned(NodeId id) const {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  return found != nodes_.end() && found->second.opens > 0;
}

std::size_t NodeTable::size() const {
  const std::lock_guard lock(mutex_);
  return nodes_.size() - 1;
}

}  // namespace hearth

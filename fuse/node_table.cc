#include "fuse/node_table.h"

#include "common/object_identity.h"

#include <algorithm>
#include <cassert>
#include <utility>

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

NodeTable::NodeTable(std::string root_path, FileStatus root, Objects objects)
    : root_path_(root_path == "/" ? std::string() : std::move(root_path)), objects_(objects) {
  Node node;
  node.status = std::move(root);
  node.lookups = 1;  // the kernel never looks the root up, nor forgets it
  nodes_.emplace(root_node, std::move(node));
}

// A directory has one name only, and is found by it.
std::string NodeTable::object_key(const FileStatus& status) const {
  if (objects_ == Objects::one_per_name || status.type == EntryType::directory || !status.writable) return {};
  const std::string object = hearth::object_key(status.version);
  return object.empty() ? std::string() : std::to_string(status.attachment) + ":" + object;
}

bool NodeTable::take_over(Node& node, const FileStatus& status) const {
  if (same_node_content(node.status, status)) {
    node.status = status;
    node.told = false;
    return true;
  }
  // A staged copy is nobody else's, whatever its store has under the name by now.
  if (node.object.empty() && node.content == Content::live && node.status.type == status.type) return true;
  const bool same_object = !node.object.empty() && node.status.type == status.type && object_key(status) == node.object;
  if (!same_object) return false;
  if (node.content == Content::live) {  // its own file says better what it is
    node.told = false;
    return true;
  }
  // A version that had not settled is told from the settled one by its mark alone.
  const bool same_content = without_nonce(node.status.version) == without_nonce(status.version) &&
                            node.status.length_bytes == status.length_bytes;
  if (!same_content && node.opens != 0) return false;
  node.drop_pages = node.drop_pages || !same_content;
  node.status = status;
  node.told = false;
  return true;
}

bool NodeTable::may_be_recycled(const Node& node, const FileStatus& status) {
  const bool only_name = status.link_count < 2;  // so those of the node are no more
  return only_name && node.told && node.content != Content::live && !node.names.empty() && !same_node_content(node.status, status);
}

void NodeTable::put_name(NodeId id, Name name) {
  Node& node = nodes_.at(id);
  auto known = std::find_if(node.names.begin(), node.names.end(), [&name](const Name& one) {
    return one.parent == name.parent && one.name == name.name;
  });
  if (known == node.names.end()) {
    ++nodes_.at(name.parent).children;
    known = node.names.insert(node.names.begin(), std::move(name));  // addresses in a list are stable
  }
  current_.erase(Entry{known->parent, known->name});  // its key may lie in the node that stood there before
  current_.emplace(Entry{known->parent, known->name}, id);
}

Result<NodeId> NodeTable::enter(NodeId parent, std::string_view name, const FileStatus& status) {
  const std::lock_guard lock(mutex_);
  if (!nodes_.contains(parent)) return unknown_node(parent);
  const auto known = current_.find(Entry{parent, name});
  if (known != current_.end()) {
    Node& node = nodes_.at(known->second);
    if (is_newest_locked(known->second) && take_over(node, status)) {
      ++node.lookups;
      // The name that was looked up last makes the path: another mount may have taken the others away.
      const auto mine = std::find_if(node.names.begin(), node.names.end(),
                                     [&](const Name& one) { return one.parent == parent && one.name == name; });
      node.names.splice(node.names.begin(), node.names, mine);
      return known->second;
    }
    current_.erase(known);  // the old node stays reachable by its id until the kernel forgets it
  }
  std::string object = object_key(status);
  if (!object.empty()) {
    const auto other = by_object_.find(object);
    const bool may_be_it = other != by_object_.end() && !may_be_recycled(nodes_.at(other->second), status);
    if (may_be_it && take_over(nodes_.at(other->second), status)) {
      const NodeId id = other->second;
      put_name(id, Name{parent, std::string(name)});
      ++nodes_.at(id).lookups;
      return id;
    }
  }
  const NodeId id = next_++;
  Node node;
  node.status = status;
  node.made = real_clock().now();
  node.lookups = 1;
  node.object = std::move(object);
  if (!node.object.empty()) by_object_[node.object] = id;
  nodes_.emplace(id, std::move(node));
  put_name(id, Name{parent, std::string(name)});
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

void NodeTable::drop_if_unused(NodeId first) {
  std::vector<NodeId> pending{first};
  while (!pending.empty()) {
    const NodeId id = pending.back();
    pending.pop_back();
    const auto found = nodes_.find(id);
    if (id == root_node || found == nodes_.end()) continue;
    Node& node = found->second;
    if (node.lookups != 0 || node.children != 0 || node.opens != 0) continue;
    for (const Name& name : node.names) {
      const auto entry = current_.find(Entry{name.parent, name.name});
      if (entry != current_.end() && entry->second == id) current_.erase(entry);
      --nodes_.at(name.parent).children;
      pending.push_back(name.parent);
    }
    const auto object = by_object_.find(node.object);
    if (object != by_object_.end() && object->second == id) by_object_.erase(object);
    nodes_.erase(found);
  }
}

Result<std::string> NodeTable::path_of_name(const Name& last) const {
  std::vector<std::string_view> names{last.name};
  NodeId id = last.parent;
  while (id != root_node) {
    const auto found = nodes_.find(id);
    if (found == nodes_.end() || found->second.names.empty()) return unknown_node(id);
    names.push_back(found->second.names.front().name);
    id = found->second.names.front().parent;
  }
  std::string path = root_path_;
  for (auto name = names.rbegin(); name != names.rend(); ++name) path.append("/").append(*name);
  return path;
}

Result<std::string> NodeTable::path_locked(NodeId id) const {
  if (id == root_node) return root_path_.empty() ? std::string("/") : root_path_;
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return unknown_node(id);
  if (found->second.names.empty()) return Error(Code::stale, "the file of inode " + std::to_string(id) + " was removed");
  return path_of_name(found->second.names.front());
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

std::vector<std::string> NodeTable::paths(NodeId id) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return out;
  for (const Name& name : found->second.names) {
    auto path = path_of_name(name);
    if (path) out.push_back(std::move(*path));
  }
  return out;
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
  return found == nodes_.end() || found->second.names.empty() ? root_node : found->second.names.front().parent;
}

std::optional<NodeId> NodeTable::find(NodeId parent, std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = current_.find(Entry{parent, name});
  return found == current_.end() ? std::nullopt : std::optional(found->second);
}

bool NodeTable::has_name(NodeId id) const {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  return id == root_node || (found != nodes_.end() && !found->second.names.empty());
}

bool NodeTable::refresh(NodeId id, const FileStatus& status) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  return found != nodes_.end() && take_over(found->second, status);
}

bool NodeTable::take_drop_pages(NodeId id) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  return found != nodes_.end() && std::exchange(found->second.drop_pages, false);
}

bool NodeTable::is_newest(NodeId id) const {
  const std::lock_guard lock(mutex_);
  return is_newest_locked(id);
}

bool NodeTable::is_newest_locked(NodeId id) const {
  const auto found = nodes_.find(id);
  if (found == nodes_.end() || found->second.object.empty()) return true;
  const auto newest = by_object_.find(found->second.object);
  return newest == by_object_.end() || newest->second == id;
}

void NodeTable::adopt(NodeId id, const FileStatus& status) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found != nodes_.end() && found->second.status.type == status.type) found->second.status = status;
}

void NodeTable::set_content(NodeId id, Content content) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return;
  found->second.content = content;
  if (found->second.names.empty()) drop_object_unless_live(id);
}

// The store may give the number of a removed file to another one, but not while its descriptor is open; meanwhile a name
// that was made elsewhere may lead to it.
void NodeTable::drop_object_unless_live(NodeId id) {
  const Node& node = nodes_.at(id);
  if (node.content == Content::live) return;
  const auto object = by_object_.find(node.object);
  if (object != by_object_.end() && object->second == id) by_object_.erase(object);
}

void NodeTable::drop_name_locked(NodeId parent, std::string_view name) {
  const auto entry = current_.find(Entry{parent, name});
  if (entry == current_.end()) return;
  const NodeId id = entry->second;
  current_.erase(entry);
  Node& node = nodes_.at(id);
  const auto known = std::find_if(node.names.begin(), node.names.end(),
                                  [&](const Name& one) { return one.parent == parent && one.name == name; });
  assert(known != node.names.end());
  node.names.erase(known);
  if (node.names.empty()) drop_object_unless_live(id);
  --nodes_.at(parent).children;
  drop_if_unused(id);
  drop_if_unused(parent);
}

void NodeTable::drop_name(NodeId parent, std::string_view name) {
  const std::lock_guard lock(mutex_);
  drop_name_locked(parent, name);
}

void NodeTable::move_name(NodeId parent, std::string_view name, NodeId to_parent, std::string_view to_name) {
  const std::lock_guard lock(mutex_);
  const auto moved = current_.find(Entry{parent, name});
  const std::optional<NodeId> id = moved == current_.end() ? std::nullopt : std::optional(moved->second);
  const auto replaced = current_.find(Entry{to_parent, to_name});
  if (id && replaced != current_.end() && replaced->second == *id) return;  // two names of one file: both stay
  drop_name_locked(to_parent, to_name);
  if (!id || !nodes_.contains(to_parent)) return;
  put_name(*id, Name{to_parent, std::string(to_name)});  // before the old one goes: a node without names loses its object
  drop_name_locked(parent, name);
}

void NodeTable::exchange_names(NodeId parent, std::string_view name, NodeId to_parent, std::string_view to_name) {
  const std::lock_guard lock(mutex_);
  const auto one = current_.find(Entry{parent, name});
  const auto other = current_.find(Entry{to_parent, to_name});
  if (one == current_.end() || other == current_.end()) {
    // What is not known is looked up when it is needed.
    drop_name_locked(parent, name);
    drop_name_locked(to_parent, to_name);
    return;
  }
  const NodeId first = one->second;
  const NodeId second = other->second;
  if (first == second) return;
  const auto rename = [this](NodeId id, NodeId from_parent, std::string_view from, NodeId into_parent, std::string_view into) {
    Node& node = nodes_.at(id);
    const auto known = std::find_if(node.names.begin(), node.names.end(),
                                    [&](const Name& mine) { return mine.parent == from_parent && mine.name == from; });
    --nodes_.at(from_parent).children;
    ++nodes_.at(into_parent).children;
    known->parent = into_parent;
    known->name = into;
    current_.emplace(Entry{known->parent, known->name}, id);
  };
  const std::string from(name);
  const std::string into(to_name);
  current_.erase(one);
  current_.erase(other);
  rename(first, parent, from, to_parent, into);
  rename(second, to_parent, into, parent, from);
}

Status NodeTable::pin(NodeId id) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return unknown_node(id);
  ++found->second.opens;
  return ok();
}

std::uint64_t NodeTable::unpin(NodeId id) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  assert(found != nodes_.end() && found->second.opens > 0);
  const std::uint64_t left = --found->second.opens;
  drop_if_unused(id);
  return left;
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

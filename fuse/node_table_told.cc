// NodeTable: what notices of changes elsewhere mean for the nodes.
#include "fuse/node_table.h"

#include <utility>

namespace hearth {
namespace {

// Relative to the root of the table, so without it; nothing for what is not below it.
std::optional<std::string_view> inside(std::string_view root_path, std::string_view path) {
  if (!path.starts_with(root_path)) return std::nullopt;
  path.remove_prefix(root_path.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  while (path.starts_with('/')) path.remove_prefix(1);
  return path;
}

}  // namespace

std::optional<NodeTable::Name> NodeTable::place_locked(std::string_view path) const {
  std::optional<std::string_view> rest = inside(root_path_, path);
  if (!rest || rest->empty()) return std::nullopt;
  NodeId parent = root_node;
  for (std::size_t slash = rest->find('/'); slash != std::string_view::npos; slash = rest->find('/')) {
    const auto found = current_.find(Entry{parent, rest->substr(0, slash)});
    if (found == current_.end()) return std::nullopt;
    parent = found->second;
    rest->remove_prefix(slash + 1);
  }
  return Name{parent, std::string(*rest)};
}

std::optional<NodeTable::Name> NodeTable::place_of(std::string_view path) const {
  const std::lock_guard lock(mutex_);
  return place_locked(path);
}

NodeTable::Told NodeTable::tell_locked(NodeId id, Node& node) {
  node.told = true;
  Told told{.node = id, .type = node.status.type, .content = node.content, .names = {}};
  const bool node_tells = node.status.type == EntryType::directory || (node.opens == 0 && node.names.size() < 2);
  if (!node_tells) told.names.assign(node.names.begin(), node.names.end());
  return told;
}

bool NodeTable::lies_below(NodeId id, NodeId directory) const {
  while (id != root_node) {
    const auto found = nodes_.find(id);
    if (found == nodes_.end() || found->second.names.empty()) return false;
    id = found->second.names.front().parent;
    if (id == directory) return true;
  }
  return false;
}

std::vector<NodeTable::Told> NodeTable::tell(std::string_view path, ChangeNotice::Path::Reach reach, TimePoint since) {
  const bool tree = reach == ChangeNotice::Path::Reach::tree;
  // A tree that the root of this table lies in: all of it.
  if (tree && inside(path == "/" ? std::string_view() : path, root_path_)) return tell_all(since);
  std::vector<Told> out;
  const std::lock_guard lock(mutex_);
  NodeId id = root_node;
  if (path != (root_path_.empty() ? std::string_view("/") : std::string_view(root_path_))) {
    const std::optional<Name> place = place_locked(path);
    const auto found = place ? current_.find(Entry{place->parent, place->name}) : current_.end();
    if (found == current_.end()) return out;
    id = found->second;
  }
  if (Node& node = nodes_.at(id); node.made >= since) out.push_back(tell_locked(id, node));
  if (!tree) return out;
  for (auto& [other, node] : nodes_) {
    if (node.made >= since && lies_below(other, id)) out.push_back(tell_locked(other, node));
  }
  return out;
}

std::vector<NodeTable::Told> NodeTable::tell_all(TimePoint since) {
  std::vector<Told> out;
  const std::lock_guard lock(mutex_);
  for (auto& [id, node] : nodes_) {
    if (node.made >= since) out.push_back(tell_locked(id, node));
  }
  return out;
}

bool NodeTable::was_told(NodeId id) const {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  return found != nodes_.end() && found->second.told;
}

void NodeTable::set_told(NodeId id) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found != nodes_.end()) found->second.told = true;
}

}  // namespace hearth

// The world behind the simulated store: how the tree is looked up and changed.
#include "understore/sim_tree.h"

#include "understore/oracle.h"
#include "understore/store_path.h"

#include <charconv>
#include <cstring>
#include <vector>

namespace hearth {
namespace {

constexpr int max_symlinks = 40;  // as Linux has it

std::string hex_of(std::uint64_t number) {
  std::array<char, 16> digits{};
  return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr};
}

// The components of `path`, last one first, so that the next is at the back.
void push_components(std::vector<std::string>& stack, std::string_view path) {
  std::vector<std::string> components;
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (slash != 0) components.emplace_back(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  stack.insert(stack.end(), components.rbegin(), components.rend());
}

Error escape_error(std::string_view path) {
  return Error(Code::permission_denied, printable_path(path) + " leads out of the store through a symlink");
}

}  // namespace

Result<SimStore::Found> SimStore::find(std::string_view path) const {
  CHECK_OK(check_store_path(path));
  std::vector<std::string> todo;
  push_components(todo, path);
  std::vector<Found> trail{Found{.parent = nullptr, .name = "", .node = root_}};
  int symlinks = 0;
  while (!todo.empty()) {
    const std::string name = std::move(todo.back());
    todo.pop_back();
    const NodeHandle here = trail.back().node;
    if (here == nullptr) return Error(Code::not_found, printable_path(path) + " does not exist");
    if (here->type != FileType::directory) {
      return Error(Code::not_directory, printable_path(path) + " goes through something that is not a directory");
    }
    if (name == ".") continue;
    if (name == "..") {
      if (trail.size() == 1) return escape_error(path);
      trail.pop_back();
      continue;
    }
    const auto child = here->children.find(name);
    const NodeHandle node = child == here->children.end() ? nullptr : child->second;
    if (node != nullptr && node->type == FileType::symlink && !todo.empty()) {
      if (++symlinks > max_symlinks) return Error(Code::symlink_loop, printable_path(path) + " has too many symlinks");
      if (node->text.starts_with('/')) return escape_error(path);
      push_components(todo, node->text);
      continue;
    }
    trail.push_back(Found{.parent = here, .name = name, .node = node});
  }
  return trail.back();
}

Result<SimStore::Found> SimStore::find_existing(std::string_view path) const {
  TRY(found, find(path));
  if (found.node == nullptr) return Error(Code::not_found, printable_path(path) + " does not exist in " + uri_);
  return found;
}

SimStore::NodeHandle SimStore::make_node(FileType type, std::uint32_t mode) {
  auto node = std::make_shared<Node>();
  node->type = type;
  node->mode = mode & 07777;
  node->inode = next_inode_++;
  node->changed_ns = clock_.wall_now().time_since_epoch().count();
  return node;
}

void SimStore::changed(Node& node) {
  ++node.change;
  node.changed_ns = clock_.wall_now().time_since_epoch().count();
}

bool SimStore::put(std::string_view path, NodeHandle node) {
  auto found = find(path);
  if (!found || found->parent == nullptr) return false;
  found->parent->children[found->name] = std::move(node);
  changed(*found->parent);
  return true;
}

bool SimStore::put_file(std::string_view path, std::uint64_t length_bytes, std::uint64_t version_number) {
  const std::lock_guard lock(mutex_);
  NodeHandle node = make_node(FileType::regular, 0644);
  node->length_bytes = length_bytes;
  node->seed = oracle_seed(path);
  node->version_number = version_number;
  return put(path, std::move(node));
}

bool SimStore::put_text(std::string_view path, std::string content, std::uint32_t mode) {
  const std::lock_guard lock(mutex_);
  NodeHandle node = make_node(FileType::regular, mode);
  node->literal = true;
  node->length_bytes = content.size();
  node->text = std::move(content);
  return put(path, std::move(node));
}

bool SimStore::put_directory(std::string_view path) {
  const std::lock_guard lock(mutex_);
  return put(path, make_node(FileType::directory, 0755));
}

bool SimStore::put_symlink(std::string_view path, std::string target) {
  const std::lock_guard lock(mutex_);
  NodeHandle node = make_node(FileType::symlink, 0777);
  node->length_bytes = target.size();
  node->text = std::move(target);
  return put(path, std::move(node));
}

bool SimStore::put_other(std::string_view path) {
  const std::lock_guard lock(mutex_);
  return put(path, make_node(FileType::other, 0644));
}

bool SimStore::replace_file(std::string_view path) {
  const std::lock_guard lock(mutex_);
  auto found = find_existing(path);
  if (!found || found->node->type != FileType::regular) return false;
  ++found->node->version_number;
  changed(*found->node);
  return true;
}

bool SimStore::take_away(std::string_view path) {
  const std::lock_guard lock(mutex_);
  auto found = find_existing(path);
  if (!found || found->parent == nullptr) return false;
  found->parent->children.erase(found->name);
  changed(*found->parent);
  return true;
}

ObjectInfo SimStore::info_of(std::string_view name, const Node& node) const {
  ObjectInfo info{.name = std::string(name),
                  .type = node.type,
                  .length_bytes = node.length_bytes,
                  .mode = node.mode,
                  .mtime_ns = node.changed_ns,
                  .ctime_ns = node.changed_ns};
  info.version = "s1-" + hex_of(node.inode) + "-" + hex_of(node.change) + "-" + hex_of(node.length_bytes);
  if (node.type == FileType::symlink) info.symlink_target = node.text;
  return info;
}

void SimStore::copy_bytes(const Node& node, std::uint64_t offset, std::span<std::byte> into) {
  if (into.empty()) return;
  if (node.literal) {
    std::memcpy(into.data(), node.text.data() + offset, into.size());
  } else {
    oracle_fill(into, node.seed, node.version_number, offset);
  }
}

}  // namespace hearth

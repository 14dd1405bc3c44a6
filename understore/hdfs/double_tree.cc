#include "understore/hdfs/double_tree.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <functional>

namespace hearth::hdfs {
namespace {

constexpr std::string_view inode_prefix = "/.reserved/.inodes/";

DoubleException io_exception(const std::string& message) {
  return {.status = 403, .name = "IOException", .class_name = "java.io.IOException", .message = message};
}
DoubleException missing(const std::string& message) {
  return {.status = 404, .name = "FileNotFoundException", .class_name = "java.io.FileNotFoundException", .message = message};
}
DoubleException exists(const std::string& message) {
  return {.status = 403, .name = "FileAlreadyExistsException", .class_name = "org.apache.hadoop.fs.FileAlreadyExistsException",
          .message = message};
}
DoubleException not_a_directory(const std::string& path) {
  return {.status = 403, .name = "ParentNotDirectoryException",
          .class_name = "org.apache.hadoop.fs.ParentNotDirectoryException", .message = path + " is not a directory"};
}

}  // namespace

DoubleException DoubleTree::not_found(const std::string& path) {
  return missing("File does not exist: " + path);
}

DoubleTree::DoubleTree() : root_(make_node(0755)) { root_->is_directory = true; }

DoubleTree::NodeHandle DoubleTree::make_node(std::uint32_t mode) {
  auto node = std::make_shared<Node>();
  node->id = next_id_++;
  node->mode = mode;
  touch(*node);
  return node;
}

void DoubleTree::touch(Node& node) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  last_ms_ = std::max<std::int64_t>(last_ms_, std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
  node.modified_ms = last_ms_;
}

DoubleTree::Place DoubleTree::place_of(std::string_view path) const {
  Place place{.parent = nullptr, .name = "", .node = root_};
  while (!path.empty()) {
    path.remove_prefix(1);
    const auto end = std::min(path.find('/'), path.size());
    const std::string name(path.substr(0, end));
    path.remove_prefix(end);
    if (name.empty()) continue;
    place.parent = place.node;
    place.name = name;
    place.node = nullptr;
    if (!place.parent || !place.parent->is_directory) return {.parent = path.empty() ? place.parent : nullptr, .name = name, .node = nullptr};
    const auto found = place.parent->children.find(name);
    if (found != place.parent->children.end()) place.node = found->second;
  }
  return place;
}

DoubleTree::NodeHandle DoubleTree::find(std::string_view path) const {
  if (!path.starts_with(inode_prefix)) return place_of(path).node;
  path.remove_prefix(inode_prefix.size());
  std::uint64_t id = 0;
  std::from_chars(path.data(), path.data() + path.size(), id);
  std::vector<NodeHandle> open{root_};
  while (!open.empty()) {
    const NodeHandle node = open.back();
    open.pop_back();
    if (node->id == id) return node;
    for (const auto& [name, child] : node->children) open.push_back(child);
  }
  return nullptr;
}

DoubleOutcome<DoubleTree::NodeHandle> DoubleTree::create(const std::string& path, const std::string& content, Existing existing,
                                                         Parents parents) {
  Place place = place_of(path);
  if (!place.parent && parents == Parents::make) {
    make_directories(path.substr(0, path.rfind('/')), 0755);
    place = place_of(path);
  }
  const std::string above = path.substr(0, path.rfind('/'));
  if (!place.parent) return {.value = {}, .exception = missing("Parent directory doesn't exist: " + above)};
  if (!place.parent->is_directory) return {.value = {}, .exception = not_a_directory(above)};
  if (place.node && place.node->is_directory) return {.value = {}, .exception = exists(path + " already exists as a directory")};
  if (place.node && existing == Existing::refuse) return {.value = {}, .exception = exists(path + " for client 127.0.0.1 already exists")};
  const NodeHandle made = make_node(0644);
  made->content = content;
  place.parent->children[place.name] = made;
  touch(*place.parent);
  return {.value = made, .exception = {}};
}

DoubleOutcome<bool> DoubleTree::append(const std::string& path, const std::string& more) {
  const NodeHandle node = find(path);
  if (!node || node->is_directory) return {.value = {}, .exception = not_found(path)};
  node->content += more;
  touch(*node);
  return {.value = true, .exception = {}};
}

DoubleOutcome<bool> DoubleTree::make_directories(const std::string& path, std::uint32_t mode) {
  for (std::size_t end = 1; end != std::string::npos && path.size() > 1;) {
    end = path.find('/', end + 1);
    const std::string part = path.substr(0, end);
    const Place place = place_of(part);
    if (place.node && !place.node->is_directory) return {.value = {}, .exception = exists("Path is not a directory: " + part)};
    if (place.node) continue;
    const NodeHandle made = make_node(end == std::string::npos ? mode : 0755);
    made->is_directory = true;
    place.parent->children[place.name] = made;
    touch(*place.parent);
  }
  return {.value = true, .exception = {}};
}

DoubleOutcome<bool> DoubleTree::rename_over(const std::string& from, const std::string& to) {
  const Place source = place_of(from);
  if (!source.node) return {.value = {}, .exception = missing("rename source " + from + " is not found.")};
  if (from == to) return {.value = {}, .exception = exists("The source " + from + " and destination " + to + " are the same")};
  if (to.starts_with(from + "/")) return {.value = {}, .exception = io_exception("Rename destination " + to + " is a directory or file under source " + from)};
  const Place target = place_of(to);
  if (!target.parent) return {.value = {}, .exception = missing("rename destination parent " + to + " not found.")};
  if (!target.parent->is_directory) return {.value = {}, .exception = not_a_directory("rename destination parent " + to)};
  if (target.node && target.node->is_directory != source.node->is_directory) {
    return {.value = {}, .exception = io_exception("Source " + from + " and destination " + to + " must both be directories")};
  }
  if (target.node && !target.node->children.empty()) {
    return {.value = {}, .exception = io_exception("rename destination directory is not empty: " + to)};
  }
  source.parent->children.erase(source.name);
  target.parent->children[target.name] = source.node;
  touch(*source.parent);
  touch(*target.parent);
  return {.value = true, .exception = {}};
}

DoubleOutcome<bool> DoubleTree::rename_new(const std::string& from, const std::string& to) {
  if (place_of(to).node) return {.value = {}, .exception = exists("rename destination " + to + " already exists")};
  return rename_over(from, to);
}

DoubleOutcome<bool> DoubleTree::rename_plain(const std::string& from, const std::string& to) {
  const Place target = place_of(to);
  // Story: as the real one does, which put a file into the directory that a writer meant to be a file.
  if (target.node && target.node->is_directory) return rename_plain(from, to + from.substr(from.rfind('/')));
  if (target.node) return {.value = false, .exception = {}};
  const auto done = rename_over(from, to);
  return {.value = done.value.has_value(), .exception = {}};
}

DoubleOutcome<bool> DoubleTree::remove(const std::string& path, Depth depth) {
  const Place place = place_of(path);
  if (!place.node || !place.parent) return {.value = false, .exception = {}};
  if (depth == Depth::single && !place.node->children.empty()) {
    return {.value = {}, .exception = {.status = 403, .name = "PathIsNotEmptyDirectoryException",
                                       .class_name = "org.apache.hadoop.fs.PathIsNotEmptyDirectoryException",
                                       .message = "`" + path + " is non empty': Directory is not empty"}};
  }
  place.parent->children.erase(place.name);
  touch(*place.parent);
  return {.value = true, .exception = {}};
}

}  // namespace hearth::hdfs

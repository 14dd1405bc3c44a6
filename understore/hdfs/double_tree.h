// The namespace of the WebHDFS double: what a namenode remembers, with HDFS's rules and words.
//
// Threads: none; its owner locks.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::hdfs {

// An exception as HDFS throws it.
struct DoubleException {
  int status = 403;
  std::string name;
  std::string class_name;
  std::string message;
};
template <class T>
struct DoubleOutcome {
  std::optional<T> value;
  DoubleException exception;
};

class DoubleTree {
 public:
  enum class Existing : std::uint8_t { replace, refuse };
  enum class Parents : std::uint8_t { make, require };
  enum class Depth : std::uint8_t { whole, single };
  struct Node {
    std::uint64_t id = 0;
    bool is_directory = false;
    std::string content;
    std::int64_t modified_ms = 0;
    std::uint32_t mode = 0755;
    std::string owner = "hdfs";
    std::string group = "supergroup";
    std::string symlink_target;  // not "": a symlink
    std::map<std::string, std::shared_ptr<Node>> children;
  };
  using NodeHandle = std::shared_ptr<Node>;  // shared: removed files stay readable for who holds them

  DoubleTree();

  // "/a/b", "/" or "/.reserved/.inodes/16386". Null when absent.
  NodeHandle find(std::string_view path) const;
  DoubleOutcome<NodeHandle> create(const std::string& path, const std::string& content, Existing existing, Parents parents);
  DoubleOutcome<bool> append(const std::string& path, const std::string& more);
  DoubleOutcome<bool> make_directories(const std::string& path, std::uint32_t mode);
  DoubleOutcome<bool> rename_over(const std::string& from, const std::string& to);   // Rename.OVERWRITE
  DoubleOutcome<bool> rename_new(const std::string& from, const std::string& to);    // Rename.NONE
  DoubleOutcome<bool> rename_plain(const std::string& from, const std::string& to);  // the old form: into a directory, else false and no reason
  DoubleOutcome<bool> remove(const std::string& path, Depth depth);

  static DoubleException not_found(const std::string& path);

 private:
  struct Place {
    NodeHandle parent;  // null: the parent is absent
    std::string name;
    NodeHandle node;
  };
  Place place_of(std::string_view path) const;
  NodeHandle make_node(std::uint32_t mode);
  void touch(Node& node);

  NodeHandle root_;
  std::uint64_t next_id_ = 16385;
  std::int64_t last_ms_ = 0;
};

}  // namespace hearth::hdfs

// The attachments by path: who owns a path, and what hangs below it.
//
// Threads: confined to its owner.
// Owns:    the rows; they are few (thousands), all in memory.
#pragma once

#include "master/path.h"
#include "master/records.h"

#include <map>
#include <string>
#include <vector>

namespace hearth::master {

class AttachmentTable {
 public:
  void add(AttachmentRow row);
  void remove(const std::string& path);

  // The attachment at exactly this path, or null.
  const AttachmentRow* at(const std::string& path) const;
  const AttachmentRow* by_id(AttachmentId id) const;
  // The attachment with the longest path that is `path` or above it, or null.
  const AttachmentRow* owner(const NamespacePath& path) const;
  // Whether an attachment lies strictly below `path`.
  bool has_below(const NamespacePath& path) const { return !first_below(path).empty(); }
  // The path of one of them; "" when there is none.
  std::string first_below(const NamespacePath& path) const;
  // Names directly below `path` that lead to attachments, in byte order, each once.
  std::vector<std::string> names_below(const NamespacePath& path) const;
  std::vector<AttachmentRow> all() const;
  std::size_t size() const { return rows_.size(); }

 private:
  // Key: the path with "/" replaced by a zero byte and one at the end, so that a tree is one range.
  static std::string key(const std::string& path);
  std::map<std::string, AttachmentRow> rows_;
};

}  // namespace hearth::master

#include "master/attachment_table.h"

#include <algorithm>

namespace hearth::master {

std::string AttachmentTable::key(const std::string& path) {
  std::string out = path == "/" ? std::string() : path;
  std::replace(out.begin(), out.end(), '/', '\0');
  out.push_back('\0');
  return out;
}

void AttachmentTable::add(AttachmentRow row) {
  std::string at = key(row.path);
  rows_.insert_or_assign(std::move(at), std::move(row));
}

void AttachmentTable::remove(const std::string& path) { rows_.erase(key(path)); }

const AttachmentRow* AttachmentTable::at(const std::string& path) const {
  const auto found = rows_.find(key(path));
  return found == rows_.end() ? nullptr : &found->second;
}

const AttachmentRow* AttachmentTable::by_id(AttachmentId id) const {
  for (const auto& [path, row] : rows_) {
    if (row.id == id) return &row;
  }
  return nullptr;
}

const AttachmentRow* AttachmentTable::owner(const NamespacePath& path) const {
  for (std::size_t count = path.components().size() + 1; count-- > 0;) {
    if (const AttachmentRow* row = at(path.ancestor(count).text())) return row;
  }
  return nullptr;
}

std::string AttachmentTable::first_below(const NamespacePath& path) const {
  const std::string prefix = key(path.text());
  const auto found = rows_.upper_bound(prefix);
  if (found == rows_.end() || !found->first.starts_with(prefix)) return {};
  return found->second.path;
}

std::vector<std::string> AttachmentTable::names_below(const NamespacePath& path) const {
  const std::string prefix = key(path.text());
  std::vector<std::string> names;
  for (auto at = rows_.upper_bound(prefix); at != rows_.end() && at->first.starts_with(prefix); ++at) {
    const std::size_t end = at->first.find('\0', prefix.size());
    std::string name = at->first.substr(prefix.size(), end - prefix.size());
    if (names.empty() || names.back() != name) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<AttachmentRow> AttachmentTable::all() const {
  std::vector<AttachmentRow> out;
  for (const auto& [path, row] : rows_) out.push_back(row);
  return out;
}

}  // namespace hearth::master

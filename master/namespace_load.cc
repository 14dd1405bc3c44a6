// Namespace: loads of whole directories in turns, and the reaping of what they made unreachable.
#include "master/namespace.h"

#include "master/meta_keys.h"

#include <algorithm>

namespace hearth::master {

namespace {

Error directory_changed(InodeId directory) {
  return Error(Code::stale, "directory " + std::to_string(directory.value) + " was replaced while it was being loaded; list it again");
}

bool storable(const std::string& name) {
  return !name.empty() && name.size() <= max_name_bytes && name != "." && name != ".." &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

}  // namespace

Result<LoadProgress> Namespace::begin_load(InodeId directory, std::string version, Moment asked) {
  if (loads_.contains(directory)) {
    return Error(Code::busy, "directory " + std::to_string(directory.value) + " is being loaded; wait for that load");
  }
  LoadProgress load;
  load.directory = directory;
  load.started = asked;
  load.version = std::move(version);
  load.generation = (run_ << 32) | next_generation_++;  // never used before, so rows of broken-off loads stand out
  loads_[directory].generation = load.generation;
  return load;
}

Result<std::vector<std::optional<Child>>> Namespace::known_children(InodeId parent,
                                                                    const std::vector<ObjectInfo>& objects) {
  std::vector<std::string> keys;
  keys.reserve(objects.size());
  for (const ObjectInfo& object : objects) keys.push_back(entry_key(parent, object.name));
  TRY(entries, store_.get_many(Family::entry, keys));
  std::vector<EntryRow> rows;
  std::vector<std::size_t> places;
  std::vector<std::string> inode_keys;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (!entries[i]) continue;
    TRY(row, decode_entry(*entries[i]));
    inode_keys.push_back(number_key(row.child.value));
    places.push_back(i);
    rows.push_back(row);
  }
  TRY(records, store_.get_many(Family::inode, inode_keys));
  std::vector<std::optional<Child>> out(objects.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string& name = objects[places[i]].name;
    if (!records[i]) {
      return Error(Code::corrupt, "the inode of entry " + printable(name) +
                                      " is not in the metadata store; restore the data directory from a copy");
    }
    TRY(child, join(nullptr, name, rows[i], *records[i]));
    out[places[i]] = std::move(child);
  }
  return out;
}

Status Namespace::load_batch(LoadProgress& load, const std::vector<ObjectInfo>& objects, Moment asked) {
  const auto active = loads_.find(load.directory);
  if (active == loads_.end() || active->second.directory_gone) return directory_changed(load.directory);
  TRY(known, known_children(load.directory, objects));
  Staged staged;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const ObjectInfo& object = objects[i];
    if (!storable(object.name)) continue;
    const auto removed = active->second.removed.find(object.name);
    if (removed != active->second.removed.end() && removed->second > asked) continue;  // a later question found it absent
    TRY(inode, stage_upsert(staged, load.directory, object, asked, load.generation, known[i]));
    ++load.entries;
  }
  return commit(std::move(staged));
}

Result<Namespace::Sweep> Namespace::sweep(LoadProgress& load, std::size_t limit) {
  const auto active = loads_.find(load.directory);
  if (active == loads_.end() || active->second.directory_gone) return directory_changed(load.directory);
  TRY(rows, store_.scan(Family::entry, number_key(load.directory.value), load.swept_to, limit));
  Staged staged;
  for (const Row& row : rows) {
    TRY(entry, decode_entry(row.second));
    if (entry.generation == load.generation) continue;
    TRY(child, inode(entry.child));
    if (child.checked > load.started) continue;
    stage_removal(staged, load.directory, std::string_view(row.first).substr(entry_key_prefix_bytes), entry);
  }
  CHECK_OK(commit(std::move(staged)));
  if (rows.empty()) return Sweep::done;
  load.swept_to = rows.back().first;
  return rows.size() < limit ? Sweep::done : Sweep::more;
}

Result<Inode> Namespace::finish_load(const LoadProgress& load) {
  const auto active = loads_.find(load.directory);
  if (active == loads_.end() || active->second.directory_gone) return directory_changed(load.directory);
  const bool complete = !active->second.forgot_removals;
  loads_.erase(active);
  TRY(directory, inode(load.directory));
  if (complete) {
    directory.load = DirectoryLoad{load.generation, load.started, load.version, load.entries};
    Staged staged;
    staged.rows.put(Family::inode, number_key(directory.id.value), encode(directory));
    CHECK_OK(commit(std::move(staged)));
  }
  return directory;
}

Result<Namespace::Sweep> Namespace::trim(std::string& cursor, std::size_t limit, Moment horizon) {
  TRY(rows, store_.scan(Family::entry, "", cursor, limit));
  Staged staged;
  std::map<InodeId, Inode> directories;
  std::vector<InodeId> no_longer_complete;
  for (const Row& row : rows) {
    TRY(entry, decode_entry(row.second));
    TRY(parent_number, number_from_key(std::string_view(row.first).substr(0, entry_key_prefix_bytes)));
    const InodeId parent{parent_number};
    if (entry.type == FileType::directory || loads_.contains(parent)) continue;
    if (!directories.contains(parent)) {
      TRY(record, store_.get(Family::inode, number_key(parent.value)));
      if (!record) continue;  // an orphan: the reaper's
      TRY(directory, decode_inode(parent, *record));
      directories.emplace(parent, std::move(directory));
    }
    TRY(child, inode(entry.child));
    const Inode& directory = directories.at(parent);
    const bool seen_by_load = entry.generation != 0 && entry.generation == directory.load.generation;
    if (child.keeps_attributes || child.checked >= horizon || (seen_by_load && directory.load.at >= horizon)) continue;
    stage_removal(staged, parent, std::string_view(row.first).substr(entry_key_prefix_bytes), entry);
    if (directory.load.generation != 0) no_longer_complete.push_back(parent);
  }
  for (const InodeId parent : no_longer_complete) {
    Inode& directory = directories.at(parent);
    directory.load = DirectoryLoad();
    staged.rows.put(Family::inode, number_key(parent.value), encode(directory));
  }
  CHECK_OK(commit(std::move(staged)));
  if (rows.size() < limit) return Sweep::done;
  cursor = rows.back().first;
  return Sweep::more;
}

Result<Namespace::Sweep> Namespace::reap(std::size_t limit) {
  TRY(orphans, store_.scan(Family::meta, meta_keys::orphan_prefix, "", 1));
  if (orphans.empty()) {
    has_orphans_ = false;
    return Sweep::done;
  }
  const std::string_view key = orphans.front().first;
  TRY(id, number_from_key(key.substr(meta_keys::orphan_prefix.size())));
  const InodeId directory{id};
  TRY(rows, store_.scan(Family::entry, number_key(id), "", limit));
  Staged staged;
  for (const Row& row : rows) {
    TRY(entry, decode_entry(row.second));
    stage_removal(staged, directory, std::string_view(row.first).substr(entry_key_prefix_bytes), entry);
  }
  if (rows.size() < limit) staged.rows.erase(Family::meta, std::string(key));
  CHECK_OK(commit(std::move(staged)));
  return Sweep::more;
}

}  // namespace hearth::master

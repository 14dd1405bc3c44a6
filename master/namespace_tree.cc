// Namespace: single entries and their inodes.
#include "master/namespace.h"

#include <algorithm>

namespace hearth::master {

namespace {

bool same_object(const Inode& known, const ObjectInfo& object) {
  return known.type == object.type && object_identity(known.version) == object_identity(object.version);
}

}  // namespace

Result<std::optional<EntryRow>> Namespace::entry(InodeId parent, std::string_view name) {
  TRY(record, store_.get(Family::entry, entry_key(parent, name)));
  if (!record) return std::optional<EntryRow>();
  TRY(row, decode_entry(*record));
  return std::optional<EntryRow>(row);
}

Result<Inode> Namespace::inode(InodeId id) {
  TRY(record, store_.get(Family::inode, number_key(id.value)));
  if (!record) {
    return Error(Code::corrupt, "inode " + std::to_string(id.value) +
                                    " is named by an entry but is not in the metadata store; restore the data directory from a copy");
  }
  return decode_inode(id, *record);
}

Result<Child> Namespace::join(const Inode* directory, std::string name, const EntryRow& entry, std::string_view record) {
  TRY(inode, decode_inode(entry.child, record));
  Child child{std::move(name), entry, std::move(inode), {}};
  child.checked = child.inode.checked;
  if (directory != nullptr && entry.generation != 0 && entry.generation == directory->load.generation) {
    child.checked = std::max(child.checked, directory->load.at);
  }
  return child;
}

Result<std::optional<Child>> Namespace::child(InodeId parent, std::string_view name) {
  TRY(found, entry(parent, name));
  if (!found) return std::optional<Child>();
  TRY(record, store_.get(Family::inode, number_key(found->child.value)));
  if (!record) {
    return Error(Code::corrupt, "the inode of entry " + printable(name) +
                                    " is not in the metadata store; restore the data directory from a copy");
  }
  TRY(directory, inode(parent));
  TRY(child, join(&directory, std::string(name), *found, *record));
  return std::optional<Child>(std::move(child));
}

Result<std::vector<Child>> Namespace::children(InodeId parent, std::string_view after, std::size_t limit) {
  TRY(directory, inode(parent));
  const std::string from = after.empty() ? std::string() : entry_key(parent, after);
  TRY(rows, store_.scan(Family::entry, number_key(parent.value), from, limit));
  std::vector<EntryRow> entries;
  std::vector<std::string> keys;
  for (const Row& row : rows) {
    TRY(found, decode_entry(row.second));
    keys.push_back(number_key(found.child.value));
    entries.push_back(found);
  }
  TRY(records, store_.get_many(Family::inode, keys));
  std::vector<Child> out;
  out.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string name = rows[i].first.substr(entry_key_prefix_bytes);
    if (!records[i]) {
      return Error(Code::corrupt, "the inode of entry " + printable(name) +
                                      " is not in the metadata store; restore the data directory from a copy");
    }
    TRY(child, join(&directory, name, entries[i], *records[i]));
    out.push_back(std::move(child));
  }
  return out;
}

Result<Inode> Namespace::stage_upsert(Staged& staged, InodeId parent, const ObjectInfo& object, Moment asked,
                                      std::uint64_t generation, const std::optional<Child>& known) {
  Inode fresh = inode_from_object(object, asked);
  if (known && known->inode.checked > asked) {  // a later question was answered first
    if (generation != 0 && generation != known->entry.generation) {
      EntryRow entry = known->entry;
      entry.generation = generation;
      staged.rows.put(Family::entry, entry_key(parent, object.name), encode(entry));
    }
    return known->inode;
  }
  if (known && same_object(known->inode, object)) {
    fresh.id = known->inode.id;
    fresh.load = known->inode.load;
    keep_attributes(known->inode, fresh);
    EntryRow entry = known->entry;
    if (generation != 0) entry.generation = generation;
    if (entry != known->entry) staged.rows.put(Family::entry, entry_key(parent, object.name), encode(entry));
    // During a load the entry's generation says when it was checked; the inode is written only when it changed.
    const bool seen_by_load = generation != 0 && same_attributes(fresh, known->inode);
    if (!seen_by_load) staged.rows.put(Family::inode, number_key(fresh.id.value), encode(fresh));
    return fresh;
  }
  TRY(id, new_inode_id());
  fresh.id = id;
  if (known) stage_removal(staged, parent, object.name, known->entry);
  const EntryRow entry{id, object.type, generation};
  staged.rows.put(Family::inode, number_key(id.value), encode(fresh));
  staged.rows.put(Family::entry, entry_key(parent, object.name), encode(entry));
  ++staged.inode_delta;
  return fresh;
}

void Namespace::stage_removal(Staged& staged, InodeId parent, std::string_view name, const EntryRow& entry) {
  staged.rows.erase(Family::entry, entry_key(parent, name));
  staged.rows.erase(Family::inode, number_key(entry.child.value));
  --staged.inode_delta;
  if (entry.type == FileType::directory) staged.orphans.push_back(entry.child);
}

Result<Inode> Namespace::upsert(InodeId parent, std::string_view name, const ObjectInfo& object, Moment asked) {
  TRY(known, child(parent, name));
  ObjectInfo named = object;
  named.name = std::string(name);
  Staged staged;
  // Generation 0: a stat writes the inode with its own moment. An entry made while a load runs is kept by
  // the load's sweep because its moment is later than the load's.
  TRY(inode, stage_upsert(staged, parent, named, asked, 0, known));
  CHECK_OK(commit(std::move(staged)));
  const auto load = loads_.find(parent);
  if (load != loads_.end()) load->second.removed.erase(std::string(name));
  return inode;
}

Result<Inode> Namespace::upsert_root(InodeId root, const ObjectInfo& object, Moment asked) {
  TRY(known, inode(root));
  if (known.checked > asked) return known;
  Inode fresh = inode_from_object(object, asked);
  fresh.id = root;
  fresh.load = known.load;
  keep_attributes(known, fresh);
  if (!same_object(known, object)) fresh.load = DirectoryLoad();  // another directory: load it anew
  Staged staged;
  staged.rows.put(Family::inode, number_key(root.value), encode(fresh));
  CHECK_OK(commit(std::move(staged)));
  return fresh;
}

Result<Inode> Namespace::give_attributes(InodeId id, const KeptAttributes& given) {
  TRY(changed, inode(id));
  changed.keeps_attributes = true;
  if (given.mode) changed.mode = *given.mode;
  if (given.uid) changed.uid = *given.uid;
  if (given.gid) changed.gid = *given.gid;
  if (given.mtime_ns) changed.mtime_ns = *given.mtime_ns;
  if (given.atime_ns) changed.atime_ns = *given.atime_ns;
  if (given.ctime_ns) changed.ctime_ns = *given.ctime_ns;
  Staged staged;
  staged.rows.put(Family::inode, number_key(id.value), encode(changed));
  CHECK_OK(commit(std::move(staged)));
  return changed;
}

void Namespace::note_removal(InodeId parent, std::string_view name, Moment asked) {
  const auto load = loads_.find(parent);
  if (load == loads_.end()) return;
  if (load->second.removed.size() < limits_.removed_during_load) {
    load->second.removed.insert_or_assign(std::string(name), asked);
  } else {
    load->second.forgot_removals = true;
  }
}

Status Namespace::move(const EntryPlace& from, const EntryPlace& to, Moment at, WriteBatch more) {
  TRY(known, child(from.parent, from.name));
  TRY(standing, child(to.parent, to.name));
  Staged staged;
  staged.rows = std::move(more);
  if (standing) stage_removal(staged, to.parent, to.name, standing->entry);
  if (known) {
    known->inode.checked = at;
    known->entry.generation = 0;
    staged.rows.erase(Family::entry, entry_key(from.parent, from.name));
    staged.rows.put(Family::entry, entry_key(to.parent, to.name), encode(known->entry));
    staged.rows.put(Family::inode, number_key(known->inode.id.value), encode(known->inode));
  }
  CHECK_OK(commit(std::move(staged)));
  note_removal(from.parent, from.name, at);
  const auto load = loads_.find(to.parent);
  if (load != loads_.end()) load->second.removed.erase(to.name);
  return ok();
}

Status Namespace::remove(InodeId parent, std::string_view name, Moment asked) {
  note_removal(parent, name, asked);
  TRY(known, child(parent, name));
  if (!known || known->checked > asked) return ok();
  Staged staged;
  stage_removal(staged, parent, name, known->entry);
  return commit(std::move(staged));
}

}  // namespace hearth::master

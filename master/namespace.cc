#include "master/namespace.h"

#include "master/meta_keys.h"

#include <algorithm>

namespace hearth::master {

namespace {

constexpr std::size_t scan_rows = 1000;

std::string key_of(std::string_view prefix, std::string_view rest) {
  std::string key(prefix);
  key.append(rest);
  return key;
}

// The paths of the directories strictly between "/" and `path`.
std::vector<std::string> paths_above(const NamespacePath& path) {
  std::vector<std::string> out;
  for (std::size_t count = 1; count < path.components().size(); ++count) out.push_back(path.ancestor(count).text());
  return out;
}

}  // namespace

Result<std::uint64_t> Namespace::meta_number(std::string_view key, std::uint64_t fallback) {
  TRY(value, store_.get(Family::meta, key));
  if (!value) return fallback;
  return number_from_key(*value);
}

Result<std::unique_ptr<Namespace>> Namespace::open(MetaStore& store, std::uint64_t fresh_cluster_id, Limits limits) {
  std::unique_ptr<Namespace> self(new Namespace(store, limits));
  TRY(schema, self->meta_number(meta_keys::schema, 0));
  if (schema == 0) {
    TRY(rows, store.scan(Family::meta, "", "", 1));
    if (!rows.empty()) {
      return Error(Code::corrupt, "the metadata store has rows but no schema version; it is not one of this program, or damaged");
    }
  } else if (schema < oldest_schema_version || schema > metadata_schema_version) {
    return Error(Code::version_mismatch,
                 "the metadata store has schema version " + std::to_string(schema) + " and this master reads versions " +
                     std::to_string(oldest_schema_version) + " to " + std::to_string(metadata_schema_version) + "; start the version of Hearth that wrote it");
  }
  TRY(cluster, self->meta_number(meta_keys::cluster, fresh_cluster_id));
  TRY(run, self->meta_number(meta_keys::run, 0));
  self->cluster_id_ = cluster;
  self->run_ = run + 1;
  CHECK_OK(self->load_tables());

  WriteBatch batch;
  batch.put(Family::meta, std::string(meta_keys::schema), number_key(metadata_schema_version));
  batch.put(Family::meta, std::string(meta_keys::cluster), number_key(self->cluster_id_));
  batch.put(Family::meta, std::string(meta_keys::run), number_key(self->run_));
  CHECK_OK(store.write(batch));
  CHECK_OK(store.sync());
  return self;
}

Status Namespace::load_tables() {
  TRY(next_id, meta_number(meta_keys::next_inode, root_inode.value + 1));
  TRY(next_attachment, meta_number(meta_keys::next_attachment, 1));
  TRY(version, meta_number(meta_keys::attachments_version, 1));
  TRY(count, meta_number(meta_keys::inode_count, 0));
  next_id_ = reserved_end_ = next_id;  // what was left of the last range is given up: ids are never reused
  next_attachment_ = static_cast<std::uint32_t>(next_attachment);
  attachments_version_ = version;
  inode_count_ = count;
  std::string after;
  for (;;) {
    TRY(rows, store_.scan(Family::attachment, "", after, scan_rows));
    if (rows.empty()) break;
    for (const Row& row : rows) {
      TRY(attachment, decode_attachment(row.second));
      table_.add(std::move(attachment));
    }
    after = rows.back().first;
  }
  after.clear();
  for (;;) {
    TRY(rows, store_.scan(Family::meta, meta_keys::virtual_prefix, after, scan_rows));
    if (rows.empty()) break;
    for (const Row& row : rows) {
      TRY(id, number_from_key(row.second));
      virtual_inodes_[row.first.substr(meta_keys::virtual_prefix.size())] = InodeId{id};
    }
    after = rows.back().first;
  }
  TRY(orphans, store_.scan(Family::meta, meta_keys::orphan_prefix, "", 1));
  has_orphans_ = !orphans.empty();
  return ok();
}

Moment Namespace::next_moment(TimePoint now) {
  last_moment_ns_ = std::max<std::int64_t>(last_moment_ns_ + 1, now.time_since_epoch().count());
  return Moment{run_, last_moment_ns_};
}

// The one synchronous sync of this thread: once per `id_range` new inodes, a few milliseconds.
Result<InodeId> Namespace::new_inode_id() {
  if (next_id_ == reserved_end_) {
    WriteBatch batch;
    batch.put(Family::meta, std::string(meta_keys::next_inode), number_key(reserved_end_ + limits_.id_range));
    CHECK_OK(store_.write(batch));
    CHECK_OK(store_.sync());
    reserved_end_ += limits_.id_range;
  }
  return InodeId{next_id_++};
}

Status Namespace::commit(Staged staged) {
  for (const InodeId orphan : staged.orphans) {
    staged.rows.put(Family::meta, key_of(meta_keys::orphan_prefix, number_key(orphan.value)), "");
  }
  const std::uint64_t count = inode_count_ + static_cast<std::uint64_t>(staged.inode_delta);
  if (staged.inode_delta != 0) {
    staged.rows.put(Family::meta, std::string(meta_keys::inode_count), number_key(count));
  }
  if (staged.rows.empty()) return ok();
  CHECK_OK(store_.write(staged.rows));
  inode_count_ = count;
  for (const InodeId orphan : staged.orphans) {
    has_orphans_ = true;
    const auto load = loads_.find(orphan);
    if (load != loads_.end()) load->second.directory_gone = true;
  }
  return ok();
}

Result<AttachmentRow> Namespace::attach(AttachmentRow wanted, const ObjectInfo& root, Moment asked) {
  TRY(path, NamespacePath::parse(wanted.path));
  if (const AttachmentRow* taken = table_.at(path.text())) {
    return Error(Code::already_exists, printable(path.text()) + " is already attached to " + taken->uri +
                                           "; detach it first or choose another path");
  }
  Staged staged;
  TRY(root_id, new_inode_id());
  wanted.id = AttachmentId{next_attachment_};
  wanted.root = root_id;
  Inode inode = inode_from_object(root, asked);
  inode.id = root_id;
  std::map<std::string, InodeId> made;
  for (const std::string& above : paths_above(path)) {
    if (virtual_inodes_.contains(above)) continue;
    TRY(id, new_inode_id());
    made[above] = id;
    staged.rows.put(Family::meta, key_of(meta_keys::virtual_prefix, above), number_key(id.value));
  }
  staged.rows.put(Family::attachment, number_key(wanted.id.value), encode(wanted));
  staged.rows.put(Family::inode, number_key(root_id.value), encode(inode));
  staged.rows.put(Family::meta, std::string(meta_keys::next_attachment), number_key(next_attachment_ + 1U));
  staged.rows.put(Family::meta, std::string(meta_keys::attachments_version), number_key(attachments_version_ + 1));
  staged.inode_delta = 1;
  CHECK_OK(commit(std::move(staged)));
  ++next_attachment_;
  ++attachments_version_;
  virtual_inodes_.merge(made);
  table_.add(wanted);
  return wanted;
}

Status Namespace::detach(const NamespacePath& path) {
  const AttachmentRow* row = table_.at(path.text());
  if (row == nullptr) {
    return Error(Code::not_found, "nothing is attached at " + printable(path.text()) + "; `hearth attachments` lists what is");
  }
  const std::string below = table_.first_below(path);
  if (!below.empty()) {
    return Error(Code::busy, printable(below) + " is attached below " + printable(path.text()) + "; detach that first");
  }
  Staged staged;
  staged.rows.erase(Family::attachment, number_key(row->id.value));
  staged.rows.erase(Family::inode, number_key(row->root.value));
  staged.rows.put(Family::meta, std::string(meta_keys::attachments_version), number_key(attachments_version_ + 1));
  staged.orphans.push_back(row->root);
  staged.inode_delta = -1;
  AttachmentTable rest = table_;
  rest.remove(path.text());
  std::vector<std::string> unused;
  for (const std::string& above : paths_above(path)) {
    TRY(above_path, NamespacePath::parse(above));
    if (rest.has_below(above_path)) continue;
    unused.push_back(above);
    staged.rows.erase(Family::meta, key_of(meta_keys::virtual_prefix, above));
  }
  CHECK_OK(commit(std::move(staged)));
  ++attachments_version_;
  for (const std::string& above : unused) virtual_inodes_.erase(above);
  table_ = std::move(rest);
  return ok();
}

InodeId Namespace::virtual_inode(const std::string& path) const {
  const auto found = virtual_inodes_.find(path);
  return found == virtual_inodes_.end() ? root_inode : found->second;
}

}  // namespace hearth::master

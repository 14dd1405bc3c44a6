#include "master/metadata_check.h"

#include "master/meta_keys.h"
#include "master/path.h"

#include <functional>
#include <unordered_map>
#include <unordered_set>

namespace hearth::master {

namespace {

constexpr std::size_t rows_per_scan = 1000;

Status for_each(MetaStore& store, Family family, std::string_view prefix, const std::function<Status(const Row&)>& visit) {
  std::string after;
  for (;;) {
    TRY(rows, store.scan(family, prefix, after, rows_per_scan));
    for (const Row& row : rows) CHECK_OK(visit(row));
    if (rows.size() < rows_per_scan) return ok();
    after = rows.back().first;
  }
}

Error fault(std::string what) { return Error(Code::corrupt, std::move(what)); }

// All of it in memory: this is for tests and repair, not for the running master.
struct Facts {
  std::unordered_map<std::uint64_t, FileType> inodes;
  std::unordered_set<std::uint64_t> named;
  std::unordered_set<std::uint64_t> orphans;
};

Status read_meta(MetaStore& store, Facts& facts, MetadataSummary& summary) {
  CHECK_OK(for_each(store, Family::inode, "", [&](const Row& row) -> Status {
    TRY(id, number_from_key(row.first));
    TRY(inode, decode_inode(InodeId{id}, row.second));
    facts.inodes.emplace(id, inode.type);
    return ok();
  }));
  CHECK_OK(for_each(store, Family::attachment, "", [&](const Row& row) -> Status {
    TRY(attachment, decode_attachment(row.second));
    if (!facts.inodes.contains(attachment.root.value)) return fault("the root inode of attachment " + attachment.path + " is missing");
    if (!facts.named.insert(attachment.root.value).second) return fault("two attachments share a root inode");
    summary.attachments.push_back(std::move(attachment));
    return ok();
  }));
  CHECK_OK(for_each(store, Family::meta, meta_keys::policy_prefix, [](const Row& row) -> Status {
    TRY(version, number_from_key(std::string_view(row.first).substr(meta_keys::policy_prefix.size())));
    TRY(policy, decode_policy(version, row.second));
    return policy.version == 0 ? Status(fault("a policy has the version 0")) : ok();
  }));
  CHECK_OK(for_each(store, Family::meta, meta_keys::move_prefix, [](const Row& row) -> Status {
    TRY(id, number_from_key(std::string_view(row.first).substr(meta_keys::move_prefix.size())));
    TRY(move, decode_move(id, row.second));
    return move.from.empty() || move.to.empty() ? Status(fault("a move of the root of an attachment")) : ok();
  }));
  return for_each(store, Family::meta, meta_keys::orphan_prefix, [&](const Row& row) -> Status {
    TRY(id, number_from_key(std::string_view(row.first).substr(meta_keys::orphan_prefix.size())));
    if (facts.inodes.contains(id)) return fault("removed directory " + std::to_string(id) + " still has an inode");
    facts.orphans.insert(id);
    return ok();
  });
}

Status check_entry(Facts& facts, const Row& row) {
  TRY(parent, number_from_key(std::string_view(row.first).substr(0, entry_key_prefix_bytes)));
  TRY(entry, decode_entry(row.second));
  const std::string what = "entry " + printable(std::string_view(row.first).substr(entry_key_prefix_bytes)) +
                           " of directory " + std::to_string(parent);
  const auto child = facts.inodes.find(entry.child.value);
  if (child == facts.inodes.end()) return fault(what + " names the missing inode " + std::to_string(entry.child.value));
  if (child->second != entry.type) return fault(what + " and its inode have different types");
  if (!facts.named.insert(entry.child.value).second) return fault(what + " names an inode that is named twice");
  const auto directory = facts.inodes.find(parent);
  const bool lies_in_directory = directory != facts.inodes.end() && directory->second == FileType::directory;
  if (!lies_in_directory && !facts.orphans.contains(parent)) return fault(what + " lies in no directory");
  return ok();
}

Result<std::uint64_t> number_of(MetaStore& store, std::string_view key, std::uint64_t fallback) {
  TRY(value, store.get(Family::meta, key));
  if (!value) return fallback;
  return number_from_key(*value);
}

}  // namespace

Result<MetadataSummary> check_metadata(MetaStore& store) {
  MetadataSummary summary;
  TRY(schema, number_of(store, meta_keys::schema, 0));
  if (schema < oldest_schema_version || schema > metadata_schema_version) return Error(Code::version_mismatch, "schema version " + std::to_string(schema) + " is not known here");
  Facts facts;
  CHECK_OK(read_meta(store, facts, summary));
  CHECK_OK(for_each(store, Family::entry, "", [&](const Row& row) -> Status {
    ++summary.entries;
    return check_entry(facts, row);
  }));
  TRY(next_inode, number_of(store, meta_keys::next_inode, root_inode.value + 1));
  for (const auto& [id, type] : facts.inodes) {
    if (id >= next_inode) return fault("inode " + std::to_string(id) + " lies beyond the reserved ids");
    if (!facts.named.contains(id)) return fault("inode " + std::to_string(id) + " is named by no entry");
  }
  TRY(count, number_of(store, meta_keys::inode_count, 0));
  if (count != facts.inodes.size()) {
    return fault("the store counts " + std::to_string(count) + " inodes and has " + std::to_string(facts.inodes.size()));
  }
  summary.inodes = facts.inodes.size();
  summary.orphan_directories = facts.orphans.size();
  return summary;
}

}  // namespace hearth::master

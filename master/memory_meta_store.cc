#include "master/memory_meta_store.h"

namespace hearth::master {

Status MemoryMetaStore::take_failure() {
  if (!failure_) return ok();
  Error error = *failure_;
  failure_.reset();
  return error;
}

Result<std::optional<std::string>> MemoryMetaStore::get(Family family, std::string_view key) {
  CHECK_OK(take_failure());
  const Rows& rows = rows_[static_cast<std::size_t>(family)];
  const auto found = rows.find(key);
  if (found == rows.end()) return std::optional<std::string>();
  return std::optional<std::string>(found->second);
}

Result<std::vector<std::optional<std::string>>> MemoryMetaStore::get_many(Family family,
                                                                          const std::vector<std::string>& keys) {
  std::vector<std::optional<std::string>> out;
  for (const std::string& key : keys) {
    TRY(value, get(family, key));
    out.push_back(std::move(value));
  }
  return out;
}

Result<std::vector<Row>> MemoryMetaStore::scan(Family family, std::string_view prefix, std::string_view after,
                                               std::size_t limit) {
  CHECK_OK(take_failure());
  const Rows& rows = rows_[static_cast<std::size_t>(family)];
  std::vector<Row> out;
  auto at = after.empty() || after < prefix ? rows.lower_bound(prefix) : rows.upper_bound(after);
  for (; at != rows.end() && out.size() < limit && at->first.starts_with(prefix); ++at) out.push_back(*at);
  return out;
}

Status MemoryMetaStore::write(const WriteBatch& batch) {
  CHECK_OK(take_failure());
  for (const WriteBatch::Change& change : batch.changes) {
    Rows& rows = rows_[static_cast<std::size_t>(change.family)];
    if (change.value) {
      rows[change.key] = *change.value;
    } else {
      rows.erase(change.key);
    }
  }
  return ok();
}

Status MemoryMetaStore::sync() {
  CHECK_OK(take_failure());
  synced_ = rows_;
  ++sync_count_;
  return ok();
}

std::uint64_t MemoryMetaStore::approximate_count(Family family) {
  return rows_[static_cast<std::size_t>(family)].size();
}

}  // namespace hearth::master

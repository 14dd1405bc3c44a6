// The versions of the cluster's policy. The highest one is in force; a rollback is a new version with an old text.
//
// Synchronous; a text is checked before it is written, so what is kept could be read by the program that kept it.
// Threads: confined to the namespace thread.
// Owns:    its rows of the meta family. Keeps the last `kept` versions.
// Durable: apply() and rollback() are written, not synced: acknowledge and publish them after MetaStore::sync().
// Fails:   invalid_argument (every fault of the text with line and column), stale (another version is in force than
//          expected), not_found (no such version is kept); corrupt and io_error from the store. Then nothing changed.
#pragma once

#include "master/meta_store.h"
#include "master/records.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace hearth::master {

struct PolicyChange {
  std::string by;
  std::string comment;
  std::optional<std::uint64_t> expected_version;  // that must be in force; 0: none yet
  std::int64_t at_ns = 0;
};

class PolicyStore {
 public:
  static constexpr std::size_t kept = 20;

  static Result<std::unique_ptr<PolicyStore>> open(MetaStore& store);

  // Version 0 with an empty text while nothing was applied.
  const PolicyRow& current() const { return rows_.empty() ? none_ : rows_.rbegin()->second; }
  Result<PolicyRow> version(std::uint64_t version) const;
  const std::map<std::uint64_t, PolicyRow>& all() const { return rows_; }

  // The text that is in force already is answered with its version, and changes nothing.
  Result<PolicyRow> apply(std::string text, const PolicyChange& change);
  Result<PolicyRow> rollback(std::uint64_t version, const PolicyChange& change);

 private:
  explicit PolicyStore(MetaStore& store) : store_(store) {}
  Status check(const PolicyChange& change) const;
  Result<PolicyRow> add(PolicyRow row, const PolicyChange& change);

  MetaStore& store_;
  const PolicyRow none_;
  std::map<std::uint64_t, PolicyRow> rows_;
};

}  // namespace hearth::master

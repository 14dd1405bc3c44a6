// A MetaStore in memory that remembers what was synced: tests use it to lose the rest.
//
// Threads: as MetaStore, but sync() on the same thread only.
// Owns:    its rows; lose_unsynced() is the power cut.
// Fails:   as told by fail_next().
#pragma once

#include "master/meta_store.h"

#include <array>
#include <map>

namespace hearth::master {

class MemoryMetaStore final : public MetaStore {
 public:
  Result<std::optional<std::string>> get(Family family, std::string_view key) override;
  Result<std::vector<std::optional<std::string>>> get_many(Family family,
                                                           const std::vector<std::string>& keys) override;
  Result<std::vector<Row>> scan(Family family, std::string_view prefix, std::string_view after,
                                std::size_t limit) override;
  Status write(const WriteBatch& batch) override;
  Status sync() override;
  std::uint64_t approximate_count(Family family) override;

  void lose_unsynced() { rows_ = synced_; }
  void fail_next(Error error) { failure_ = std::move(error); }
  std::uint64_t sync_count() const { return sync_count_; }

 private:
  using Rows = std::map<std::string, std::string, std::less<>>;
  Status take_failure();

  std::array<Rows, family_count> rows_;
  std::array<Rows, family_count> synced_;
  std::optional<Error> failure_;
  std::uint64_t sync_count_ = 0;
};

}  // namespace hearth::master

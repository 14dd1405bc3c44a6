// How much of each tier each quota holds, and what follows from it: who may add, and whose data goes first.
//
// Every byte is charged to all quotas that its file counts for (Decision::quotas), in the tier where it is. The ledger
// is told; it looks at nothing by itself.
//
// Threads: confined to one; a worker has one ledger.
// Owns:    numbers only.
// Fails:   never. Taking back more than was charged is a programmer's error (assert).
#pragma once

#include "tiering/policy/policy.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace hearth::policy {

enum class CacheTier : std::uint8_t { memory, nvme };
inline constexpr std::size_t cache_tier_count = 2;

struct TierCapacities {
  std::uint64_t memory_bytes = 0;
  std::uint64_t nvme_bytes = 0;
};

// How willingly data is given up. Data that is protected still goes before a tier overflows.
enum class Standing : std::uint8_t {
  over,       // of a quota above its maximum: goes first
  ordinary,
  protected_  // of a quota not above its minimum: goes last
};

class QuotaLedger {
 public:
  QuotaLedger(std::span<const Quota> quotas, TierCapacities capacities);

  // Whether `bytes` more stay within the maximum of each of these quotas; else the first quota in the way. Data that
  // has to make room then is this quota's own.
  std::optional<std::size_t> in_the_way(QuotaSet quotas, CacheTier tier, std::uint64_t bytes) const;
  bool may_admit(QuotaSet quotas, CacheTier tier, std::uint64_t bytes) const { return !in_the_way(quotas, tier, bytes); }

  void charge(QuotaSet quotas, CacheTier tier, std::uint64_t bytes);
  void uncharge(QuotaSet quotas, CacheTier tier, std::uint64_t bytes);

  // Of data that counts for these quotas. One quota that is over outweighs another one that protects.
  Standing standing(QuotaSet quotas, CacheTier tier) const;
  // Quotas above their maximum (a policy or a capacity changed), the most bytes above it first.
  std::vector<std::size_t> over(CacheTier tier) const;

  // The same charges against other capacities.
  void resize(TierCapacities capacities);

  std::size_t size() const { return accounts_.size(); }
  std::uint64_t charged(std::size_t quota, CacheTier tier) const { return account(quota, tier).charged; }
  std::uint64_t minimum(std::size_t quota, CacheTier tier) const { return account(quota, tier).min; }
  std::uint64_t maximum(std::size_t quota, CacheTier tier) const { return account(quota, tier).max; }

 private:
  struct Account {
    std::uint64_t charged = 0;
    std::uint64_t min = 0;
    std::uint64_t max = 0;
  };
  const Account& account(std::size_t quota, CacheTier tier) const { return accounts_[quota][static_cast<std::size_t>(tier)]; }

  std::vector<Quota> quotas_;
  std::vector<std::array<Account, cache_tier_count>> accounts_;  // one per quota
};

}  // namespace hearth::policy

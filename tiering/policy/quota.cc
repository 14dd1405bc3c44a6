#include "tiering/policy/quota.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace hearth::policy {
namespace {

// Calls `visit(index)` for each quota of the set.
template <class Visit>
void for_each(QuotaSet quotas, Visit visit) {
  for (std::uint64_t rest = quotas.bits; rest != 0; rest &= rest - 1) visit(static_cast<std::size_t>(std::countr_zero(rest)));
}

}  // namespace

QuotaLedger::QuotaLedger(std::span<const Quota> quotas, TierCapacities capacities)
    : quotas_(quotas.begin(), quotas.end()), accounts_(quotas.size()) {
  resize(capacities);
}

void QuotaLedger::resize(TierCapacities capacities) {
  for (std::size_t i = 0; i < quotas_.size(); ++i) {
    const Quota& quota = quotas_[i];
    Account& memory = accounts_[i][static_cast<std::size_t>(CacheTier::memory)];
    Account& nvme = accounts_[i][static_cast<std::size_t>(CacheTier::nvme)];
    memory.max = quota.memory_max.of(capacities.memory_bytes);
    nvme.max = quota.nvme_max.of(capacities.nvme_bytes);
    // A size and a percentage may cross on a small worker; then no more is protected than is allowed.
    memory.min = std::min(quota.memory_min.of(capacities.memory_bytes), memory.max);
    nvme.min = std::min(quota.nvme_min.of(capacities.nvme_bytes), nvme.max);
  }
}

std::optional<std::size_t> QuotaLedger::in_the_way(QuotaSet quotas, CacheTier tier, std::uint64_t bytes) const {
  std::optional<std::size_t> found;
  for_each(quotas, [&](std::size_t index) {
    const Account& at = account(index, tier);
    const bool fits = at.charged <= at.max && bytes <= at.max - at.charged;
    if (!fits && !found) found = index;
  });
  return found;
}

void QuotaLedger::charge(QuotaSet quotas, CacheTier tier, std::uint64_t bytes) {
  for_each(quotas, [&](std::size_t index) { accounts_[index][static_cast<std::size_t>(tier)].charged += bytes; });
}

void QuotaLedger::uncharge(QuotaSet quotas, CacheTier tier, std::uint64_t bytes) {
  for_each(quotas, [&](std::size_t index) {
    Account& at = accounts_[index][static_cast<std::size_t>(tier)];
    assert(at.charged >= bytes && "more is taken back from a quota than was charged to it");
    at.charged -= bytes;
  });
}

Standing QuotaLedger::standing(QuotaSet quotas, CacheTier tier) const {
  Standing standing = Standing::ordinary;
  for_each(quotas, [&](std::size_t index) {
    const Account& at = account(index, tier);
    if (at.charged > at.max) standing = Standing::over;
    const bool protects = at.min > 0 && at.charged <= at.min;
    if (protects && standing == Standing::ordinary) standing = Standing::protected_;
  });
  return standing;
}

std::vector<std::size_t> QuotaLedger::over(CacheTier tier) const {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < accounts_.size(); ++i) {
    if (account(i, tier).charged > account(i, tier).max) out.push_back(i);
  }
  std::stable_sort(out.begin(), out.end(), [&](std::size_t a, std::size_t b) {
    return account(a, tier).charged - account(a, tier).max > account(b, tier).charged - account(b, tier).max;
  });
  return out;
}

}  // namespace hearth::policy

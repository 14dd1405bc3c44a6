#include "worker/quota_keeper.h"

#include <iterator>

namespace hearth::worker {
namespace {

using policy::CacheTier;

constexpr std::size_t index_of(CacheTier tier) { return static_cast<std::size_t>(tier); }
// What one admission looks at before it gives up: blocks at the cold end that hold nothing in the tier in question.
constexpr int max_looks = 1000;

}  // namespace

std::uint64_t QuotaKeeper::device_capacity() const {
  std::uint64_t capacity = 0;
  for (const TierDevices::Device& device : devices_.all()) {
    if (device.tier != nullptr) capacity += device.tier->stats().capacity_bytes;
  }
  return capacity;
}

void QuotaKeeper::set_policy(const policy::Policy& policy) {
  entries_.clear();
  order_.clear();
  next_recount_ = order_.end();
  const policy::TierCapacities capacities{memory_.stats().capacity_bytes, device_capacity()};
  ledger_.emplace(policy.quotas(), capacities);
}

QuotaKeeper::Held QuotaKeeper::holds(const BlockId& block) const {
  Held held{};
  held[index_of(CacheTier::memory)] = memory_.residency(block).resident_bytes;
  for (const TierDevices::Device& device : devices_.all()) {
    if (device.tier != nullptr) held[index_of(CacheTier::nvme)] += device.tier->residency(block).resident_bytes;
  }
  return held;
}

void QuotaKeeper::charge(Entry& entry, const Held& now) {
  for (const CacheTier tier : {CacheTier::memory, CacheTier::nvme}) {
    std::uint64_t& before = entry.held[index_of(tier)];
    const std::uint64_t after = now[index_of(tier)];
    if (after > before) ledger_->charge(entry.quotas, tier, after - before);
    if (after < before) ledger_->uncharge(entry.quotas, tier, before - after);
    before = after;
  }
}

bool QuotaKeeper::admit(policy::QuotaSet quotas, CacheTier tier, std::uint64_t bytes) {
  if (quotas.empty() || empty()) return true;
  while (true) {
    const std::optional<std::size_t> full = ledger_->in_the_way(quotas, tier, bytes);
    if (!full) return true;
    if (!give_up_oldest(*full, tier)) return false;
  }
}

bool QuotaKeeper::give_up_oldest(std::size_t quota, CacheTier tier) {
  int looks = 0;
  for (auto block = order_.begin(); block != order_.end() && looks < max_looks; ++block, ++looks) {
    Entry& entry = entries_.at(*block);
    if (!entry.quotas.has(quota) || entry.held[index_of(tier)] == 0) continue;
    const std::uint64_t before = entry.held[index_of(tier)];
    if (tier == CacheTier::memory) {
      for (ColdUnit& unit : memory_.units_of(*block)) memory_.evict(std::move(unit));
    } else {
      for (const TierDevices::Device& device : devices_.all()) {
        if (device.tier != nullptr && device.tier->residency(*block).leases == 0) device.tier->free_block(*block);
      }
    }
    const BlockId id = *block;
    const Held now = holds(id);
    charge(entry, now);
    if (now == Held{}) left(id);
    if (now[index_of(tier)] < before) return true;
  }
  return false;
}

void QuotaKeeper::kept(const BlockId& block, policy::QuotaSet quotas) {
  if (quotas.empty() || empty()) return;
  auto found = entries_.find(block);
  if (found == entries_.end()) {
    order_.push_back(block);
    found = entries_.emplace(block, Entry{.quotas = quotas, .held = {}, .place = std::prev(order_.end())}).first;
  }
  charge(found->second, holds(block));
}

void QuotaKeeper::was_read(const BlockId& block) {
  if (entries_.empty()) return;
  const auto found = entries_.find(block);
  if (found == entries_.end()) return;
  if (next_recount_ == found->second.place) ++next_recount_;
  order_.splice(order_.end(), order_, found->second.place);
}

void QuotaKeeper::left(const BlockId& block) {
  if (entries_.empty()) return;
  const auto found = entries_.find(block);
  if (found == entries_.end()) return;
  const Held now = holds(block);
  charge(found->second, now);
  if (now != Held{}) return;
  if (next_recount_ == found->second.place) ++next_recount_;
  order_.erase(found->second.place);
  entries_.erase(found);
}

void QuotaKeeper::recount(std::size_t count) {
  if (empty() || entries_.empty()) return;
  ledger_->resize({memory_.stats().capacity_bytes, device_capacity()});
  for (; count > 0 && !entries_.empty(); --count) {
    if (next_recount_ == order_.end()) next_recount_ = order_.begin();
    const BlockId block = *next_recount_++;
    left(block);
    if (next_recount_ == order_.end()) return;
  }
}

bool QuotaKeeper::protected_in(const BlockId& block, CacheTier tier) const {
  if (empty()) return false;
  const auto found = entries_.find(block);
  return found != entries_.end() && ledger_->standing(found->second.quotas, tier) == policy::Standing::protected_;
}

}  // namespace hearth::worker

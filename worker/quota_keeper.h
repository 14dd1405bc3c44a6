// Which quota holds how much of each tier, and whose data goes when one is at its maximum: its own, least recently read first.
//
// Blocks of files without a quota cost nothing here. What a block holds is looked up, not told: at each fill, when the block
// leaves, and for the rest (single pages that were evicted) in rounds of recount().
//
// Threads: confined to the data thread.
// Owns:    the ledger and the order of the blocks that count for a quota; not the bytes.
#pragma once

#include "common/block.h"
#include "tiering/block_store.h"
#include "tiering/policy/policy.h"
#include "tiering/policy/quota.h"
#include "worker/tier_devices.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>

namespace hearth::worker {

class QuotaKeeper {
 public:
  QuotaKeeper(BlockStore& memory, TierDevices& devices) : memory_(memory), devices_(devices) {}

  // The quotas of another policy; what is held is counted anew as it is read.
  void set_policy(const policy::Policy& policy);
  bool empty() const { return !ledger_ || ledger_->size() == 0; }

  // Makes room for `bytes` within the maximum of these quotas, out of their own blocks. False: they may not have that much.
  bool admit(policy::QuotaSet quotas, policy::CacheTier tier, std::uint64_t bytes);
  // The same, where nothing of theirs has to go.
  bool may_admit(policy::QuotaSet quotas, policy::CacheTier tier, std::uint64_t bytes) const {
    return quotas.empty() || empty() || ledger_->may_admit(quotas, tier, bytes);
  }
  // The block holds more than before in some tier.
  void kept(const BlockId& block, policy::QuotaSet quotas);
  void was_read(const BlockId& block);
  void left(const BlockId& block);
  // Looks at up to `count` blocks, the least recently counted first.
  void recount(std::size_t count);
  // Data of a quota that is not above its minimum goes last.
  bool protected_in(const BlockId& block, policy::CacheTier tier) const;

  std::uint64_t charged(std::size_t quota, policy::CacheTier tier) const { return ledger_ ? ledger_->charged(quota, tier) : 0; }
  std::size_t blocks() const { return entries_.size(); }

 private:
  using Held = std::array<std::uint64_t, policy::cache_tier_count>;
  struct Entry {
    policy::QuotaSet quotas;
    Held held{};
    std::list<BlockId>::iterator place;  // in order_
  };
  Held holds(const BlockId& block) const;
  void charge(Entry& entry, const Held& now);
  bool give_up_oldest(std::size_t quota, policy::CacheTier tier);
  std::uint64_t device_capacity() const;

  BlockStore& memory_;
  TierDevices& devices_;
  std::optional<policy::QuotaLedger> ledger_;
  std::unordered_map<BlockId, Entry, BlockIdHash> entries_;
  std::list<BlockId> order_;  // least recently read first
  std::list<BlockId>::iterator next_recount_ = order_.end();
};

}  // namespace hearth::worker

// Changes of state that wait for nothing.
#include "tiering/nvme/disk_tier_impl.h"

#include "common/log.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace hearth {
namespace {

// Accesses within this are one for the index file: a hot page's record is not written for each of them.
constexpr std::uint32_t access_grain_seconds = 60;

}  // namespace

void DiskTierImpl::touch(PageSlot slot) {
  PageEntry& entry = pages_.page(slot);
  if (entry.in_policy) policy_->touched(slot);
  const std::uint32_t now = now_seconds();
  if (now - entry.last_access < access_grain_seconds && entry.last_access != 0) return;
  entry.last_access = now;
  mark_dirty(slot);
}

void DiskTierImpl::mark_dirty(PageSlot slot) {
  PageEntry& entry = pages_.page(slot);
  if (entry.dirty) return;
  entry.dirty = 1;
  dirty_.push_back(slot);
}

void DiskTierImpl::enter_policy(PageSlot slot) {
  PageEntry& entry = pages_.page(slot);
  const BlockEntry& block = pages_.block(entry.block);
  if (entry.in_policy || block.leases > 0 || block.pinned || block.doomed) return;
  entry.in_policy = 1;
  policy_->inserted(slot, BlockIdHash{}(block.id) + entry.page * 0x9E3779B97F4A7C15ULL, charge_of(slot));
}

void DiskTierImpl::leave_policy(PageSlot slot, Removal why) {
  PageEntry& entry = pages_.page(slot);
  if (!entry.in_policy) return;
  entry.in_policy = 0;
  policy_->removed(slot, why);
}

void DiskTierImpl::publish(PageSlot slot, std::uint32_t crc) {
  PageEntry& entry = pages_.page(slot);
  BlockEntry& block = pages_.block(entry.block);
  entry.crc = crc;
  entry.last_access = now_seconds();
  entry.verified = 0;
  const std::uint32_t charge = charge_of(slot);
  pages_.set_state(slot, PageState::resident);
  TierBudget::move(budget_.filling, budget_.resident, charge);
  ++resident_pages_;
  if (block.pinned) pinned_bytes_ += charge;
  enter_policy(slot);
  mark_dirty(slot);
  if (block.resident_pages == 1) presence_changed(block.id, Presence::present);
}

// resident → leaving: from here on nobody finds it, and its bytes wait to be given back.
void DiskTierImpl::begin_leaving(PageSlot slot, Removal why) {
  PageEntry& entry = pages_.page(slot);
  assert(entry.state() == PageState::resident);
  BlockEntry& block = pages_.block(entry.block);
  leave_policy(slot, why);
  const std::uint32_t charge = charge_of(slot);
  TierBudget::move(budget_.resident, budget_.leaving, charge);
  --resident_pages_;
  verified_pages_ -= entry.verified;
  entry.verified = 0;
  if (block.pinned) pinned_bytes_ -= charge;
  pages_.set_state(slot, PageState::leaving);
  sums_.drop(slot);
  mark_dirty(slot);
  if (block.resident_pages == 0) presence_changed(block.id, Presence::absent);
}

void DiskTierImpl::doom(BlockSlot at, Removal why) {
  BlockEntry& block = pages_.block(at);
  if (block.doomed) return;
  block.doomed = 1;
  if (block.leases > 0) leased_bytes_ -= block.shape().charge();
  end_whole(block.id);
  unstick(trim_again_, at);  // goes with the file
  pages_.for_each_page(at, [this, why](PageSlot slot) {
    if (pages_.page(slot).state() == PageState::resident) begin_leaving(slot, why);
  });
  const Status spawned = tasks_.spawn(unlink(at), "unlink_cache_file");
  if (!spawned) stuck_blocks_.emplace(at, 0);  // shutting down: its records are cleared, the next start removes the file
}

void DiskTierImpl::drop_bad(const BlockId& id, std::uint32_t page, PageSlot slot) {
  ++totals_.corrupt_pages;
  log_warn("cache_page_corrupt", {{"tier", options_.name}, {"block", id.to_hex()}, {"page", page}});
  if (still_resident(id, page, slot)) drop_corrupt(id, PageIndex{page});
}

void DiskTierImpl::drop_corrupt(const BlockId& id, PageIndex page) {
  const std::optional<BlockSlot> at = pages_.find_block(id);
  if (!at || pages_.block(*at).doomed) return;
  const std::optional<PageSlot> slot = pages_.find(*at, page.value);
  if (!slot || pages_.page(*slot).state() != PageState::resident) return;
  if (pages_.block(*at).leases > 0) {
    doom(*at, Removal::dropped);  // never punched under a client
    return;
  }
  begin_leaving(*slot, Removal::dropped);
  std::vector<PageSlot> slots{*slot};
  const Status spawned = tasks_.spawn(give_back(*at, slots), "drop_cache_page");
  if (!spawned) stuck_pages_[*at].push_back(*slot);
}

void DiskTierImpl::drop_page(const BlockId& id, PageIndex page) {
  const std::optional<BlockSlot> at = pages_.find_block(id);
  if (at && pages_.block(*at).leases == 0) drop_corrupt(id, page);
}

std::uint64_t DiskTierImpl::free_block(const BlockId& id) {
  const std::optional<BlockSlot> at = pages_.find_block(id);
  if (!at || pages_.block(*at).doomed) return 0;
  const std::uint64_t before = budget_.resident;
  doom(*at, Removal::dropped);
  return before - budget_.resident;
}

void DiskTierImpl::exclude_from_eviction(BlockSlot at) {
  pages_.for_each_page(at, [this](PageSlot slot) { leave_policy(slot, Removal::dropped); });
}

void DiskTierImpl::allow_eviction(BlockSlot at) {
  pages_.for_each_page(at, [this](PageSlot slot) {
    if (pages_.page(slot).state() == PageState::resident) enter_policy(slot);
  });
}

void DiskTierImpl::pin(const BlockId& id, Pinned pinned) {
  if (pinned == Pinned::yes) {
    pinned_.insert(id);
  } else {
    pinned_.erase(id);
  }
  const std::optional<BlockSlot> at = pages_.find_block(id);
  if (!at || pages_.block(*at).doomed || (pages_.block(*at).pinned != 0) == (pinned == Pinned::yes)) return;
  pages_.block(*at).pinned = pinned == Pinned::yes;
  if (pinned == Pinned::yes) {
    exclude_from_eviction(*at);
  } else {
    allow_eviction(*at);
  }
  pages_.for_each_page(*at, [this, pinned](PageSlot slot) {
    if (pages_.page(slot).state() != PageState::resident) return;
    pinned_bytes_ += pinned == Pinned::yes ? charge_of(slot) : std::uint64_t{0} - charge_of(slot);
    mark_dirty(slot);
  });
}

void DiskTierImpl::set_expiry(const BlockId& id, std::optional<BlockExpiry> expiry) {
  const auto found = expiries_.find(id);
  if (expiry) {
    // As the index keeps it; never sooner than it was said.
    expiry->at = std::chrono::ceil<std::chrono::seconds>(expiry->at);
    if (found != expiries_.end() && found->second == *expiry) return;
    expiries_[id] = *expiry;
  } else {
    if (found == expiries_.end()) return;
    expiries_.erase(found);
  }
  const std::optional<BlockSlot> at = pages_.find_block(id);
  if (!at || pages_.block(*at).doomed) return;
  pages_.for_each_page(*at, [this](PageSlot slot) {
    if (pages_.page(slot).state() == PageState::resident) mark_dirty(slot);
  });
}

std::vector<std::pair<BlockId, BlockExpiry>> DiskTierImpl::expiries() const { return {expiries_.begin(), expiries_.end()}; }

// By last access, as after a restart: what one class knows beyond that is nothing to another.
void DiskTierImpl::set_eviction(std::unique_ptr<EvictionPolicy> policy) {
  std::vector<std::uint64_t> order;
  for (PageSlot slot = 0; slot < pages_.slot_end(); ++slot) {
    if (!pages_.page(slot).in_policy) continue;
    order.push_back(std::uint64_t{pages_.page(slot).last_access} << 32 | slot);
    pages_.page(slot).in_policy = 0;
  }
  std::sort(order.begin(), order.end());
  policy_ = std::move(policy);
  for (const std::uint64_t entry : order) enter_policy(static_cast<PageSlot>(entry));
}

void DiskTierImpl::set_watermarks(double low, double high) {
  assert(low >= 0 && low <= high && high <= 1);
  low_watermark_ = low;
  high_watermark_ = high;
}

void DiskTierImpl::forget_block(BlockSlot at) {
  if (!expiries_.empty()) expiries_.erase(pages_.block(at).id);
  pages_.remove_block(at);
}

void DiskTierImpl::room_changed() {
  if (room_.has_waiters()) room_.notify_all();
}

}  // namespace hearth

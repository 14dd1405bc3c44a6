// What leaves before memory is short, and what never does.
#include "tiering/block_store_impl.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace hearth {

std::optional<ColdUnit> BlockStoreImpl::coldest() {
  const auto victim = policy_->victim([this](EvictionSlot slot) { return evictable(slot); });
  if (!victim) return std::nullopt;
  return unit_at(*victim);
}

std::vector<ColdUnit> BlockStoreImpl::units_of(const BlockId& id) {
  std::vector<ColdUnit> units;
  const std::shared_ptr<Block> block = block_of(id);
  if (block == nullptr) return units;
  for (const Unit& unit : block->units) {
    if (unit.slot && evictable(*unit.slot)) units.push_back(unit_at(*unit.slot));
  }
  return units;
}

ColdUnit BlockStoreImpl::unit_at(EvictionSlot slot) const {
  const UnitPlace place = slots_.at(slot);
  const Block& block = *place.block;
  ColdUnit cold;
  cold.block.id = block.id;
  cold.block.length_bytes = block.layout.length_bytes;
  cold.block.page_size_bytes = block.layout.page_size_bytes;
  cold.first_unit = place.unit;
  cold.last_access = block.units[place.unit].last_access;
  std::size_t first = 0;
  std::size_t end = block.pages.size();
  if (block.whole_only()) {
    cold.charged_bytes = block.charged_bytes();
  } else {
    cold.charged_bytes = block.units[place.unit].charged_bytes;
    first = std::size_t{place.unit} * block.layout.pages_per_unit();
    end = std::min<std::size_t>(first + block.layout.pages_per_unit(), end);
  }
  for (std::size_t page = first; page < end; ++page) {
    if (block.pages[page] == nullptr) continue;
    cold.pages.emplace_back(PageIndex{static_cast<std::uint32_t>(page)}, view_of(block.pages[page]));
  }
  return cold;
}

void BlockStoreImpl::set_eviction(std::unique_ptr<EvictionPolicy> policy) {
  policy_ = std::move(policy);
  // Coldest first, so that the new class begins in the order of the old one's most basic fact.
  std::vector<std::pair<Block*, std::uint32_t>> known;
  for (const auto& [id, block] : blocks_) {
    for (std::uint32_t unit = 0; unit < block->units.size(); ++unit) {
      if (block->units[unit].slot) known.emplace_back(block.get(), unit);
    }
  }
  std::sort(known.begin(), known.end(), [](const auto& a, const auto& b) {
    return a.first->units[a.second].last_access < b.first->units[b.second].last_access;
  });
  for (const auto& [block, unit] : known) {
    slots_.give_back(*block->units[unit].slot);
    block->units[unit].slot.reset();
  }
  for (const auto& [block, unit] : known) insert_slot(*block, unit);
}

std::uint64_t BlockStoreImpl::evict(ColdUnit unit) {
  unit.pages.clear();  // its own views would keep it
  const std::shared_ptr<Block> block = block_of(unit.block.id);
  if (block == nullptr || unit.first_unit >= block->units.size()) return 0;
  const Unit& now = block->units[unit.first_unit];
  if (!now.slot || now.last_access != unit.last_access || !evictable(*now.slot)) return 0;
  const std::uint64_t before = evicted_bytes_;
  evict_slot(*now.slot);
  if (block->packed()) (void)compact();
  return evicted_bytes_ - before;
}

void BlockStoreImpl::pin(const BlockId& id, Pinned pinned) {
  const std::shared_ptr<Block> block = block_of(id);
  if (block == nullptr || block->pinned == pinned) return;
  const std::uint64_t resident_bytes = block->resident_bytes;
  block->pinned = pinned;
  if (block->packed()) shelf_.pin_changed(*block);
  if (pinned == Pinned::yes) {
    pinned_bytes_ += resident_bytes;
    for (std::uint32_t unit = 0; unit < block->units.size(); ++unit) remove_slot(*block, unit, Removal::dropped);
    return;
  }
  pinned_bytes_ -= resident_bytes;
  if (block->leases > 0) return;  // release() inserts it
  if (block->whole_only()) return renew_whole_slot(*block);
  for (std::uint32_t unit = 0; unit < block->units.size(); ++unit) {
    if (block->units[unit].resident_pages > 0) insert_slot(*block, unit);
  }
}

bool BlockStoreImpl::contains(const BlockId& id, PageIndex page) const {
  const auto found = blocks_.find(id);
  return found != blocks_.end() && page.value < found->second->pages.size() &&
         found->second->pages[page.value] != nullptr;
}

}  // namespace hearth

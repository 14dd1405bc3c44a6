// Room for a page: recycled memory first, then free budget, then what the policy gives up.
#include "tiering/block_store_impl.h"

#include <cassert>
#include <string>

namespace hearth {
namespace {

// A block that goes from a segment that stays gives nothing back: after so many, a fill gives up.
constexpr int max_dead_slots_per_fill = 64;

Error tier_full() {
  return Error(Code::no_space, "memory tier is full: everything left is pinned, being filled or leased");
}

}  // namespace

Result<PageFill> BlockStoreImpl::begin_fill(const BlockRef& ref, PageIndex page) {
  CHECK_OK(validate(ref, page));
  const Layout layout = layout_of(ref);
  (void)compact();  // a little with each fill; it does nothing while there is room
  std::shared_ptr<Block> block = block_of(ref.id);
  if (block == nullptr) {
    TRY(created, create_block(ref, layout, layout.unit_charge_bytes(layout.unit_of(page))));
    blocks_.emplace(ref.id, created);
    return reserve(std::move(created), page);
  }
  CHECK_OK(same_shape(*block, ref));
  if (block->pages[page.value] != nullptr || block->filling[page.value]) {
    return Error(Code::busy, "block " + ref.id.to_hex() + ": page " + std::to_string(page.value) +
                                 (block->filling[page.value] ? " is being filled" : " is resident already"));
  }
  return reserve(std::move(block), page);
}

Layout BlockStoreImpl::layout_of(const BlockRef& ref) const {
  const auto largest = huge_pages_ == HugePageSupport::present ? Granule::huge : Granule::small;
  return Layout::of(ref.length_bytes, ref.page_size_bytes, largest);
}

Status BlockStoreImpl::same_shape(const Block& block, const BlockRef& ref) {
  if (block.layout.length_bytes == ref.length_bytes && block.layout.page_size_bytes == ref.page_size_bytes) return ok();
  return Error(Code::invalid_argument, "block " + ref.id.to_hex() + " is held with another length or page size; "
                                       "one id names one content");
}

Result<std::shared_ptr<Block>> BlockStoreImpl::create_block(const BlockRef& ref, const Layout& layout,
                                                            std::uint64_t charge_bytes) {
  if (const auto domain = shelf_.domain_for(ref)) return create_packed(ref, layout, *domain);
  const bool is_private = layout.length_bytes < options_.private_below_bytes && layout.page_count() == 1;
  if (is_private) {
    CHECK_OK(make_room(charge_bytes));
    TRY(memory, BlockMemory::create(budget_, layout.length_bytes, layout.granule, Sharing::never));
    return std::make_shared<Block>(ref.id, layout, std::move(memory));
  }
  const bool recyclable = layout.unit_count() == 1;
  if (recyclable) {
    if (auto block = recycle(ref.id, layout, charge_bytes)) return block;
  }
  while (budget_->memories() >= options_.max_blocks) {
    if (!pool_.release_oldest() && !evict_block()) return tier_full();
    if (!recyclable) continue;
    if (auto block = recycle(ref.id, layout, charge_bytes)) return block;
  }
  // Each eviction may leave memory in the pool that fits: then nothing more has to go.
  while (recyclable && charge_bytes <= options_.capacity_bytes && !budget_->fits(charge_bytes)) {
    if (evict_one() != GaveUp::memory) break;
    if (auto block = recycle(ref.id, layout, charge_bytes)) return block;
  }
  CHECK_OK(make_room(charge_bytes));
  TRY(memory, BlockMemory::create(budget_, layout.length_bytes, layout.granule));
  return std::make_shared<Block>(ref.id, layout, std::move(memory));
}

std::shared_ptr<Block> BlockStoreImpl::recycle(const BlockId& id, const Layout& layout, std::uint64_t charge_bytes) {
  std::optional<PooledMemory> pooled = pool_.take(layout.granule, charge_bytes);
  if (!pooled) return nullptr;
  const Status resized = pooled->memory->resize(layout.length_bytes);
  if (!resized) {
    pooled->memory.reset();
    budget_->uncharge(Charge::pooled, pooled->charged_bytes);
    return nullptr;
  }
  budget_->uncharge(Charge::pooled, pooled->charged_bytes - charge_bytes);
  budget_->move(Charge::pooled, Charge::filling, charge_bytes);
  auto block = std::make_shared<Block>(id, layout, std::move(pooled->memory));
  block->units[0].charged_bytes = charge_bytes;
  return block;
}

Result<PageFill> BlockStoreImpl::reserve(std::shared_ptr<Block> block, PageIndex page) {
  const std::uint32_t unit_index = block->layout.unit_of(page);
  Unit& unit = block->units[unit_index];
  // Marked first: making room may evict this block's other pages, but not the block itself.
  block->filling[page.value] = true;
  ++block->filling_pages;
  ++unit.filling_pages;
  auto state = std::make_unique<PageFill::State>();
  state->anchor = anchor_;
  state->block = block;
  state->page = page;
  PageFill fill;
  fill.state_ = std::move(state);  // from here on a return gives everything back

  if (block->packed()) shelf_.begin_writing(*block->segment);
  if (unit.charged_bytes == 0) {
    const std::uint64_t charge_bytes = block->layout.unit_charge_bytes(unit_index);
    CHECK_OK(make_room(charge_bytes));
    budget_->charge(Charge::filling, charge_bytes);
    unit.charged_bytes = charge_bytes;
    if (block->leases > 0 && block->place == Place::in_map) leased_bytes_ += charge_bytes;
  }
  return fill;
}

void BlockStoreImpl::abandon(Block& block, PageIndex page) {
  Unit& unit = block.units[block.layout.unit_of(page)];
  block.filling[page.value] = false;
  --block.filling_pages;
  --unit.filling_pages;
  if (block.packed()) shelf_.end_writing(*block.segment);
  // What a descriptor may show is given back only with the block: an empty unit stays charged, for the next fill of it.
  const bool returnable = !block.memory->sealed();
  if (returnable && unit.filling_pages == 0 && unit.resident_pages == 0 && unit.charged_bytes > 0) {
    block.memory->punch(block.layout.unit_of(page) * block.layout.unit_bytes, block.layout.unit_bytes);
    const auto column = block.place == Place::in_map ? Charge::filling : Charge::orphaned;
    if (column == Charge::orphaned) block.memory->remove_orphaned(unit.charged_bytes);
    budget_->uncharge(column, unit.charged_bytes);
    unit.charged_bytes = 0;
  }
  erase_if_idle(block);
}

Status BlockStoreImpl::make_room(std::uint64_t bytes) {
  if (bytes > options_.capacity_bytes) {
    return Error(Code::no_space, "a page costs " + std::to_string(bytes) + " bytes, more than the whole memory tier (" +
                                     std::to_string(options_.capacity_bytes) + "); raise its capacity");
  }
  int dead_slots = 0;
  while (!budget_->fits(bytes)) {
    if (shelf_.drop_empty()) continue;
    const GaveUp gave_up = evict_one();
    if (gave_up == GaveUp::dead_slot && ++dead_slots == max_dead_slots_per_fill) return tier_full();
    if (gave_up == GaveUp::for_later && !budget_->fits(bytes)) return tier_full();
    if (gave_up == GaveUp::nothing && !pool_.release_oldest()) return tier_full();
  }
  return ok();
}

bool BlockStoreImpl::evictable(EvictionSlot slot) const {
  const UnitPlace place = slots_.at(slot);
  if (place.block->whole_only()) return evictable_whole(*place.block);
  return place.block->units[place.unit].filling_pages == 0 && !place.block->unit_viewed(place.unit);
}

bool BlockStoreImpl::evictable_whole(const Block& block) {
  return block.leases == 0 && block.filling_pages == 0 && !block.viewed();
}

BlockStoreImpl::GaveUp BlockStoreImpl::evict_one() {
  const auto victim = policy_->victim([this](EvictionSlot slot) { return evictable(slot); });
  if (!victim) return GaveUp::nothing;
  ++foreground_evictions_;
  if (slots_.at(*victim).block->packed()) return evict_packed(*victim);
  evict_slot(*victim);
  return GaveUp::memory;
}

void BlockStoreImpl::evict_slot(EvictionSlot slot) {
  const UnitPlace place = slots_.at(slot);
  if (place.block->whole_only() || place.block->packed()) {
    evicted_bytes_ += place.block->charged_bytes();
    detach(*place.block, Removal::evicted);
    return;
  }
  evicted_bytes_ += place.block->units[place.unit].charged_bytes;
  drop_unit(*place.block, place.unit, Removal::evicted, Reuse::allowed);
}

// For a descriptor: the block of the coldest unit goes whole.
bool BlockStoreImpl::evict_block() {
  const auto alone = [this](EvictionSlot slot) {
    const Block& block = *slots_.at(slot).block;
    return !block.packed() && block.memory->shareable() && evictable_whole(block);
  };
  auto victim = policy_->victim([this, &alone](EvictionSlot slot) {
    const Block& block = *slots_.at(slot).block;
    return alone(slot) || (block.packed() && block.segment->writers == 0 && block.segment->pinned_blocks == 0);
  });
  if (victim && slots_.at(*victim).block->packed()) {
    if (reclaim_segment(*slots_.at(*victim).block->segment)) return ++foreground_evictions_ > 0;
    victim = policy_->victim(alone);  // somebody reads in every segment
  }
  if (!victim) return false;
  Block& block = *slots_.at(*victim).block;
  ++foreground_evictions_;
  if (block.units.size() == 1) {
    evict_slot(*victim);
    return true;
  }
  evicted_bytes_ += block.charged_bytes();
  detach(block, Removal::evicted);
  return true;
}

}  // namespace hearth

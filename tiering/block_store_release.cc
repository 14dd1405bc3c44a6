// How memory leaves the map: to the kernel, to the pool, or to whoever still holds it.
#include "tiering/block_store_impl.h"

#include <algorithm>
#include <cassert>

namespace hearth {

std::uint64_t BlockStoreImpl::free_block(const BlockId& id) {
  const std::shared_ptr<Block> block = block_of(id);
  if (block == nullptr) return 0;
  const std::uint64_t dropped = block->resident_bytes;
  const bool untouched = !block->whole_only() && !block->packed() && block->filling_pages == 0 && !block->viewed();
  if (untouched && block->units.size() == 1) {
    drop_unit(*block, 0, Removal::dropped, Reuse::allowed);
  } else {
    detach(*block, Removal::dropped);
  }
  return dropped;
}

void BlockStoreImpl::drop_corrupt(const BlockId& id, PageIndex page) {
  const std::shared_ptr<Block> block = block_of(id);
  if (block == nullptr || page.value >= block->pages.size() || block->pages[page.value] == nullptr) return;
  const PageRecord& record = *block->pages[page.value];
  std::uint64_t bad = 0;
  const PageView view = view_of(block->pages[page.value]);
  for (std::uint64_t begin = 0; begin < record.bytes.size(); begin += checksum_chunk_bytes) {
    if (!verify(view, begin, 1)) ++bad;
  }
  corrupt_chunks_ += std::max<std::uint64_t>(bad, 1);
  // One holder is the table, one is `view` above.
  const bool read_by_others = block->pages[page.value].use_count() > 2;
  const std::uint32_t unit_index = block->layout.unit_of(page);
  Unit& unit = block->units[unit_index];
  if (block->whole_only() || block->packed() || read_by_others) {
    // The same memory can not be filled again under a reader: the block starts anew elsewhere.
    detach(*block, Removal::dropped);
  } else if (unit.resident_pages > 1 || unit.filling_pages > 0) {
    count_resident(*block, -std::int64_t{block->page_length_bytes(page)});
    block->pages[page.value].reset();
    --block->resident_pages;
    --unit.resident_pages;
    if (unit.resident_pages == 0) {
      remove_slot(*block, unit_index, Removal::dropped);
      budget_->move(Charge::resident, Charge::filling, unit.charged_bytes);
    }
    if (block->resident_pages == 0) presence_changed(id, Presence::absent);
  } else {
    drop_unit(*block, unit_index, Removal::dropped, Reuse::forbidden);
  }
}

void BlockStoreImpl::forget_pages(Block& block, std::uint32_t unit_index) {
  const std::uint32_t first = unit_index * block.layout.pages_per_unit();
  const auto end = std::min<std::size_t>(first + block.layout.pages_per_unit(), block.pages.size());
  for (std::uint32_t page = first; page < end; ++page) {
    if (block.pages[page] == nullptr) continue;
    block.pages[page].reset();
    --block.resident_pages;
    count_resident(block, -std::int64_t{block.page_length_bytes(PageIndex{page})});
  }
  block.units[unit_index].resident_pages = 0;
}

void BlockStoreImpl::drop_unit(Block& block, std::uint32_t unit_index, Removal why, Reuse reuse) {
  Unit& unit = block.units[unit_index];
  assert(!block.whole_only() && unit.filling_pages == 0 && unit.resident_pages > 0);
  remove_slot(block, unit_index, why);
  forget_pages(block, unit_index);
  if (block.resident_pages == 0) presence_changed(block.id, Presence::absent);
  const std::uint64_t charged_bytes = std::exchange(unit.charged_bytes, 0);
  if (reuse == Reuse::allowed && block.units.size() == 1 && block.memory->shareable() &&
      pool_.accepts(charged_bytes)) {
    budget_->move(Charge::resident, Charge::pooled, charged_bytes);
    PooledMemory pooled{.memory = std::move(block.memory), .charged_bytes = charged_bytes};
    leave_map(block);
    pool_.put(std::move(pooled));
    return;
  }
  block.memory->punch(unit_index * block.layout.unit_bytes, block.layout.unit_bytes);
  budget_->uncharge(Charge::resident, charged_bytes);
  erase_if_idle(block);
}

void BlockStoreImpl::detach(Block& block, Removal why) {
  if (block.packed()) return retire(block, why);
  const std::shared_ptr<Block> keep = block_of(block.id);  // until the end of this function
  if (block.leases > 0) leased_bytes_ -= block.charged_bytes();
  const bool held = block.leases > 0 || block.filling_pages > 0 || block.viewed();
  for (std::uint32_t index = 0; index < block.units.size(); ++index) {
    Unit& unit = block.units[index];
    remove_slot(block, index, why);
    if (unit.charged_bytes == 0) continue;
    const Charge column = unit.resident_pages > 0 ? Charge::resident : Charge::filling;
    const bool viewed = block.unit_viewed(index);
    // Without any holder the memory goes as a whole, which is cheaper than hole by hole.
    if (!held || block.whole_only() || viewed || unit.filling_pages > 0) {
      budget_->move(column, Charge::orphaned, unit.charged_bytes);
      block.memory->add_orphaned(unit.charged_bytes);
      if (!viewed) unit.resident_pages = 0;
    } else {
      block.memory->punch(index * block.layout.unit_bytes, block.layout.unit_bytes);
      budget_->uncharge(column, std::exchange(unit.charged_bytes, 0));
      unit.resident_pages = 0;
    }
  }
  if (block.resident_pages > 0) presence_changed(block.id, Presence::absent);
  block.resident_pages = 0;
  count_resident(block, -static_cast<std::int64_t>(block.resident_bytes));
  block.pages.clear();
  leave_map(block);
}

void BlockStoreImpl::erase_if_idle(Block& block) {
  if (!block.idle() || block.place == Place::detached || block.leases > 0) return;
  if (block.whole_only() || block.packed()) return detach(block, Removal::dropped);  // its empty units are still charged
  leave_map(block);
}

void BlockStoreImpl::leave_map(Block& block) {
  block.place = Place::detached;
  blocks_.erase(block.id);
}

}  // namespace hearth

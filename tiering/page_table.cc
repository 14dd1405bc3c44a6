#include "tiering/page_table.h"

#include "tiering/huge_pages.h"

#include <algorithm>

namespace hearth {

Layout Layout::of(std::uint64_t length_bytes, std::uint32_t page_size_bytes, Granule largest) {
  Layout layout{.length_bytes = length_bytes, .page_size_bytes = page_size_bytes, .unit_bytes = page_size_bytes};
  const bool pages_fill_granules =
      huge_granule_bytes % page_size_bytes == 0 || page_size_bytes % huge_granule_bytes == 0;
  if (largest == Granule::huge && length_bytes > huge_threshold_bytes && pages_fill_granules) {
    layout.granule = Granule::huge;
    layout.unit_bytes = std::max<std::uint64_t>(page_size_bytes, huge_granule_bytes);
  }
  return layout;
}

std::uint32_t Layout::page_count() const {
  return static_cast<std::uint32_t>((length_bytes + page_size_bytes - 1) / page_size_bytes);
}

std::uint32_t Layout::unit_count() const {
  return static_cast<std::uint32_t>((length_bytes + unit_bytes - 1) / unit_bytes);
}

std::uint64_t Layout::unit_charge_bytes(std::uint32_t unit) const {
  const std::uint64_t begin = unit * unit_bytes;
  const std::uint64_t inside = std::min(unit_bytes, length_bytes - begin);
  return round_up(inside, granule == Granule::huge ? huge_granule_bytes : small_granule_bytes);
}

std::uint64_t Layout::block_charge_bytes() const {
  return round_up(length_bytes, granule == Granule::huge ? huge_granule_bytes : small_granule_bytes);
}

Block::Block(BlockId id, const Layout& layout, std::shared_ptr<BlockMemory> memory)
    : id(id),
      layout(layout),
      memory(std::move(memory)),
      pages(layout.page_count()),
      filling(layout.page_count()),
      units(layout.unit_count()) {}

bool Block::unit_viewed(std::uint32_t unit) const {
  const std::uint32_t first = unit * layout.pages_per_unit();
  const auto end = std::min<std::size_t>(first + layout.pages_per_unit(), pages.size());
  for (std::uint32_t page = first; page < end; ++page) {
    if (page_viewed(page)) return true;
  }
  return false;
}

bool Block::viewed() const {
  for (std::uint32_t page = 0; page < pages.size(); ++page) {
    if (page_viewed(page)) return true;
  }
  return false;
}

std::uint64_t Block::charged_bytes() const {
  std::uint64_t sum = 0;
  for (const Unit& unit : units) sum += unit.charged_bytes;
  return sum;
}

std::uint32_t Block::page_length_bytes(PageIndex page) const {
  const std::uint64_t left = layout.length_bytes - std::uint64_t{page.value} * layout.page_size_bytes;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(left, layout.page_size_bytes));
}

EvictionSlot SlotTable::take(Block& block, std::uint32_t unit) {
  EvictionSlot slot = 0;
  if (free_.empty()) {
    slot = static_cast<EvictionSlot>(places_.size());
    places_.push_back({});
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  places_[slot] = UnitPlace{.block = &block, .unit = unit};
  return slot;
}

void SlotTable::give_back(EvictionSlot slot) {
  places_[slot] = UnitPlace{};
  free_.push_back(slot);
}

}  // namespace hearth

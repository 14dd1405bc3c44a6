// What is where: blocks by id, their pages, and the units in which memory is charged and evicted.
//
// A unit is the smallest span that can be given back to the kernel on its own: a page, or all pages
// of one 2 MiB huge page. It costs its length rounded up to the granule.
//
// Threads: confined to the data thread.
// Owns:    the blocks in the map and the numbering of slots; a Block outside the map lives as long
//          as a fill holds it.
#pragma once

#include "common/block.h"
#include "tiering/block_memory.h"
#include "tiering/eviction_policy.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace hearth {

// A published page. Held by the table and by each view of it; one holder left means no reader.
struct PageRecord {
  std::shared_ptr<BlockMemory> memory;
  std::span<const std::byte> bytes;
  std::vector<std::uint32_t> checksums;
};

struct Unit {
  std::uint64_t charged_bytes = 0;  // 0: nothing resident, nothing filling
  std::uint16_t resident_pages = 0;
  std::uint16_t filling_pages = 0;
  std::optional<EvictionSlot> slot;  // while the policy knows it
  std::uint64_t last_access = 0;     // the store's access counter
};

// How a block of this length is laid out in memory.
struct Layout {
  std::uint64_t length_bytes = 0;
  std::uint32_t page_size_bytes = 0;
  std::uint64_t unit_bytes = 0;
  Granule granule = Granule::small;

  static Layout of(std::uint64_t length_bytes, std::uint32_t page_size_bytes, Granule largest);
  std::uint32_t page_count() const;
  std::uint32_t unit_count() const;
  std::uint32_t pages_per_unit() const { return static_cast<std::uint32_t>(unit_bytes / page_size_bytes); }
  std::uint32_t unit_of(PageIndex page) const { return page.value / pages_per_unit(); }
  // What unit `unit` costs: its bytes inside the block, rounded up to the granule.
  std::uint64_t unit_charge_bytes(std::uint32_t unit) const;
  std::uint64_t block_charge_bytes() const;
};

enum class Place : std::uint8_t { in_map, detached };

struct Segment;

struct Block {
  BlockId id;
  Layout layout;
  std::shared_ptr<BlockMemory> memory;
  std::shared_ptr<Segment> segment;  // of a packed block: it lies in a slot there. Shared: see segment.h
  std::uint64_t memory_offset_bytes = 0;
  std::uint32_t segment_slot = 0;
  std::vector<std::shared_ptr<PageRecord>> pages;  // empty pointer: not resident. Shared with views
  std::vector<bool> filling;
  std::vector<Unit> units;
  Place place = Place::in_map;
  Pinned pinned = Pinned::no;
  std::uint32_t resident_pages = 0;
  std::uint32_t filling_pages = 0;
  std::uint32_t leases = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t last_access = 0;  // the store's access counter, for the order of recalls

  Block(BlockId id, const Layout& layout, std::shared_ptr<BlockMemory> memory);
  bool complete() const { return resident_pages == pages.size(); }
  bool idle() const { return resident_pages == 0 && filling_pages == 0; }
  bool packed() const { return segment != nullptr; }
  bool whole_only() const { return !packed() && memory->sealed(); }  // granted once: freed whole or not at all
  bool page_viewed(std::uint32_t page) const { return pages[page] && pages[page].use_count() > 1; }
  bool unit_viewed(std::uint32_t unit) const;
  bool viewed() const;
  std::uint64_t charged_bytes() const;
  std::uint32_t page_length_bytes(PageIndex page) const;
};

struct UnitPlace {
  Block* block = nullptr;
  std::uint32_t unit = 0;
};

// Dense numbers for units that may be evicted.
class SlotTable {
 public:
  EvictionSlot take(Block& block, std::uint32_t unit);
  void give_back(EvictionSlot slot);
  UnitPlace at(EvictionSlot slot) const { return places_[slot]; }

 private:
  std::vector<UnitPlace> places_;
  std::vector<EvictionSlot> free_;
};

// Shared: a fill keeps its block while the map has already dropped it.
using BlockMap = std::unordered_map<BlockId, std::shared_ptr<Block>, BlockIdHash>;

}  // namespace hearth

// Which page of which block is on this device: the page index in memory, 16 bytes a page and 48 a block, plus hash tables.
//
// Threads: confined to the tier's executor; pure.
// Owns:    the entries. A page's number (its slot) is its place in the index file, in the checksum file and in the eviction
//          policy, and is used again after remove().
// Memory:  <= 64 bytes a page with the policy's links, for blocks of four pages and more (page_map_test measures it);
//          a block of a single page costs its whole block entry and hash cell.
#pragma once

#include "common/block.h"
#include "tiering/eviction_policy.h"
#include "tiering/nvme/slot_table.h"

#include <cstdint>
#include <optional>

namespace hearth {

using PageSlot = EvictionSlot;
using BlockSlot = std::uint32_t;

enum class PageState : std::uint8_t {
  free,
  filling,   // reserved, its bytes on their way
  resident,  // in the file; believed when its checksum matches
  leaving,   // dropped, its bytes not yet given back
};

struct PageEntry {
  BlockSlot block = 0;
  std::uint32_t page : 24 = 0;
  std::uint32_t state_bits : 2 = 0;
  std::uint32_t verified : 1 = 0;   // wholly compared with its checksum since the restart
  std::uint32_t dirty : 1 = 0;      // its record in the index file is older than this
  std::uint32_t in_policy : 1 = 0;
  std::uint32_t spare : 3 = 0;
  std::uint32_t crc = 0;            // CRC32C of the page
  std::uint32_t last_access = 0;    // seconds of the tier's life, which goes on over restarts

  PageState state() const { return static_cast<PageState>(state_bits); }
  void set_state(PageState state) { state_bits = static_cast<std::uint32_t>(state) & 3U; }
};
static_assert(sizeof(PageEntry) == 16);

// What makes the bytes of a block what they are, besides its id: where it begins depends on the block size of its attachment,
// which may change while blocks of the old size are still here.
struct BlockShape {
  BlockId id;
  std::uint64_t start = 0;  // in the file
  std::uint64_t length_bytes = 0;
  std::uint32_t page_size_bytes = 0;
  bool operator==(const BlockShape&) const = default;

  static BlockShape of(const BlockRef& block) {
    return BlockShape{block.id, block.start.value, block.length_bytes, block.page_size_bytes};
  }
  std::uint32_t page_count() const {
    return static_cast<std::uint32_t>((length_bytes + page_size_bytes - 1) / page_size_bytes);
  }
  std::uint64_t page_offset(std::uint32_t page) const { return std::uint64_t{page} * page_size_bytes; }
  std::uint32_t page_length(std::uint32_t page) const {
    const std::uint64_t left = length_bytes - page_offset(page);
    return static_cast<std::uint32_t>(left < page_size_bytes ? left : page_size_bytes);
  }
  // What the whole block costs.
  std::uint64_t charge() const { return page_offset(page_count() - 1) + page_charge(page_count() - 1); }
  // What page `page` costs: whole sectors.
  std::uint32_t page_charge(std::uint32_t page) const { return (page_length(page) + 4095U) / 4096U * 4096U; }
};

struct BlockEntry {
  BlockId id;
  std::uint64_t start = 0;
  std::uint64_t length_bytes = 0;
  std::uint32_t page_size_bytes = 0;
  std::uint32_t resident_pages = 0;
  std::uint32_t pages = 0;          // in any state but free
  std::uint16_t leases = 0;         // granted, or about to be
  std::uint8_t pinned : 1 = 0;
  std::uint8_t doomed : 1 = 0;      // dropped; its file is being unlinked
  std::uint8_t unseen : 1 = 0;      // recovered; its file was not met yet
  std::uint8_t cleaning : 1 = 0;    // its file is being allocated, or trimmed to its resident pages
  std::uint8_t in_use : 1 = 0;      // the entry holds a block
  std::uint8_t spare = 0;

  BlockShape shape() const { return BlockShape{id, start, length_bytes, page_size_bytes}; }
  bool complete() const { return resident_pages == shape().page_count(); }
};
static_assert(sizeof(BlockEntry) == 48);

class PageMap {
 public:
  static constexpr std::uint32_t max_pages_per_block = 1U << 24;

  void reserve(std::size_t pages);

  std::optional<BlockSlot> find_block(const BlockId& id) const;
  // `shape.id` is not there yet.
  BlockSlot add_block(const BlockShape& shape);
  // It has no pages any more.
  void remove_block(BlockSlot slot);
  BlockEntry& block(BlockSlot slot) { return blocks_[slot]; }
  const BlockEntry& block(BlockSlot slot) const { return blocks_[slot]; }

  std::optional<PageSlot> find(BlockSlot block, std::uint32_t page) const;
  // A page that is not there yet, as `filling`.
  PageSlot add(BlockSlot block, std::uint32_t page);
  void remove(PageSlot slot);
  PageEntry& page(PageSlot slot) { return pages_[slot]; }
  const PageEntry& page(PageSlot slot) const { return pages_[slot]; }
  // Changes the state and the block's counts with it.
  void set_state(PageSlot slot, PageState state);

  // Recovery: the page takes the number that its record has in the file. Call end_restore() after the last.
  void restore(PageSlot slot, BlockSlot block, std::uint32_t page);
  void end_restore();

  // Every page number is below slot_end(), every block number below block_end(); not each is in use.
  PageSlot slot_end() const { return pages_.size(); }
  BlockSlot block_end() const { return blocks_.size(); }
  bool block_in_use(BlockSlot slot) const { return blocks_[slot].in_use != 0; }
  std::size_t page_count() const { return page_hash_.size(); }
  std::size_t block_count() const { return block_hash_.size(); }
  std::size_t memory_bytes() const;

  // Calls with the slot of each page of the block that is not free, in page order.
  template <class Visit>
  void for_each_page(BlockSlot block, Visit visit) const {
    const std::uint32_t count = blocks_[block].shape().page_count();
    std::uint32_t left = blocks_[block].pages;
    for (std::uint32_t page = 0; page < count && left > 0; ++page) {
      const std::optional<PageSlot> slot = find(block, page);
      if (!slot) continue;
      --left;
      visit(*slot);
    }
  }

 private:
  static std::uint64_t hash_page(BlockSlot block, std::uint32_t page);
  static std::uint64_t hash_block(const BlockId& id);

  SlotArray<PageEntry> pages_;
  SlotArray<BlockEntry> blocks_;
  SlotHash page_hash_;
  SlotHash block_hash_;
};

}  // namespace hearth

#include "tiering/nvme/page_map.h"

#include <cassert>
#include <vector>

namespace hearth {

std::uint64_t PageMap::hash_page(BlockSlot block, std::uint32_t page) {
  std::uint64_t x = (std::uint64_t{block} << 32 | page) + 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

std::uint64_t PageMap::hash_block(const BlockId& id) {
  // Ids are hashes already, but tests number theirs, and the table looks at the high bits.
  return (id.low ^ (id.high >> 1)) * 0x9E3779B97F4A7C15ULL ^ id.high;
}

void PageMap::reserve(std::size_t pages) {
  page_hash_.reserve(pages, [this](PageSlot slot) { return hash_page(pages_[slot].block, pages_[slot].page); });
}

std::optional<BlockSlot> PageMap::find_block(const BlockId& id) const {
  return block_hash_.find(hash_block(id), [this, &id](BlockSlot slot) { return blocks_[slot].id == id; });
}

BlockSlot PageMap::add_block(const BlockShape& shape) {
  assert(!find_block(shape.id) && shape.page_count() <= max_pages_per_block);
  const BlockSlot slot = blocks_.take();
  BlockEntry& entry = blocks_[slot];
  entry = BlockEntry{};
  entry.id = shape.id;
  entry.start = shape.start;
  entry.length_bytes = shape.length_bytes;
  entry.page_size_bytes = shape.page_size_bytes;
  entry.in_use = 1;
  block_hash_.insert(slot, [this](BlockSlot at) { return hash_block(blocks_[at].id); });
  return slot;
}

void PageMap::remove_block(BlockSlot slot) {
  assert(blocks_[slot].in_use && blocks_[slot].pages == 0 && "its pages are removed before the block");
  block_hash_.erase(slot, [this](BlockSlot at) { return hash_block(blocks_[at].id); });
  blocks_[slot].in_use = 0;
  blocks_.give_back(slot);
}

std::optional<PageSlot> PageMap::find(BlockSlot block, std::uint32_t page) const {
  return page_hash_.find(hash_page(block, page),
                         [this, block, page](PageSlot slot) { return pages_[slot].block == block && pages_[slot].page == page; });
}

PageSlot PageMap::add(BlockSlot block, std::uint32_t page) {
  assert(!find(block, page));
  const PageSlot slot = pages_.take();
  PageEntry& entry = pages_[slot];
  entry.block = block;
  entry.page = page & (max_pages_per_block - 1);
  entry.set_state(PageState::filling);
  ++blocks_[block].pages;
  page_hash_.insert(slot, [this](PageSlot at) { return hash_page(pages_[at].block, pages_[at].page); });
  return slot;
}

void PageMap::remove(PageSlot slot) {
  set_state(slot, PageState::leaving);
  page_hash_.erase(slot, [this](PageSlot at) { return hash_page(pages_[at].block, pages_[at].page); });
  --blocks_[pages_[slot].block].pages;
  // Its record may still have to be cleared in the file.
  const std::uint32_t dirty = pages_[slot].dirty;
  pages_[slot] = PageEntry{};
  pages_[slot].dirty = dirty;
  pages_.give_back(slot);
}

void PageMap::set_state(PageSlot slot, PageState state) {
  PageEntry& entry = pages_[slot];
  assert(entry.state() != PageState::free && state != PageState::free);
  if (entry.state() == PageState::resident) --blocks_[entry.block].resident_pages;
  if (state == PageState::resident) ++blocks_[entry.block].resident_pages;
  entry.set_state(state);
}

void PageMap::restore(PageSlot slot, BlockSlot block, std::uint32_t page) {
  assert(!find(block, page));
  pages_.grow_to(slot + 1);
  PageEntry& entry = pages_[slot];
  assert(entry.state() == PageState::free);
  entry.block = block;
  entry.page = page & (max_pages_per_block - 1);
  entry.set_state(PageState::resident);
  ++blocks_[block].pages;
  ++blocks_[block].resident_pages;
  page_hash_.insert(slot, [this](PageSlot at) { return hash_page(pages_[at].block, pages_[at].page); });
}

void PageMap::end_restore() {
  std::vector<std::uint32_t> gaps;
  for (PageSlot slot = pages_.size(); slot-- > 0;) {
    if (pages_[slot].state() == PageState::free) gaps.push_back(slot);  // the lowest is taken first
  }
  pages_.set_free(std::move(gaps));
}

std::size_t PageMap::memory_bytes() const {
  return pages_.memory_bytes() + blocks_.memory_bytes() + page_hash_.memory_bytes() + block_hash_.memory_bytes();
}

}  // namespace hearth

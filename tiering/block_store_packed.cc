// Small blocks in segments: their slots, the grants of segments, and how segments go.
#include "tiering/block_store_impl.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace hearth {
namespace {

// One step of compaction: a copy of so much is about as long as the data thread may be away.
constexpr std::uint32_t max_moved_blocks = 4;
constexpr std::uint64_t max_moved_bytes = 256ULL << 10;
// Segments that a fill looks at for one without readers.
constexpr std::size_t max_tried = 4;
constexpr std::uint64_t max_leaving_share = 8;

}  // namespace

Result<std::shared_ptr<Block>> BlockStoreImpl::create_packed(const BlockRef& ref, const Layout& layout,
                                                             const SegmentDomain& domain) {
  while (true) {
    const SegmentShelf::Need need = shelf_.need(domain, layout.length_bytes);
    if (need.opens && budget_->memories() >= options_.max_blocks) {
      if (!pool_.release_oldest() && !shelf_.drop_empty() && !evict_block()) {
        return Error(Code::no_space, "memory tier is full: it holds as many blocks and segments as it has descriptors for");
      }
      continue;
    }
    if (budget_->fits(need.charge_bytes)) break;
    CHECK_OK(make_room(need.charge_bytes));
  }
  TRY(slot, shelf_.take(domain, layout.length_bytes));
  auto block = std::make_shared<Block>(ref.id, layout, slot.segment->memory);
  block->units[0].charged_bytes = segment_slot_bytes(layout.length_bytes);
  shelf_.occupy(*block, std::move(slot), Charge::filling);
  return block;
}

// The slot is dead from now on; whoever still reads or fills it keeps the memory.
void BlockStoreImpl::retire(Block& block, Removal why) {
  const std::shared_ptr<Block> keep = block_of(block.id);  // until the end of this function
  remove_slot(block, 0, why);
  shelf_.vacate(block, block.resident_pages > 0 ? Charge::resident : Charge::filling);
  if (block.resident_pages > 0) presence_changed(block.id, Presence::absent);
  block.resident_pages = 0;
  count_resident(block, -static_cast<std::int64_t>(block.resident_bytes));
  block.pages.clear();
  block.units[0].charged_bytes = 0;
  block.units[0].resident_pages = 0;
  leave_map(block);
}

std::optional<PackedPlace> BlockStoreImpl::packed_place(const BlockId& id) const {
  const auto found = blocks_.find(id);
  if (found == blocks_.end() || !found->second->packed() || !found->second->complete()) return std::nullopt;
  return PackedPlace{.segment = found->second->segment->id, .offset_bytes = found->second->memory_offset_bytes};
}

Result<BlockGrant> BlockStoreImpl::grant_segment(const BlockRef& ref, const BlockId& id) {
  const std::shared_ptr<Block> block = block_of(ref.id);
  if (block == nullptr || !block->packed() || !block->complete() || block->segment->id != id) {
    return Error(Code::not_found, "block " + ref.id.to_hex() + " does not lie in segment " + id.to_hex() +
                                      " (any more); read it through the worker, which says where it is");
  }
  Segment& segment = *block->segment;
  CHECK_OK(segment.memory->seal_against_others());
  TRY(fd, segment.memory->open_read_only());
  BlockGrant grant{.fd = std::move(fd), .length_bytes = segment.memory->length_bytes()};
  if (!segment.leased()) {
    for (Block* held : segment.blocks) {
      if (held != nullptr) remove_slot(*held, 0, Removal::dropped);
    }
  }
  shelf_.lease(segment);
  touch(*block, 0);
  grant.lease = leases_.add(block->segment);
  return grant;
}

void BlockStoreImpl::release_segment(Segment& segment) {
  shelf_.release(segment);
  if (segment.leased() || segment.stage == Segment::Stage::left) return;
  std::vector<Block*> back;
  back.reserve(segment.live_blocks);
  for (Block* block : segment.blocks) {
    if (block != nullptr && block->complete()) back.push_back(block);
  }
  std::sort(back.begin(), back.end(), [](const Block* a, const Block* b) { return a->last_access < b->last_access; });
  for (Block* block : back) insert_slot(*block, 0);
}

// Nobody reads or fills anything in it, and nothing in it is pinned: its memory comes back at once.
bool BlockStoreImpl::may_go(const Segment& segment) {
  if (segment.leased() || segment.writers > 0 || segment.pinned_blocks > 0) return false;
  // The segment, and each live block twice (itself and its page); more is a reader of a dead slot.
  if (segment.memory.use_count() > 1 + 2 * static_cast<long>(segment.live_blocks)) return false;
  return std::none_of(segment.blocks.begin(), segment.blocks.end(),
                      [](const Block* block) { return block != nullptr && block->page_viewed(0); });
}

bool BlockStoreImpl::reclaim_segment(Segment& of_coldest) {
  std::vector<std::shared_ptr<Segment>> tried;
  while (tried.size() < max_tried) {
    const std::shared_ptr<Segment> emptiest = shelf_.emptiest(SegmentShelf::Purpose::eviction, tried);
    if (emptiest == nullptr) break;
    // Where little is dead the order of eviction counts for more.
    const bool prefer_coldest = emptiest->dead_bytes() < emptiest->used_bytes / 4 && tried.empty();
    if (prefer_coldest && may_go(of_coldest)) break;
    if (may_go(*emptiest)) {
      emptiest->memory->release_here();
      evict_segment(*emptiest);
      return true;
    }
    tried.push_back(emptiest);
  }
  if (!may_go(of_coldest)) return false;
  of_coldest.memory->release_here();
  evict_segment(of_coldest);
  return true;
}

BlockStoreImpl::GaveUp BlockStoreImpl::evict_packed(EvictionSlot slot) {
  Segment& segment = *slots_.at(slot).block->segment;
  if (reclaim_segment(segment)) return GaveUp::memory;
  // Readers are in all that were looked at. They end soon, so one may go for the fills to come; but not one after another.
  if (budget_->leaving_bytes() > options_.capacity_bytes / max_leaving_share) return GaveUp::for_later;
  if (segment.writers == 0 && segment.pinned_blocks == 0) {
    evict_segment(segment);
    return GaveUp::for_later;
  }
  evict_slot(slot);
  return GaveUp::dead_slot;
}

void BlockStoreImpl::evict_segment(Segment& segment) {
  std::vector<Block*> live;
  live.reserve(segment.live_blocks);
  std::copy_if(segment.blocks.begin(), segment.blocks.end(), std::back_inserter(live),
               [](const Block* block) { return block != nullptr; });
  shelf_.close(segment);
  // The last of them takes the segment with it.
  for (Block* block : live) {
    evicted_bytes_ += block->charged_bytes();
    retire(*block, Removal::evicted);
  }
}

bool BlockStoreImpl::compact() {
  const bool short_of_memory = budget_->total_bytes() > options_.capacity_bytes / 4 * 3;
  if (!short_of_memory || shelf_.totals().compactable_bytes() == 0) return false;
  const std::shared_ptr<Segment> source = segment_to_compact();
  if (source == nullptr) return false;
  std::uint32_t moved_blocks = 0;
  std::uint64_t moved_bytes = 0;
  while (next_to_compact_ < source->blocks.size() && moved_blocks < max_moved_blocks && moved_bytes < max_moved_bytes) {
    Block* block = source->blocks[next_to_compact_];
    if (block != nullptr) {
      if (!move_block(*block)) break;
      moved_blocks += 1;
      moved_bytes += block->layout.length_bytes;
    }
    next_to_compact_ += 1;
  }
  compacted_bytes_ += moved_bytes;
  return moved_blocks > 0;
}

std::shared_ptr<Segment> BlockStoreImpl::segment_to_compact() {
  const std::shared_ptr<Segment> begun = compacting_.lock();
  if (begun != nullptr && begun->stage == Segment::Stage::closed && !begun->leased() &&
      next_to_compact_ < begun->blocks.size()) {
    return begun;
  }
  std::shared_ptr<Segment> emptiest = shelf_.emptiest(SegmentShelf::Purpose::compaction, {});
  // Begun only when it can be brought to its end: until then the copies are charged beside what they were copied from.
  const bool worth_it = emptiest != nullptr && emptiest->dead_bytes() > emptiest->used_bytes / 4;
  if (!worth_it || !budget_->fits(emptiest->live_bytes + shelf_.step_bytes())) return nullptr;
  compacting_ = emptiest;
  next_to_compact_ = 0;
  return emptiest;
}

// To the open segment of the domain. Whoever reads the old place goes on there.
bool BlockStoreImpl::move_block(Block& block) {
  const SegmentDomain domain = block.segment->domain;
  const SegmentShelf::Need need = shelf_.need(domain, block.layout.length_bytes);
  if (!budget_->fits(need.charge_bytes) || (need.opens && budget_->memories() >= options_.max_blocks)) return false;
  Result<SegmentSlot> slot = shelf_.take(domain, block.layout.length_bytes);
  if (!slot) return false;
  BlockMemory& memory = *slot->segment->memory;
  const PageRecord& old = *block.pages[0];
  if (!memory.write(slot->offset_bytes, old.bytes)) return false;  // the slot stays dead
  auto record = std::make_shared<PageRecord>(
      PageRecord{.memory = slot->segment->memory,
                 .bytes = memory.bytes().subspan(slot->offset_bytes, block.layout.length_bytes),
                 .checksums = old.checksums});
  shelf_.vacate(block, Charge::resident);
  shelf_.occupy(block, std::move(*slot), Charge::resident);
  block.pages[0] = std::move(record);
  if (block.segment->leased()) remove_slot(block, 0, Removal::dropped);
  return true;
}

}  // namespace hearth

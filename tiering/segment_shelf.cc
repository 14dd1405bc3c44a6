#include "tiering/segment_shelf.h"

#include "common/rng.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace hearth {

std::uint64_t SegmentShelf::Totals::compactable_bytes() const {
  const std::uint64_t dead = idle_used_bytes - idle_live_bytes;
  const std::uint64_t tolerated = idle_used_bytes / 4;
  return dead > tolerated ? dead - tolerated : 0;
}

// The totals follow whatever happens to the segment while this lives.
class SegmentShelf::Change {
 public:
  Change(SegmentShelf& shelf, const Segment& segment) : shelf_(shelf), segment_(segment) {
    shelf_.count(segment_, Sign::minus);
  }
  ~Change() { shelf_.count(segment_, Sign::plus); }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  SegmentShelf& shelf_;
  const Segment& segment_;
};

SegmentShelf::SegmentShelf(const Packing& packing, HugePageSupport huge_pages, std::shared_ptr<Budget> budget,
                           RunElsewhere run_elsewhere)
    : packing_(packing),
      beyond_(huge_pages == HugePageSupport::present ? Granule::huge : Granule::small),
      budget_(std::move(budget)),
      release_(std::make_shared<MemoryRelease>(std::move(run_elsewhere))) {}

SegmentShelf::~SegmentShelf() { release_->close(); }

void SegmentShelf::count(const Segment& segment, Sign sign) {
  if (segment.stage == Segment::Stage::left) return;
  const auto add = [sign](std::uint64_t& total, std::uint64_t bytes) { total += sign == Sign::plus ? bytes : 0 - bytes; };
  add(totals_.segments, 1);
  add(totals_.charged_bytes, segment.charged_bytes);
  add(totals_.live_bytes, segment.live_bytes);
  if (segment.leased()) {
    add(totals_.leased_bytes, segment.live_bytes);
  } else if (segment.stage == Segment::Stage::closed) {
    add(totals_.idle_used_bytes, segment.used_bytes);
    add(totals_.idle_live_bytes, segment.live_bytes);
  }
}

std::optional<SegmentDomain> SegmentShelf::domain_for(const BlockRef& block) {
  if (block.length_bytes > packing_.below_bytes || block.page_count() != 1) return std::nullopt;
  const std::optional<SegmentDomain> domain = SegmentDomain::of(block);
  if (!domain) return std::nullopt;
  ++packable_;
  const bool may_open = open_.size() < packing_.max_open || best_to_close(Reserve::keep) != nullptr;
  return may_open || open_.contains(*domain) ? domain : std::nullopt;
}

// Many domains in turn must not leave a segment behind with each block.
Segment* SegmentShelf::best_to_close(Reserve reserve) const {
  Segment* fullest = nullptr;
  Segment* oldest = nullptr;
  for (const auto& [domain, segment] : open_) {
    if (fullest == nullptr || segment->used_bytes > fullest->used_bytes) fullest = segment;
    if (oldest == nullptr || segment->last_taken < oldest->last_taken) oldest = segment;
  }
  if (fullest != nullptr && fullest->used_bytes >= packing_.segment_bytes / 2) return fullest;
  const bool is_idle = oldest != nullptr && packable_ - oldest->last_taken >= packing_.blocks_until_idle;
  return is_idle || reserve == Reserve::give_up ? oldest : nullptr;
}

bool SegmentShelf::fits(const Segment& segment, std::uint64_t slot_bytes) const {
  return segment.blocks.size() < packing_.max_slots && slot_bytes <= packing_.segment_bytes - segment.used_bytes;
}

SegmentShelf::Need SegmentShelf::need(const SegmentDomain& domain, std::uint64_t length_bytes) const {
  const std::uint64_t slot_bytes = segment_slot_bytes(length_bytes);
  const auto found = open_.find(domain);
  if (found == open_.end() || !fits(*found->second, slot_bytes)) {
    return Need{.charge_bytes = extent_of_first(slot_bytes), .opens = true};
  }
  const Segment& segment = *found->second;
  const std::uint64_t extent = segment.memory->extent_bytes(segment.used_bytes + slot_bytes);
  return Need{.charge_bytes = extent - segment.charged_bytes};
}

std::uint64_t SegmentShelf::extent_of_first(std::uint64_t bytes) const {
  const bool small = beyond_ == Granule::small || bytes <= packing_.small_bytes;
  return std::min(round_up(bytes, small ? small_granule_bytes : huge_granule_bytes), packing_.segment_bytes);
}

Result<std::shared_ptr<Segment>> SegmentShelf::open(const SegmentDomain& domain) {
  TRY(memory, BlockMemory::create_segment(budget_, packing_.segment_bytes, packing_.small_bytes, beyond_,
                                           release_));
  if (open_.size() >= packing_.max_open) close(*best_to_close(Reserve::give_up));
  auto segment = std::make_shared<Segment>();
  Rng& random = system_rng();
  segment->id = BlockId{.high = random.next(), .low = random.next()};
  segment->domain = domain;
  segment->memory = std::move(memory);
  segments_.emplace(segment->id, segment);
  open_[domain] = segment.get();
  count(*segment, Sign::plus);
  return segment;
}

Result<SegmentSlot> SegmentShelf::take(const SegmentDomain& domain, std::uint64_t length_bytes) {
  const std::uint64_t slot_bytes = segment_slot_bytes(length_bytes);
  auto found = open_.find(domain);
  if (found != open_.end() && !fits(*found->second, slot_bytes)) {
    close(*found->second);
    found = open_.end();
  }
  std::shared_ptr<Segment> segment;
  if (found == open_.end()) {
    TRY(opened, open(domain));
    segment = std::move(opened);
  } else {
    segment = segments_.at(found->second->id);
  }
  const Change change(*this, *segment);
  SegmentSlot slot{.number = static_cast<std::uint32_t>(segment->blocks.size()), .offset_bytes = segment->used_bytes};
  segment->blocks.push_back(nullptr);
  segment->last_taken = packable_;
  segment->used_bytes += slot_bytes;
  const std::uint64_t extent = segment->memory->extent_bytes(segment->used_bytes);
  budget_->charge(Charge::orphaned, extent - segment->charged_bytes);
  segment->memory->add_orphaned(extent - segment->charged_bytes);
  segment->charged_bytes = extent;
  slot.segment = std::move(segment);
  return slot;
}

void SegmentShelf::occupy(Block& block, SegmentSlot slot, Charge column) {
  Segment& segment = *slot.segment;
  const Change change(*this, segment);
  const std::uint64_t bytes = segment_slot_bytes(block.layout.length_bytes);
  assert(segment.blocks[slot.number] == nullptr);
  segment.blocks[slot.number] = &block;
  segment.live_bytes += bytes;
  ++segment.live_blocks;
  if (block.pinned == Pinned::yes) ++segment.pinned_blocks;
  segment.last_access = std::max(segment.last_access, block.last_access);
  segment.memory->remove_orphaned(bytes);
  budget_->move(Charge::orphaned, column, bytes);
  block.memory = segment.memory;
  block.memory_offset_bytes = slot.offset_bytes;
  block.segment_slot = slot.number;
  block.segment = std::move(slot.segment);
}

void SegmentShelf::vacate(const Block& block, Charge column) {
  Segment& segment = *block.segment;
  const std::uint64_t bytes = segment_slot_bytes(block.layout.length_bytes);
  assert(segment.blocks[block.segment_slot] == &block);
  {
    const Change change(*this, segment);
    segment.blocks[block.segment_slot] = nullptr;
    segment.live_bytes -= bytes;
    --segment.live_blocks;
    if (block.pinned == Pinned::yes) --segment.pinned_blocks;
    budget_->move(column, Charge::orphaned, bytes);
    segment.memory->add_orphaned(bytes);
  }
  leave_if_done(segment);
}

void SegmentShelf::pin_changed(const Block& block) {
  if (block.pinned == Pinned::yes) {
    ++block.segment->pinned_blocks;
  } else {
    --block.segment->pinned_blocks;
  }
}

void SegmentShelf::lease(Segment& segment) {
  const Change change(*this, segment);
  ++segment.leases;
}

void SegmentShelf::release(Segment& segment) {
  const Change change(*this, segment);
  --segment.leases;
  if (segment.stage == Segment::Stage::left && !segment.leased()) segment.memory->leave();
}

void SegmentShelf::close(Segment& segment) {
  if (segment.stage != Segment::Stage::open) return;
  open_.erase(segment.domain);
  {
    const Change change(*this, segment);
    segment.stage = Segment::Stage::closed;
  }
  leave_if_done(segment);
}

bool SegmentShelf::drop_empty() {
  const auto empty = std::find_if(open_.begin(), open_.end(), [](const auto& entry) {
    const Segment& segment = *entry.second;
    return segment.live_blocks == 0 && !segment.leased() && segment.memory.use_count() == 1;
  });
  if (empty == open_.end()) return false;
  empty->second->memory->release_here();
  close(*empty->second);
  return true;
}

void SegmentShelf::leave_if_done(Segment& segment) {
  if (segment.stage != Segment::Stage::closed || segment.live_blocks > 0) return;
  count(segment, Sign::minus);
  segment.stage = Segment::Stage::left;
  if (!segment.leased()) segment.memory->leave();
  segments_.erase(segment.id);  // perhaps the last that held it
}

bool SegmentShelf::idle(const Segment& segment) {
  return segment.stage == Segment::Stage::closed && !segment.leased() && segment.writers == 0;
}

std::shared_ptr<Segment> SegmentShelf::emptiest(Purpose purpose,
                                                std::span<const std::shared_ptr<Segment>> tried) const {
  const std::shared_ptr<Segment>* best = nullptr;
  for (const auto& [id, segment] : segments_) {
    if (!idle(*segment) || (purpose == Purpose::eviction && segment->pinned_blocks > 0)) continue;
    if (std::find(tried.begin(), tried.end(), segment) != tried.end()) continue;
    if (best == nullptr) {
      best = &segment;
      continue;
    }
    const auto mine = static_cast<double>(segment->live_bytes) / static_cast<double>(segment->used_bytes);
    const auto other = static_cast<double>((*best)->live_bytes) / static_cast<double>((*best)->used_bytes);
    if (mine < other || (mine == other && segment->last_access < (*best)->last_access)) best = &segment;
  }
  return best == nullptr ? nullptr : *best;
}

}  // namespace hearth

// The segments of a tier: which is appended to, which go, and what they cost together.
//
// Every byte that a segment is charged is a live slot's (resident or filling) or counts as orphaned: dead slots, and what
// rounding adds. A closed segment without live blocks leaves; its memory goes with its last view, fill or lease.
//
// Threads: confined to the data thread.
// Owns:    the segments; blocks and their slots in the map are the store's.
#pragma once

#include <hearth/result.h>

#include "tiering/budget.h"
#include "tiering/memory_release.h"
#include "tiering/page_table.h"
#include "tiering/segment.h"

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>

namespace hearth {

struct SegmentSlot {
  std::shared_ptr<Segment> segment;  // shared: the block keeps it
  std::uint32_t number = 0;
  std::uint64_t offset_bytes = 0;
};

class SegmentShelf {
 public:
  struct Totals {
    std::uint64_t segments = 0;
    std::uint64_t charged_bytes = 0;
    std::uint64_t live_bytes = 0;
    std::uint64_t leased_bytes = 0;  // live, in leased segments
    // Of those that are closed and not leased: what compaction is about.
    std::uint64_t idle_used_bytes = 0;
    std::uint64_t idle_live_bytes = 0;

    // Dead slots beyond a quarter: the segments with most of them cost at most three copied bytes for each that comes back.
    std::uint64_t compactable_bytes() const;
  };
  struct Need {
    std::uint64_t charge_bytes = 0;
    bool opens = false;  // a segment: one memory more
  };
  enum class Purpose : std::uint8_t { compaction, eviction };

  SegmentShelf(const Packing& packing, HugePageSupport huge_pages, std::shared_ptr<Budget> budget,
               RunElsewhere run_elsewhere);
  ~SegmentShelf();
  SegmentShelf(const SegmentShelf&) = delete;
  SegmentShelf& operator=(const SegmentShelf&) = delete;

  // The domain to pack a new block in, nothing when it is not to be packed.
  std::optional<SegmentDomain> domain_for(const BlockRef& block);
  // What take() would charge now.
  Need need(const SegmentDomain& domain, std::uint64_t length_bytes) const;
  // A slot, dead until it is occupied. The budget has room for need(). Fails: no_space (the machine's), io_error.
  Result<SegmentSlot> take(const SegmentDomain& domain, std::uint64_t length_bytes);
  // The block lives in the slot from now on, charged in `column`; it must not live in another.
  void occupy(Block& block, SegmentSlot slot, Charge column);
  // Its slot is dead, for ever.
  void vacate(const Block& block, Charge column);
  void pin_changed(const Block& block);

  void begin_writing(Segment& segment) { ++segment.writers; }
  void end_writing(Segment& segment) { --segment.writers; }
  void lease(Segment& segment);
  void release(Segment& segment);
  // No slot is added any more.
  void close(Segment& segment);
  // Lets an open segment go that holds nothing, for a fill that waits; false: there is none.
  bool drop_empty();

  // The idle one (closed, not leased, no fill) with the least share alive, except `tried`; coldest among equals.
  std::shared_ptr<Segment> emptiest(Purpose purpose, std::span<const std::shared_ptr<Segment>> tried) const;
  // The most that a segment's charge grows beyond its slots.
  std::uint64_t step_bytes() const { return beyond_ == Granule::huge ? huge_granule_bytes : small_granule_bytes; }
  const Totals& totals() const { return totals_; }

 private:
  class Change;
  enum class Sign : std::uint8_t { minus, plus };
  enum class Reserve : std::uint8_t { keep, give_up };
  void count(const Segment& segment, Sign sign);
  Result<std::shared_ptr<Segment>> open(const SegmentDomain& domain);
  std::uint64_t extent_of_first(std::uint64_t bytes) const;
  // Of those that are appended to: which one to close for another.
  Segment* best_to_close(Reserve reserve) const;
  static bool idle(const Segment& segment);
  bool fits(const Segment& segment, std::uint64_t slot_bytes) const;
  void leave_if_done(Segment& segment);

  // Set once.
  const Packing packing_;
  const Granule beyond_;
  const std::shared_ptr<Budget> budget_;  // shared with memory that outlives the store
  const std::shared_ptr<MemoryRelease> release_;  // likewise
  // Data thread only.
  std::unordered_map<BlockId, std::shared_ptr<Segment>, BlockIdHash> segments_;
  std::unordered_map<SegmentDomain, Segment*, SegmentDomainHash> open_;
  std::uint64_t packable_ = 0;  // blocks so far
  Totals totals_;
};

}  // namespace hearth

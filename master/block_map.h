// Which worker holds which block. Soft state: made of reports, never persisted.
//
// A report set ("slot") is what one worker said since its last full report began. Dropping a set hides its
// locations at once; sweep() takes the rows out later, so that losing a worker costs no stall.
//
// Threads: confined to its owner.
// Owns:    24 bytes per block in open addressing, cut into 1024 shards so that growing one never moves
//          the whole map; at most 64 bytes per location (BlockMap.CostsAtMost64BytesPerLocation).
#pragma once

#include "common/ids.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace hearth::master {

using SlotIndex = StrongId<struct SlotTag, std::uint16_t>;

class BlockMap {
 public:
  BlockMap();
  ~BlockMap();

  // A new, empty report set of `worker`. 65,534 at a time; finding none free sweeps first.
  SlotIndex open_slot(WorkerId worker);
  // Its locations are gone from now on; the index is given out again once they are swept.
  void drop_slot(SlotIndex slot);

  void add(const BlockId& block, SlotIndex slot);
  void remove(const BlockId& block, SlotIndex slot);
  // Each worker once, in no order.
  std::vector<WorkerId> locations(const BlockId& block) const;
  bool is_in(const BlockId& block, SlotIndex slot) const;

  std::uint64_t count(SlotIndex slot) const;     // blocks in a set
  std::uint64_t location_count() const;          // in all sets that were not dropped
  std::uint64_t memory_bytes() const;            // of rows, exactly as allocated

  bool needs_sweep() const;
  // One shard; call until needs_sweep() is false.
  void sweep_step();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth::master

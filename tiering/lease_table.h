// Who may still read a block's memory through a descriptor of their own.
//
// Threads: confined to the data thread.
// Owns:    a share of each leased memory, so that it outlives the block's place in the map.
#pragma once

#include "tiering/block_store.h"
#include "tiering/page_table.h"
#include "tiering/segment.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace hearth {

class LeaseTable {
 public:
  struct Lease {
    std::shared_ptr<Block> block;         // shared: it may have left the map meanwhile. Null: of a segment
    std::shared_ptr<Segment> segment;     // shared: it may have left the shelf meanwhile
    std::shared_ptr<BlockMemory> memory;  // shared with views
  };

  LeaseId add(std::shared_ptr<Block> block);
  LeaseId add(std::shared_ptr<Segment> segment);
  // The lease that ended, or nothing when it was not known.
  std::optional<Lease> remove(LeaseId id);
  const Lease* find(LeaseId id) const;
  std::size_t size() const { return leases_.size(); }

  // Leases in the order in which a recall should ask for them, until `bytes` would come back:
  // those of memory that already left the map, then of the coldest blocks and segments; the leases of one together.
  std::vector<LeaseId> coldest(std::uint64_t bytes) const;

 private:
  struct Candidate {
    bool in_map;
    std::uint64_t last_access;
    const void* held;  // the block or segment
    LeaseId lease;
    std::uint64_t charged_bytes;
  };
  static Candidate candidate(LeaseId id, const Lease& lease);

  std::unordered_map<LeaseId, Lease> leases_;
  std::uint64_t next_ = 1;
};

}  // namespace hearth

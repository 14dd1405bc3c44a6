// How each reader goes through a block: what rules call its pattern, and which pages to fetch before they are asked for.
//
// Requests of one reader may arrive out of order (the kernel sends several reads of a file at once), so "next" is a
// neighbourhood of the furthest byte seen, not one offset.
//
// Threads: confined to the data thread. Bounds: 64 blocks per connection; the rest is forgotten first.
#pragma once

#include "common/block.h"
#include "common/net/rpc.h"

#include <cstdint>
#include <unordered_map>

namespace hearth::worker {

// Pages [first, end) are worth fetching now; empty when first == end.
struct ReadaheadAdvice {
  std::uint32_t first = 0;
  std::uint32_t end = 0;
};

class SequenceTracker {
 public:
  // A read of [offset, offset + length) of the block came in. How its reader goes through it, by this and the reads before:
  //   whole_file  from the block's first byte on, half of it or more
  //   sequential  two reads or more in a row that left out less than they read
  //   random      otherwise, from the second read on; after a jump until four reads in a row
  //   unknown     at the first read of less than half
  // A reader that begins again at the first byte begins anew.
  AccessPattern saw(ConnectionId connection, const BlockRef& block, std::uint64_t offset, std::uint64_t length);
  // After saw(): what to fetch for a reader in sequence, up to `ahead_bytes` ahead of it. Where `pages_per_read` pages are
  // one request, that many are advised together.
  ReadaheadAdvice ahead(ConnectionId connection, const BlockRef& block, std::uint64_t ahead_bytes,
                        std::uint32_t pages_per_read = 1) const;
  // Pages before `end` were asked for; they will not be advised again while the reader goes on.
  void started(ConnectionId connection, const BlockId& block, std::uint32_t end);
  void forget(ConnectionId connection) { connections_.erase(connection); }

 private:
  // Reads of one neighbourhood after the other.
  struct Run {
    std::uint64_t began = 0;        // the first byte read
    std::uint64_t furthest = 0;     // end of the furthest byte read
    std::uint64_t read_bytes = 0;   // in all
    std::uint32_t reads = 0;        // in a row
    std::uint32_t reads_behind = 0; // of these, of what had been read
    std::uint32_t asked_until = 0;  // page
    bool after_jump = false;
  };
  using Runs = std::unordered_map<BlockId, Run, BlockIdHash>;
  static AccessPattern pattern_of(const Run& run, const BlockRef& block);

  std::unordered_map<ConnectionId, Runs> connections_;
};

}  // namespace hearth::worker

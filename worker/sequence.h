// Who reads a block from front to back, and which pages to fetch before they are asked for.
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
  explicit SequenceTracker(std::uint32_t readahead_pages) : readahead_pages_(readahead_pages) {}

  // A read of [offset, offset + length) of the block came in. Where `pages_per_read` pages are one request, that many
  // are advised together, and further ahead.
  ReadaheadAdvice note(ConnectionId connection, const BlockRef& block, std::uint64_t offset, std::uint64_t length,
                       std::uint32_t pages_per_read = 1);
  // Pages before `end` were asked for; they will not be advised again while the reader goes on.
  void started(ConnectionId connection, const BlockId& block, std::uint32_t end);
  void forget(ConnectionId connection) { connections_.erase(connection); }

 private:
  struct Run {
    std::uint64_t furthest = 0;    // end of the furthest byte read
    std::uint32_t reads = 0;       // in a row
    std::uint32_t asked_until = 0; // page
  };
  using Runs = std::unordered_map<BlockId, Run, BlockIdHash>;

  std::uint32_t readahead_pages_;
  std::unordered_map<ConnectionId, Runs> connections_;
};

}  // namespace hearth::worker

// Which worker is to hold a block: weighted rendezvous hashing.
//
// Every client computes the same order from the worker table alone, a worker gets blocks in proportion to
// its capacity, and when one comes or goes only its own share moves. The algorithm is fixed, because clients
// of different versions must agree:
//   h     = XXH3-64 (seed 0) of worker id, block id high, block id low: 3 x 8 bytes, little-endian
//   u     = ((h >> 11) + 0.5) / 2^53                 in (0, 1)
//   score = -capacity_bytes / ln(u)                  highest first; equal scores: smaller worker id first
// Test vectors: placement_test in client_test.cc. Source: Schindelhauer and Schomaker, "Weighted distributed
// hash tables", SPAA 2005 (logarithmic method).
#pragma once

#include "common/ids.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace hearth::client {

struct PlacementCandidate {
  WorkerId worker;
  std::uint64_t capacity_bytes = 0;  // 0 is never chosen
};

std::uint64_t placement_hash(WorkerId worker, BlockId block);
double placement_score(const PlacementCandidate& candidate, BlockId block);

// The best `count` workers for `block`, best first.
std::vector<WorkerId> place(BlockId block, std::span<const PlacementCandidate> workers, std::size_t count);

}  // namespace hearth::client

// How often fingerprints were seen lately: a count-min sketch of 4-bit counters that age.
//
// Four counters per fingerprint, all in one 64-byte block; the smallest of them is the estimate.
// After ten sightings per expected key every counter is halved (Einziger et al., section 3.3), a few blocks per
// sighting, so that no call pays for all. Eight bytes per key, as in Caffeine, which has no doorkeeper either:
// `second-read` admission is one, in front of the tier.
//
// Threads: confined, like the policy.
#pragma once

#include "tiering/eviction/huge_allocator.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace hearth::eviction {

class FrequencySketch {
 public:
  static constexpr std::uint32_t max_count = 15;

  explicit FrequencySketch(std::size_t expected_keys);

  // Whether this many keys need more room than there is.
  bool must_grow_for(std::size_t keys) const { return blocks_.size() * keys_per_block < keys; }
  // Room for this many keys. Growing keeps what was counted of the keys that `for_each(visit)` calls `visit(fingerprint)`
  // for, and forgets the others: to keep them all would count each of them in two places, and strangers with it. Touches
  // every key once; a cache that knows its capacity says it at the start and never gets here.
  template <class ForEach>
  void grow_to(std::size_t keys, ForEach for_each) {
    keys_ = std::max(keys_, keys);
    if (!must_grow_for(keys)) return;
    const FrequencySketch before = begin_growth(keys);
    // A few at a time, so that memory answers for them together.
    std::array<std::uint64_t, 16> coming{};
    std::size_t seen = 0;
    for_each([&](std::uint64_t fingerprint) {
      before.prefetch(fingerprint);
      prefetch(fingerprint);
      if (seen >= coming.size()) take_over(before, coming[seen % coming.size()]);
      coming[seen++ % coming.size()] = fingerprint;
    });
    for (std::size_t i = 0; i < std::min(seen, coming.size()); ++i) take_over(before, coming[i]);
  }
  void saw(std::uint64_t fingerprint);
  std::uint32_t estimate(std::uint64_t fingerprint) const;
  void prefetch(std::uint64_t fingerprint) const;

  std::size_t memory_bytes() const { return blocks_.capacity() * sizeof(Block); }

 private:
  static constexpr std::size_t rows = 4;
  static constexpr std::size_t words = 8;
  static constexpr std::size_t keys_per_block = 8;
  static constexpr std::uint64_t sightings_per_key = 10;

  struct alignas(64) Block {
    std::uint64_t words[FrequencySketch::words];
  };
  struct Places {
    std::size_t block;
    std::array<std::uint8_t, rows> nibbles;  // 0..127, two words to each row
  };
  Places places(std::uint64_t fingerprint) const;
  std::uint32_t count(const Block& block, std::uint8_t nibble) const;
  void age();
  // Leaves this one empty and large enough; answers what it was.
  FrequencySketch begin_growth(std::size_t keys);
  void take_over(const FrequencySketch& before, std::uint64_t fingerprint);

  std::vector<Block, HugeAllocator<Block>> blocks_;
  std::size_t keys_ = 0;           // the most that were expected
  std::uint64_t sightings_ = 0;    // since the last aging began
  std::size_t next_to_age_ = 0;  // blocks from here on are still to be halved
};

}  // namespace hearth::eviction

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

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace hearth::eviction {

class FrequencySketch {
 public:
  static constexpr std::uint32_t max_count = 15;

  explicit FrequencySketch(std::size_t expected_keys);

  // Room for this many keys. Growing keeps what was counted.
  void grow_to(std::size_t keys);
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

  std::vector<Block, HugeAllocator<Block>> blocks_;
  std::size_t keys_ = 0;           // the most that were expected
  std::uint64_t sightings_ = 0;    // since the last aging began
  std::size_t next_to_age_ = 0;  // blocks from here on are still to be halved
};

}  // namespace hearth::eviction

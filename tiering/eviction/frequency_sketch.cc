#include "tiering/eviction/frequency_sketch.h"

#include "tiering/eviction/hashing.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace hearth::eviction {
namespace {

constexpr std::size_t min_keys = 64;
constexpr std::size_t blocks_aged_per_sighting = 32;
constexpr std::uint64_t odd_mask = 0x1111111111111111ULL;
constexpr std::uint64_t halved_mask = 0x7777777777777777ULL;

}  // namespace

FrequencySketch::FrequencySketch(std::size_t expected_keys) : keys_(std::max(expected_keys, min_keys)) {
  blocks_.resize((keys_ + keys_per_block - 1) / keys_per_block);
  next_to_age_ = blocks_.size();
}

FrequencySketch FrequencySketch::begin_growth(std::size_t keys) {
  std::size_t wanted = blocks_.size();
  while (wanted * keys_per_block < keys) wanted *= 2;
  FrequencySketch before(std::move(*this));
  blocks_ = std::vector<Block, HugeAllocator<Block>>(wanted);
  // Half way through an aging: what was not halved yet is never, which is right within one.
  next_to_age_ = blocks_.size();
  return before;
}

void FrequencySketch::take_over(const FrequencySketch& before, std::uint64_t fingerprint) {
  const std::uint32_t counted = before.estimate(fingerprint);
  const Places at = places(fingerprint);
  Block& block = blocks_[at.block];
  for (const std::uint8_t nibble : at.nibbles) {
    const std::uint64_t more = std::min(counted, max_count - count(block, nibble));
    block.words[nibble / 16] += more << (nibble % 16 * 4);
  }
}

FrequencySketch::Places FrequencySketch::places(std::uint64_t fingerprint) const {
  const std::uint64_t hash = mix(fingerprint);
  Places places{.block = reduce(static_cast<std::uint32_t>(hash >> 32), blocks_.size()), .nibbles = {}};
  for (std::size_t row = 0; row < rows; ++row) {
    const auto inside = static_cast<std::uint8_t>((hash >> (8 * row)) & 31);  // a row has 32 counters
    places.nibbles[row] = static_cast<std::uint8_t>(row * 32 + inside);
  }
  return places;
}

void FrequencySketch::prefetch(std::uint64_t fingerprint) const {
  __builtin_prefetch(&blocks_[reduce(static_cast<std::uint32_t>(mix(fingerprint) >> 32), blocks_.size())], 1);
}

std::uint32_t FrequencySketch::count(const Block& block, std::uint8_t nibble) const {
  return static_cast<std::uint32_t>(block.words[nibble / 16] >> (nibble % 16 * 4)) & 15;
}

std::uint32_t FrequencySketch::estimate(std::uint64_t fingerprint) const {
  const Places at = places(fingerprint);
  std::uint32_t least = max_count;
  for (const std::uint8_t nibble : at.nibbles) least = std::min(least, count(blocks_[at.block], nibble));
  return least;
}

void FrequencySketch::saw(std::uint64_t fingerprint) {
  const Places at = places(fingerprint);
  Block& block = blocks_[at.block];
  bool counted = false;
  for (const std::uint8_t nibble : at.nibbles) {
    if (count(block, nibble) == max_count) continue;
    block.words[nibble / 16] += 1ULL << (nibble % 16 * 4);
    counted = true;
  }
  // Where all counters are full nothing new was said, and aging comes no nearer.
  if (counted && ++sightings_ >= keys_ * sightings_per_key) {
    sightings_ /= 2;  // what halving leaves
    next_to_age_ = 0;
  }
  if (next_to_age_ < blocks_.size()) age();
}

void FrequencySketch::age() {
  const std::size_t end = std::min(blocks_.size(), next_to_age_ + blocks_aged_per_sighting);
  std::uint64_t odd = 0;
  for (; next_to_age_ < end; ++next_to_age_) {
    for (std::uint64_t& word : blocks_[next_to_age_].words) {
      odd += static_cast<std::uint64_t>(std::popcount(word & odd_mask));
      word = (word >> 1) & halved_mask;
    }
  }
  sightings_ -= std::min(sightings_, odd / rows);  // halving rounds down; as Caffeine counts it
}

}  // namespace hearth::eviction

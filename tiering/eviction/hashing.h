// One mixing step for fingerprints, which callers need not have made uniform.
#pragma once

#include <cstdint>

namespace hearth::eviction {

// The finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection of 64 bits.
constexpr std::uint64_t mix(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15ULL;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31);
}

// `hash` (32 uniform bits) to [0, range): doubling `range` sends b to 2b or 2b + 1, so tables grow in place.
constexpr std::uint64_t reduce(std::uint32_t hash, std::uint64_t range) { return (hash * range) >> 32; }

}  // namespace hearth::eviction

// Bytes that are a function of (seed, version, offset): any read can be checked anywhere, without a copy.
//
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace hearth {

// The seed of a file, from its path.
constexpr std::uint64_t oracle_seed(std::string_view path) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;  // FNV-1a 64
  for (const char c : path) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001B3ULL;
  return hash;
}

// Eight bytes, little-endian, at offset 8 * index (splitmix64's finaliser over the three numbers).
constexpr std::uint64_t oracle_word(std::uint64_t seed, std::uint64_t version, std::uint64_t index) {
  std::uint64_t x = seed + version * 0xD1B54A32D192ED03ULL + index * 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

constexpr std::byte oracle_byte(std::uint64_t seed, std::uint64_t version, std::uint64_t offset) {
  return static_cast<std::byte>(oracle_word(seed, version, offset / 8) >> (offset % 8 * 8));
}

void oracle_fill(std::span<std::byte> into, std::uint64_t seed, std::uint64_t version, std::uint64_t offset);

// The offset in the file of the first byte that is not the oracle's; nothing when all are.
std::optional<std::uint64_t> oracle_mismatch(std::span<const std::byte> bytes, std::uint64_t seed,
                                             std::uint64_t version, std::uint64_t offset);

}  // namespace hearth

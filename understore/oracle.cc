#include "understore/oracle.h"

namespace hearth {

void oracle_fill(std::span<std::byte> into, std::uint64_t seed, std::uint64_t version, std::uint64_t offset) {
  std::uint64_t word = oracle_word(seed, version, offset / 8) >> (offset % 8 * 8);
  for (std::size_t i = 0; i < into.size(); ++i) {
    if ((offset + i) % 8 == 0) word = oracle_word(seed, version, (offset + i) / 8);
    into[i] = static_cast<std::byte>(word);
    word >>= 8;
  }
}

std::optional<std::uint64_t> oracle_mismatch(std::span<const std::byte> bytes, std::uint64_t seed,
                                             std::uint64_t version, std::uint64_t offset) {
  std::uint64_t word = oracle_word(seed, version, offset / 8) >> (offset % 8 * 8);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if ((offset + i) % 8 == 0) word = oracle_word(seed, version, (offset + i) / 8);
    if (bytes[i] != static_cast<std::byte>(word)) return offset + i;
    word >>= 8;
  }
  return std::nullopt;
}

}  // namespace hearth

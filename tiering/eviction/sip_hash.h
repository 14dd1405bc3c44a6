// SipHash-2-4 (Aumasson, Bernstein 2012): a keyed hash whose answers tell nothing without the key.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string_view>

namespace hearth::eviction {

using SipKey = std::array<std::uint64_t, 2>;

namespace sip {

struct State {
  std::uint64_t a, b, c, d;

  constexpr void round() {
    a += b; b = std::rotl(b, 13); b ^= a; a = std::rotl(a, 32);
    c += d; d = std::rotl(d, 16); d ^= c;
    a += d; d = std::rotl(d, 21); d ^= a;
    c += b; b = std::rotl(b, 17); b ^= c; c = std::rotl(c, 32);
  }
  constexpr void word(std::uint64_t w) {
    d ^= w;
    round();
    round();
    a ^= w;
  }
};

}  // namespace sip

constexpr std::uint64_t sip_hash(const SipKey& key, std::string_view bytes) {
  sip::State state{key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL, key[0] ^ 0x6c7967656e657261ULL,
                   key[1] ^ 0x7465646279746573ULL};
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    word |= std::uint64_t{static_cast<std::uint8_t>(bytes[i])} << (8 * (i % 8));
    if (i % 8 == 7) {
      state.word(word);
      word = 0;
    }
  }
  state.word(word | (std::uint64_t{bytes.size()} << 56));
  state.c ^= 0xFF;
  for (int i = 0; i < 4; ++i) state.round();
  return state.a ^ state.b ^ state.c ^ state.d;
}

}  // namespace hearth::eviction

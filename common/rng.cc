#include "common/rng.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace hearth {
namespace {

std::uint64_t splitmix64(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

class SystemRng final : public Rng {
 public:
  std::uint64_t next() override {
    std::uint64_t number = 0;
    // Eight bytes come whole or, before the pool is ready, not at all (getrandom(2)).
    while (::getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) {
      if (errno != EINTR) std::abort();  // no kernel that runs Hearth answers anything else
    }
    return number;
  }
};

}  // namespace

std::uint64_t Rng::below(std::uint64_t bound) {
  assert(bound > 0);
  // Lemire's multiply and reject (arXiv:1805.10941): no modulo bias.
  unsigned __int128 product = static_cast<unsigned __int128>(next()) * bound;
  if (static_cast<std::uint64_t>(product) < bound) {
    const std::uint64_t threshold = (0 - bound) % bound;
    while (static_cast<std::uint64_t>(product) < threshold) {
      product = static_cast<unsigned __int128>(next()) * bound;
    }
  }
  return static_cast<std::uint64_t>(product >> 64);
}

double Rng::fraction() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

void Rng::fill(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const std::uint64_t number = next();
    const std::size_t size = std::min(bytes.size(), sizeof number);
    std::memcpy(bytes.data(), &number, size);
    bytes = bytes.subspan(size);
  }
}

SeededRng::SeededRng(std::uint64_t seed) {
  for (std::uint64_t& word : state_) word = splitmix64(seed);
}

std::uint64_t SeededRng::next() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

Rng& system_rng() {
  // Never destroyed: threads of a client that was let go of late may outlive main().
  static SystemRng& rng = *new SystemRng;  // tidy-allow(raw-new): see above
  return rng;
}

}  // namespace hearth

// Randomness as a seam: whoever needs it gets an Rng; tests give a seeded one and print the seed.
//
// Threads: SeededRng is confined to one thread; system_rng() may be used from any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace hearth {

class Rng {
 public:
  virtual ~Rng() = default;
  virtual std::uint64_t next() = 0;  // 64 uniform bits

  std::uint64_t below(std::uint64_t bound);  // uniform in [0, bound); bound > 0
  double fraction();                         // uniform in [0, 1)
  void fill(std::span<std::byte> bytes);
};

// xoshiro256** 1.0 (Blackman, Vigna), seeded through splitmix64. Same seed, same numbers, on
// every machine. Not for secrets.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed);
  std::uint64_t next() override;

 private:
  std::array<std::uint64_t, 4> state_;
};

// getrandom(2). Fit for ids and keys; lives for the whole process.
Rng& system_rng();

}  // namespace hearth

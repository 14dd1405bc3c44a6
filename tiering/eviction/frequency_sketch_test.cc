#include "tiering/eviction/frequency_sketch.h"

#include "common/rng.h"

#include <gtest/gtest.h>

#include <vector>

namespace hearth::eviction {
namespace {

TEST(FrequencySketch, CountsUpToFifteenAndNeverTooFew) {
  FrequencySketch sketch(1000);
  for (std::uint32_t times = 1; times <= 20; ++times) {
    sketch.saw(42);
    EXPECT_EQ(sketch.estimate(42), std::min(times, FrequencySketch::max_count));
  }
  SeededRng rng(1);
  std::vector<std::uint32_t> seen(1000);
  for (int i = 0; i < 5000; ++i) {
    const std::uint64_t key = rng.below(seen.size());
    sketch.saw(key);
    ++seen[key];
  }
  for (std::uint64_t key = 0; key < seen.size(); ++key) {
    EXPECT_GE(sketch.estimate(key), std::min(seen[key], FrequencySketch::max_count));
  }
}

TEST(FrequencySketch, TakesFewStrangersForAcquaintances) {
  constexpr std::uint64_t keys = 10'000;
  FrequencySketch sketch(keys);
  for (std::uint64_t key = 0; key < keys; ++key) {
    sketch.saw(key);
    sketch.saw(key);
  }
  int mistaken = 0;
  for (std::uint64_t key = keys; key < 2 * keys; ++key) mistaken += sketch.estimate(key) > 0;
  EXPECT_LT(mistaken, 150);  // 8 keys in 32 counters a row: (1 - (31/32)^8)^4 is about 0.25 %, blocks vary
}

TEST(FrequencySketch, HalvesEverythingAfterTenSightingsAKey) {
  FrequencySketch sketch(1000);
  for (int i = 0; i < 12; ++i) sketch.saw(42);
  for (std::uint64_t key = 0; sketch.estimate(42) == 12 && key < 20'000; ++key) sketch.saw(1'000'000 + key % 1000);
  EXPECT_EQ(sketch.estimate(42), 6U);
}

TEST(FrequencySketch, GrowsWithoutForgetting) {
  FrequencySketch sketch(64);
  for (std::uint64_t key = 0; key < 40; ++key) {
    for (std::uint64_t times = 0; times < 5; ++times) sketch.saw(key);
  }
  sketch.grow_to(100'000, [](auto visit) {
    for (std::uint64_t key = 0; key < 40; ++key) visit(key);
  });
  for (std::uint64_t key = 0; key < 40; ++key) EXPECT_GE(sketch.estimate(key), 5U);
}

// Copying the table made strangers of a small sketch known in the large one: a loop over twice the capacity lost 1.4 points.
TEST(FrequencySketch, GrowingMakesNoStrangersKnown) {
  FrequencySketch sketch(64);
  for (std::uint64_t key = 0; key < 64; ++key) sketch.saw(key);
  for (std::uint64_t keys = 128; keys <= 8192; keys *= 2) {
    sketch.grow_to(keys, [keys](auto visit) {
      for (std::uint64_t key = 0; key < keys / 2; ++key) visit(key);
    });
    for (std::uint64_t key = keys / 2; key < keys; ++key) sketch.saw(key);
  }
  int mistaken = 0;
  for (std::uint64_t key = 0; key < 8192; ++key) {
    EXPECT_GE(sketch.estimate(key), 1U) << key;
    mistaken += sketch.estimate(key) > 1;
  }
  EXPECT_LT(mistaken, 150) << "as few as in one that was never small";
}

}  // namespace
}  // namespace hearth::eviction

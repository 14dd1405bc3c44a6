#include "tiering/eviction/ghost_table.h"

#include "common/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

namespace hearth::eviction {
namespace {

TEST(GhostTable, GivesTheClockOnce) {
  GhostTable ghosts(100);
  ghosts.put(7, 10);
  EXPECT_EQ(ghosts.take(8), std::nullopt);
  EXPECT_EQ(ghosts.take(7), 10U);
  EXPECT_EQ(ghosts.take(7), std::nullopt);
  ghosts.put(7, 1);
  ghosts.put(7, 2);
  EXPECT_EQ(ghosts.take(7), 2U);
}

TEST(GhostQueue, IsFirstInFirstOutAndWhatIsTakenMakesRoom) {
  GhostQueue ghosts(4);
  for (std::uint64_t number = 1; number <= 4; ++number) ghosts.put(number, 4);
  EXPECT_TRUE(ghosts.take(3));
  EXPECT_FALSE(ghosts.take(3));
  ghosts.put(5, 4);  // into the room of 3
  EXPECT_TRUE(ghosts.take(1));
  for (std::uint64_t number = 6; number <= 8; ++number) ghosts.put(number, 4);  // 2 and 4 go
  EXPECT_FALSE(ghosts.take(2));
  EXPECT_FALSE(ghosts.take(4));
  for (std::uint64_t number = 5; number <= 8; ++number) EXPECT_TRUE(ghosts.take(number)) << number;
}

TEST(GhostQueue, AgreesWithAListUnderRandomOperations) {
  GhostQueue ghosts(0);
  std::deque<std::uint64_t> model;
  SeededRng rng(5);
  std::size_t limit = 10;
  int wrong = 0;
  for (int step = 0; step < 50'000; ++step) {
    if (step % 5000 == 0) limit += 37;  // grows, as a tier does that fills
    const std::uint64_t number = rng.below(2000);
    const auto found = std::find(model.begin(), model.end(), number);
    const bool expected = found != model.end();
    wrong += ghosts.take(number) != expected;
    if (expected) model.erase(found);
    if (rng.below(2) == 0) {
      ghosts.put(number, limit);
      model.push_back(number);
      if (model.size() > limit) model.pop_front();
    }
  }
  EXPECT_LT(wrong, 500) << "a full bucket forgets one now and then";
}

TEST(GhostTable, KeepsNearlyAllUpToItsCapacityInTwelveBytesEach) {
  constexpr std::uint32_t entries = 100'000;
  GhostTable ghosts(entries);
  EXPECT_GE(ghosts.capacity(), entries);
  EXPECT_LE(ghosts.memory_bytes(), entries * 12 + 64);
  // Old ones make way: twice as many are put as are asked for.
  for (std::uint32_t number = 0; number < 2 * entries; ++number) ghosts.put(number, number);
  std::uint32_t found = 0;
  for (std::uint32_t number = entries; number < 2 * entries; ++number) found += ghosts.take(number).has_value();
  EXPECT_GT(found, entries / 100 * 85);
}

TEST(GhostTable, GrowsWithoutForgetting) {
  GhostTable ghosts(10);
  for (std::uint32_t number = 0; number < 10; ++number) ghosts.put(number * 977, number);
  int before = 0;
  GhostTable copy = ghosts;
  for (std::uint32_t number = 0; number < 10; ++number) before += copy.take(number * 977) == number;
  ghosts.grow_to(10'000);
  int after = 0;
  for (std::uint32_t number = 0; number < 10; ++number) after += ghosts.take(number * 977) == number;
  EXPECT_EQ(before, 10);
  EXPECT_EQ(after, 10);
}

TEST(GhostTable, HardlyEverKnowsAStranger) {
  constexpr std::uint32_t entries = 200'000;
  GhostTable ghosts(entries);
  for (std::uint32_t number = 0; number < entries; ++number) ghosts.put(number, number);
  int mistakes = 0;
  for (std::uint64_t number = 0; number < 1'000'000; ++number) mistakes += ghosts.take(number + (1ULL << 40)).has_value();
  EXPECT_LE(mistakes, 1);  // 10^6 * 8 / 2^32 = 0.002 expected
}

}  // namespace
}  // namespace hearth::eviction

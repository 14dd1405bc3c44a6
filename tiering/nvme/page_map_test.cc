// The page map beside std::map, and what a resident page costs in memory.
#include "tiering/nvme/page_map.h"
#include "tiering/nvme/scrub.h"
#include "tiering/nvme/sums_cache.h"

#include "common/rng.h"

#include <gtest/gtest.h>

#include <malloc.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <set>

namespace hearth {
namespace {

BlockShape shape(std::uint64_t number, std::uint64_t length, std::uint32_t page_size = 4096) {
  return BlockShape{BlockId{7, number}, 0, length, page_size};
}

TEST(PageMap, AgreesWithAStandardMapUnderRandomOperations) {
  const char* given = std::getenv("HEARTH_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : system_rng().next();
  std::cout << "HEARTH_SEED=" << seed << "\n";
  SeededRng rng(seed);
  PageMap map;
  std::map<std::pair<std::uint64_t, std::uint32_t>, PageSlot> model;
  std::set<PageSlot> slots;
  for (int step = 0; step < 200'000; ++step) {
    const std::uint64_t number = rng.below(60);
    const auto page = static_cast<std::uint32_t>(rng.below(50));
    auto block = map.find_block(BlockId{7, number});
    const auto expected = model.find({number, page});
    const auto found = block ? map.find(*block, page) : std::nullopt;
    ASSERT_EQ(found.has_value(), expected != model.end()) << "step " << step;
    if (found) {
      ASSERT_EQ(*found, expected->second);
      map.remove(*found);
      slots.erase(*found);
      model.erase(expected);
      if (map.block(*block).pages == 0) map.remove_block(*block);
    } else if (rng.below(100) < (step / 20'000 % 2 == 0 ? 80 : 30)) {
      if (!block) block = map.add_block(shape(number, 50 * 4096));
      const PageSlot slot = map.add(*block, page);
      ASSERT_TRUE(slots.insert(slot).second) << "slot " << slot << " is in use";
      map.set_state(slot, PageState::resident);
      model[{number, page}] = slot;
    }
    ASSERT_EQ(map.page_count(), model.size());
  }
  for (const auto& [key, slot] : model) {
    const auto block = map.find_block(BlockId{7, key.first});
    ASSERT_TRUE(block);
    ASSERT_EQ(map.find(*block, key.second), slot);
    ASSERT_EQ(map.page(slot).page, key.second);
  }
}

TEST(PageMap, VisitsThePagesOfABlockInOrder) {
  PageMap map;
  const BlockSlot block = map.add_block(shape(1, 100 * 4096));
  for (const std::uint32_t page : {90U, 3U, 41U}) map.add(block, page);
  std::vector<std::uint32_t> seen;
  map.for_each_page(block, [&](PageSlot slot) { seen.push_back(map.page(slot).page); });
  EXPECT_EQ(seen, (std::vector<std::uint32_t>{3, 41, 90}));
}

TEST(PageMap, RestoredPagesKeepTheirSlotsAndGapsAreUsedFirst) {
  PageMap map;
  const BlockSlot block = map.add_block(shape(1, 100 * 4096));
  map.restore(5, block, 10);
  map.restore(2, block, 11);
  map.end_restore();
  EXPECT_EQ(map.find(block, 10), PageSlot{5});
  EXPECT_EQ(map.block(block).resident_pages, 2U);
  std::set<PageSlot> taken;
  for (std::uint32_t page = 20; page < 24; ++page) taken.insert(map.add(block, page));
  EXPECT_EQ(taken, (std::set<PageSlot>{0, 1, 3, 4}));
}

struct Memory {
  double measured = 0;  // by the allocator
  double counted = 0;   // by the map itself, the policy left out
};

// Bytes for each page when `blocks` blocks of `pages_each` pages are resident, with an LRU policy.
Memory bytes_per_page(std::uint64_t blocks, std::uint32_t pages_each) {
  const std::size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  auto map = std::make_unique<PageMap>();
  auto policy = make_lru_policy({.expected_slots = blocks * pages_each});  // as a tier of known capacity does
  map->reserve(blocks * pages_each);
  for (std::uint64_t number = 0; number < blocks; ++number) {
    const BlockSlot block = map->add_block(shape(number, std::uint64_t{pages_each} << 20, 1U << 20));
    for (std::uint32_t page = 0; page < pages_each; ++page) {
      const PageSlot slot = map->add(block, page);
      map->set_state(slot, PageState::resident);
      policy->inserted(slot, number * 31 + page, 1U << 20);
    }
  }
  const auto pages = static_cast<double>(blocks * pages_each);
  const auto after = static_cast<double>(mallinfo2().uordblks + mallinfo2().hblkhd);
  return Memory{(after - static_cast<double>(before)) / pages, static_cast<double>(map->memory_bytes()) / pages};
}

TEST(PageMap, AMillionResidentPagesCostAtMostSixtyFourBytesEach) {
  const Memory large = bytes_per_page(1000, 1000);
  const Memory small = bytes_per_page(250'000, 4);
  std::cout << "bytes per page, policy included: blocks of 1000 pages " << large.measured << ", of 4 " << small.measured
            << "; without the policy " << large.counted << ", " << small.counted << "\n";
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their allocators know no mallinfo2
  EXPECT_GT(large.measured, 16);
  EXPECT_LE(large.measured, 64);
  EXPECT_LE(small.measured, 64);
#endif
  EXPECT_LE(large.counted, 26);
  EXPECT_LE(small.counted, 40);
}

TEST(SumsCache, StaysWithinItsBoundAndKeepsWhatWasUsedLast) {
  SumsCache cache(100 * 1024);
  for (PageSlot slot = 0; slot < 1000; ++slot) {
    cache.put(slot, std::vector<std::uint32_t>(256, slot), SumsCache::Written::yes);
    ASSERT_FALSE(cache.get(0).empty()) << "used each time, so never the coldest";
    ASSERT_LE(cache.memory_bytes(), 100U * 1024);
  }
  EXPECT_TRUE(cache.get(1).empty());
  EXPECT_EQ(cache.get(999)[255], 999U);
}

TEST(SumsCache, HandsOutUnwrittenSumsOnceAndInOrder) {
  SumsCache cache(1U << 20);
  for (const PageSlot slot : {9U, 4U, 7U}) cache.put(slot, {slot}, SumsCache::Written::no);
  cache.put(5, {5}, SumsCache::Written::yes);
  EXPECT_EQ(cache.take_unwritten(10), (std::vector<PageSlot>{4, 7, 9}));
  EXPECT_TRUE(cache.take_unwritten(10).empty());
  cache.unwritten_again(7);
  EXPECT_EQ(cache.take_unwritten(10), (std::vector<PageSlot>{7}));
  EXPECT_EQ(cache.unwritten(), 0U);
}

TEST(ScrubPacer, VisitsEveryResidentPageOncePerRoundAtItsRate) {
  PageMap map;
  const BlockSlot block = map.add_block(shape(1, 100 * 4096));
  for (std::uint32_t page = 0; page < 100; ++page) map.set_state(map.add(block, page), PageState::resident);
  map.remove(*map.find(block, 50));
  ScrubPacer pacer(10 * 4096, std::chrono::hours(1));
  TimePoint now{};
  std::multiset<PageSlot> seen;
  int seconds = 0;
  for (; pacer.rounds() == 0 && seconds < 60; ++seconds, now += std::chrono::seconds(1)) {
    std::uint64_t bytes = 0;
    for (auto slot = pacer.next(map, now); slot; slot = pacer.next(map, now)) {
      seen.insert(*slot);
      pacer.spent(4096);
      bytes += 4096;
    }
    EXPECT_LE(bytes, 11U * 4096) << "second " << seconds;
  }
  EXPECT_EQ(seen.size(), 99U);
  EXPECT_EQ(std::set<PageSlot>(seen.begin(), seen.end()).size(), 99U);
  EXPECT_GE(seconds, 10);
  EXPECT_FALSE(pacer.next(map, now)) << "the pause between rounds";
  EXPECT_TRUE(pacer.next(map, now + std::chrono::hours(2)));
}

}  // namespace
}  // namespace hearth

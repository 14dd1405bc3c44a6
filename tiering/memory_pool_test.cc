#include "tiering/tiering_test_support.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

using namespace hearth::testing;

TEST(MemoryPool, GivesEvictedMemoryToTheNextBlock) {
  auto store = open_store({.capacity_bytes = 64 * kib, .pool_bytes = 16 * kib});
  for (std::uint64_t number = 0; number < 4; ++number) {
    ASSERT_TRUE(put_block(*store, make_block(number, 16 * kib, 64 * kib)));
  }
  const Descriptors full = descriptors();
  for (std::uint64_t number = 4; number < 50; ++number) {
    ASSERT_TRUE(put_block(*store, make_block(number, 16 * kib, 64 * kib)));
    EXPECT_EQ(charged(store->stats()), 64 * kib);
    EXPECT_EQ(store->stats().blocks, 4U) << "one evicted for one filled";
    EXPECT_TRUE(shows(*store->find(make_block(number, 16 * kib, 64 * kib), PageIndex{0}),
                      make_block(number, 16 * kib, 64 * kib), PageIndex{0}));
  }
  EXPECT_EQ(descriptors().count, full.count);
}

TEST(MemoryPool, NeverExceedsItsShareAndGivesWayToPages) {
  auto store = open_store({.capacity_bytes = 64 * kib, .pool_bytes = 20 * kib});
  for (std::uint64_t number = 0; number < 3; ++number) {
    ASSERT_TRUE(put_block(*store, make_block(number, 16 * kib, 64 * kib)));
    store->free_block(BlockId{.high = 7, .low = number});
  }
  EXPECT_EQ(store->stats().pooled_bytes, 16 * kib);
  std::vector<PageView> pinned;
  const BlockRef large = make_block(9, 64 * kib, 16 * kib);
  for (std::uint32_t page = 0; page < 4; ++page) {
    ASSERT_TRUE(put_page(*store, large, page));
    pinned.push_back(*store->find(large, PageIndex{page}));
  }
  EXPECT_EQ(store->stats().pooled_bytes, 0U);
}

TEST(MemoryPool, TakesTheBestFitAndNotAGiantForADwarf) {
  auto budget = std::make_shared<Budget>(mib);
  {
    MemoryPool pool(budget, mib);
    for (const std::uint64_t length : {64 * kib, 16 * kib, 32 * kib}) {
      budget->charge(Charge::pooled, length);
      pool.put({.memory = BlockMemory::create(budget, length, Granule::small).value(), .charged_bytes = length});
    }
    EXPECT_FALSE(pool.take(Granule::huge, 16 * kib));
    EXPECT_FALSE(pool.take(Granule::small, 128 * kib));
    EXPECT_FALSE(pool.take(Granule::small, kib));
    const auto taken = pool.take(Granule::small, 12 * kib);
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->charged_bytes, 16 * kib);
    budget->uncharge(Charge::pooled, taken->charged_bytes);
    EXPECT_TRUE(pool.release_oldest());
    EXPECT_EQ(budget->bytes(Charge::pooled), 32 * kib);
  }
  EXPECT_EQ(budget->total_bytes(), 0U);
  EXPECT_EQ(budget->memories(), 0U);
}

TEST(MemoryPool, NeverTakesGrantedOrDamagedMemory) {
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1, .pool_bytes = mib});
  const BlockRef block = make_block(1, 16 * kib, 64 * kib);
  ASSERT_TRUE(put_block(*store, block));
  auto grant = store->grant(block);
  ASSERT_TRUE(grant);
  store->release(grant->lease);
  store->free_block(block.id);
  EXPECT_EQ(store->stats().pooled_bytes, 0U);
  ASSERT_TRUE(put_block(*store, block));
  store->drop_corrupt(block.id, PageIndex{0});
  EXPECT_EQ(store->stats().pooled_bytes, 0U);
}

}  // namespace
}  // namespace hearth

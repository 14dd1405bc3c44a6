// What leaves before memory is short, and what never does.
#include "tiering/tiering_test_support.h"

namespace hearth {
namespace {

using namespace testing;

MemoryTierOptions pages_of_room(std::uint64_t pages) {
  MemoryTierOptions options;
  options.capacity_bytes = pages * 4 * kib;
  options.grant_max_fraction = 1.0;
  return options;
}

TEST(ColdUnits, TheColdestIsTheOneLeastRecentlyReadAndStaysUntilEvicted) {
  auto store = open_store(pages_of_room(8));
  const BlockRef a = make_block(1, 4 * kib);
  const BlockRef b = make_block(2, 4 * kib);
  ASSERT_TRUE(put_block(*store, a));
  ASSERT_TRUE(put_block(*store, b));
  ASSERT_TRUE(store->find(a, PageIndex{0}));
  auto cold = store->coldest();
  ASSERT_TRUE(cold);
  EXPECT_EQ(cold->block.id, b.id);
  ASSERT_EQ(cold->pages.size(), 1U);
  EXPECT_TRUE(shows(cold->pages[0].second, b, PageIndex{0}));
  EXPECT_TRUE(store->contains(b.id, PageIndex{0}));
  EXPECT_EQ(store->evict(std::move(*cold)), 4 * kib);
  EXPECT_FALSE(store->contains(b.id, PageIndex{0}));
  EXPECT_EQ(store->stats().resident_bytes, 4 * kib);
  EXPECT_EQ(store->stats().foreground_evictions, 0U) << "nobody waited";
}

TEST(ColdUnits, AUnitThatWasReadMeanwhileStays) {
  auto store = open_store(pages_of_room(8));
  const BlockRef a = make_block(1, 4 * kib);
  ASSERT_TRUE(put_block(*store, a));
  auto cold = store->coldest();
  ASSERT_TRUE(cold);
  ASSERT_TRUE(store->find(a, PageIndex{0}));
  EXPECT_EQ(store->evict(std::move(*cold)), 0U);
  EXPECT_TRUE(store->contains(a.id, PageIndex{0}));
}

TEST(ColdUnits, NothingElseEvictsAUnitThatIsBeingMoved) {
  auto store = open_store(pages_of_room(2));
  const BlockRef a = make_block(1, 4 * kib);
  const BlockRef b = make_block(2, 4 * kib);
  ASSERT_TRUE(put_block(*store, a));
  ASSERT_TRUE(put_block(*store, b));
  auto cold = store->coldest();
  ASSERT_TRUE(cold);
  EXPECT_EQ(cold->block.id, a.id);
  ASSERT_TRUE(put_block(*store, make_block(3, 4 * kib)));
  EXPECT_TRUE(store->contains(a.id, PageIndex{0})) << "the other one went";
  EXPECT_FALSE(store->contains(b.id, PageIndex{0}));
  EXPECT_EQ(store->stats().foreground_evictions, 1U);
}

TEST(ColdUnits, AGrantedBlockThatNobodyHoldsGoesWhole) {
  auto store = open_store(pages_of_room(8));
  const BlockRef a = make_block(1, 12 * kib);
  ASSERT_TRUE(put_block(*store, a));
  auto granted = store->grant(a);
  ASSERT_TRUE(granted);
  EXPECT_FALSE(store->coldest()) << "leased";
  store->release(granted->lease);
  auto cold = store->coldest();
  ASSERT_TRUE(cold);
  EXPECT_EQ(cold->pages.size(), 3U);
  EXPECT_EQ(store->evict(std::move(*cold)), 12 * kib);
  EXPECT_FALSE(store->residency(a.id).present);
}

TEST(Pins, APinnedBlockIsNeverAVictimUntilItIsUnpinned) {
  auto store = open_store(pages_of_room(4));
  const BlockRef pinned = make_block(1, 8 * kib);
  ASSERT_TRUE(put_page(*store, pinned, 0));
  store->pin(pinned.id, Pinned::yes);
  ASSERT_TRUE(put_page(*store, pinned, 1));  // a page that comes later is pinned with its block
  EXPECT_EQ(store->stats().pinned_bytes, 8 * kib);
  for (std::uint64_t number = 2; number < 40; ++number) ASSERT_TRUE(put_block(*store, make_block(number, 4 * kib)));
  EXPECT_TRUE(store->contains(pinned.id, PageIndex{0}));
  EXPECT_TRUE(store->contains(pinned.id, PageIndex{1}));
  store->pin(pinned.id, Pinned::no);
  EXPECT_EQ(store->stats().pinned_bytes, 0U);
  for (std::uint64_t number = 40; number < 48; ++number) ASSERT_TRUE(put_block(*store, make_block(number, 4 * kib)));
  EXPECT_FALSE(store->residency(pinned.id).present);
}

TEST(Pins, AFullTierOfPinsSaysNoSpaceAndFreeingGivesTheRoomBack) {
  auto store = open_store(pages_of_room(2));
  const BlockRef pinned = make_block(1, 8 * kib);
  ASSERT_TRUE(put_block(*store, pinned));
  store->pin(pinned.id, Pinned::yes);
  EXPECT_EQ(put_block(*store, make_block(2, 4 * kib)).code(), Code::no_space);
  EXPECT_EQ(store->free_block(pinned.id), 8 * kib);
  EXPECT_EQ(store->stats().pinned_bytes, 0U);
  EXPECT_TRUE(put_block(*store, make_block(2, 4 * kib)));
}

TEST(Eviction, AnotherClassTakesOverInTheOrderOfTheLastAccess) {
  auto store = open_store(pages_of_room(4));
  for (std::uint64_t number = 1; number <= 4; ++number) ASSERT_TRUE(put_block(*store, make_block(number, 4 * kib)));
  ASSERT_TRUE(store->find(make_block(1, 4 * kib), PageIndex{0}));
  store->set_eviction(make_policy("lru").value());
  ASSERT_TRUE(put_block(*store, make_block(5, 4 * kib)));
  EXPECT_TRUE(store->residency(make_block(1, 4 * kib).id).present);
  EXPECT_FALSE(store->residency(make_block(2, 4 * kib).id).present) << "the one that was not read for longest";
}

TEST(Eviction, TheClassIsChosenByName) {
  MemoryTierOptions options = pages_of_room(8);
  for (const std::string_view name : eviction_policy_names) {
    options.eviction = name;
    EXPECT_TRUE(BlockStore::open(options)) << name;
  }
  options.eviction = "lfu";
  EXPECT_EQ(BlockStore::open(options).code(), Code::invalid_argument);
}

}  // namespace
}  // namespace hearth

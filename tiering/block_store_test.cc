#include "tiering/tiering_test_support.h"

#include <gtest/gtest.h>

#include <thread>

namespace hearth {
namespace {

using namespace hearth::testing;

TEST(BlockStore, ShowsWhatWasCommittedAndNothingElse) {
  auto store = open_store({.capacity_bytes = mib});
  const BlockRef block = make_block(1, 10000);
  EXPECT_FALSE(store->find(block, PageIndex{0}));
  ASSERT_TRUE(put_page(*store, block, 2));
  const auto view = store->find(block, PageIndex{2});
  ASSERT_TRUE(view);
  EXPECT_EQ(view->bytes().size(), 10000U - 2 * 4096);
  EXPECT_TRUE(shows(*view, block, PageIndex{2}));
  EXPECT_FALSE(store->find(block, PageIndex{0}));
  EXPECT_FALSE(store->find(block, PageIndex{3}));
  EXPECT_FALSE(store->find(block, PageIndex{4000000000U}));
}

TEST(BlockStore, ChargesWholeKernelPagesAndGivesThemBack) {
  auto store = open_store({.capacity_bytes = mib});
  const BlockRef block = make_block(1, 5000, 64 * kib);
  auto fill = store->begin_fill(block, PageIndex{0});
  ASSERT_TRUE(fill);
  EXPECT_EQ(store->stats().filling_bytes, 8192U);
  fill_and_commit(*store, std::move(*fill), block, PageIndex{0});
  EXPECT_EQ(store->stats().filling_bytes, 0U);
  EXPECT_EQ(store->stats().resident_bytes, 8192U);
  EXPECT_EQ(store->free_block(block.id), 5000U);
  EXPECT_EQ(charged(store->stats()), 0U);
  EXPECT_EQ(store->stats().blocks, 0U);
}

TEST(BlockStore, GivesTheRoomOfAnAbandonedFillBack) {
  auto store = open_store({.capacity_bytes = mib});
  const BlockRef block = make_block(1, 5000, 64 * kib);
  { auto fill = store->begin_fill(block, PageIndex{0}); ASSERT_TRUE(fill); }
  EXPECT_EQ(charged(store->stats()), 0U);
  EXPECT_EQ(store->stats().blocks, 0U);
  EXPECT_TRUE(store->begin_fill(block, PageIndex{0}));
}

TEST(BlockStore, FillsAPageOnlyOnce) {
  auto store = open_store({.capacity_bytes = mib});
  const BlockRef block = make_block(1, 5000, 64 * kib);
  auto fill = store->begin_fill(block, PageIndex{0});
  EXPECT_EQ(store->begin_fill(block, PageIndex{0}).code(), Code::busy);
  fill_and_commit(*store, std::move(*fill), block, PageIndex{0});
  EXPECT_EQ(store->begin_fill(block, PageIndex{0}).code(), Code::busy);
}

TEST(BlockStore, RefusesABlockThatDisagreesWithTheOneItHolds) {
  auto store = open_store({.capacity_bytes = mib});
  ASSERT_TRUE(put_page(*store, make_block(1, 9000), 0));
  EXPECT_EQ(store->begin_fill(make_block(1, 9001), PageIndex{1}).code(), Code::invalid_argument);
  EXPECT_EQ(store->begin_fill(make_block(2, 9000, 1000), PageIndex{0}).code(), Code::invalid_argument);
  EXPECT_EQ(store->begin_fill(make_block(2, 9000), PageIndex{3}).code(), Code::invalid_argument);
  EXPECT_EQ(store->begin_fill(make_block(2, 0), PageIndex{0}).code(), Code::invalid_argument);
}

TEST(BlockStore, EvictsTheLeastRecentlyUsedPage) {
  auto store = open_store({.capacity_bytes = 4 * 4096});
  const BlockRef block = make_block(1, 16 * 4096);
  for (std::uint32_t page : {0U, 1U, 2U, 3U}) ASSERT_TRUE(put_page(*store, block, page));
  ASSERT_TRUE(store->find(block, PageIndex{0}));  // 1 is now the coldest
  ASSERT_TRUE(put_page(*store, block, 4));
  EXPECT_FALSE(store->find(block, PageIndex{1}));
  for (std::uint32_t page : {0U, 2U, 3U, 4U}) EXPECT_TRUE(store->find(block, PageIndex{page})) << page;
  EXPECT_EQ(store->stats().evicted_bytes, 4096U);
}

TEST(BlockStore, SkipsWhatIsPinnedAndFailsWithNoSpaceWhenAllIs) {
  auto store = open_store({.capacity_bytes = 3 * 4096});
  const BlockRef block = make_block(1, 16 * 4096);
  for (std::uint32_t page : {0U, 1U}) ASSERT_TRUE(put_page(*store, block, page));
  auto view = store->find(block, PageIndex{0});
  ASSERT_TRUE(store->find(block, PageIndex{1}));  // 0 is colder, but pinned
  auto filling = store->begin_fill(block, PageIndex{2});
  ASSERT_TRUE(filling);
  ASSERT_TRUE(put_page(*store, block, 3));
  EXPECT_FALSE(store->find(block, PageIndex{1}));
  auto other = store->find(block, PageIndex{3});
  EXPECT_EQ(store->begin_fill(block, PageIndex{4}).code(), Code::no_space);
  other.reset();
  EXPECT_TRUE(store->begin_fill(block, PageIndex{4}));
  EXPECT_TRUE(shows(*view, block, PageIndex{0}));
}

TEST(BlockStore, RefusesAPageLargerThanTheTier) {
  auto store = open_store({.capacity_bytes = 64 * kib});
  const BlockRef small = make_block(2, 4096);
  ASSERT_TRUE(put_block(*store, small));
  EXPECT_EQ(store->begin_fill(make_block(1, mib, mib), PageIndex{0}).code(), Code::no_space);
  EXPECT_TRUE(store->find(small, PageIndex{0})) << "nothing is evicted for what can not fit";
}

TEST(BlockStore, AViewOutlivesItsBlockAndKeepsItsBytesAndItsCharge) {
  auto store = open_store({.capacity_bytes = 64 * kib});
  const BlockRef block = make_block(1, 4 * 4096);
  ASSERT_TRUE(put_block(*store, block));
  auto view = store->find(block, PageIndex{1});
  EXPECT_EQ(store->free_block(block.id), 4U * 4096);
  EXPECT_FALSE(store->find(block, PageIndex{1}));
  EXPECT_EQ(store->stats().orphaned_bytes, 4096U) << "only the page that is read stays";
  ASSERT_TRUE(put_block(*store, block));
  for (std::uint64_t other = 2; other < 40; ++other) ASSERT_TRUE(put_block(*store, make_block(other, 4096)));
  EXPECT_TRUE(shows(*view, block, PageIndex{1}));
  EXPECT_EQ(store->stats().orphaned_bytes, 4096U);
  view.reset();
  EXPECT_EQ(store->stats().orphaned_bytes, 0U);
}

TEST(BlockStore, AViewMayEndOnAnotherThreadAndAfterTheStore) {
  auto store = open_store({.capacity_bytes = 64 * kib});
  const BlockRef block = make_block(1, 4096);
  ASSERT_TRUE(put_block(*store, block));
  auto view = store->find(block, PageIndex{0});
  store->free_block(block.id);
  std::thread reader([view = std::move(*view), &block] { EXPECT_TRUE(shows(view, block, PageIndex{0})); });
  reader.join();
  ASSERT_TRUE(put_block(*store, block));
  auto last = store->find(block, PageIndex{0});
  auto fill = store->begin_fill(make_block(2, 4096), PageIndex{0});
  store.reset();
  EXPECT_TRUE(shows(*last, block, PageIndex{0}));
  EXPECT_EQ(fill->length_bytes(), 4096U);
}

TEST(BlockStore, AFillThatLostItsBlockStillShowsItsPageButNotInTheMap) {
  auto store = open_store({.capacity_bytes = 64 * kib});
  const BlockRef block = make_block(1, 2 * 4096);
  ASSERT_TRUE(put_page(*store, block, 1));
  auto fill = store->begin_fill(block, PageIndex{0});
  auto abandoned = store->begin_fill(make_block(2, 4096), PageIndex{0});
  store->free_block(block.id);
  store->free_block(BlockId{.high = 7, .low = 2});
  EXPECT_EQ(store->stats().orphaned_bytes, 2U * 4096);
  { PageFill gone = std::move(*abandoned); }
  EXPECT_EQ(store->stats().orphaned_bytes, 4096U);
  PageView view = fill_and_commit(*store, std::move(*fill), block, PageIndex{0});
  EXPECT_TRUE(shows(view, block, PageIndex{0}));
  EXPECT_FALSE(store->find(block, PageIndex{0}));
  EXPECT_EQ(charged(store->stats()), 4096U);
  view = PageView();
  EXPECT_EQ(charged(store->stats()), 0U);
}

TEST(BlockStore, DetectsEveryDamagedChunkAndOnlyThat) {
  auto store = open_store({.capacity_bytes = 4 * mib});
  const BlockRef block = make_block(1, 300 * kib + 17, mib);
  ASSERT_TRUE(put_block(*store, block));
  store->tamper_for_test(block.id)[130 * kib] ^= std::byte{4};
  auto view = store->find(block, PageIndex{0});
  EXPECT_TRUE(BlockStore::verify(*view, 0, 128 * kib));
  EXPECT_EQ(BlockStore::verify(*view, 0, 128 * kib + 1).code(), Code::corrupt);
  EXPECT_EQ(BlockStore::verify(*view, 190 * kib, 2 * kib).code(), Code::corrupt);
  EXPECT_TRUE(BlockStore::verify(*view, 192 * kib, 108 * kib + 17));
  EXPECT_EQ(BlockStore::verify(*view, 192 * kib, 108 * kib + 18).code(), Code::invalid_argument);
  view.reset();
  store->drop_corrupt(block.id, PageIndex{0});
  EXPECT_EQ(store->stats().corrupt_chunks, 1U);
  EXPECT_FALSE(store->find(block, PageIndex{0}));
  ASSERT_TRUE(put_block(*store, block));
  view = store->find(block, PageIndex{0});
  EXPECT_TRUE(BlockStore::verify(*view, 0, 300 * kib + 17));
}

TEST(BlockStore, ACorruptPageGoesAloneUnlessItIsReadOrGranted) {
  auto store = open_store({.capacity_bytes = mib});
  const BlockRef block = make_block(1, 4 * 4096);
  ASSERT_TRUE(put_block(*store, block));
  store->drop_corrupt(block.id, PageIndex{1});
  EXPECT_FALSE(store->find(block, PageIndex{1}));
  EXPECT_TRUE(store->find(block, PageIndex{2}));
  auto reader = store->find(block, PageIndex{2});
  store->drop_corrupt(block.id, PageIndex{2});
  EXPECT_FALSE(store->residency(block.id).present) << "memory under a reader is never filled again";
  ASSERT_TRUE(put_block(*store, block));
  EXPECT_TRUE(shows(*reader, block, PageIndex{2}));
}

TEST(BlockStore, ReportsNetPresenceOnly) {
  auto store = open_store({.capacity_bytes = mib});
  const BlockRef one = make_block(1, 8192);
  const BlockRef two = make_block(2, 8192);
  ASSERT_TRUE(put_page(*store, one, 0));
  ASSERT_TRUE(put_page(*store, two, 0));
  store->free_block(two.id);
  auto changes = store->take_changes();
  EXPECT_EQ(changes.added, std::vector{one.id});
  EXPECT_TRUE(changes.removed.empty());
  store->free_block(one.id);
  ASSERT_TRUE(put_page(*store, one, 1));
  changes = store->take_changes();
  EXPECT_TRUE(changes.added.empty() && changes.removed.empty());
  store->free_block(one.id);
  EXPECT_EQ(store->take_changes().removed, std::vector{one.id});
  EXPECT_TRUE(store->all_blocks().empty());
}

TEST(BlockStore, EvictsByCountOfDescriptorsToo) {
  auto store = open_store({.capacity_bytes = 64 * mib, .max_blocks = 8});
  for (std::uint64_t number = 0; number < 100; ++number) {
    ASSERT_TRUE(put_block(*store, make_block(number, number % 3 == 0 ? 20000 : 100)));
    EXPECT_LE(store->stats().blocks, 8U);
  }
  EXPECT_TRUE(store->find(make_block(99, 20000), PageIndex{0}));
  std::vector<PageView> pinned;
  for (const BlockId& id : store->all_blocks()) {
    pinned.push_back(*store->find(make_block(id.low, id.low % 3 == 0 ? 20000 : 100), PageIndex{0}));
  }
  EXPECT_EQ(store->begin_fill(make_block(1000, 100), PageIndex{0}).code(), Code::no_space);
}

TEST(BlockStore, RefusesOptionsThatCanNotWork) {
  EXPECT_EQ(BlockStore::open({.capacity_bytes = 0}).code(), Code::invalid_argument);
  EXPECT_EQ(BlockStore::open({.capacity_bytes = mib, .grant_max_fraction = 2}).code(), Code::invalid_argument);
  EXPECT_EQ(BlockStore::open({.capacity_bytes = mib, .pool_bytes = 2 * mib}).code(), Code::invalid_argument);
  EXPECT_EQ(open_block_store({.capacity_bytes = mib, .huge_pages = HugePages::require}, HugePageSupport::absent,
                             make_lru_policy())
                .code(),
            Code::unsupported);
  EXPECT_TRUE(BlockStore::open({.capacity_bytes = mib}));
}

TEST(BlockStore, ClosesEveryDescriptorWhenItGoes) {
  const std::size_t before = descriptors().count;
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1, .pool_bytes = 64 * kib});
  for (std::uint64_t number = 0; number < 500; ++number) ASSERT_TRUE(put_block(*store, make_block(number, 9000)));
  EXPECT_GT(descriptors().count, before);
  { auto grant = store->grant(make_block(499, 9000)); ASSERT_TRUE(grant); }
  store.reset();
  EXPECT_EQ(descriptors().count, before);
}

TEST(HugePageAccounting, ChargesTwoMebibyteStepsAndEvictsWholeOnes) {
  auto store = open_store({.capacity_bytes = 8 * mib}, HugePageSupport::present);
  EXPECT_TRUE(store->stats().huge_pages);
  const BlockRef block = make_block(1, 7 * mib + 5, mib);
  ASSERT_TRUE(put_page(*store, block, 0));
  EXPECT_EQ(store->stats().resident_bytes, 2 * mib);
  ASSERT_TRUE(put_page(*store, block, 1));
  EXPECT_EQ(store->stats().resident_bytes, 2 * mib) << "the second page of a granule is paid already";
  ASSERT_TRUE(put_page(*store, block, 7));
  EXPECT_EQ(store->stats().resident_bytes, 4 * mib);
  ASSERT_TRUE(put_block(*store, make_block(2, mib, mib)));
  EXPECT_EQ(store->stats().resident_bytes, 5 * mib) << "blocks up to 1 MiB keep small pages";
  ASSERT_TRUE(put_block(*store, make_block(3, mib + 1, mib)));
  EXPECT_EQ(store->stats().resident_bytes, 7 * mib);
  ASSERT_TRUE(put_page(*store, block, 2));
  EXPECT_FALSE(store->find(block, PageIndex{0}));
  EXPECT_FALSE(store->find(block, PageIndex{1})) << "a granule goes whole";
  EXPECT_TRUE(store->find(block, PageIndex{7}));
  EXPECT_LE(charged(store->stats()), 8 * mib);
  store->drop_corrupt(block.id, PageIndex{2});
  EXPECT_FALSE(store->find(block, PageIndex{2}));
  EXPECT_LE(descriptors().memfd_bytes, charged(store->stats()));
}

TEST(HugePageAccounting, IsOffWhenTheOptionSaysSo) {
  auto store = open_store({.capacity_bytes = 8 * mib, .huge_pages = HugePages::off}, HugePageSupport::present);
  ASSERT_TRUE(put_page(*store, make_block(1, 4 * mib, mib), 0));
  EXPECT_EQ(store->stats().resident_bytes, mib);
  EXPECT_FALSE(store->stats().huge_pages);
}

}  // namespace
}  // namespace hearth

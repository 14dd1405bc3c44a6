// Grants of blocks whose pages are still coming.
#include "tiering/tiering_test_support.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

using namespace hearth::testing;

std::vector<std::byte> read_page(const BlockGrant& grant, const BlockRef& block, std::uint32_t page) {
  std::vector<std::byte> bytes(block.page_length_bytes(PageIndex{page}));
  const auto at = static_cast<off_t>(std::uint64_t{page} * block.page_size_bytes);
  EXPECT_EQ(::pread(grant.fd.get(), bytes.data(), bytes.size(), at), static_cast<ssize_t>(bytes.size()));
  return bytes;
}

int seals(const BlockGrant& grant) { return ::fcntl(grant.fd.get(), F_GET_SEALS); }

TEST(GrantInFilling, ShowsEachPageOnceItIsFilled) {
  auto store = open_store({.capacity_bytes = 8 * mib, .grant_max_fraction = 1});
  const BlockRef block = make_block(1, 200 * kib + 3, 64 * kib);
  auto grant = store->grant_in_filling(block);
  ASSERT_TRUE(grant) << grant.error().message();
  EXPECT_TRUE(grant->chunk_checksums.empty());
  for (const std::uint32_t page : {2U, 0U, 3U, 1U}) {
    ASSERT_TRUE(put_page(*store, block, page));
    EXPECT_EQ(read_page(*grant, block, page), page_content(block, PageIndex{page}));
    EXPECT_TRUE(store->shows(grant->lease, store->find(block, PageIndex{page})->bytes()));
  }
  auto whole = store->grant(block);
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->chunk_checksums, chunk_checksums(content(block, 0, block.length_bytes)));
}

TEST(GrantInFilling, OfACompleteBlockIsAnOrdinaryGrant) {
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1});
  const BlockRef block = make_block(1, 100 * kib, 64 * kib);
  ASSERT_TRUE(put_block(*store, block));
  auto grant = store->grant_in_filling(block);
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->chunk_checksums, chunk_checksums(content(block, 0, block.length_bytes)));
}

TEST(GrantInFilling, CanNotBeShrunkOrOpenedForWritingAndIsSealedWithItsLastPage) {
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1});
  const BlockRef block = make_block(1, 3 * 4096);
  auto grant = store->grant_in_filling(block);
  ASSERT_TRUE(grant);
  struct stat status {};
  ASSERT_EQ(::fstat(grant->fd.get(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0400U);
  EXPECT_EQ(seals(*grant) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE), F_SEAL_SHRINK | F_SEAL_GROW);
  EXPECT_EQ(::pwrite(grant->fd.get(), "x", 1, 0), -1);
  EXPECT_EQ(::ftruncate(grant->fd.get(), 0), -1);
  ASSERT_TRUE(put_block(*store, block));
  EXPECT_EQ(seals(*grant) & (F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
}

TEST(GrantInFilling, ChargesWhatIsFilledAndGivesItBackWithTheLastLease) {
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1});
  const BlockRef block = make_block(1, 4 * 4096);
  auto grant = store->grant_in_filling(block);
  ASSERT_TRUE(grant);
  EXPECT_EQ(charged(store->stats()), 0U);
  { auto abandoned = store->begin_fill(block, PageIndex{1}); }
  EXPECT_EQ(charged(store->stats()), 4096U) << "a page that was shown can not be punched out";
  EXPECT_EQ(store->stats().leased_bytes, 4096U);
  ASSERT_TRUE(put_page(*store, block, 1));
  EXPECT_EQ(charged(store->stats()), 4096U) << "the next fill of the page uses what was charged";
  store->release(grant->lease);
  EXPECT_EQ(store->stats().leased_bytes, 0U);
  EXPECT_TRUE(store->find(block, PageIndex{1})) << "a page that is here stays when its lease ends";
  store->free_block(block.id);
  grant->fd.reset();
  EXPECT_EQ(charged(store->stats()), 0U);
}

TEST(GrantInFilling, OfNothingLeavesNothing) {
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1});
  const BlockRef block = make_block(1, 4 * 4096);
  const std::size_t before = descriptors().count;
  auto grant = store->grant_in_filling(block);
  ASSERT_TRUE(grant);
  { auto abandoned = store->begin_fill(block, PageIndex{3}); }
  store->release(grant->lease);
  grant->fd.reset();
  EXPECT_EQ(charged(store->stats()), 0U);
  EXPECT_EQ(store->stats().blocks, 0U);
  EXPECT_EQ(descriptors().count, before);
}

TEST(GrantInFilling, IsNeverEvictedWhileLeasedAndGoesWholeAfterwards) {
  auto store = open_store({.capacity_bytes = 8 * 4096, .grant_max_fraction = 1});
  const BlockRef leased = make_block(1, 4 * 4096);
  auto grant = store->grant_in_filling(leased);
  ASSERT_TRUE(grant);
  ASSERT_TRUE(put_page(*store, leased, 0));
  ASSERT_TRUE(put_page(*store, leased, 2));
  for (std::uint64_t other = 2; other < 20; ++other) ASSERT_TRUE(put_page(*store, make_block(other, 4096), 0));
  EXPECT_EQ(read_page(*grant, leased, 2), page_content(leased, PageIndex{2}));
  EXPECT_TRUE(store->find(leased, PageIndex{0}));
  store->release(grant->lease);
  for (std::uint64_t other = 20; other < 40; ++other) ASSERT_TRUE(put_page(*store, make_block(other, 4096), 0));
  EXPECT_FALSE(store->residency(leased.id).present);
}

TEST(GrantInFilling, OfABlockThatLeftTheMapShowsNoNewPages) {
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1});
  const BlockRef block = make_block(1, 4 * 4096);
  auto grant = store->grant_in_filling(block);
  ASSERT_TRUE(grant);
  ASSERT_TRUE(put_page(*store, block, 0));
  store->free_block(block.id);
  ASSERT_TRUE(put_page(*store, block, 1));
  EXPECT_FALSE(store->shows(grant->lease, store->find(block, PageIndex{1})->bytes()));
  EXPECT_EQ(read_page(*grant, block, 0), page_content(block, PageIndex{0}));
}

TEST(GrantInFilling, NeverShowsWhatRecycledMemoryHeldBefore) {
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1, .pool_bytes = mib / 2});
  const BlockRef secret = make_block(1, 64 * kib, 64 * kib);
  ASSERT_TRUE(put_block(*store, secret));
  store->free_block(secret.id);
  ASSERT_GT(store->stats().pooled_bytes, 0U);
  const BlockRef one_page = make_block(2, 60 * kib, 64 * kib);
  EXPECT_EQ(store->grant_in_filling(one_page).code(), Code::unsupported);
  auto filling = store->begin_fill(one_page, PageIndex{0});
  ASSERT_TRUE(filling);
  EXPECT_EQ(store->grant_in_filling(one_page).code(), Code::unsupported) << "its memory is the secret's";
  const BlockRef two_pages = make_block(3, 65 * kib, 64 * kib);
  auto grant = store->grant_in_filling(two_pages);
  ASSERT_TRUE(grant);
  EXPECT_EQ(read_page(*grant, two_pages, 0), std::vector<std::byte>(64 * kib)) << "a hole shows zeros";
}

TEST(GrantInFilling, IsRefusedWhereAGrantWouldBe) {
  auto store = open_store({.capacity_bytes = mib, .private_below_bytes = 4096});
  EXPECT_EQ(store->grant_in_filling(make_block(1, mib / 8 + 1, 64 * kib)).code(), Code::unsupported);
  EXPECT_EQ(store->grant_in_filling(make_block(2, 4095)).code(), Code::unsupported);
  EXPECT_EQ(store->grant_in_filling(make_block(3, 4096)).code(), Code::unsupported);
  EXPECT_TRUE(store->grant_in_filling(make_block(4, 4097)));
}

}  // namespace
}  // namespace hearth

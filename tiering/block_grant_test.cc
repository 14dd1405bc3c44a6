#include "tiering/tiering_test_support.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <sys/wait.h>

#include <cerrno>

namespace hearth {
namespace {

using namespace hearth::testing;

std::vector<std::byte> read_all(const BlockGrant& grant) {
  std::vector<std::byte> bytes(grant.length_bytes);
  const auto count = ::pread(grant.fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(grant.offset_bytes));
  bytes.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  return bytes;
}

// What a mapping shows from the end of the file to the end of its last page.
std::vector<std::byte> mapped_tail(const BlockGrant& grant) {
  const std::uint64_t paged = round_up(grant.length_bytes, 4 * kib);
  void* mapping = ::mmap(nullptr, paged, PROT_READ, MAP_SHARED, grant.fd.get(), 0);
  if (mapping == MAP_FAILED) return {std::byte{0xFF}};
  const auto* bytes = static_cast<const std::byte*>(mapping);
  std::vector<std::byte> tail(bytes + grant.length_bytes, bytes + paged);
  ::munmap(mapping, paged);
  return tail;
}

TEST(BlockGrant, ShowsTheWholeBlockWithItsChecksums) {
  auto store = open_store({.capacity_bytes = 8 * mib, .grant_max_fraction = 1});
  const BlockRef block = make_block(1, 200 * kib + 3, 128 * kib);
  ASSERT_TRUE(put_page(*store, block, 0));
  EXPECT_EQ(store->grant(block).code(), Code::not_found) << "holes would read as zeros";
  ASSERT_TRUE(put_page(*store, block, 1));
  auto grant = store->grant(block);
  ASSERT_TRUE(grant);
  EXPECT_EQ(read_all(*grant), content(block, 0, block.length_bytes));
  EXPECT_EQ(grant->chunk_checksums, chunk_checksums(content(block, 0, block.length_bytes)));
  EXPECT_EQ(store->stats().leases, 1U);
  EXPECT_EQ(store->stats().leased_bytes, 204 * kib);
  EXPECT_TRUE(store->find(block, PageIndex{1}));
}

TEST(BlockGrant, RefusesBlocksThatWouldTieUpTheTier) {
  auto store = open_store({.capacity_bytes = mib});
  const BlockRef large = make_block(1, mib / 8 + 1, 64 * kib);
  const BlockRef fitting = make_block(2, mib / 8, 64 * kib);
  ASSERT_TRUE(put_block(*store, large));
  ASSERT_TRUE(put_block(*store, fitting));
  EXPECT_EQ(store->grant(large).code(), Code::unsupported);
  EXPECT_TRUE(store->grant(fitting));
  EXPECT_EQ(store->grant(make_block(3, 10)).code(), Code::not_found);
}

// Failure catalogue 44: a memfd passed read-only can be opened read-write again unless mode and seals forbid it.
TEST(BlockGrant, CanNotBeChangedByItsHolder) {
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1});
  const BlockRef block = make_block(1, 5 * 4096);
  ASSERT_TRUE(put_block(*store, block));
  auto grant = store->grant(block);
  ASSERT_TRUE(grant);
  const int fd = grant->fd.get();
  struct stat status {};
  ASSERT_EQ(::fstat(fd, &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0400U);
  EXPECT_EQ(::fcntl(fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL),
            F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
  EXPECT_EQ(::pwrite(fd, "x", 1, 0), -1);
  EXPECT_EQ(::ftruncate(fd, 0), -1);
  EXPECT_EQ(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  void* mapping = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
  ASSERT_NE(mapping, MAP_FAILED);
  EXPECT_EQ(::mprotect(mapping, 4096, PROT_READ | PROT_WRITE), -1);
  ::munmap(mapping, 4096);
  // Root may open it read-write in spite of the mode: then the seals stand alone.
  UniqueFd again(::open(proc_path(fd).c_str(), O_RDWR | O_CLOEXEC));
  if (again) {
    EXPECT_EQ(::pwrite(again.get(), "x", 1, 0), -1);
    EXPECT_EQ(::ftruncate(again.get(), 0), -1);
    EXPECT_EQ(::ftruncate(again.get(), 1 << 20), -1);
    EXPECT_EQ(::fallocate(again.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again.get(), 0), MAP_FAILED);
    EXPECT_EQ(::fcntl(again.get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  }
  EXPECT_EQ(read_all(*grant), content(block, 0, block.length_bytes));
}

TEST(BlockGrant, CanNotBeReopenedForWritingByAnotherUser) {
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1});
  const BlockRef block = make_block(1, 4096);
  ASSERT_TRUE(put_block(*store, block));
  auto grant = store->grant(block);
  ASSERT_TRUE(grant);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::getuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(2);
    const bool reopened = ::open(proc_path(grant->fd.get()).c_str(), O_RDWR) >= 0;
    char byte = 0;
    const bool readable = ::pread(grant->fd.get(), &byte, 1, 0) == 1;
    ::_exit(!reopened && readable ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(BlockGrant, NamesNothingOfTheUser) {
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1});
  const BlockRef block = make_block(1, 4096);
  ASSERT_TRUE(put_block(*store, block));
  auto grant = store->grant(block);
  char target[256] = {};
  ASSERT_GT(::readlink(proc_path(grant->fd.get()).c_str(), target, sizeof target - 1), 0);
  EXPECT_EQ(std::string(target).find("secret"), std::string::npos);
}

TEST(BlockGrant, LeasedBlocksAreNeverEvicted) {
  auto store = open_store({.capacity_bytes = 4 * 4096, .grant_max_fraction = 1});
  const BlockRef leased = make_block(1, 2 * 4096);
  ASSERT_TRUE(put_block(*store, leased));
  auto grant = store->grant(leased);
  ASSERT_TRUE(grant);
  for (std::uint64_t number = 2; number < 20; ++number) ASSERT_TRUE(put_block(*store, make_block(number, 4096)));
  EXPECT_TRUE(store->residency(leased.id).complete);
  auto second = store->grant(make_block(19, 4096));
  auto third = store->grant(make_block(18, 4096));
  ASSERT_TRUE(second && third);
  EXPECT_EQ(store->begin_fill(make_block(30, 4096), PageIndex{0}).code(), Code::no_space);
  // The coldest first, and only as many as are wanted.
  EXPECT_EQ(store->leases_to_recall(1), std::vector{grant->lease});
  EXPECT_EQ(store->leases_to_recall(2 * 4096 + 1), (std::vector{grant->lease, second->lease}));
  EXPECT_EQ(store->leases_to_recall(0).size(), 0U);
  store->release(third->lease);
  EXPECT_TRUE(store->begin_fill(make_block(30, 4096), PageIndex{0}));
}

TEST(BlockGrant, AGrantedBlockGoesWholeOnceItsLeasesEnded) {
  auto store = open_store({.capacity_bytes = 4 * 4096, .grant_max_fraction = 1});
  const BlockRef block = make_block(1, 3 * 4096);
  ASSERT_TRUE(put_block(*store, block));
  auto first = store->grant(block);
  auto second = store->grant(block);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(store->residency(block.id).leases, 2U);
  store->release(first->lease);
  store->release(first->lease);  // twice is harmless
  EXPECT_EQ(store->stats().leased_bytes, 3U * 4096);
  store->release(second->lease);
  EXPECT_EQ(store->stats().leased_bytes, 0U);
  ASSERT_TRUE(put_block(*store, make_block(2, 2 * 4096)));
  EXPECT_FALSE(store->residency(block.id).present);
  EXPECT_EQ(store->stats().evicted_bytes, 3U * 4096);
  EXPECT_EQ(read_all(*second), content(block, 0, block.length_bytes)) << "a late reader still sees its bytes";
}

TEST(BlockGrant, AGrantedBlockIsAsWarmAsItsWarmestPage) {
  auto store = open_store({.capacity_bytes = 4 * 4096, .grant_max_fraction = 1});
  const BlockRef granted = make_block(1, 3 * 4096);
  const BlockRef other = make_block(2, 4096);
  ASSERT_TRUE(put_block(*store, granted));
  ASSERT_TRUE(put_block(*store, other));
  auto grant = store->grant(granted);
  ASSERT_TRUE(grant);
  store->release(grant->lease);
  ASSERT_TRUE(store->find(other, PageIndex{0}));
  ASSERT_TRUE(store->find(granted, PageIndex{2}));  // its pages 0 and 1 alone would be the coldest
  ASSERT_TRUE(put_block(*store, make_block(3, 4096)));
  EXPECT_TRUE(store->residency(granted.id).complete);
  EXPECT_FALSE(store->residency(other.id).present);
}

TEST(BlockGrant, AFreedLeasedBlockStaysChargedUntilItsRelease) {
  auto store = open_store({.capacity_bytes = 8 * 4096, .grant_max_fraction = 1});
  const BlockRef block = make_block(1, 3 * 4096);
  ASSERT_TRUE(put_block(*store, block));
  auto grant = store->grant(block);
  EXPECT_EQ(store->free_block(block.id), 3U * 4096);
  EXPECT_EQ(store->stats().orphaned_bytes, 3U * 4096);
  EXPECT_EQ(store->stats().leased_bytes, 0U);
  EXPECT_EQ(store->leases_to_recall(1), std::vector{grant->lease});
  ASSERT_TRUE(put_block(*store, block)) << "the same block may come again beside it";
  EXPECT_EQ(read_all(*grant), content(block, 0, block.length_bytes));
  store->release(grant->lease);
  EXPECT_EQ(store->stats().orphaned_bytes, 0U);
  EXPECT_EQ(charged(store->stats()), 3U * 4096);
}

TEST(BlockGrant, DamageUnderAGrantDropsTheWholeBlock) {
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1});
  const BlockRef block = make_block(1, 3 * 4096);
  ASSERT_TRUE(put_block(*store, block));
  auto grant = store->grant(block);
  store->tamper_for_test(block.id)[4096] ^= std::byte{1};
  EXPECT_NE(read_all(*grant), content(block, 0, block.length_bytes));
  store->drop_corrupt(block.id, PageIndex{1});
  EXPECT_FALSE(store->residency(block.id).present);
  ASSERT_TRUE(put_block(*store, block));
  EXPECT_TRUE(shows(*store->find(block, PageIndex{1}), block, PageIndex{1}));
}

TEST(BlockGrant, RecycledMemoryShowsNothingOfItsPast) {
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1, .pool_bytes = 64 * kib});
  const BlockRef past = make_block(1, 16 * kib, 64 * kib);
  ASSERT_TRUE(put_block(*store, past));
  store->free_block(past.id);
  ASSERT_EQ(store->stats().pooled_bytes, 16 * kib);
  const BlockRef block = make_block(2, 8 * kib + 100, 64 * kib);
  ASSERT_TRUE(put_block(*store, block));
  EXPECT_EQ(store->stats().pooled_bytes, 0U);
  auto grant = store->grant(block);
  ASSERT_TRUE(grant);
  struct stat status {};
  ASSERT_EQ(::fstat(grant->fd.get(), &status), 0);
  EXPECT_EQ(status.st_size, static_cast<off_t>(block.length_bytes));
  EXPECT_EQ(status.st_blocks * 512, static_cast<blkcnt_t>(12 * kib)) << "what the block is charged";
  EXPECT_EQ(mapped_tail(*grant), std::vector<std::byte>(12 * kib - block.length_bytes));
}

TEST(BlockGrant, IsAFileOfExactlyTheBlocksLength) {
  for (const HugePageSupport huge : {HugePageSupport::absent, HugePageSupport::present}) {
    auto store = open_store({.capacity_bytes = 16 * mib, .grant_max_fraction = 1}, huge);
    for (const std::uint64_t length : {std::uint64_t{1}, 4 * kib - 1, 4 * kib, 4 * kib + 1, mib + 17}) {
      const BlockRef block = make_block(length, length, 64 * kib);
      ASSERT_TRUE(put_block(*store, block));
      auto grant = store->grant(block);
      ASSERT_TRUE(grant);
      struct stat status {};
      ASSERT_EQ(::fstat(grant->fd.get(), &status), 0);
      EXPECT_EQ(status.st_size, static_cast<off_t>(length));
      std::byte past{};
      EXPECT_EQ(::pread(grant->fd.get(), &past, 1, static_cast<off_t>(length)), 0);
      EXPECT_EQ(read_all(*grant), content(block, 0, length));
      const auto tail = mapped_tail(*grant);
      EXPECT_EQ(tail, std::vector<std::byte>(tail.size())) << length;
    }
  }
}

// One memory grows and shrinks within its last page and across pages; what stood there before is gone.
TEST(BlockGrant, IsAFileOfExactlyTheBlocksLengthInRecycledMemory) {
  auto store = open_store({.capacity_bytes = 64 * kib, .grant_max_fraction = 1, .pool_bytes = 64 * kib});
  std::uint64_t number = 0;
  const auto put = [&](std::uint64_t length) {
    const BlockRef block = make_block(++number, length, 64 * kib);
    EXPECT_TRUE(put_block(*store, block));
    return block;
  };
  store->free_block(put(16 * kib).id);
  const Descriptors before = descriptors();
  for (const std::uint64_t length : {4 * kib + 1, 8 * kib - 1, 4 * kib + 100, 8 * kib}) {
    store->free_block(put(length).id);
    EXPECT_EQ(store->stats().pooled_bytes, 8 * kib);
    EXPECT_EQ(descriptors().count, before.count) << "the same memory again";
    EXPECT_EQ(descriptors().memfd_bytes, 8 * kib);
  }
  const BlockRef block = put(4 * kib + 9);
  EXPECT_EQ(store->stats().pooled_bytes, 0U);
  auto grant = store->grant(block);
  ASSERT_TRUE(grant);
  struct stat status {};
  ASSERT_EQ(::fstat(grant->fd.get(), &status), 0);
  EXPECT_EQ(status.st_size, static_cast<off_t>(4 * kib + 9));
  EXPECT_EQ(read_all(*grant), content(block, 0, block.length_bytes));
  EXPECT_EQ(mapped_tail(*grant), std::vector<std::byte>(4 * kib - 9));
}

TEST(BlockGrant, AShortBlockTakesNoDescriptorAndIsNeverGranted) {
  auto store = open_store({.capacity_bytes = mib, .grant_max_fraction = 1, .private_below_bytes = 10'000, .max_blocks = 1});
  const Descriptors before = descriptors();
  for (std::uint64_t number = 1; number <= 20; ++number) ASSERT_TRUE(put_block(*store, make_block(number, 9'999, 64 * kib)));
  EXPECT_EQ(descriptors().count, before.count);
  EXPECT_EQ(store->stats().blocks, 20U);
  EXPECT_EQ(store->stats().resident_bytes, 20U * 12 * kib) << "charged by whole 4 KiB";
  const BlockRef block = make_block(7, 9'999, 64 * kib);
  EXPECT_EQ(store->grant(block).code(), Code::unsupported);
  EXPECT_TRUE(shows(*store->find(block, PageIndex{0}), block, PageIndex{0}));
  const BlockRef shared = make_block(100, 10'000, 64 * kib);
  ASSERT_TRUE(put_block(*store, shared));
  EXPECT_TRUE(store->grant(shared));
}

TEST(BlockGrant, AViewOfAShortBlockOutlivesItsEviction) {
  auto store = open_store({.capacity_bytes = 8 * kib, .private_below_bytes = 10'000});
  const BlockRef block = make_block(1, 4'000, 64 * kib);
  ASSERT_TRUE(put_block(*store, block));
  const PageView view = *store->find(block, PageIndex{0});
  store->free_block(block.id);
  EXPECT_EQ(store->stats().orphaned_bytes, 4 * kib);
  ASSERT_TRUE(put_block(*store, make_block(2, 4'096, 64 * kib)));
  EXPECT_TRUE(shows(view, block, PageIndex{0}));
}

}  // namespace
}  // namespace hearth

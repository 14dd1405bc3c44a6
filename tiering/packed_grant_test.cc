// Segments in other hands: what their holder can not do, and what happens to them while they are mapped.
#include "tiering/packed_test_support.h"

#include <gtest/gtest.h>

#include <sys/wait.h>

#include <map>

namespace hearth {
namespace {

using namespace hearth::testing;

TEST(PackedGrant, IsTheWholeSegmentThatShowsEachOfItsBlocks) {
  auto store = open_packing({.capacity_bytes = mib}, small_segments);
  for (std::uint64_t number = 1; number <= 4; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 1000 * number)));
  auto grant = grant_segment_of(*store, owned_block(3, 3000));
  ASSERT_TRUE(grant) << grant.error().to_string();
  EXPECT_EQ(grant->offset_bytes, 0U);
  EXPECT_EQ(grant->length_bytes, 32 * kib);
  EXPECT_TRUE(grant->chunk_checksums.empty());
  EXPECT_EQ(store->stats().leases, 1U);
  EXPECT_EQ(store->residency(BlockId{7, 1}).leases, 1U);
  const MappedSegment mapped(*grant);
  for (std::uint64_t number = 1; number <= 4; ++number) {
    const BlockRef block = owned_block(number, 1000 * number);
    EXPECT_TRUE(mapped.shows(block, store->packed_place(block.id)->offset_bytes));
  }
}

TEST(PackedGrant, IsOnlyOfTheSegmentInWhichTheBlockLiesNow) {
  auto store = open_packing({.capacity_bytes = mib}, small_segments);
  const BlockRef mine = owned_block(1, 1000, 1);
  const BlockRef other = owned_block(2, 1000, 2);
  ASSERT_TRUE(put_block(*store, mine));
  ASSERT_TRUE(put_block(*store, other));
  const BlockId others = store->packed_place(other.id)->segment;
  EXPECT_EQ(store->grant_segment(mine, others).code(), Code::not_found);
  EXPECT_EQ(store->grant_segment(owned_block(3, 10), others).code(), Code::not_found);
  store->free_block(other.id);
  EXPECT_EQ(store->grant_segment(other, others).code(), Code::not_found);
  EXPECT_EQ(store->stats().leases, 0U);
}

TEST(PackedGrant, IsTheOnlyGrantOfAPackedBlock) {
  auto store = open_packing({.capacity_bytes = mib}, small_segments);
  const BlockRef block = owned_block(1, 1000);
  ASSERT_TRUE(put_block(*store, block));
  const auto alone = store->grant(block);
  EXPECT_EQ(alone.code(), Code::unsupported);
  EXPECT_NE(alone.error().message().find("packed"), std::string::npos);
  EXPECT_EQ(store->grant_in_filling(block).code(), Code::unsupported);
  EXPECT_EQ(store->grant_in_filling(owned_block(2, 1000)).code(), Code::unsupported);
}

// The attacks of block_grant_test.cc, on memory that the worker goes on writing to.
TEST(PackedGrant, CanNotBeChangedByItsHolderWhileTheWorkerAppends) {
  auto store = open_packing({.capacity_bytes = mib}, small_segments);
  const BlockRef block = owned_block(1, 5000);
  ASSERT_TRUE(put_block(*store, block));
  auto grant = grant_segment_of(*store, block);
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
  EXPECT_NE(::madvise(mapping, 4096, MADV_REMOVE), 0);
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
  const BlockRef next = owned_block(2, 5000);
  ASSERT_TRUE(put_block(*store, next)) << "the worker's own mapping still writes";
  const MappedSegment mapped(*grant);
  EXPECT_TRUE(mapped.shows(block, store->packed_place(block.id)->offset_bytes));
  EXPECT_TRUE(mapped.shows(next, store->packed_place(next.id)->offset_bytes));
}

TEST(PackedGrant, CanNotBeReopenedForWritingByAnotherUser) {
  auto store = open_packing({.capacity_bytes = mib}, small_segments);
  ASSERT_TRUE(put_block(*store, owned_block(1, 1000)));
  auto grant = grant_segment_of(*store, owned_block(1, 1000));
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

TEST(PackedGrant, NothingMovesOrGoesFromASegmentUntilItsLastLeaseEnds) {
  auto store = open_packing({.capacity_bytes = 128 * kib}, small_segments);
  for (std::uint64_t number = 0; number < 8; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
  auto first = grant_segment_of(*store, owned_block(0, 4 * kib));
  auto second = grant_segment_of(*store, owned_block(5, 4 * kib));
  ASSERT_TRUE(first && second);
  const auto all_there = [&] {
    for (std::uint64_t number = 0; number < 8; ++number) {
      const auto place = store->packed_place(BlockId{7, number});
      if (!place || place->offset_bytes != number * 4 * kib) return false;
    }
    return true;
  };
  for (std::uint64_t number = 100; number < 200; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
  EXPECT_TRUE(all_there());
  store->release(first->lease);
  for (std::uint64_t number = 200; number < 300; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
  EXPECT_TRUE(all_there()) << "the second lease holds it";
  EXPECT_EQ(store->stats().leased_bytes, 32 * kib);
  store->release(second->lease);
  EXPECT_EQ(store->stats().leased_bytes, 0U);
  for (std::uint64_t number = 300; number < 400; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
  EXPECT_FALSE(all_there());
  EXPECT_EQ(store->stats().orphaned_bytes, store->stats().dead_bytes);
}

TEST(PackedGrant, BlocksComeBackIntoTheOrderOfEvictionByTheirLastAccess) {
  auto store = open_packing({.capacity_bytes = 256 * kib}, small_segments);
  for (std::uint64_t number = 0; number < 4; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 1000)));
  ASSERT_TRUE(store->find(owned_block(1, 1000), PageIndex{0}));
  auto grant = grant_segment_of(*store, owned_block(2, 1000));
  ASSERT_TRUE(grant);
  EXPECT_FALSE(store->coldest()) << "nothing of it may go";
  ASSERT_TRUE(store->find(owned_block(0, 1000), PageIndex{0}));
  store->release(grant->lease);
  for (const std::uint64_t expected : {3, 1, 2, 0}) {
    auto unit = store->coldest();
    ASSERT_TRUE(unit);
    EXPECT_EQ(unit->block.id.low, expected);
    EXPECT_GT(store->evict(std::move(*unit)), 0U);
  }
}

TEST(PackedGrant, TheColdestSegmentsAreRecalledFirst) {
  auto store = open_packing({.capacity_bytes = 256 * kib, .grant_max_fraction = 1}, small_segments);
  std::vector<BlockGrant> grants;
  for (std::uint64_t number = 0; number < 3; ++number) {
    const BlockRef block = owned_block(number, 4 * kib, static_cast<std::uint32_t>(number));
    ASSERT_TRUE(put_block(*store, block));
    grants.push_back(grant_segment_of(*store, block).value());
  }
  const BlockRef large = make_block(50, 16 * kib);
  ASSERT_TRUE(put_block(*store, large));
  auto of_large = store->grant(large);
  ASSERT_TRUE(of_large);
  ASSERT_TRUE(store->find(owned_block(0, 4 * kib, 0), PageIndex{0}));
  EXPECT_EQ(store->leases_to_recall(1), std::vector{grants[1].lease});
  EXPECT_EQ(store->leases_to_recall(8 * kib), (std::vector{grants[1].lease, grants[2].lease}));
  EXPECT_EQ(store->leases_to_recall(mib), (std::vector{grants[1].lease, grants[2].lease, of_large->lease, grants[0].lease}));
  store->free_block(BlockId{7, 0});  // the segment is open: it stays
  EXPECT_EQ(store->leases_to_recall(1), std::vector{grants[1].lease});
}

TEST(PackedGrant, AFreedOrDamagedBlockLeavesADeadSlotAndNothingElse) {
  auto store = open_packing({.capacity_bytes = 256 * kib}, small_segments);
  const BlockRef freed = owned_block(1, 3000);
  const BlockRef damaged = owned_block(2, 3000);
  const BlockRef kept = owned_block(3, 3000);
  for (const BlockRef& block : {freed, damaged, kept}) ASSERT_TRUE(put_block(*store, block));
  auto grant = grant_segment_of(*store, kept);
  ASSERT_TRUE(grant);
  const MappedSegment mapped(*grant);
  const std::uint64_t freed_at = store->packed_place(freed.id)->offset_bytes;
  const std::uint64_t kept_at = store->packed_place(kept.id)->offset_bytes;
  EXPECT_EQ(store->free_block(freed.id), 3000U);
  store->tamper_for_test(damaged.id)[100] ^= std::byte{1};
  store->drop_corrupt(damaged.id, PageIndex{0});
  EXPECT_EQ(store->stats().corrupt_chunks, 1U);
  EXPECT_FALSE(store->residency(freed.id).present || store->residency(damaged.id).present);
  EXPECT_TRUE(mapped.shows(freed, freed_at)) << "a reader that knows the place still reads right bytes";
  EXPECT_TRUE(mapped.shows(kept, kept_at));
  EXPECT_EQ(store->stats().leases, 1U);
  ASSERT_TRUE(put_block(*store, damaged)) << "it comes again, elsewhere in the same segment";
  EXPECT_TRUE(mapped.shows(damaged, store->packed_place(damaged.id)->offset_bytes));
  EXPECT_TRUE(mapped.shows(freed, freed_at)) << "a dead slot is never used again";
}

// The mapping outlives the lease here, as that of a client that does not let go: never a wrong byte, whatever happens.
TEST(PackedGrant, EvictionCompactionAndTheEndOfTheStoreLeaveAMappedSegmentAsItWas) {
  auto store = open_packing({.capacity_bytes = 256 * kib}, small_segments);
  std::map<std::uint64_t, std::uint64_t> places;
  for (std::uint64_t number = 0; number < 7; ++number) {
    const BlockRef block = owned_block(number, 4 * kib);
    ASSERT_TRUE(put_block(*store, block));
    places[number] = store->packed_place(block.id)->offset_bytes;
  }
  auto grant = grant_segment_of(*store, owned_block(0, 4 * kib));
  ASSERT_TRUE(grant);
  const MappedSegment mapped(*grant);
  const auto all_right = [&] {
    for (const auto& [number, offset] : places) {
      if (!mapped.shows(owned_block(number, 4 * kib), offset)) return false;
    }
    return true;
  };
  store->release(grant->lease);
  for (std::uint64_t number = 100; number < 145; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
  for (const std::uint64_t number : {0, 2, 4, 5, 6}) store->free_block(BlockId{7, number});
  for (std::uint64_t number = 100; number < 130; number += 2) store->free_block(BlockId{7, number});
  while (store->compact()) {}
  EXPECT_GT(store->stats().compacted_bytes, 0U);
  EXPECT_TRUE(all_right());
  for (std::uint64_t number = 200; number < 400; ++number) {
    ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
    ASSERT_TRUE(all_right());
  }
  EXPECT_FALSE(store->residency(BlockId{7, 1}).present) << "evicted long ago";
  store.reset();
  EXPECT_TRUE(all_right());
}

}  // namespace
}  // namespace hearth

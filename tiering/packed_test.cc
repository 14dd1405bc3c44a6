// Packed blocks inside the store: who shares a segment, what it costs, how it goes.
#include "tiering/packed_test_support.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

namespace hearth {
namespace {

using namespace hearth::testing;

TEST(Packed, SmallBlocksOfOneDomainShareOneDescriptor) {
  auto store = open_store({.capacity_bytes = 64 * mib, .pack_below_bytes = 100'000, .max_blocks = 1});
  const Descriptors before = descriptors();
  std::set<std::uint64_t> offsets;
  for (std::uint64_t number = 0; number < 15; ++number) {
    const BlockRef block = owned_block(number, 100'000 - number);
    ASSERT_TRUE(put_block(*store, block));
    EXPECT_EQ(store->packed_place(block.id)->segment, store->packed_place(BlockId{7, 0})->segment);
    EXPECT_EQ(store->packed_place(block.id)->offset_bytes % 64, 0U);
    offsets.insert(store->packed_place(block.id)->offset_bytes);
  }
  EXPECT_EQ(offsets.size(), 15U);
  EXPECT_EQ(descriptors().count, before.count + 1);
  EXPECT_EQ(store->stats().segments, 1U);
  for (std::uint64_t number = 0; number < 15; ++number) {
    const BlockRef block = owned_block(number, 100'000 - number);
    const auto view = store->find(block, PageIndex{0});
    ASSERT_TRUE(view && shows(*view, block, PageIndex{0}));
    EXPECT_TRUE(BlockStore::verify(*view, 0, block.length_bytes));
  }
}

TEST(Packed, DomainsNeverShareASegment) {
  auto store = open_packing({.capacity_bytes = mib}, small_segments);
  std::vector<BlockRef> blocks(6, owned_block(0, 1000));
  blocks[1].attachment.value += 1;
  blocks[2].file.uid += 1;
  blocks[3].file.gid += 1;
  blocks[4].file.mode = 0644;
  blocks[5].file.mode = 0600;
  std::set<BlockId> segments;
  for (std::uint64_t number = 0; number < blocks.size(); ++number) {
    blocks[number].id.low = number;
    ASSERT_TRUE(put_block(*store, blocks[number]));
    segments.insert(store->packed_place(blocks[number].id)->segment);
  }
  EXPECT_EQ(segments.size(), blocks.size());
  BlockRef writable = blocks[0];
  writable.id.low = 100;
  writable.file.mode = 0660;
  ASSERT_TRUE(put_block(*store, writable));
  EXPECT_EQ(store->packed_place(writable.id)->segment, store->packed_place(blocks[0].id)->segment)
      << "who may write a file does not matter here";
}

TEST(Packed, OnlyBlocksOfOnePageOfAKnownOwnerUpToTheLimitArePacked) {
  auto store = open_store({.capacity_bytes = 64 * mib, .pack_below_bytes = 5000, .private_below_bytes = 4000});
  const auto packed = [&](const BlockRef& block) {
    EXPECT_TRUE(put_block(*store, block));
    return store->packed_place(block.id).has_value();
  };
  EXPECT_TRUE(packed(owned_block(1, 5000)));
  EXPECT_FALSE(packed(owned_block(2, 5001)));
  BlockRef two_pages = owned_block(3, 5000);
  two_pages.page_size_bytes = 4096;
  EXPECT_FALSE(packed(two_pages));
  BlockRef nobodys = owned_block(4, 3000);
  nobodys.file.uid = BlockFile::unknown_id;
  BlockRef of_no_group = owned_block(5, 3000);
  of_no_group.file.gid = BlockFile::unknown_id;
  BlockRef unreadable = owned_block(6, 3000);
  unreadable.file.mode = BlockFile::unknown_mode;
  for (const BlockRef& block : {nobodys, of_no_group, unreadable}) EXPECT_FALSE(packed(block)) << block.id.low;
  const Descriptors before = descriptors();
  EXPECT_FALSE(packed(make_block(7, 3000, 1U << 20)));
  EXPECT_EQ(descriptors().count, before.count) << "private, as ever";
}

TEST(Packed, ASegmentIsAThirtySecondOfTheTierAtMost) {
  const auto of = [](std::uint64_t capacity, double fraction = 0.13) {
    return Packing::of({.capacity_bytes = capacity, .grant_max_fraction = fraction, .pack_below_bytes = 16 * mib});
  };
  EXPECT_EQ(of(64 * mib - 1).below_bytes, 0U) << "too small for segments";
  EXPECT_EQ(of(64 * mib).segment_bytes, 2 * mib);
  EXPECT_EQ(of(64 * mib).below_bytes, 2 * mib);
  EXPECT_EQ(of(200 * mib).segment_bytes, 6 * mib);
  EXPECT_EQ(of(64 * 1024 * mib).segment_bytes, 64 * mib);
  EXPECT_EQ(of(64 * 1024 * mib).below_bytes, 16 * mib);
  EXPECT_EQ(of(64 * 1024 * mib, 0).below_bytes, 0U) << "nothing may be granted";
}

TEST(Packed, ASegmentCostsWhatIsTouchedOfIt) {
  for (const HugePageSupport huge : {HugePageSupport::absent, HugePageSupport::present}) {
    auto store = open_store({.capacity_bytes = 128 * mib, .pack_below_bytes = mib}, huge);
    const std::uint64_t before = descriptors().memfd_bytes;
    ASSERT_TRUE(put_block(*store, owned_block(1, 100)));
    EXPECT_EQ(charged(store->stats()), 4 * kib);
    EXPECT_EQ(store->stats().resident_bytes, 128U);
    EXPECT_EQ(store->stats().dead_bytes, 4 * kib - 128);
    EXPECT_EQ(descriptors().memfd_bytes - before, 4 * kib);
    ASSERT_TRUE(put_block(*store, owned_block(2, 3900)));
    EXPECT_EQ(charged(store->stats()), 4 * kib);
    for (std::uint64_t number = 3; number <= 4; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, mib)));
    const bool large = huge == HugePageSupport::present;
    EXPECT_EQ(charged(store->stats()), large ? 4 * mib : 2 * mib + 4 * kib);
    EXPECT_LE(descriptors().memfd_bytes - before, charged(store->stats()));
    EXPECT_EQ(store->stats().segments, 1U);
  }
}

TEST(Packed, AFillThatTakesAHugePageSaysSo) {
  auto store = open_store({.capacity_bytes = 128 * mib, .pack_below_bytes = mib}, HugePageSupport::present);
  for (std::uint64_t number = 0; number < 2; ++number) {
    auto fill = store->begin_fill(owned_block(number, mib), PageIndex{0});
    ASSERT_TRUE(fill);
    EXPECT_EQ(fill->takes_ahead_bytes(), 0U);
    fill_and_commit(*store, std::move(*fill), owned_block(number, mib), PageIndex{0});
  }
  auto fill = store->begin_fill(owned_block(5, 4000), PageIndex{0});
  ASSERT_TRUE(fill);
  EXPECT_EQ(fill->takes_ahead_bytes(), 2 * mib - 4000);
  fill_and_commit(*store, std::move(*fill), owned_block(5, 4000), PageIndex{0});
  auto next = store->begin_fill(owned_block(6, 4000), PageIndex{0});
  ASSERT_TRUE(next);
  EXPECT_EQ(next->takes_ahead_bytes(), 0U) << "the huge page is there";
}

TEST(Packed, AnAbandonedFillLeavesADeadSlotThatIsNeverUsed) {
  auto store = open_packing({.capacity_bytes = mib}, small_segments);
  ASSERT_TRUE(put_block(*store, owned_block(1, 1024)));
  {
    auto fill = store->begin_fill(owned_block(2, 1024), PageIndex{0});
    ASSERT_TRUE(fill);
    EXPECT_EQ(store->stats().filling_bytes, 1024U);
    EXPECT_FALSE(store->packed_place(BlockId{7, 2}));
    EXPECT_EQ(store->begin_fill(owned_block(2, 1024), PageIndex{0}).code(), Code::busy);
  }
  EXPECT_EQ(store->stats().filling_bytes, 0U);
  ASSERT_TRUE(put_block(*store, owned_block(2, 1024)));
  EXPECT_EQ(store->packed_place(BlockId{7, 2})->offset_bytes, 2048U);
}

TEST(Packed, ABlockThatIsFreedWhileItIsFilledIsServedOnceAndForgotten) {
  auto store = open_packing({.capacity_bytes = mib}, small_segments);
  const BlockRef block = owned_block(1, 1024);
  auto fill = store->begin_fill(block, PageIndex{0});
  ASSERT_TRUE(fill);
  store->free_block(block.id);
  const PageView view = fill_and_commit(*store, std::move(*fill), block, PageIndex{0});
  EXPECT_TRUE(shows(view, block, PageIndex{0}));
  EXPECT_FALSE(store->contains(block.id, PageIndex{0}));
  EXPECT_EQ(store->stats().resident_bytes, 0U);
}

TEST(Packed, FillsOfOneSegmentMayBeStoredAtOnceByManyThreads) {
  auto store = open_packing({.capacity_bytes = 16 * mib}, {.below_bytes = mib, .segment_bytes = 8 * mib});
  std::vector<PageFill> fills;
  for (std::uint64_t number = 0; number < 64; ++number) {
    fills.push_back(store->begin_fill(owned_block(number, 100'000), PageIndex{0}).value());
  }
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::size_t number = thread; number < fills.size(); number += 4) {
        EXPECT_TRUE(fills[number].store(page_content(owned_block(number, 100'000), PageIndex{0})));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::uint64_t number = 0; number < 64; ++number) {
    const BlockRef block = owned_block(number, 100'000);
    const auto view = store->commit(std::move(fills[number]), chunk_checksums(page_content(block, PageIndex{0})));
    EXPECT_TRUE(shows(view, block, PageIndex{0}));
  }
  EXPECT_EQ(store->stats().segments, 1U);
}

TEST(Packed, AFullTierLetsTheOldestSegmentGoWhole) {
  auto store = open_packing({.capacity_bytes = 256 * kib}, small_segments);
  for (std::uint64_t number = 0; number < 640; ++number) {
    ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
    ASSERT_LE(charged(store->stats()), 256 * kib);
  }
  EXPECT_EQ(store->stats().blocks, 64U) << "in the order of reading nothing is lost to packing";
  for (std::uint64_t number = 640 - 56; number < 640; ++number) EXPECT_TRUE(store->residency(BlockId{7, number}).complete);
  EXPECT_EQ(store->stats().compacted_bytes, 0U);
}

TEST(Packed, MixedWithLargeBlocksEachKindMakesRoomForTheOther) {
  auto store = open_packing({.capacity_bytes = 256 * kib}, small_segments);
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t number = 0; number < 64; ++number) ASSERT_TRUE(put_block(*store, owned_block(round * 1000 + number, 4 * kib)));
    ASSERT_TRUE(put_block(*store, make_block(round * 1000 + 500, 200 * kib)));
    EXPECT_TRUE(store->residency(BlockId{7, static_cast<std::uint64_t>(round) * 1000 + 500}).complete);
  }
}

TEST(Packed, APinnedBlockStaysWhateverHappensToItsSegment) {
  auto store = open_packing({.capacity_bytes = 128 * kib}, small_segments);
  const BlockRef pinned = owned_block(0, 4 * kib);
  ASSERT_TRUE(put_block(*store, pinned));
  store->pin(pinned.id, Pinned::yes);
  for (std::uint64_t number = 1; number < 500; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
  ASSERT_TRUE(store->residency(pinned.id).complete);
  EXPECT_TRUE(shows(*store->find(pinned, PageIndex{0}), pinned, PageIndex{0}));
  EXPECT_EQ(store->stats().pinned_bytes, 4 * kib);
}

// Every second block of each segment goes; what is left moves together, and nobody else has to go.
TEST(Packed, CompactionGivesDeadSlotsBackWithoutEvictingAnything) {
  auto store = open_packing({.capacity_bytes = 512 * kib}, small_segments);
  std::vector<PageView> views;
  for (std::uint64_t number = 0; number < 120; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
  for (std::uint64_t number = 1; number < 120; number += 10) views.push_back(*store->find(owned_block(number, 4 * kib), PageIndex{0}));
  for (std::uint64_t number = 0; number < 120; number += 2) store->free_block(BlockId{7, number});
  EXPECT_EQ(charged(store->stats()), 480 * kib);
  EXPECT_GT(store->stats().compactable_bytes, 100 * kib);
  const auto changes = store->take_changes();
  int steps = 0;
  while (store->compact()) ++steps;
  views.clear();
  EXPECT_GE(steps, 6) << "a few blocks at a time";
  EXPECT_LE(charged(store->stats()), 512 * kib / 4 * 3 + 32 * kib) << "until memory is no longer short";
  EXPECT_EQ(store->stats().evicted_bytes, 0U);
  EXPECT_EQ(store->stats().resident_bytes, 240 * kib);
  const auto after = store->take_changes();
  EXPECT_TRUE(after.added.empty() && after.removed.empty());
  for (std::uint64_t number = 1; number < 120; number += 2) {
    const BlockRef block = owned_block(number, 4 * kib);
    const auto view = store->find(block, PageIndex{0});
    ASSERT_TRUE(view && shows(*view, block, PageIndex{0}));
    EXPECT_TRUE(BlockStore::verify(*view, 0, block.length_bytes));
  }
}

TEST(Packed, AViewOfABlockThatMovedStillShowsIt) {
  auto store = open_packing({.capacity_bytes = 256 * kib}, small_segments);
  const BlockRef kept = owned_block(7, 4 * kib);
  for (std::uint64_t number = 0; number < 7; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
  const PageView view = fill_and_commit(*store, store->begin_fill(kept, PageIndex{0}).value(), kept, PageIndex{0});
  for (std::uint64_t number = 8; number < 60; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
  const PackedPlace before = *store->packed_place(kept.id);
  for (std::uint64_t number = 0; number < 60; ++number) {
    if (number % 4 != 3) store->free_block(BlockId{7, number});
  }
  while (store->compact()) {}
  const PackedPlace after = *store->packed_place(kept.id);
  ASSERT_NE(before.segment, after.segment);
  EXPECT_EQ(store->grant_segment(kept, before.segment).code(), Code::not_found);
  for (std::uint64_t number = 100; number < 400; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
  EXPECT_TRUE(shows(view, kept, PageIndex{0}));
}

// What the worker does between watermarks, with readers that come in no order: the dead slots on their way back are no
// reason to evict, and no fill has to wait.
TEST(Packed, EvictionBetweenWatermarksTakesLittleMoreThanItMust) {
  constexpr std::uint64_t capacity = 4 * mib;
  auto store = open_packing({.capacity_bytes = capacity}, {.below_bytes = 8 * kib, .segment_bytes = 128 * kib});
  std::mt19937_64 random(7);
  const auto used = [&] { const auto stats = store->stats(); return charged(stats) - stats.compactable_bytes; };
  std::uint64_t number = 0;
  std::uint64_t least_resident = capacity;
  for (int i = 0; i < 20'000; ++i) {
    if (i % 2 == 0) {
      ASSERT_TRUE(put_block(*store, owned_block(number++, 1 * kib + random() % (5 * kib))));
    } else {
      const std::uint64_t back = random() % std::min<std::uint64_t>(number, 1500);
      BlockRef block = owned_block(number - 1 - back, 1);
      (void)store->find(block, PageIndex{0});
    }
    if (used() <= capacity / 100 * 95) continue;
    while (used() > capacity / 100 * 90) {
      auto unit = store->coldest();
      ASSERT_TRUE(unit);
      ASSERT_GT(store->evict(std::move(*unit)), 0U);
    }
    least_resident = std::min(least_resident, store->stats().resident_bytes);
  }
  EXPECT_GT(least_resident, capacity / 100 * 60);
  EXPECT_EQ(store->stats().foreground_evictions, 0U);
  RecordProperty("least_resident_percent", static_cast<int>(least_resident * 100 / capacity));
}

TEST(Packed, ManyDomainsInTurnDoNotTakeADescriptorForEachBlock) {
  auto store = open_packing({.capacity_bytes = 8 * mib, .private_below_bytes = 2000},
                            {.below_bytes = 8 * kib, .segment_bytes = 64 * kib, .max_open = 4, .blocks_until_idle = 50});
  const auto put = [&](std::uint64_t number, std::uint32_t uid) {
    EXPECT_TRUE(put_block(*store, owned_block(number, 1000, uid)));
    return store->packed_place(BlockId{7, number}).has_value();
  };
  for (std::uint32_t uid = 0; uid < 4; ++uid) EXPECT_TRUE(put(uid, uid));
  for (std::uint64_t number = 4; number < 44; ++number) EXPECT_EQ(put(number, number % 8), number % 8 < 4) << number;
  EXPECT_EQ(store->stats().segments, 4U);
  for (std::uint64_t number = 100; number < 200; ++number) put(number, 50 + number % 3);
  EXPECT_EQ(store->stats().segments, 7U) << "domains of which nothing comes any more make place";
  EXPECT_TRUE(put(300, 51));
  for (std::uint64_t number = 0; number < 301; ++number) store->free_block(BlockId{7, number});
  EXPECT_EQ(store->stats().segments, 4U) << "a closed one leaves with its last block";
}

// Remote reads hold views for milliseconds, and there may be one in each segment at any time.
TEST(Packed, ReadersInEverySegmentCostAFewFillsAndNotTheWholeTier) {
  auto store = open_packing({.capacity_bytes = 512 * kib}, small_segments);
  for (std::uint64_t number = 0; number < 128; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
  std::vector<PageView> views;
  for (std::uint64_t number = 0; number < 128; number += 4) {
    views.push_back(*store->find(owned_block(number, 4 * kib), PageIndex{0}));
  }
  for (std::uint64_t number = 200; number < 300; ++number) {
    EXPECT_EQ(store->begin_fill(owned_block(number, 4 * kib), PageIndex{0}).code(), Code::no_space);
  }
  EXPECT_GE(store->stats().leaving_bytes, 64 * kib);
  EXPECT_GE(store->stats().resident_bytes, 384 * kib) << "not one segment after another goes for nothing";
  for (std::size_t i = 0; i < views.size(); ++i) {
    const BlockRef block = owned_block(4 * i, 4 * kib);
    EXPECT_TRUE(shows(views[i], block, PageIndex{0}));
  }
  views.clear();
  EXPECT_EQ(store->stats().leaving_bytes, 0U);
  for (std::uint64_t number = 200; number < 216; ++number) ASSERT_TRUE(put_block(*store, owned_block(number, 4 * kib)));
  EXPECT_GE(store->stats().resident_bytes, 448 * kib) << "what left made room";
}

TEST(Packed, DeadSlotsOfOpenSegmentsAreNoMemoryLost) {
  auto store = open_packing({.capacity_bytes = 128 * kib}, small_segments);
  for (std::uint32_t uid = 0; uid < 4; ++uid) {
    for (std::uint64_t number = 0; number < 6; ++number) {
      const BlockRef block = owned_block(uid * 10 + number, 4 * kib, uid);
      ASSERT_TRUE(put_block(*store, block));
      store->free_block(block.id);
    }
  }
  EXPECT_EQ(charged(store->stats()), 96 * kib);
  ASSERT_TRUE(put_block(*store, make_block(900, 128 * kib)));
  EXPECT_EQ(store->stats().segments, 0U);
}

}  // namespace
}  // namespace hearth

// The crash matrix: the same work, stopped at every change that the disk can tell apart, by a kill or a power cut that tears what
// was in flight. Afterwards: no wrong byte, twice; nothing leaked; and after a kill everything that the index had.
#include "tiering/nvme/nvme_test_support.h"

#include "common/rng.h"

#include <iostream>
#include <set>

namespace hearth {
namespace {

using namespace hearth::testing;  // NOLINT: a test

constexpr std::uint32_t page_size = 32 * 1024;

DiskTierOptions crash_options() {
  DiskTierOptions options = small_tier(20 * page_size);
  options.max_page_bytes = page_size;
  return options;
}

std::vector<BlockRef> blocks() {
  return {make_block(1, 6 * page_size + 1234, page_size), make_block(2, 100, page_size), make_block(3, 9 * page_size, page_size),
          make_block(4, page_size + 1, page_size),        make_block(5, 5000, 4096),     make_block(6, 30 * page_size, page_size)};
}

using PageName = std::pair<std::uint64_t, std::uint32_t>;

// What the work noted of itself up to the crash.
struct Notes {
  std::set<PageName> in_index;  // resident at the last flush that ended well, and neither freed nor evicted since

  void at_risk(const BlockRef& block) {
    std::erase_if(in_index, [&](const PageName& page) { return page.first == block.id.low; });
  }
};

std::set<PageName> resident(const DiskTierImpl& tier) {
  std::set<PageName> pages;
  for (const BlockRef& block : blocks()) {
    for (std::uint32_t page = 0; page < block.page_count(); ++page) {
      if (tier.lookup(block, PageIndex{page})) pages.emplace(block.id.low, page);
    }
  }
  return pages;
}

Task<> write_page(DiskTierImpl& tier, BlockRef block, std::uint32_t page, Deadline deadline) {
  const auto bytes = page_content(block, PageIndex{page});
  const PageIndex number{page};
  const std::span<const std::byte> all(bytes);
  std::vector<std::uint32_t> none;
  Status written = co_await tier.write(block, number, all, std::move(none), deadline);
  co_return written;
}

Task<> flush_noted(DiskTierImpl& tier, Notes& notes) {
  const std::set<PageName> here = resident(tier);
  Status flushed = co_await tier.flush();
  if (flushed) notes.in_index = here;
  co_return flushed;
}

// Writes several at a time, evictions, a block freed and written again, a grant, an allocation in advance, and flushes between.
Task<> work(DiskTierImpl& tier, Notes& notes, Clock& clock) {
  const std::vector<BlockRef> all = blocks();
  const Deadline soon = Deadline::after(clock, std::chrono::minutes(10));
  TaskGroup group(co_await asio::this_coro::executor, clock);
  for (const BlockRef& block : {all[0], all[1]}) {
    for (std::uint32_t page = 0; page < block.page_count(); ++page) CO_CHECK_OK(group.spawn(write_page(tier, block, page, soon), "write"));
  }
  CO_CHECK_OK(co_await group.join());
  CO_CHECK_OK(co_await flush_noted(tier, notes));
  CO_CHECK_OK(co_await tier.begin_whole(all[2], soon));
  for (std::uint32_t page = 0; page < 9; ++page) CO_CHECK_OK(co_await write_page(tier, all[2], page, soon));
  CO_CHECK_OK(co_await write_page(tier, all[3], 1, soon));
  CO_CHECK_OK(co_await write_page(tier, all[4], 0, soon));
  CO_CHECK_OK(co_await flush_noted(tier, notes));
  CO_TRY(grant, co_await tier.grant(all[2], soon));
  notes.at_risk(all[0]);
  tier.free_block(all[0].id);
  for (std::uint32_t page = 0; page < 4; ++page) CO_CHECK_OK(co_await write_page(tier, all[5], page * 3, soon));
  tier.release(grant.lease);
  CO_CHECK_OK(co_await write_page(tier, all[0], 6, soon));
  CO_CHECK_OK(co_await flush_noted(tier, notes));
  notes.in_index.clear();  // the next writes evict
  TaskGroup more(co_await asio::this_coro::executor, clock);
  for (std::uint32_t page = 12; page < 30; ++page) CO_CHECK_OK(more.spawn(write_page(tier, all[5], page, soon), "write"));
  CO_CHECK_OK(co_await more.join());
  CO_CHECK_OK(co_await flush_noted(tier, notes));
  co_return ok();
}

struct Outcome {
  std::size_t right = 0;
  std::size_t expected = 0;
  std::size_t missing = 0;  // of those
};

// Runs the work with the crash, restarts, and looks at every page twice.
Outcome crash_at(std::uint64_t boundary, SimCrash how, std::uint64_t seed) {
  Outcome outcome;
  World world(SimDiskOptions{.seed = seed});
  world.medium->set_latency(std::chrono::microseconds(20));
  world.medium->crash_after(boundary);
  Notes notes;
  std::set<PageName> expected;
  if (world.open(crash_options())) {
    (void)world.run(work(world.tier(), notes, world.clock));  // ends where the crash comes
    expected = notes.in_index;
  }
  world.crash(how, seed);
  world.medium->set_latency(Duration::zero());
  const Status opened = world.open(crash_options());
  EXPECT_TRUE(opened) << text(opened);
  if (!opened) return outcome;
  std::set<PageName> right;
  for (int round = 0; round < 2; ++round) {
    for (const BlockRef& block : blocks()) {
      for (std::uint32_t page = 0; page < block.page_count(); ++page) {
        // A small read first: sector checksums are believed no more than pages.
        const std::uint64_t offset = block.page_length_bytes(PageIndex{page}) / 2;
        const auto small = world.read(block, page, offset, 1);
        const std::byte expected_byte = page_content(block, PageIndex{page})[offset];
        EXPECT_TRUE(!small || small->bytes[0] == expected_byte) << "WRONG BYTE";
        const Status shown = world.shows(block, page);
        const bool known = right.contains({block.id.low, page});
        if (shown) right.emplace(block.id.low, page);
        const bool fine = shown || (!known && (shown.code() == Code::not_found || shown.code() == Code::corrupt));
        EXPECT_TRUE(fine) << "block " << block.id.low << " page " << page << ": " << text(shown);
      }
    }
    EXPECT_EQ(world.problems(), "");
  }
  outcome.right = right.size();
  outcome.expected = expected.size();
  for (const PageName& page : expected) outcome.missing += !right.contains(page);
  // And the tier works on.
  EXPECT_TRUE(world.write(make_block(99, 100, page_size), 0));
  return outcome;
}

std::uint64_t boundaries_of_the_work() {
  World world;
  world.medium->set_latency(std::chrono::microseconds(20));
  EXPECT_TRUE(world.open(crash_options()));
  Notes notes;
  const Status done = world.run(work(world.tier(), notes, world.clock));
  EXPECT_TRUE(done) << text(done);
  return world.medium->operations_done();
}

class CrashMatrix : public ::testing::TestWithParam<SimCrash> {};

TEST_P(CrashMatrix, LeavesNoWrongByteAndNothingLeakedAtAnyBoundary) {
  const std::uint64_t end = boundaries_of_the_work();
  ASSERT_GT(end, 60U);
  std::size_t right = 0;
  std::size_t expected = 0;
  std::size_t missing = 0;
  for (std::uint64_t boundary = 0; boundary <= end; ++boundary) {
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
      SCOPED_TRACE("crash after change " + std::to_string(boundary) + ", seed " + std::to_string(seed));
      const Outcome outcome = crash_at(boundary, GetParam(), seed);
      right += outcome.right;
      expected += outcome.expected;
      missing += outcome.missing;
      EXPECT_TRUE(GetParam() == SimCrash::power_loss || outcome.missing == 0) << outcome.missing << " pages lost by a kill";
      if (HasFailure()) return;
    }
  }
  std::cout << (end + 1) * 2 << " crashes at " << end + 1 << " boundaries: " << right << " pages kept, " << expected << " were in the index, of them "
            << missing << " lost\n";
  EXPECT_GT(right, 0U);
}

INSTANTIATE_TEST_SUITE_P(Kinds, CrashMatrix, ::testing::Values(SimCrash::process_kill, SimCrash::power_loss),
                         [](const auto& kind) { return kind.param == SimCrash::process_kill ? "Kill" : "PowerLoss"; });

// Found by real kills: what was punched without its record being cleared hid, in the sum, what was written without a record.
TEST(Crash, WhatIsTooMuchAndWhatIsMissingInOneFileAreBothFound) {
  World world;
  ASSERT_TRUE(world.open(crash_options()));
  const BlockRef block = make_block(1, 8 * page_size, page_size);
  for (std::uint32_t page = 0; page < 4; ++page) ASSERT_TRUE(world.write(block, page));
  ASSERT_TRUE(world.run(world.tier().flush()));
  for (std::uint32_t page = 0; page < 2; ++page) world.in_context([&, page] { world.tier().drop_page(block.id, PageIndex{page}); });
  for (std::uint32_t page = 4; page < 6; ++page) ASSERT_TRUE(world.write(block, page));
  world.crash(SimCrash::process_kill, 1);
  ASSERT_TRUE(world.open(crash_options()));
  EXPECT_EQ(world.shows(block, 0).code(), Code::corrupt);
  EXPECT_EQ(world.shows(block, 1).code(), Code::corrupt);
  EXPECT_EQ(text(world.shows(block, 2)), "ok");
  EXPECT_EQ(world.shows(block, 4).code(), Code::not_found);
  EXPECT_EQ(world.problems(), "");
  EXPECT_EQ(world.medium->content(block_file_name(block.id))->size(), 6 * page_size) << "only its holes grew";
}

TEST(Crash, ASteadyStateKeepsNearlyEverything) {
  World world;
  DiskTierOptions options = small_tier(2000 * 4096);
  options.low_watermark = 0.95;
  options.high_watermark = 0.98;
  ASSERT_TRUE(world.open(options));
  const BlockRef block = make_block(1, 10'000 * 4096, 4096);
  SeededRng rng(1);
  std::uint64_t resident_before = 0;
  for (int i = 0; i < 6000; ++i) {
    (void)world.write(block, static_cast<std::uint32_t>(rng.below(10'000)));
    if (i % 10 == 0) world.ticks(1);  // 200 pages a second, written to the index within 200 ms
  }
  resident_before = world.tier().stats().pages;
  world.crash(SimCrash::process_kill, 1);
  ASSERT_TRUE(world.open(options));
  std::uint64_t right = 0;
  for (std::uint32_t page = 0; page < 10'000; ++page) right += world.shows(block, page).has_value();
  std::cout << right << " of " << resident_before << " pages kept\n";
  EXPECT_GE(static_cast<double>(right), 0.95 * static_cast<double>(resident_before)) << "40 pages of 2000 may be in the window";
  EXPECT_EQ(world.problems(), "");
}

}  // namespace
}  // namespace hearth

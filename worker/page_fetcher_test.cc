#include "worker/page_fetcher.h"

#include "common/manual_clock.h"
#include "worker/page_run.h"
#include "worker/testing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace hearth::worker {
namespace {

using testing::is_oracle;
using testing::OracleStore;
using testing::test_attachment;
using testing::test_page;

constexpr const char* uri = "sim://one";

MemoryTierOptions tier_of(std::uint64_t bytes) {
  MemoryTierOptions options;
  options.capacity_bytes = bytes;
  options.huge_pages = HugePages::off;
  options.grant_max_fraction = 1.0;
  options.max_blocks = 512;
  return options;
}

// A fetcher over a tier and an oracle store, on one loop.
class PageFetching : public ::testing::Test {
 protected:
  void make(std::uint64_t capacity, FetcherOptions options = {}, std::uint32_t reads_at_once = 16) {
    auto opened = BlockStore::open(tier_of(capacity));
    ASSERT_TRUE(opened) << opened.error().message();
    blocks_ = std::move(opened).value();
    store_ = std::make_shared<OracleStore>(loop_.executor(), uri);
    AttachmentLimits limits;
    limits.reads_at_once = reads_at_once;
    attachments_ = std::make_unique<WorkerAttachments>(
        loop_.executor(), pool_, [this](const std::string&, const StoreOptions&) { return open_store(); }, limits);
    AttachedStore attached;
    attached.id = test_attachment;
    attached.uri = uri;
    attached.page_size_bytes = test_page;
    attachments_->replace({attached}, 1);
    FetcherEvents events;
    events.no_room = [this](std::uint64_t) { no_room_ += 1; };
    tasks_ = std::make_unique<TaskGroup>(loop_.executor(), clock_);
    readers_ = std::make_unique<TaskGroup>(loop_.executor(), clock_);
    TiersParts parts{loop_.executor(), clock_, *blocks_, pool_, *attachments_, counters_, [] {}};
    tiers_ = std::make_unique<Tiers>(std::move(parts), NvmeOptions{}, open_disk, 1);
    fetcher_ = std::make_unique<PageFetcher>(*blocks_, *tiers_, *attachments_, pool_, *tasks_, clock_, counters_, options,
                                             std::move(events));
  }
  void TearDown() override {
    store_->open_gate();
    EXPECT_TRUE(loop_.run(readers_->join()));
    EXPECT_TRUE(loop_.run(tasks_->join()));
  }
  Result<std::shared_ptr<UnderStore>> open_store() {
    if (open_failures_ > 0) {
      open_failures_ -= 1;
      return Error(Code::unavailable, "injected");
    }
    return std::shared_ptr<UnderStore>(store_);
  }
  BlockRef file(const std::string& path, std::uint64_t length, const std::string& version = "v1") {
    store_->put(path, version, length);
    return testing::block_of(uri, path, version, length);
  }

  struct ReadOutcome {
    Status status = ok();
    bool right = true;
    std::uint64_t bytes = 0;
    std::uint64_t from_store = 0;
  };
  Task<> read(BlockRef block, std::uint64_t offset, std::uint64_t length, Deadline deadline, ReadOutcome* outcome) {
    PageRunOptions options;
    options.keep = keep_;
    PageRun run(*tiers_, *fetcher_, counters_, block, offset, length, options);
    while (!run.done()) {
      Result<PagePiece> piece = co_await run.next(deadline);
      if (!piece) {
        outcome->status = std::move(piece).error();
        co_return ok();
      }
      const std::uint64_t at = std::uint64_t{piece->page.value} * block.page_size_bytes + piece->offset_in_page;
      outcome->right = outcome->right && is_oracle(piece->data(), block.store_path, block.version, at);
      outcome->right = outcome->right && piece->checksum() == crc_of(piece->data());
      outcome->bytes += piece->length_bytes;
      if (piece->source == Source::store) outcome->from_store += piece->length_bytes;
    }
    co_return ok();
  }
  ReadOutcome read_now(const BlockRef& block, std::uint64_t offset, std::uint64_t length) {
    ReadOutcome outcome;
    EXPECT_TRUE(loop_.run(read(block, offset, length, Deadline::never(), &outcome)));
    return outcome;
  }
  static std::uint32_t crc_of(std::span<const std::byte> bytes);

  Keep keep_ = Keep::when_there_is_room;
  int no_room_ = 0;
  int open_failures_ = 0;
  testing::Loop loop_;
  ManualClock clock_;
  BlockingPool pool_{2, 65'536};
  WorkerCounters counters_;
  std::unique_ptr<BlockStore> blocks_;
  std::shared_ptr<OracleStore> store_;
  std::unique_ptr<WorkerAttachments> attachments_;
  std::unique_ptr<TaskGroup> tasks_;
  std::unique_ptr<TaskGroup> readers_;
  std::unique_ptr<Tiers> tiers_;
  std::unique_ptr<PageFetcher> fetcher_;
};

// Bit by bit, so that it shares nothing with what it checks.
std::uint32_t PageFetching::crc_of(std::span<const std::byte> bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> out{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0U);
      out[i] = value;
    }
    return out;
  }();
  std::uint32_t crc = ~0U;
  for (const std::byte byte : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<std::uint8_t>(byte)) & 0xFF];
  return ~crc;
}

TEST_F(PageFetching, AThousandReadersOfOnePageCauseOneRead) {
  make(64 * test_page);
  const BlockRef block = file("a", 3 * test_page + 100);
  store_->close_gate();
  std::vector<ReadOutcome> outcomes(1000);
  for (ReadOutcome& outcome : outcomes) {
    ASSERT_TRUE(readers_->spawn(read(block, 0, block.length_bytes, Deadline::never(), &outcome)));
  }
  ASSERT_TRUE(loop_.work_until([&] { return store_->in_flight() == 4; }));
  store_->open_gate();
  ASSERT_TRUE(loop_.work_until([&] { return readers_->size() == 0; }));
  for (const ReadOutcome& outcome : outcomes) {
    EXPECT_TRUE(outcome.status && outcome.right);
    EXPECT_EQ(outcome.bytes, block.length_bytes);
  }
  EXPECT_EQ(store_->reads(), 4);
  for (std::uint64_t page = 0; page < 4; ++page) EXPECT_EQ(store_->reads_at(page * test_page), 1);
  EXPECT_TRUE(blocks_->residency(block.id).complete);
}

TEST_F(PageFetching, AFetchGoesOnWhenItsFirstReaderLeaves) {
  make(64 * test_page);
  const BlockRef block = file("a", test_page);
  store_->close_gate();
  ReadOutcome leader;
  ReadOutcome follower;
  TaskGroup leaders(loop_.executor(), clock_);
  ASSERT_TRUE(leaders.spawn(read(block, 0, 100, Deadline::never(), &leader)));
  ASSERT_TRUE(loop_.work_until([&] { return store_->in_flight() == 1; }));
  ASSERT_TRUE(readers_->spawn(read(block, 200, 100, Deadline::never(), &follower)));
  loop_.settle();
  leaders.cancel();
  ASSERT_TRUE(loop_.run(leaders.join()));
  EXPECT_EQ(leader.status.code(), Code::cancelled);
  store_->open_gate();
  ASSERT_TRUE(loop_.work_until([&] { return readers_->size() == 0; }));
  EXPECT_TRUE(follower.status && follower.right);
  EXPECT_EQ(store_->reads(), 1);
}

TEST_F(PageFetching, AFetchThatNobodyWaitsForAnyMoreIsNotStarted) {
  make(64 * test_page, {}, 1);
  const BlockRef first = file("a", test_page);
  const BlockRef second = file("b", test_page);
  store_->close_gate();
  ReadOutcome one;
  ReadOutcome two;
  ASSERT_TRUE(readers_->spawn(read(first, 0, 100, Deadline::never(), &one)));
  ASSERT_TRUE(loop_.work_until([&] { return store_->in_flight() == 1; }));
  TaskGroup leaving(loop_.executor(), clock_);
  ASSERT_TRUE(leaving.spawn(read(second, 0, 100, Deadline::never(), &two)));
  loop_.settle();
  leaving.cancel();
  ASSERT_TRUE(loop_.run(leaving.join()));
  store_->open_gate();
  ASSERT_TRUE(loop_.work_until([&] { return tasks_->size() == 0 && readers_->size() == 0; }));
  EXPECT_TRUE(one.status && one.right);
  EXPECT_EQ(store_->reads(), 1);
}

TEST_F(PageFetching, AVersionSwitchMidReadIsStaleAndLeavesNothingBehind) {
  make(64 * test_page);
  const BlockRef block = file("a", 2 * test_page);
  store_->close_gate();
  ReadOutcome outcome;
  ASSERT_TRUE(readers_->spawn(read(block, 0, block.length_bytes, Deadline::never(), &outcome)));
  ASSERT_TRUE(loop_.work_until([&] { return store_->in_flight() == 2; }));
  store_->put("a", "v2", 2 * test_page);
  store_->open_gate();
  ASSERT_TRUE(loop_.work_until([&] { return readers_->size() == 0; }));
  EXPECT_EQ(outcome.status.code(), Code::stale);
  ASSERT_TRUE(loop_.work_until([&] { return tasks_->size() == 0; }));
  EXPECT_EQ(blocks_->residency(block.id).resident_bytes, 0U);
  EXPECT_EQ(blocks_->stats().filling_bytes, 0U);
  const BlockRef now = testing::block_of(uri, "a", "v2", 2 * test_page);
  const ReadOutcome fresh = read_now(now, 0, now.length_bytes);
  EXPECT_TRUE(fresh.status && fresh.right);
}

TEST_F(PageFetching, AFailureReachesEveryReaderAndTheNextOneRecovers) {
  make(64 * test_page);
  const BlockRef block = file("a", test_page);
  store_->close_gate();
  store_->fail_next(Code::unavailable, 1);
  std::vector<ReadOutcome> outcomes(10);
  for (ReadOutcome& outcome : outcomes) {
    ASSERT_TRUE(readers_->spawn(read(block, 0, test_page, Deadline::never(), &outcome)));
  }
  ASSERT_TRUE(loop_.work_until([&] { return store_->in_flight() == 1; }));
  store_->open_gate();
  ASSERT_TRUE(loop_.work_until([&] { return readers_->size() == 0; }));
  for (const ReadOutcome& outcome : outcomes) EXPECT_EQ(outcome.status.code(), Code::unavailable);
  const ReadOutcome after = read_now(block, 0, test_page);
  EXPECT_TRUE(after.status && after.right);
}

TEST_F(PageFetching, AnUnderStoreThatDoesNotOpenIsTriedAgain) {
  make(64 * test_page);
  open_failures_ = 1;
  const BlockRef block = file("a", test_page);
  EXPECT_EQ(read_now(block, 0, 100).status.code(), Code::unavailable);
  EXPECT_TRUE(read_now(block, 0, 100).right);
}

TEST_F(PageFetching, AHungUnderStoreEndsWithTheReadersDeadline) {
  make(64 * test_page);
  const BlockRef block = file("a", test_page);
  store_->close_gate();
  ReadOutcome outcome;
  const Deadline deadline = Deadline::after(clock_, std::chrono::seconds(5));
  ASSERT_TRUE(readers_->spawn(read(block, 0, 100, deadline, &outcome)));
  ASSERT_TRUE(loop_.work_until([&] { return store_->in_flight() == 1 && clock_.sleepers() > 0; }));
  clock_.advance(std::chrono::seconds(5));
  ASSERT_TRUE(loop_.work_until([&] { return readers_->size() == 0; }));
  EXPECT_EQ(outcome.status.code(), Code::deadline_exceeded);
  store_->open_gate();  // the page arrives after all, and is kept
  ASSERT_TRUE(loop_.work_until([&] { return tasks_->size() == 0; }));
  EXPECT_TRUE(blocks_->residency(block.id).complete);
}

TEST_F(PageFetching, AHungStoreLeavesTheOthersTheirTurns) {
  make(64 * test_page, {}, 2);
  const BlockRef block = file("a", 16 * test_page);
  store_->close_gate();
  ReadOutcome outcome;
  ASSERT_TRUE(readers_->spawn(read(block, 0, block.length_bytes, Deadline::never(), &outcome)));
  ASSERT_TRUE(loop_.work_until([&] { return store_->in_flight() == 2; }));
  loop_.settle();
  EXPECT_EQ(store_->most_in_flight(), 2);
  store_->open_gate();
  ASSERT_TRUE(loop_.work_until([&] { return readers_->size() == 0; }));
  EXPECT_TRUE(outcome.status && outcome.right);
  EXPECT_EQ(store_->most_in_flight(), 2);
}

TEST_F(PageFetching, AFullTierServesThroughAndAsksForLeases) {
  make(4 * test_page);
  const BlockRef held = file("held", 4 * test_page);
  ASSERT_TRUE(read_now(held, 0, held.length_bytes).right);
  auto grant = blocks_->grant(held);
  ASSERT_TRUE(grant) << grant.error().message();
  const BlockRef other = file("other", 3 * test_page + 5);
  for (int round = 0; round < 2; ++round) {
    const ReadOutcome outcome = read_now(other, 10, other.length_bytes - 10);
    EXPECT_TRUE(outcome.status && outcome.right) << name(outcome.status.code()) << round;
    EXPECT_EQ(outcome.from_store, outcome.bytes);
  }
  EXPECT_GT(no_room_, 0);
  EXPECT_EQ(fetcher_->through_bytes_in_use(), 0U);
  blocks_->release(grant->lease);
  grant->fd.reset();
  EXPECT_TRUE(read_now(other, 0, other.length_bytes).right);
  EXPECT_TRUE(blocks_->residency(other.id).present);
}

TEST_F(PageFetching, ReadersThatDoNotFillLeaveNothingBehind) {
  make(64 * test_page);
  keep_ = Keep::never;
  const BlockRef block = file("a", 2 * test_page);
  EXPECT_TRUE(read_now(block, 5, 2 * test_page - 5).right);
  EXPECT_FALSE(blocks_->residency(block.id).present);
  EXPECT_EQ(fetcher_->through_bytes_in_use(), 0U);
}

TEST_F(PageFetching, PagesBesideTheTierAreBounded) {
  FetcherOptions options;
  options.through_bytes = 3 * test_page;
  make(64 * test_page, options);
  keep_ = Keep::never;
  store_->close_gate();
  std::vector<ReadOutcome> outcomes(10);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const BlockRef block = file("f" + std::to_string(i), test_page);
    ASSERT_TRUE(readers_->spawn(read(block, 0, test_page, Deadline::never(), &outcomes[i])));
  }
  ASSERT_TRUE(loop_.work_until([&] { return store_->in_flight() == 3; }));
  loop_.settle();
  EXPECT_EQ(fetcher_->through_bytes_in_use(), 3 * test_page);
  store_->open_gate();
  ASSERT_TRUE(loop_.work_until([&] { return readers_->size() == 0; }));
  for (const ReadOutcome& outcome : outcomes) EXPECT_TRUE(outcome.status && outcome.right);
  EXPECT_EQ(store_->most_in_flight(), 3);
}

TEST_F(PageFetching, FlippedBytesNeverReachAReader) {
  make(64 * test_page);
  const BlockRef block = file("a", 4 * test_page);
  ASSERT_TRUE(read_now(block, 0, block.length_bytes).right);
  for (const std::uint64_t at : {0ULL, 65'535ULL, 65'536ULL, 200'000ULL, 262'143ULL}) {
    blocks_->tamper_for_test(block.id)[at] ^= std::byte{0x40};
    const ReadOutcome outcome = read_now(block, 0, block.length_bytes);
    EXPECT_TRUE(outcome.status && outcome.right) << at;
    EXPECT_EQ(outcome.from_store, test_page) << at;
  }
  EXPECT_EQ(counters_.corrupt_pages(), 5U);
}

TEST_F(PageFetching, SwappedAndZeroedPagesNeverReachAReader) {
  make(64 * test_page);
  const BlockRef block = file("a", 4 * test_page);
  ASSERT_TRUE(read_now(block, 0, block.length_bytes).right);
  std::span<std::byte> bytes = blocks_->tamper_for_test(block.id);
  std::swap_ranges(bytes.begin(), bytes.begin() + test_page, bytes.begin() + test_page);
  std::fill(bytes.begin() + 3 * test_page + test_page / 2, bytes.begin() + 4 * test_page, std::byte{0});
  const ReadOutcome outcome = read_now(block, 0, block.length_bytes);
  EXPECT_TRUE(outcome.status && outcome.right);
  EXPECT_EQ(outcome.from_store, 3 * test_page);
}

TEST_F(PageFetching, CorruptionThatCannotBeRefetchedIsAnErrorNotBytes) {
  make(64 * test_page);
  const BlockRef block = file("a", test_page);
  ASSERT_TRUE(read_now(block, 0, test_page).right);
  blocks_->tamper_for_test(block.id)[7] ^= std::byte{1};
  store_->fail_next(Code::unavailable, 1);
  EXPECT_EQ(read_now(block, 0, 100).status.code(), Code::unavailable);
}

TEST_F(PageFetching, ABlockIdThatDoesNotNameThePathIsRefused) {
  make(64 * test_page);
  BlockRef forged = file("mine", test_page);
  forged.id = file("yours", test_page).id;
  EXPECT_EQ(read_now(forged, 0, 100).status.code(), Code::invalid_argument);
  EXPECT_EQ(store_->reads(), 0);
}

// Many readers over far more data than fits: whatever is evicted meanwhile, every byte is the oracle's.
TEST_F(PageFetching, ReadersStayRightWhileEverythingIsEvictedAllTheTime) {
  make(24 * test_page);
  std::vector<BlockRef> files;
  for (int i = 0; i < 40; ++i) files.push_back(file("f" + std::to_string(i), (1 + i % 7) * test_page - i));
  std::mt19937_64 random(20251121);
  std::vector<ReadOutcome> outcomes(1500);
  std::size_t next = 0;
  while (next < outcomes.size()) {
    while (readers_->size() < 16 && next < outcomes.size()) {
      const BlockRef& block = files[random() % files.size()];
      const std::uint64_t offset = random() % block.length_bytes;
      const std::uint64_t length = 1 + random() % (block.length_bytes - offset);
      ASSERT_TRUE(readers_->spawn(read(block, offset, length, Deadline::never(), &outcomes[next++])));
    }
    ASSERT_TRUE(loop_.work_until([&] { return readers_->size() < 16; }));
  }
  ASSERT_TRUE(loop_.work_until([&] { return readers_->size() == 0; }));
  for (const ReadOutcome& outcome : outcomes) EXPECT_TRUE(outcome.status && outcome.right);
  EXPECT_GT(blocks_->stats().evicted_bytes, 0U);
  EXPECT_LE(blocks_->stats().resident_bytes, 24U * test_page);
}

}  // namespace
}  // namespace hearth::worker

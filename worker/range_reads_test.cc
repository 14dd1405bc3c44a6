#include "worker/range_reads.h"

#include "common/manual_clock.h"
#include "worker/page_run.h"
#include "worker/testing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace hearth::worker {
namespace {

using testing::is_oracle;
using testing::OracleStore;
using testing::test_attachment;
using testing::test_page;

constexpr const char* uri = "sim://one";

// A fetcher in front of a store that prefers requests of eight pages, on one loop.
class RangedFetching : public ::testing::Test {
 protected:
  RangedFetching() {
    store_->prefer_reads_of(8 * test_page);
    MemoryTierOptions tier;
    tier.capacity_bytes = 256 * test_page;
    tier.huge_pages = HugePages::off;
    blocks_ = std::move(BlockStore::open(tier)).value();
    const auto open = [this](const std::string&, const StoreOptions&) -> Result<std::shared_ptr<UnderStore>> {
      return std::shared_ptr<UnderStore>(store_);
    };
    attachments_ = std::make_unique<WorkerAttachments>(loop_.executor(), pool_, open, AttachmentLimits{});
    AttachedStore attached;
    attached.id = test_attachment;
    attached.uri = uri;
    attached.page_size_bytes = test_page;
    attachments_->replace({attached}, 1);
    EXPECT_TRUE(loop_.run(attachments_->open(test_attachment)));
    tasks_ = std::make_unique<TaskGroup>(loop_.executor(), clock_);
    readers_ = std::make_unique<TaskGroup>(loop_.executor(), clock_);
    TiersParts parts{loop_.executor(), clock_, *blocks_, pool_, *attachments_, counters_, [] {}};
    tiers_ = std::make_unique<Tiers>(std::move(parts), NvmeOptions{}, open_disk, 1);
    fetcher_ = std::make_unique<PageFetcher>(*blocks_, *tiers_, *attachments_, pool_, *tasks_, clock_, counters_,
                                             FetcherOptions{}, FetcherEvents{});
  }
  ~RangedFetching() override {
    store_->open_gate();
    EXPECT_TRUE(loop_.run(readers_->join()));
    EXPECT_TRUE(loop_.run(tasks_->join()));
  }
  BlockRef file(std::uint64_t pages, std::uint64_t more = 0) {
    store_->put("f", "v1", pages * test_page + more);
    return testing::block_of(uri, "f", "v1", pages * test_page + more);
  }

  struct Seen {
    Status status = ok();
    std::uint64_t bytes = 0;
    bool right = true;
    bool done = false;
  };
  enum class Look : std::uint8_t { at_bytes, at_lengths };
  Task<> read(BlockRef block, std::uint64_t offset, std::uint64_t length, Look look, std::shared_ptr<Seen> seen) {
    PageRunOptions options;
    options.pages_per_read = attachments_->pages_per_read(test_attachment);
    options.verify = Verify::no;
    PageRun run(*tiers_, *fetcher_, counters_, block, offset, length, options);
    while (!run.done()) {
      Result<PagePiece> piece = co_await run.next(Deadline::never());
      if (!piece) {
        seen->status = std::move(piece).error();
        break;
      }
      const std::uint64_t at = std::uint64_t{piece->page.value} * test_page + piece->offset_in_page;
      if (look == Look::at_bytes) seen->right = seen->right && is_oracle(piece->data(), "f", "v1", at);
      seen->bytes += piece->length_bytes;
    }
    seen->done = true;
    co_return ok();
  }
  std::shared_ptr<Seen> start(const BlockRef& block, std::uint64_t offset, std::uint64_t length, Look look = Look::at_bytes) {
    auto seen = std::make_shared<Seen>();
    EXPECT_TRUE(readers_->spawn(read(block, offset, length, look, seen), "reader"));
    return seen;
  }

  testing::Loop loop_;
  ManualClock clock_;
  BlockingPool pool_{2, 65'536};
  WorkerCounters counters_;
  std::shared_ptr<OracleStore> store_ = std::make_shared<OracleStore>(loop_.executor(), uri);
  std::unique_ptr<BlockStore> blocks_;
  std::unique_ptr<WorkerAttachments> attachments_;
  std::unique_ptr<TaskGroup> tasks_;
  std::unique_ptr<TaskGroup> readers_;
  std::unique_ptr<Tiers> tiers_;
  std::unique_ptr<PageFetcher> fetcher_;
};

TEST_F(RangedFetching, AThousandReadersOfAWholeObjectCostOneRequestPerRange) {
  const BlockRef block = file(64);
  std::vector<std::shared_ptr<Seen>> readers;
  for (int i = 0; i < 1000; ++i) {
    readers.push_back(start(block, 0, block.length_bytes, i % 100 == 0 ? Look::at_bytes : Look::at_lengths));
  }
  const auto all_done = [&] { return std::all_of(readers.begin(), readers.end(), [](const auto& seen) { return seen->done; }); };
  ASSERT_TRUE(loop_.work_until(all_done, std::chrono::seconds(60)));
  for (const auto& seen : readers) {
    EXPECT_TRUE(seen->status) << seen->status.error().message();
    EXPECT_EQ(seen->bytes, block.length_bytes);
    EXPECT_TRUE(seen->right);
  }
  EXPECT_EQ(store_->reads(), 8) << "eight ranges of eight pages";
  for (std::uint64_t range = 0; range < 8; ++range) EXPECT_EQ(store_->reads_at(range * 8 * test_page), 1);
}

TEST_F(RangedFetching, TheFirstPagesReachTheirReaderWhileTheRestIsOnItsWay) {
  const BlockRef block = file(8);
  store_->close_gate();  // after the first half
  const auto whole = start(block, 0, block.length_bytes);
  const auto first = start(block, 0, 100);
  const auto last = start(block, 7 * test_page, 100);
  ASSERT_TRUE(loop_.work_until([&] { return first->done && whole->bytes == 4 * test_page; }));
  EXPECT_TRUE(first->right);
  EXPECT_FALSE(last->done);
  EXPECT_EQ(store_->reads(), 1);
  store_->open_gate();
  ASSERT_TRUE(loop_.work_until([&] { return whole->done && last->done; }));
  EXPECT_TRUE(whole->right && last->right);
  EXPECT_EQ(store_->reads(), 1);
}

TEST_F(RangedFetching, AVersionSwitchInTheMiddleMakesTheRestStaleAndMixesNothing) {
  const BlockRef block = file(8);
  store_->close_gate();
  const auto whole = start(block, 0, block.length_bytes);
  ASSERT_TRUE(loop_.work_until([&] { return whole->bytes == 4 * test_page; }));
  store_->put("f", "v2", block.length_bytes);
  store_->open_gate();
  ASSERT_TRUE(loop_.work_until([&] { return whole->done; }));
  EXPECT_EQ(whole->status.code(), Code::stale);
  EXPECT_EQ(whole->bytes, 4 * test_page);
  EXPECT_TRUE(whole->right) << "what was handed out is all of the first version";
}

TEST_F(RangedFetching, ARequestThatIsCutOffKeepsThePagesThatArrived) {
  const BlockRef block = file(8);
  store_->fail_next(Code::unavailable, 1);
  const auto whole = start(block, 0, block.length_bytes);
  ASSERT_TRUE(loop_.work_until([&] { return whole->done; }));
  EXPECT_EQ(whole->status.code(), Code::unavailable);
  EXPECT_TRUE(whole->right);
  const auto again = start(block, 0, block.length_bytes);
  ASSERT_TRUE(loop_.work_until([&] { return again->done; }));
  EXPECT_TRUE(again->status);
  EXPECT_TRUE(again->right);
  EXPECT_EQ(store_->reads_at(4 * test_page), 1) << "only the second half is read again";
}

TEST_F(RangedFetching, APageWithoutNeighboursIsReadByItself) {
  const BlockRef block = file(64);
  const auto one = start(block, 5 * test_page + 10, 100);
  ASSERT_TRUE(loop_.work_until([&] { return one->done; }));
  EXPECT_TRUE(one->status && one->right);
  EXPECT_EQ(store_->reads_at(5 * test_page), 1);
  EXPECT_EQ(store_->reads(), 1);
}

TEST_F(RangedFetching, AFileOfOnePageIsOneRequest) {
  const BlockRef block = file(0, 1000);
  const auto whole = start(block, 0, block.length_bytes);
  const auto part = start(block, 10, 100);
  ASSERT_TRUE(loop_.work_until([&] { return whole->done && part->done; }));
  EXPECT_TRUE(whole->status && whole->right && part->status && part->right);
  EXPECT_EQ(whole->bytes, 1000U);
  EXPECT_EQ(store_->reads(), 1);
}

TEST_F(RangedFetching, TheTailOfAFileIsPartOfItsLastRange) {
  const BlockRef block = file(9, 77);
  const auto whole = start(block, 0, block.length_bytes);
  ASSERT_TRUE(loop_.work_until([&] { return whole->done; }));
  EXPECT_TRUE(whole->status && whole->right);
  EXPECT_EQ(whole->bytes, block.length_bytes);
  EXPECT_EQ(store_->reads(), 2);
}

TEST_F(RangedFetching, BuffersOfRequestsStayWithinTheirBudget) {
  const BlockRef block = file(64);
  RangeReadsOptions options;
  options.budget_bytes = 16 * test_page;
  RangeReads ranges(*tasks_, clock_, options);
  store_->close_gate();
  auto store = std::make_shared<OpenStore>(store_, loop_.executor(), 64, 64);
  std::vector<std::vector<std::byte>> buffers(64, std::vector<std::byte>(test_page));
  for (std::uint32_t page = 0; page < 64; ++page) {
    const auto read_one = [](RangeReads* reads, std::shared_ptr<OpenStore> from, BlockRef of, PageIndex at,
                             std::span<std::byte> into) -> Task<> {
      const Result<FetchedPage> got = co_await reads->read(from, of, at, into);
      co_return got ? ok() : Status(got.error());
    };
    EXPECT_TRUE(readers_->spawn(read_one(&ranges, store, block, PageIndex{page}, buffers[page]), "page"));
  }
  loop_.settle();
  EXPECT_EQ(store_->in_flight(), 2);
  store_->open_gate();
  ASSERT_TRUE(loop_.work_until([&] { return readers_->size() == 0; }));
  EXPECT_EQ(store_->reads(), 8);
  EXPECT_LE(store_->most_in_flight(), 2);
}

}  // namespace
}  // namespace hearth::worker

// Many cold readers of one large object at a store that is reached over HTTP: what the store is asked.
#include "common/http/http.h"
#include "understore/guard/guarded_store.h"
#include "understore/oracle.h"
#include "understore/s3/s3_double.h"
#include "understore/s3/s3_store.h"
#include "worker/page_run.h"
#include "worker/testing.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <set>
#include <vector>

namespace hearth::worker {
namespace {

using testing::test_attachment;

constexpr const char* bucket = "s3://bucket";
constexpr std::uint32_t page_bytes = 1U << 20;
constexpr std::uint64_t range_bytes = 8U << 20;
constexpr std::uint64_t seed = 77;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool slow_build = true;
#else
constexpr bool slow_build = false;
#endif

// 1 GiB takes 4 s; where every access is checked, a sixteenth of it, unless HEARTH_LONG is set.
std::uint64_t object_bytes() { return slow_build && std::getenv("HEARTH_LONG") == nullptr ? 64ULL << 20 : 1ULL << 30; }

// A fetcher in front of the strict double: signatures, If-Match, Content-Range, sockets.
class RangesOfS3 : public ::testing::Test {
 protected:
  RangesOfS3() {
    server_.put_made("f", object_bytes(), [](std::uint64_t at, std::span<std::byte> into) { oracle_fill(into, seed, 0, at); });
    open_store();
    MemoryTierOptions tier;
    tier.capacity_bytes = object_bytes() + (64ULL << 20);
    tier.huge_pages = HugePages::off;
    blocks_ = std::move(BlockStore::open(tier)).value();
    const auto open = [this](const std::string&, const StoreOptions&) -> Result<std::shared_ptr<UnderStore>> { return store_; };
    attachments_ = std::make_unique<WorkerAttachments>(loop_.executor(), pool_, open, AttachmentLimits{});
    AttachedStore attached;
    attached.id = test_attachment;
    attached.uri = bucket;
    attached.page_size_bytes = page_bytes;
    attachments_->replace({attached}, 1);
    EXPECT_TRUE(loop_.run(attachments_->open(test_attachment)));
    tasks_ = std::make_unique<TaskGroup>(loop_.executor());
    readers_ = std::make_unique<TaskGroup>(loop_.executor());
    TiersParts parts{loop_.executor(), real_clock(), *blocks_, pool_, *attachments_, counters_, [] {}};
    tiers_ = std::make_unique<Tiers>(std::move(parts), NvmeOptions{}, open_disk, 1);
    fetcher_ = std::make_unique<PageFetcher>(*blocks_, *tiers_, *attachments_, pool_, *tasks_, real_clock(), counters_,
                                             FetcherOptions{}, FetcherEvents{});
  }
  ~RangesOfS3() override {
    EXPECT_TRUE(loop_.run(readers_->join()));
    EXPECT_TRUE(loop_.run(tasks_->join()));
    http_->close();
  }
  void open_store() {
    s3::S3Seams seams;
    seams.environment = [identity = server_.options().identity](const std::string& name) -> std::optional<std::string> {
      if (name == "AWS_ACCESS_KEY_ID") return identity.access_key_id;
      if (name == "AWS_SECRET_ACCESS_KEY") return identity.secret;
      return std::nullopt;
    };
    const StoreContext context{.pool = pool_, .clock = real_clock(), .http = http_.get()};
    auto inner = s3::open_s3_store_with(bucket, {{"endpoint", server_.origin()}}, context, std::move(seams));
    ASSERT_TRUE(inner) << inner.error().to_string();
    // Without hedges, which are more requests on purpose.
    GuardOptions guard;
    guard.hedge.share = 0;
    store_ = guard_store(*inner, guard, real_clock(), 1);
  }
  BlockRef file() {
    const Result<ObjectInfo> info = loop_.run(store_->stat("f", Deadline::after(real_clock(), std::chrono::seconds(30))));
    EXPECT_TRUE(info) << info.error().to_string();
    server_.forgive();
    return cut_into_blocks(bucket, test_attachment, "f", info->version, info->length_bytes, default_block_size_bytes, page_bytes).front();
  }

  struct Seen {
    Status status = ok();
    std::uint64_t bytes = 0;
    bool right = true;
  };
  enum class Look : std::uint8_t { at_bytes, at_lengths };
  Task<> read(BlockRef block, Look look, std::shared_ptr<Seen> seen) {
    PageRunOptions options;
    options.pages_per_read = attachments_->pages_per_read(test_attachment);
    options.verify = Verify::no;
    PageRun run(*tiers_, *fetcher_, counters_, block, 0, block.length_bytes, options);
    while (!run.done()) {
      Result<PagePiece> piece = co_await run.next(Deadline::never());
      if (!piece) {
        seen->status = std::move(piece).error();
        co_return ok();
      }
      const std::uint64_t at = std::uint64_t{piece->page.value} * page_bytes + piece->offset_in_page;
      if (look == Look::at_bytes) seen->right = seen->right && !oracle_mismatch(piece->data(), seed, 0, at);
      seen->bytes += piece->length_bytes;
    }
    co_return ok();
  }

  s3::S3Double server_;
  BlockingPool pool_{2, 65'536};
  std::unique_ptr<HttpClient> http_ = make_http_client({}, real_clock());
  testing::Loop loop_;
  WorkerCounters counters_;
  std::shared_ptr<UnderStore> store_;
  std::unique_ptr<BlockStore> blocks_;
  std::unique_ptr<WorkerAttachments> attachments_;
  std::unique_ptr<TaskGroup> tasks_;
  std::unique_ptr<TaskGroup> readers_;
  std::unique_ptr<Tiers> tiers_;
  std::unique_ptr<PageFetcher> fetcher_;
};

TEST_F(RangesOfS3, AThousandColdReadersOfOneObjectAreOneGetPerRange) {
  const BlockRef block = file();
  std::vector<std::shared_ptr<Seen>> readers;
  for (int i = 0; i < 1000; ++i) {
    readers.push_back(std::make_shared<Seen>());
    ASSERT_TRUE(readers_->spawn(read(block, i % 500 == 0 ? Look::at_bytes : Look::at_lengths, readers.back()), "reader"));
  }
  ASSERT_TRUE(loop_.work_until([&] { return readers_->size() == 0; }, std::chrono::seconds(100)));
  for (const auto& seen : readers) {
    ASSERT_TRUE(seen->status) << seen->status.error().message();
    ASSERT_EQ(seen->bytes, block.length_bytes);
    ASSERT_TRUE(seen->right);
  }
  const std::uint64_t ranges = block.length_bytes / range_bytes;
  EXPECT_EQ(server_.count(""), ranges) << "requests of any kind";
  std::multiset<std::string> asked;
  for (const TestRequest& request : server_.log_of("GetObject")) asked.insert(std::string(request.header("range").value_or("all")));
  EXPECT_EQ(asked.size(), ranges);
  for (const std::string& range : asked) EXPECT_EQ(asked.count(range), 1U) << range;
}

}  // namespace
}  // namespace hearth::worker

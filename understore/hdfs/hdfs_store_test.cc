#include "understore/hdfs/hdfs_store.h"

#include "understore/conformance.h"
#include "understore/hdfs/webhdfs_double.h"

#include <atomic>

namespace hearth::hdfs {
namespace {

class HdfsStoreTest : public ::testing::Test {
 protected:
  static Deadline soon() { return Deadline::after(real_clock(), std::chrono::seconds(20)); }

  void open(StoreOptions options = {}) {
    options["http_address"] = server_.http_address();
    options["user"] = "hearth";
    const StoreContext context{.pool = pool_, .clock = real_clock(), .http = http_.get()};
    auto opened = open_hdfs_store("hdfs://cluster/data", options, context);
    ASSERT_TRUE(opened) << opened.error().to_string();
    store_ = std::move(opened).value();
  }
  Result<std::string> read(const std::string& version, std::uint64_t offset, std::size_t length) {
    std::string bytes(length, '?');
    CHECK_OK(run_task(store_->read("f", version, offset, std::as_writable_bytes(std::span(bytes)), soon())));
    return bytes;
  }
  std::string version() { return run_task(store_->stat("f", soon())).value().version; }

  // The requests that reading `parts` parts of /data/f takes, and what came; `change` happens before the k-th.
  std::vector<Result<std::string>> read_in_parts(std::size_t parts, std::size_t part, std::uint64_t k,
                                                 const std::function<void(DoubleTree&)>& change) {
    const std::string v = version();
    const std::uint64_t first = server_.requests();
    server_.on_request([this, first, k, change](const DoubleRequest& request) -> std::optional<TestReply> {
      if (request.number == first + k) server_.edit(change);
      return std::nullopt;
    });
    std::vector<Result<std::string>> got;
    for (std::size_t i = 0; i < parts; ++i) got.push_back(read(v, i * part, part));
    requests_ = server_.requests() - first;
    server_.on_request(nullptr);
    return got;
  }

  WebHdfsDouble server_;
  BlockingPool pool_{1, 100};
  std::unique_ptr<HttpClient> http_ = make_http_client({}, real_clock());
  std::shared_ptr<UnderStore> store_;
  std::uint64_t requests_ = 0;
};

constexpr std::size_t parts = 4;
constexpr std::size_t part = 1000;

TEST_F(HdfsStoreTest, AVersionSwitchAtEveryRequestGivesOldBytesOrStaleNeverAMix) {
  const std::string old_bytes(parts * part, 'o');
  const std::string new_bytes(parts * part, 'n');
  for (const char* inodes : {"on", "off"}) {
    open({{"inode_paths", inodes}});
    std::uint64_t stale = 0;
    std::uint64_t boundaries = 1;
    for (std::uint64_t k = 0; k < boundaries; ++k) {
      server_.put("/data/f", old_bytes);
      const auto got = read_in_parts(parts, part, k, [&](DoubleTree& tree) {
        tree.create("/data/f", new_bytes, DoubleTree::Existing::replace, DoubleTree::Parents::make);
      });
      if (k == 0) boundaries = 3 * parts * 2;
      bool switched = false;
      for (std::size_t i = 0; i < parts; ++i) {
        const Code code = got[i].code();
        ASSERT_TRUE(code == Code::ok || code == Code::stale) << got[i].error().to_string();
        EXPECT_FALSE(got[i] && switched) << "after a stale part no older one may come";
        EXPECT_TRUE(!got[i] || *got[i] == std::string(part, 'o')) << "part " << i << ", switch before request " << k;
        switched = switched || !got[i];
      }
      stale += switched ? 1 : 0;
      if (!switched) continue;
      EXPECT_EQ(read(version(), 0, parts * part).value_or("failed"), new_bytes);
    }
    EXPECT_GE(stale, parts * 2) << "most switches were seen";
  }
}

TEST_F(HdfsStoreTest, AnAppendAtEveryRequestIsSeen) {
  open();
  for (std::uint64_t k = 0; k < 3 * parts; ++k) {
    server_.put("/data/f", std::string(parts * part, 'o'));
    const auto got = read_in_parts(parts, part, k, [](DoubleTree& tree) { tree.append("/data/f", "more"); });
    EXPECT_EQ(got.back().code(), Code::stale) << k;
  }
}

TEST_F(HdfsStoreTest, AFileSwappedOutAndBackDuringAReadIsNotMixedIn) {
  open();
  server_.put("/data/f", std::string(part, 'o'));
  server_.put("/data/other", std::string(part, 'n'));
  const std::string v = version();
  // The path names the other file exactly while the bytes are fetched, and the right one at both looks.
  server_.on_request([this](const DoubleRequest& request) -> std::optional<TestReply> {
    if (request.operation == "OPEN") {
      server_.edit([](DoubleTree& tree) {
        if (tree.find("/data/aside")) return;
        tree.rename_over("/data/f", "/data/aside");
        tree.rename_over("/data/other", "/data/f");
      });
    } else if (request.operation == "GETFILESTATUS") {
      server_.edit([](DoubleTree& tree) {
        tree.rename_over("/data/f", "/data/other");
        tree.rename_over("/data/aside", "/data/f");
      });
    }
    return std::nullopt;
  });
  EXPECT_EQ(read(v, 0, part).value_or("failed"), std::string(part, 'o'));
}

TEST_F(HdfsStoreTest, ABodyCutAnywhereIsDetected) {
  open();
  server_.put("/data/f", std::string(part, 'o'));
  const std::string v = version();
  for (const auto framing : {TestFraming::content_length, TestFraming::chunked, TestFraming::until_close}) {
    // The ends, the middle, and every boundary of a chunk.
    for (const std::uint64_t cut : {0U, 1U, 100U, 200U, 300U, 400U, 500U, 600U, 700U, 800U, 900U, 999U}) {
      server_.on_reply([&](const DoubleRequest& request, TestReply& reply) {
        if (request.role != DoubleRequest::Role::datanode) return;
        reply.framing = framing;
        reply.chunk_bytes = 100;
        reply.cut_body_at = cut;
        reply.ending = TestEnding::close;
      });
      const auto got = read(v, 0, part);
      ASSERT_FALSE(got) << cut;
      EXPECT_TRUE(got.code() == Code::corrupt || got.code() == Code::unavailable) << got.error().to_string();
    }
  }
  server_.on_reply(nullptr);
  EXPECT_TRUE(read(v, 0, part));
}

TEST_F(HdfsStoreTest, AServerThatSendsMoreThanTheRangeIsNotBelieved) {
  open();
  server_.put("/data/f", std::string(2 * part, 'o'));
  const std::string v = version();
  server_.on_reply([](const DoubleRequest& request, TestReply& reply) {
    if (request.role == DoubleRequest::Role::datanode) reply.body += "extra";
  });
  EXPECT_EQ(read(v, 0, part).code(), Code::corrupt);
}

TEST_F(HdfsStoreTest, SafeModeAndFullDisksHaveOneClearSentence) {
  open();
  server_.put("/data/f", "content");
  server_.enter_safe_mode();
  const auto safe = run_task(store_->write("f", "new", soon()));
  EXPECT_EQ(safe.code(), Code::unavailable);
  EXPECT_NE(safe.error().message().find("safe mode"), std::string::npos) << safe.error().message();
  EXPECT_EQ(read(version(), 0, 7).value_or("failed"), "content");
}

TEST_F(HdfsStoreTest, AFullDiskLeavesTheOldFileAndNothingUnfinished) {
  open();
  server_.put("/data/f", "content");
  server_.on_request([](const DoubleRequest& request) -> std::optional<TestReply> {
    if (request.operation != "CREATE" || request.role != DoubleRequest::Role::datanode) return std::nullopt;
    return WebHdfsDouble::exception({.status = 403, .name = "IOException", .class_name = "java.io.IOException",
                                     .message = "File /data/f could only be written to 0 of the 1 minReplication nodes."});
  });
  const auto full = run_task(store_->write("f", "new", soon()));
  EXPECT_EQ(full.code(), Code::no_space);
  EXPECT_NE(full.error().message().find("could only be written to 0"), std::string::npos) << full.error().message();
  EXPECT_EQ(read(version(), 0, 7).value_or("failed"), "content");
  server_.edit([](DoubleTree& tree) { EXPECT_EQ(tree.find("/data")->children.size(), 1U); });
}

TEST_F(HdfsStoreTest, AWriterNeverShowsHalfAFile) {
  open();
  server_.put("/data/f", "old content");
  std::atomic<int> looks = 0;
  server_.on_request([&](const DoubleRequest& request) -> std::optional<TestReply> {
    if (request.path != "/data/f") {
      server_.edit([&](DoubleTree& tree) {
        ++looks;
        EXPECT_EQ(tree.find("/data/f")->content, "old content") << "before " << request.operation;
      });
    }
    return std::nullopt;
  });
  ASSERT_TRUE(run_task(store_->write("f", "new", soon())));
  EXPECT_GE(looks, 4);
  server_.edit([](DoubleTree& tree) { EXPECT_EQ(tree.find("/data/f")->content, "new"); });
}

TEST_F(HdfsStoreTest, TheDeadlineEndsASlowServer) {
  open();
  server_.put("/data/f", "content");
  server_.on_reply([](const DoubleRequest&, TestReply& reply) { reply.delay_head = std::chrono::seconds(30); });
  const auto late = run_task(store_->stat("f", Deadline::after(real_clock(), std::chrono::milliseconds(100))));
  EXPECT_EQ(late.code(), Code::deadline_exceeded);
}

TEST_F(HdfsStoreTest, AListingThatFailedGoesOnWhereItWas) {
  WebHdfsDouble paged({.listing_limit = 10});
  for (int i = 0; i < 35; ++i) paged.put("/data/" + std::to_string(100 + i), "x");
  const StoreContext context{.pool = pool_, .clock = real_clock(), .http = http_.get()};
  const auto store = open_hdfs_store("hdfs://cluster/data", {{"http_address", paged.http_address()}, {"user", "u"}}, context);
  ASSERT_TRUE(store);
  EXPECT_TRUE((*store)->capabilities().listing_resumes);
  auto listing = run_task((*store)->list("", soon()));
  ASSERT_TRUE(listing);
  std::vector<std::string> names;
  for (int round = 0; round < 100; ++round) {
    paged.on_request([&](const DoubleRequest&) -> std::optional<TestReply> {
      if (round % 2 == 1) return std::nullopt;
      return TestReply{.status = 500, .body = "broken"};
    });
    const auto batch = run_task((*listing)->next(7, soon()));
    if (!batch) continue;
    if (batch->empty()) break;
    for (const ObjectInfo& each : *batch) names.push_back(each.name);
  }
  ASSERT_EQ(names.size(), 35U);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
}

TEST_F(HdfsStoreTest, NeedsAnHttpClientAndKnownOptions) {
  const StoreContext without{.pool = pool_, .clock = real_clock()};
  EXPECT_EQ(open_hdfs_store("hdfs://nn/x", {}, without).code(), Code::unsupported);
  const StoreContext with{.pool = pool_, .clock = real_clock(), .http = http_.get()};
  const auto typo = open_hdfs_store("hdfs://nn/x", {{"http_adress", "nn:9870"}}, with);
  EXPECT_EQ(typo.code(), Code::invalid_argument);
  EXPECT_NE(typo.error().message().find("http_address"), std::string::npos) << typo.error().message();
}

}  // namespace
}  // namespace hearth::hdfs

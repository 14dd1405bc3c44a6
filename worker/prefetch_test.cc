// Which rules decide at a worker, and what is fetched before anybody asked for it.
#include "worker/test_cluster.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace hearth::worker::testing {
namespace {

using namespace std::chrono_literals;

class WorkerPrefetch : public Cluster {
 protected:
  void start_with_pages(std::uint64_t memory_pages) {
    WorkerOptions options = small_options();
    options.memory.capacity_bytes = memory_pages * test_page;
    start(std::move(options));
  }
  bool read_page(RpcChannel& channel, const BlockRef& block, std::uint32_t page) {
    const ReadBytes got = read(channel, block, std::uint64_t{page} * test_page, test_page);
    EXPECT_TRUE(got.status) << got.status.error().message();
    return is_oracle(got.bytes, block.store_path, block.version, std::uint64_t{page} * test_page);
  }
  bool resident(const BlockRef& block, std::uint32_t page) { return shard_->blocks().contains(block.id, PageIndex{page}); }
  // Whether exactly so many pages were read from the store when nothing is under way any more.
  bool ends_with_reads(int reads) {
    const bool reached = loop_.work_until([&] { return store_->reads() >= reads && quiet(); });
    EXPECT_EQ(store_->reads(), reads);
    return reached && store_->reads() == reads;
  }
  bool quiet() {
    loop_.settle();
    return shard_->status().fetches_running == 0 && shard_->status().prefetch_jobs == 0;
  }
};

TEST_F(WorkerPrefetch, TheFirstReadOfAFileFetchesAllOfIt) {
  start_with_pages(256);
  use_policy("[defaults]\nprefetch = \"whole-file\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 40 * test_page + 5);
  EXPECT_TRUE(read_page(*channel, block, 20));
  ASSERT_TRUE(ends_with_reads(41));
  EXPECT_TRUE(shard_->blocks().residency(block.id).complete);
  EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_EQ(store_->reads(), 41) << "each page once";
}

TEST_F(WorkerPrefetch, AQuarterOfTheTurnsAtTheStoreIsEnough) {
  start_with_pages(512);
  use_policy("[defaults]\nprefetch = \"whole-file\"\n");
  const auto channel = connect_tcp();
  std::vector<BlockRef> files;
  for (int i = 0; i < 8; ++i) files.push_back(file("f" + std::to_string(i), 20 * test_page));
  for (const BlockRef& block : files) EXPECT_TRUE(read_page(*channel, block, 0));
  ASSERT_TRUE(ends_with_reads(160));
  EXPECT_LE(store_->most_in_flight(), static_cast<int>(small_options().fetch_parallelism / 4 + 1)) << "and the reader's own";
}

TEST_F(WorkerPrefetch, TheFirstReadOfAFileFetchesItsFooter) {
  start_with_pages(256);
  use_policy("[[rule]]\nname = \"tables\"\nsuffix = \".parquet\"\nprefetch = \"footer 100KiB\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a.parquet", 40 * test_page);
  EXPECT_TRUE(read_page(*channel, block, 3));
  ASSERT_TRUE(ends_with_reads(3));
  EXPECT_TRUE(resident(block, 38)) << "100 KiB are two pages";
  EXPECT_TRUE(resident(block, 39));
  for (std::uint32_t page = 4; page < 8; ++page) EXPECT_TRUE(read_page(*channel, block, page));
  EXPECT_TRUE(ends_with_reads(7)) << "and nothing ahead of the reader";
}

TEST_F(WorkerPrefetch, AFooterInALaterBlockComesForReadersOfThisHost) {
  start_with_pages(256);
  use_policy("[defaults]\nprefetch = \"footer 100KiB\"\n");
  const std::uint64_t length = default_block_size_bytes + 5 * test_page;
  store_->put("a", "v1", length);
  const std::vector<BlockRef> blocks =
      cut_into_blocks("sim://one", test_attachment, "a", "v1", length, default_block_size_bytes, test_page);
  ASSERT_EQ(blocks.size(), 2u);
  const auto remote = connect_tcp();
  EXPECT_TRUE(read_page(*remote, blocks[0], 0));
  EXPECT_TRUE(ends_with_reads(1)) << "the other block may belong to another worker";
  store_->put("b", "v1", length);
  const std::vector<BlockRef> others =
      cut_into_blocks("sim://one", test_attachment, "b", "v1", length, default_block_size_bytes, test_page);
  const auto local = connect_local();
  EXPECT_TRUE(read_page(*local, others[0], 0));
  ASSERT_TRUE(ends_with_reads(4));
  EXPECT_TRUE(resident(others[1], 3));
  EXPECT_TRUE(resident(others[1], 4));
  const ReadBytes tail = read(*local, others[1], 4 * test_page, test_page);
  EXPECT_EQ(tail.hit_bytes, test_page);
  EXPECT_TRUE(is_oracle(tail.bytes, "b", "v1", default_block_size_bytes + 4 * test_page));
}

TEST_F(WorkerPrefetch, AWindowIsAsLongAsThePolicySays) {
  start_with_pages(256);
  use_policy("[defaults]\nprefetch = \"window 256KiB\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 40 * test_page);
  EXPECT_TRUE(read_page(*channel, block, 0));
  ASSERT_TRUE(ends_with_reads(1)) << "one read is no sequence";
  EXPECT_TRUE(read_page(*channel, block, 1));
  ASSERT_TRUE(ends_with_reads(6));
  EXPECT_TRUE(read_page(*channel, block, 2));
  ASSERT_TRUE(ends_with_reads(7));
  EXPECT_TRUE(resident(block, 6));
}

TEST_F(WorkerPrefetch, NothingIsFetchedUnaskedWhereThePolicySaysSo) {
  start_with_pages(256);
  const auto channel = connect_tcp();
  int expected = 0;
  for (const char* said : {"prefetch = \"none\"", "prefetch = \"whole-file\"\nadmission = \"second-read\"",
                           "prefetch = \"footer 1MiB\"\nadmission = \"never\"", "prefetch = \"window 1MiB\"\nadmission = \"never\""}) {
    use_policy("[defaults]\n" + std::string(said) + "\n");
    const BlockRef block = file(said, 40 * test_page);
    for (std::uint32_t page = 0; page < 4; ++page) EXPECT_TRUE(read_page(*channel, block, page)) << said;
    expected += 4;
    EXPECT_TRUE(ends_with_reads(expected)) << said;
  }
}

TEST_F(WorkerPrefetch, NothingHasToGoForWhatNobodyAskedFor) {
  start_with_pages(64);
  use_policy("[defaults]\nprefetch = \"none\"\n[tier.memory]\nhigh_watermark = \"50%\"\nlow_watermark = \"49%\"\n");
  const auto channel = connect_tcp();
  const BlockRef old = file("old", 24 * test_page);
  EXPECT_TRUE(reads_right(*channel, old));
  use_policy("[defaults]\nprefetch = \"whole-file\"\n[tier.memory]\nhigh_watermark = \"50%\"\nlow_watermark = \"49%\"\n");
  const BlockRef block = file("new", 20 * test_page);
  EXPECT_TRUE(read_page(*channel, block, 0));
  ASSERT_TRUE(ends_with_reads(32)) << "64 pages, of which half may be taken";
  EXPECT_TRUE(shard_->blocks().residency(old.id).complete);
}

TEST_F(WorkerPrefetch, AFileLargerThanHalfOfTheTierIsNotFetchedWhole) {
  start_with_pages(64);
  use_policy("[defaults]\nprefetch = \"whole-file\"\n");
  const auto channel = connect_tcp();
  const BlockRef large = file("large", 33 * test_page);
  EXPECT_TRUE(read_page(*channel, large, 10));
  EXPECT_TRUE(ends_with_reads(1));
  const BlockRef fitting = file("fitting", 32 * test_page);
  EXPECT_TRUE(read_page(*channel, fitting, 10));
  EXPECT_TRUE(ends_with_reads(33));
}

TEST_F(WorkerPrefetch, WhatAQuotaHasNoRoomForIsNotFetched) {
  start_with_pages(256);
  use_policy("[defaults]\nprefetch = \"whole-file\"\n[[quota]]\nname = \"q\"\npath = \"/**\"\nmemory_max = \"512KiB\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 40 * test_page);
  EXPECT_TRUE(read_page(*channel, block, 0));
  EXPECT_TRUE(ends_with_reads(8));
}

TEST_F(WorkerPrefetch, AStoreThatFailsEndsIt) {
  start_with_pages(256);
  use_policy("[defaults]\nprefetch = \"whole-file\"\n");
  const auto channel = connect_tcp();
  const BlockRef first = file("a", 2 * test_page);
  EXPECT_TRUE(reads_right(*channel, first));
  const BlockRef block = file("b", 40 * test_page);
  store_->fail_next(Code::unavailable, 100'000);
  const ReadBytes failed = read(*channel, block, 0, test_page);
  EXPECT_FALSE(failed.status);
  ASSERT_TRUE(loop_.work_until([&] { return quiet(); }));
  EXPECT_LT(store_->reads(), 12) << "not page after page";
}

// ---- rules

struct Case {
  std::string path;
  std::uint64_t length_bytes = 10;
  std::uint32_t uid = 0;
  std::string tenant;
  AccessPattern pattern = AccessPattern::unknown;
  std::optional<std::uint32_t> page;
  std::string expected;  // rule
};

constexpr const char* every_condition = R"(
[[rule]]
name = "hidden"
path = "/**/.*"
class = "hidden"
[[rule]]
name = "alice"
owner = ["alice", "7"]
class = "alice"
[[rule]]
name = "dashboards"
tenant = "dashboards"
class = "dashboards"
[[rule]]
name = "random"
pattern = "random"
class = "random"
[[rule]]
name = "whole"
pattern = "whole-file"
class = "whole"
[[rule]]
name = "footers"
suffix = ".parquet"
last_bytes = "100KiB"
class = "footers"
[[rule]]
name = "heads"
suffix = [".tar", ".zip"]
first_bytes = "64KiB"
class = "heads"
[[rule]]
name = "large"
min_size = "20MiB"
class = "large"
[[rule]]
name = "small"
max_size = "9B"
class = "small"
)";

std::vector<Case> cases() {
  constexpr std::uint64_t mebibyte = 1 << 20;
  return {
      {.path = "x", .expected = ""},
      {.path = "d/.x", .uid = 7, .expected = "hidden"},
      {.path = "x", .uid = 7, .expected = "alice"},
      {.path = "x", .uid = 1001, .expected = "alice"},
      {.path = "x", .uid = 1002, .expected = ""},
      {.path = "x", .uid = BlockFile::unknown_id, .expected = ""},
      {.path = "x", .uid = 7, .tenant = "dashboards", .expected = "alice"},
      {.path = "x", .tenant = "dashboards", .expected = "dashboards"},
      {.path = "x", .tenant = "dash", .expected = ""},
      {.path = "x", .pattern = AccessPattern::random, .expected = "random"},
      {.path = "x", .pattern = AccessPattern::sequential, .expected = ""},
      {.path = "x", .pattern = AccessPattern::whole_file, .expected = "whole"},
      {.path = "a.parquet", .length_bytes = 10 * mebibyte, .expected = ""},
      {.path = "a.parquet", .length_bytes = 10 * mebibyte, .page = 157, .expected = ""},
      {.path = "a.parquet", .length_bytes = 10 * mebibyte, .page = 158, .expected = "footers"},
      {.path = "a.parquet", .length_bytes = 10 * mebibyte, .page = 159, .expected = "footers"},
      {.path = "a.parquet", .length_bytes = 100 << 10, .expected = "footers"},
      {.path = "a.orc", .length_bytes = 10 * mebibyte, .page = 159, .expected = ""},
      {.path = "a.zip", .length_bytes = 10 * mebibyte, .page = 0, .expected = "heads"},
      {.path = "a.zip", .length_bytes = 10 * mebibyte, .page = 1, .expected = ""},
      {.path = "a.zip", .length_bytes = 64 * mebibyte, .page = 1, .expected = "large"},
      {.path = "x", .length_bytes = 20 * mebibyte, .expected = "large"},
      {.path = "x", .length_bytes = 20 * mebibyte - 1, .expected = ""},
      {.path = "x", .length_bytes = 9, .expected = "small"},
      // Of a file of several blocks: its length and its end, not the block's.
      {.path = "x", .length_bytes = (1ULL << 30) + 5, .expected = "large"},
      {.path = "a.parquet", .length_bytes = (1ULL << 30) + 5, .page = 16'383, .expected = "footers"},
      {.path = "a.parquet", .length_bytes = (2ULL << 30) + 5, .page = 16'383, .expected = "large"},
  };
}

// What `hearth policy explain` asks the same policy (cli/commands/policy_explain.cc): the file as the master knows it.
std::string explained(const policy::Policy& policy, const Case& asked) {
  const std::string path = "/" + asked.path;
  policy::Subject subject{.path = path, .length_bytes = asked.length_bytes, .uid = asked.uid, .tenant = asked.tenant};
  if (asked.pattern == AccessPattern::sequential) subject.pattern = policy::Pattern::sequential;
  if (asked.pattern == AccessPattern::random) subject.pattern = policy::Pattern::random;
  if (asked.pattern == AccessPattern::whole_file) subject.pattern = policy::Pattern::whole_file;
  const std::uint64_t at = std::uint64_t{asked.page.value_or(0)} * test_page;
  if (asked.page) subject.range = policy::Subject::Range{at, std::min<std::uint64_t>(test_page, asked.length_bytes - at)};
  const policy::Decision decision = policy.decide(subject);
  return decision.first_rule == policy::no_rule ? "" : policy.rules()[decision.first_rule].name;
}

TEST_F(WorkerPrefetch, RulesDecideHereAsTheyAreExplained) {
  start_with_pages(64);
  auto parsed = policy::parse_policy(every_condition, "test");
  ASSERT_TRUE(parsed) << parsed.error().message();
  ASSERT_EQ(parsed->user_names(), std::vector<std::string>{"alice"});
  const std::vector<policy::UserId> users{{.name = "alice", .uid = 1001}, {.name = "bob", .uid = 1002}};
  const policy::Policy policy = parsed->with_users(users);
  shard_->tiers().set_policy(std::make_shared<const policy::Policy>(policy));
  for (const Case& asked : cases()) {
    const std::string what = asked.path + " of " + std::to_string(asked.length_bytes) + " bytes, owner " +
                             std::to_string(asked.uid) + ", page " + std::to_string(asked.page.value_or(0));
    BlockRef block = cut_into_blocks("sim://one", test_attachment, asked.path, "v1", asked.length_bytes,
                                     default_block_size_bytes, test_page).front();
    block.file.uid = asked.uid;
    block.file.tenant = asked.tenant;
    block.file.pattern = asked.pattern;
    std::optional<PageIndex> page;
    if (asked.page) page = PageIndex{*asked.page};
    const policy::Decision decided = shard_->tiers().decide(block, page);
    const std::string rule = decided.first_rule == policy::no_rule ? "" : policy.rules()[decided.first_rule].name;
    EXPECT_EQ(rule, asked.expected) << what;
    EXPECT_EQ(rule, explained(policy, asked)) << what;
    EXPECT_EQ(decided.source(policy::Attribute::qos_class).rule, asked.expected.empty() ? "built-in" : asked.expected) << what;
  }
}

TEST_F(WorkerPrefetch, OwnerAndTenantOfTheWireDecideWhatIsKept) {
  start_with_pages(256);
  use_policy("[defaults]\nprefetch = \"none\"\n"
             "[[rule]]\nname = \"owner\"\nowner = \"1000\"\nadmission = \"never\"\n"
             "[[rule]]\nname = \"tenant\"\ntenant = \"scans\"\nadmission = \"never\"\n");
  const auto channel = connect_tcp();
  BlockRef other = file("other", 4 * test_page);
  other.file.uid = 1001;
  other.file.tenant = "queries";
  EXPECT_TRUE(reads_right(*channel, other));
  EXPECT_TRUE(shard_->blocks().residency(other.id).complete);
  BlockRef owned = file("owned", 4 * test_page);
  owned.file.uid = 1000;
  EXPECT_TRUE(reads_right(*channel, owned));
  EXPECT_FALSE(shard_->blocks().residency(owned.id).present);
  BlockRef scanned = file("scanned", 4 * test_page);
  scanned.file.tenant = "scans";
  EXPECT_TRUE(reads_right(*channel, scanned));
  EXPECT_FALSE(shard_->blocks().residency(scanned.id).present);
}

TEST_F(WorkerPrefetch, ARandomReaderMeetsOtherRulesThanASequentialOne) {
  start_with_pages(256);
  use_policy("[defaults]\nprefetch = \"none\"\n[[rule]]\nname = \"random\"\npattern = \"random\"\nadmission = \"never\"\n");
  const auto random = connect_tcp();
  const BlockRef block = file("a", 200 * test_page);
  for (const std::uint32_t page : {100U, 10U, 180U, 50U, 130U}) EXPECT_TRUE(read_page(*random, block, page));
  EXPECT_TRUE(resident(block, 100)) << "nothing was known of the reader yet";
  for (const std::uint32_t page : {10U, 180U, 50U, 130U}) EXPECT_FALSE(resident(block, page)) << page;
  const auto sequential = connect_tcp();
  for (std::uint32_t page = 10; page < 20; ++page) EXPECT_TRUE(read_page(*sequential, block, page));
  for (std::uint32_t page = 10; page < 20; ++page) EXPECT_TRUE(resident(block, page)) << page;
}

TEST_F(WorkerPrefetch, ABlockThatItsFileIsNotCutIntoIsRefused) {
  start_with_pages(64);
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 4 * test_page);
  BlockRef longer = block;
  longer.file.length_bytes = 5 * test_page;  // then the block would be longer
  const ReadBytes refused = read(*channel, longer, 0, test_page);
  EXPECT_EQ(refused.status.code(), Code::invalid_argument);
  BlockRef unsaid = block;
  unsaid.file.length_bytes = 0;
  EXPECT_TRUE(reads_right(*channel, unsaid));
}

}  // namespace
}  // namespace hearth::worker::testing

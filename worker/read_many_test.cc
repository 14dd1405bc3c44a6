// Method::read_many of a worker over real sockets.
#include "common/block_wire.h"
#include "common/outcome_wire.h"
#include "proto/hearth.pb.h"
#include "worker/test_cluster.h"

#include <gtest/gtest.h>

namespace hearth::worker {
namespace {

using testing::Cluster;
using testing::is_oracle;
using testing::test_page;

struct Range {
  std::size_t block = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

class ReadMany : public Cluster {
 protected:
  struct Answer {
    Status status = ok();
    std::vector<Status> outcomes;
    std::vector<std::byte> payload;
    std::uint64_t hit_bytes = 0;
    std::uint64_t miss_bytes = 0;
  };

  static proto::ReadManyRequest message(const std::vector<BlockRef>& blocks, const std::vector<Range>& ranges) {
    proto::ReadManyRequest request;
    for (const BlockRef& block : blocks) block_to_wire(block, *request.add_blocks());
    for (const Range& range : ranges) {
      auto& item = *request.add_items();
      item.set_block(static_cast<std::uint32_t>(range.block));
      item.set_offset_bytes(range.offset);
      item.set_length_bytes(range.length);
    }
    return request;
  }
  Answer ask(RpcChannel& channel, const proto::ReadManyRequest& request) {
    Answer answer;
    answer.payload.resize(2U << 20);
    Result<RpcReply> reply = call(channel, Method::read_many, request, answer.payload);
    if (!reply) {
      answer.status = std::move(reply).error();
      return answer;
    }
    answer.payload.resize(reply->payload_bytes);
    proto::ReadManyReply body;
    EXPECT_TRUE(body.ParseFromString(reply->body));
    for (const auto& outcome : body.outcomes()) answer.outcomes.push_back(outcome_from_wire(outcome));
    answer.hit_bytes = body.hit_bytes();
    answer.miss_bytes = body.miss_bytes();
    return answer;
  }
  // The bytes of the ranges that went well lie one after the other.
  static void expect_right(const Answer& answer, const std::vector<BlockRef>& blocks, const std::vector<Range>& ranges) {
    ASSERT_TRUE(answer.status) << answer.status.error().to_string();
    ASSERT_EQ(answer.outcomes.size(), ranges.size());
    std::uint64_t at = 0;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      if (!answer.outcomes[i]) continue;
      ASSERT_LE(at + ranges[i].length, answer.payload.size());
      const BlockRef& block = blocks[ranges[i].block];
      EXPECT_TRUE(is_oracle(std::span(answer.payload).subspan(at, ranges[i].length), block.store_path, block.version,
                            block.start.value + ranges[i].offset)) << "range " << i;
      at += ranges[i].length;
    }
    EXPECT_EQ(at, answer.payload.size());
  }
};

TEST_F(ReadMany, RangesOfManyBlocksComeInOneReplyColdAndWarm) {
  start();
  std::vector<BlockRef> blocks;
  for (int i = 0; i < 12; ++i) blocks.push_back(file("f" + std::to_string(i), 3 * test_page + 100));
  std::vector<Range> ranges;
  for (std::size_t i = 0; i < 120; ++i) ranges.push_back({i % 12, (i * 7919) % (2 * test_page), 1 + i * 13});
  ranges.push_back({0, test_page - 5, 10});  // over two pages
  ranges.push_back({1, 3 * test_page, 100});
  ranges.push_back({2, 0, 0});
  const auto channel = connect_tcp();
  const Answer cold = ask(*channel, message(blocks, ranges));
  expect_right(cold, blocks, ranges);
  EXPECT_GT(cold.miss_bytes, 0U);
  EXPECT_EQ(cold.miss_bytes + cold.hit_bytes, cold.payload.size());
  const int reads = store_->reads();
  const Answer warm = ask(*channel, message(blocks, ranges));
  expect_right(warm, blocks, ranges);
  EXPECT_EQ(warm.hit_bytes, warm.payload.size());
  EXPECT_EQ(store_->reads(), reads);
}

TEST_F(ReadMany, APageThatManyRangesWantIsFetchedOnce) {
  start();
  const std::vector<BlockRef> blocks{file("a", test_page)};
  std::vector<Range> ranges;
  for (std::uint64_t i = 0; i < 100; ++i) ranges.push_back({0, i * 100, 100});
  const auto channel = connect_tcp();
  expect_right(ask(*channel, message(blocks, ranges)), blocks, ranges);
  EXPECT_EQ(store_->reads(), 1);
}

TEST_F(ReadMany, MissesOfSeveralRangesAreFetchedTogether) {
  start();
  std::vector<BlockRef> blocks;
  std::vector<Range> ranges;
  for (std::size_t i = 0; i < 8; ++i) {
    blocks.push_back(file("f" + std::to_string(i), test_page));
    ranges.push_back({i, 0, 100});
  }
  const auto channel = connect_tcp();
  store_->close_gate();
  std::vector<std::byte> into(800);
  bool ended = false;
  asio::co_spawn(loop_.executor(), call_task(channel.get(), Method::read_many, message(blocks, ranges).SerializeAsString(), into),
                 [&ended](std::exception_ptr, Result<RpcReply> reply) { ended = reply && reply->payload_bytes == 800; });
  EXPECT_TRUE(loop_.work_until([&] { return store_->in_flight() == 8; }, std::chrono::seconds(5)));
  store_->open_gate();
  EXPECT_TRUE(loop_.work_until([&] { return ended; }, std::chrono::seconds(5)));
}

TEST_F(ReadMany, EachRangeFailsAlone) {
  start();
  const BlockRef good = file("good", 5000);
  const BlockRef changed = file("changed", 5000);
  store_->put("changed", "v2", 5000);
  const BlockRef other = file("other", 5000);
  const std::vector<BlockRef> blocks{good, changed, other};
  const std::vector<Range> ranges{{0, 0, 1000}, {1, 0, 1000}, {2, 4000, 1000}, {2, 4001, 1000}, {2, UINT64_MAX, 1}, {0, 500, 10}};
  const auto channel = connect_tcp();
  const Answer answer = ask(*channel, message(blocks, ranges));
  expect_right(answer, blocks, ranges);
  std::vector<Code> codes;
  for (const Status& outcome : answer.outcomes) codes.push_back(outcome.code());
  EXPECT_EQ(codes, (std::vector<Code>{Code::ok, Code::stale, Code::ok, Code::invalid_argument, Code::invalid_argument, Code::ok}));
  EXPECT_FALSE(answer.outcomes[1].error().message().empty());
}

TEST_F(ReadMany, ABlockThatIsNoneFailsItsRangesOnly) {
  start();
  const std::vector<BlockRef> blocks{file("a", 1000), file("b", 1000)};
  const std::vector<Range> ranges{{0, 0, 10}, {1, 0, 10}};
  proto::ReadManyRequest request = message(blocks, ranges);
  request.mutable_blocks(0)->set_page_size_bytes(12345);
  const auto channel = connect_tcp();
  const Answer answer = ask(*channel, request);
  expect_right(answer, blocks, ranges);
  EXPECT_EQ(answer.outcomes[0].code(), Code::invalid_argument);
  EXPECT_TRUE(answer.outcomes[1]);
}

TEST_F(ReadMany, CallsOverTheBoundsAreRefused) {
  start();
  const std::vector<BlockRef> blocks{file("a", 4U << 20)};
  const auto channel = connect_tcp();
  EXPECT_EQ(ask(*channel, message(blocks, std::vector<Range>(1025, Range{0, 0, 1}))).status.code(), Code::invalid_argument);
  EXPECT_EQ(ask(*channel, message(blocks, {{0, 0, 1U << 20}, {0, 0, 1}})).status.code(), Code::invalid_argument);
  EXPECT_EQ(ask(*channel, message(blocks, {{0, 0, 1}, {0, 0, UINT64_MAX}})).status.code(), Code::invalid_argument);
  EXPECT_EQ(ask(*channel, message(blocks, {{1, 0, 1}})).status.code(), Code::invalid_argument);
  EXPECT_EQ(ask(*channel, message({}, {{0, 0, 1}})).status.code(), Code::invalid_argument);
  EXPECT_EQ(store_->reads(), 0);
  const Answer most = ask(*channel, message(blocks, std::vector<Range>(1024, Range{0, 77, 1024})));
  expect_right(most, blocks, std::vector<Range>(1024, Range{0, 77, 1024}));
  const Answer none = ask(*channel, message(blocks, {}));
  EXPECT_TRUE(none.status && none.outcomes.empty() && none.payload.empty());
}

TEST_F(ReadMany, BytesThatDoNotFitIntoMemoryAreServedAllTheSame) {
  WorkerOptions options = small_options();
  start(options);
  const std::uint64_t pages = options.memory.capacity_bytes / test_page + 20;
  std::vector<BlockRef> blocks;
  std::vector<Range> ranges;
  for (std::size_t i = 0; i < pages; ++i) {
    blocks.push_back(file("f" + std::to_string(i), test_page));
    ranges.push_back({i, i % 100, 500});
  }
  ASSERT_LE(ranges.size(), 1024U);
  const auto channel = connect_tcp();
  const Answer answer = ask(*channel, message(blocks, ranges));
  expect_right(answer, blocks, ranges);
  for (const Status& outcome : answer.outcomes) EXPECT_TRUE(outcome) << outcome.error().to_string();
}

TEST_F(ReadMany, AnUnknownAttachmentFailsItsRanges) {
  master_.knows_attachment = false;
  start();
  const std::vector<BlockRef> blocks{file("a", 100)};
  const auto channel = connect_tcp();
  const Answer answer = ask(*channel, message(blocks, {{0, 0, 100}}));
  ASSERT_TRUE(answer.status);
  EXPECT_EQ(answer.outcomes[0].code(), Code::not_found);
}

}  // namespace
}  // namespace hearth::worker

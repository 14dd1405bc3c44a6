#include "worker/shard.h"

#include "common/block_wire.h"
#include "common/crc32c.h"
#include "worker/test_cluster.h"
#include "worker/wire.h"

#include <gtest/gtest.h>

#include <sys/mman.h>

#include <cstring>
#include <filesystem>
#include <iterator>

namespace hearth::worker {
namespace {

using testing::Cluster;
using testing::is_oracle;
using testing::ReadBytes;
using testing::test_page;
using namespace std::chrono_literals;

class WorkerCalls : public Cluster {
 protected:
  proto::BlockStatus block_status(RpcChannel& channel, const BlockRef& block) {
    proto::BlockStatusRequest request;
    block_to_wire(block, *request.add_blocks());
    const Result<RpcReply> reply = call(channel, Method::block_status, request);
    proto::BlockStatusReply body;
    EXPECT_TRUE(reply && body.ParseFromString(reply->body) && body.blocks_size() == 1);
    return body.blocks(0);
  }
  Status report_corrupt(RpcChannel& channel, const BlockRef& block) {
    proto::ReportCorruptRequest request;
    block_to_wire(block, *request.mutable_block());
    const Result<RpcReply> reply = call(channel, Method::report_corrupt, request);
    return reply ? ok() : Status(reply.error());
  }
  static Task<> keep_status(Task<RpcReply> task, Status* into) {
    Result<RpcReply> reply = co_await std::move(task);
    *into = reply ? ok() : Status(reply.error());
    co_return ok();
  }
  static Task<> stop_in(Shard* shard, Duration grace, bool* done) {
    Status status = co_await shard->stop(grace);
    *done = true;
    co_return status;
  }
  static std::size_t open_descriptors() {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
  }
};

TEST_F(WorkerCalls, AColdReadComesFromTheStoreAndAWarmOneFromMemory) {
  start();
  const BlockRef block = file("a", 5 * test_page + 77);
  const auto channel = connect_tcp();
  const ReadBytes cold = read(*channel, block, 0, block.length_bytes);
  ASSERT_TRUE(cold.status) << cold.status.error().message();
  EXPECT_TRUE(is_oracle(cold.bytes, "a", "v1", 0));
  EXPECT_EQ(cold.miss_bytes, block.length_bytes);
  const ReadBytes warm = read(*channel, block, 0, block.length_bytes);
  EXPECT_TRUE(warm.status && is_oracle(warm.bytes, "a", "v1", 0));
  EXPECT_EQ(warm.hit_bytes, block.length_bytes);
  EXPECT_EQ(store_->reads(), 6);
}

TEST_F(WorkerCalls, AnyRangeOfABlockReadsRight) {
  start();
  const BlockRef block = file("a", 3 * test_page + 1);
  const auto channel = connect_tcp();
  for (const std::uint64_t offset : {0ULL, 1ULL, 4096ULL, 65'535ULL, 65'536ULL, 131'000ULL, 196'608ULL}) {
    for (const std::uint64_t length : {0ULL, 1ULL, 4096ULL, 65'536ULL, 100'000ULL}) {
      if (offset + length > block.length_bytes) continue;
      const ReadBytes got = read(*channel, block, offset, length);
      EXPECT_TRUE(got.status && is_oracle(got.bytes, "a", "v1", offset)) << offset << "+" << length;
    }
  }
}

TEST_F(WorkerCalls, RangesThatAreNotInTheBlockAreRefused) {
  start();
  const BlockRef block = file("a", 100);
  const auto channel = connect_tcp();
  EXPECT_EQ(read(*channel, block, 50, 51).status.code(), Code::invalid_argument);
  EXPECT_EQ(read(*channel, block, UINT64_MAX, 2).status.code(), Code::invalid_argument);
  const BlockRef large = file("b", 100ULL << 20);
  EXPECT_EQ(read(*channel, large, 0, max_read_bytes + 1).status.code(), Code::invalid_argument);
  EXPECT_EQ(store_->reads(), 0);
}

TEST_F(WorkerCalls, AnUnknownAttachmentIsAskedForBeforeItIsNotFound) {
  master_.knows_attachment = false;
  start();
  const BlockRef block = file("a", 100);
  const auto channel = connect_tcp();
  EXPECT_EQ(read(*channel, block, 0, 100).status.code(), Code::not_found);
  master_.knows_attachment = true;
  master_.attachments_version = 2;
  EXPECT_TRUE(read(*channel, block, 0, 100).status);
}

TEST_F(WorkerCalls, ServesCachedAndNewBlocksWhileTheMasterIsAway) {
  start();
  const BlockRef warm = file("warm", test_page);
  const auto channel = connect_tcp();
  ASSERT_TRUE(reads_right(*channel, warm));
  ASSERT_TRUE(master_.stop());
  ASSERT_TRUE(loop_.work_until([&] { return !shard_->status().registered; }));
  EXPECT_TRUE(reads_right(*channel, warm));
  EXPECT_TRUE(reads_right(*channel, file("cold", 3 * test_page)));
}

TEST_F(WorkerCalls, TheMastersMapFollowsWhatIsHeld) {
  start();
  const BlockRef block = file("a", test_page);
  const auto channel = connect_tcp();
  ASSERT_TRUE(reads_right(*channel, block));
  EXPECT_TRUE(loop_.work_until([&] { return master_.blocks.contains(block.id); }, 2s));
  proto::FreeBlocksRequest request;
  request.set_block_ids(block_ids_to_wire({block.id}));
  const Result<RpcReply> freed = call(*channel, Method::free_blocks, request);
  ASSERT_TRUE(freed);
  proto::FreeBlocksReply body;
  ASSERT_TRUE(body.ParseFromString(freed->body));
  EXPECT_EQ(body.blocks(), 1U);
  EXPECT_EQ(body.bytes(), test_page);
  EXPECT_TRUE(loop_.work_until([&] { return !master_.blocks.contains(block.id); }, 2s));
}

TEST_F(WorkerCalls, ASequentialReaderFindsItsPagesFetchedAhead) {
  WorkerOptions options = small_options();
  options.readahead_pages = 8;
  start(options);
  const BlockRef block = file("a", 32 * test_page);
  const auto channel = connect_tcp();
  ASSERT_TRUE(read(*channel, block, 0, test_page).status);
  ASSERT_TRUE(read(*channel, block, test_page, test_page).status);
  EXPECT_TRUE(loop_.work_until([&] { return store_->reads() >= 10; }));
  ASSERT_TRUE(loop_.work_until([&] { return shard_->status().fetches_running == 0; }));
  EXPECT_EQ(read(*channel, block, 2 * test_page, 8 * test_page).hit_bytes, 8 * test_page);
}

TEST_F(WorkerCalls, LoadMakesABlockResidentWithoutSendingIt) {
  start();
  const BlockRef block = file("a", 7 * test_page + 3);
  const auto channel = connect_tcp();
  ASSERT_TRUE(load(*channel, block));
  EXPECT_TRUE(block_status(*channel, block).complete());
  EXPECT_EQ(read(*channel, block, 0, block.length_bytes).hit_bytes, block.length_bytes);
}

TEST_F(WorkerCalls, LoadSaysWhenThereIsNoRoom) {
  WorkerOptions options = small_options();
  options.memory.capacity_bytes = 4 * test_page;
  start(options);
  keep_memory_full();
  const auto channel = connect_local();
  const BlockRef held = file("held", 4 * test_page);
  ASSERT_TRUE(load(*channel, held));
  const Result<RpcReply> granted = grant(*channel, held);
  ASSERT_TRUE(granted) << granted.error().message();
  const BlockRef other = file("other", test_page);
  EXPECT_EQ(load(*channel, other).code(), Code::no_space);
  EXPECT_TRUE(reads_right(*channel, other));
}

TEST_F(WorkerCalls, AGrantIsTheBlockAndItsChecksums) {
  start();
  const auto channel = connect_local();
  const BlockRef block = file("a", 3 * test_page + 5);
  ASSERT_TRUE(load(*channel, block));
  std::vector<std::byte> checksums(4 * 4);
  Result<RpcReply> granted = grant(*channel, block, checksums);
  ASSERT_TRUE(granted) << granted.error().message();
  ASSERT_EQ(granted->fds.size(), 1U);
  proto::GrantReply body;
  ASSERT_TRUE(body.ParseFromString(granted->body));
  ASSERT_EQ(body.length_bytes(), block.length_bytes);
  std::vector<std::byte> bytes(block.length_bytes);
  ASSERT_EQ(::pread(granted->fds[0].get(), bytes.data(), bytes.size(), static_cast<off_t>(body.fd_offset_bytes())),
            static_cast<ssize_t>(bytes.size()));
  EXPECT_TRUE(is_oracle(bytes, "a", "v1", 0));
  const std::vector<std::uint32_t> expected = chunk_checksums(bytes);
  EXPECT_EQ(std::memcmp(expected.data(), checksums.data(), checksums.size()), 0);
}

TEST_F(WorkerCalls, GrantsAreForTheUnixSocketAndForCompleteBlocks) {
  start();
  const auto remote = connect_tcp();
  const auto local = connect_local();
  const BlockRef block = file("a", 2 * test_page);
  ASSERT_TRUE(read(*local, block, 0, test_page).status);
  EXPECT_EQ(grant(*local, block).code(), Code::unavailable);
  ASSERT_TRUE(load(*remote, block));
  EXPECT_EQ(grant(*remote, block).code(), Code::permission_denied);
  EXPECT_TRUE(grant(*local, block));
}

TEST_F(WorkerCalls, AConnectionHoldsABoundedNumberOfGrants) {
  WorkerOptions options = small_options();
  options.max_grants_per_connection = 2;
  start(options);
  const auto channel = connect_local();
  const BlockRef block = file("a", test_page);
  ASSERT_TRUE(load(*channel, block));
  const Result<RpcReply> first = grant(*channel, block);
  ASSERT_TRUE(first);
  ASSERT_TRUE(grant(*channel, block));
  EXPECT_EQ(grant(*channel, block).code(), Code::overloaded);
  proto::GrantReply body;
  ASSERT_TRUE(body.ParseFromString(first->body));
  proto::ReleaseRequest release;
  release.add_lease_ids(body.lease_id());
  ASSERT_TRUE(call(*channel, Method::release, release));
  EXPECT_TRUE(grant(*channel, block));
}

TEST_F(WorkerCalls, MappedBytesStayWhenTheBlockIsEvictedAndReplaced) {
  WorkerOptions options = small_options();
  options.memory.capacity_bytes = 8 * test_page;
  start(options);
  const auto channel = connect_local();
  const BlockRef block = file("held", 4 * test_page);
  ASSERT_TRUE(load(*channel, block));
  Result<RpcReply> granted = grant(*channel, block);
  ASSERT_TRUE(granted);
  void* mapped = ::mmap(nullptr, block.length_bytes, PROT_READ, MAP_SHARED, granted->fds[0].get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(reads_right(*channel, file("f" + std::to_string(i), 3 * test_page)));
  proto::FreeBlocksRequest request;
  request.set_block_ids(block_ids_to_wire({block.id}));
  ASSERT_TRUE(call(*channel, Method::free_blocks, request));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(reads_right(*channel, file("g" + std::to_string(i), 3 * test_page)));
  const std::span<const std::byte> bytes(static_cast<const std::byte*>(mapped), block.length_bytes);
  EXPECT_TRUE(is_oracle(bytes, "held", "v1", 0));
  ::munmap(mapped, block.length_bytes);
}

TEST_F(WorkerCalls, AClientThatIsGoneHoldsNothingAfterASecond) {
  start();
  const BlockRef block = file("a", test_page);
  auto channel = connect_local();
  ASSERT_TRUE(load(*channel, block));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(grant(*channel, block));
  EXPECT_EQ(shard_->status().tier.leases, 5U);
  channel.reset();
  EXPECT_TRUE(loop_.work_until([&] { return shard_->status().tier.leases == 0; }, 1s));
}

TEST_F(WorkerCalls, LeasesAreAskedBackWhenTheTierIsFull) {
  WorkerOptions options = small_options();
  options.memory.capacity_bytes = 4 * test_page;
  start(options);
  keep_memory_full();
  const auto channel = connect_local();
  std::vector<std::uint64_t> recalled;
  channel->on_notice([&recalled](Method method, const std::string& body) {
    proto::RecallNotice notice;
    if (method == Method::recall && notice.ParseFromString(body)) {
      recalled.insert(recalled.end(), notice.lease_ids().begin(), notice.lease_ids().end());
    }
  });
  const BlockRef held = file("held", 4 * test_page);
  ASSERT_TRUE(load(*channel, held));
  const Result<RpcReply> granted = grant(*channel, held);
  ASSERT_TRUE(granted);
  const BlockRef other = file("other", 2 * test_page);
  EXPECT_TRUE(reads_right(*channel, other));
  ASSERT_TRUE(loop_.work_until([&] { return !recalled.empty(); }));
  proto::GrantReply body;
  ASSERT_TRUE(body.ParseFromString(granted->body));
  EXPECT_EQ(recalled, std::vector<std::uint64_t>{body.lease_id()});
  EXPECT_GT(shard_->status().through_bytes, 0U);
}

TEST_F(WorkerCalls, AReportOfCorruptionDropsTheWrongPagesOnly) {
  start();
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 4 * test_page);
  ASSERT_TRUE(load(*channel, block));
  shard_->blocks().tamper_for_test(block.id)[2 * test_page + 9] ^= std::byte{4};
  ASSERT_TRUE(report_corrupt(*channel, block));
  EXPECT_EQ(block_status(*channel, block).resident_bytes(), 3 * test_page);
  EXPECT_TRUE(reads_right(*channel, block));
}

TEST_F(WorkerCalls, AClientThatInsistsOnCorruptionIsBelieved) {
  start();
  const auto channel = connect_tcp();
  const BlockRef block = file("a", test_page);
  ASSERT_TRUE(load(*channel, block));
  ASSERT_TRUE(report_corrupt(*channel, block));
  EXPECT_TRUE(block_status(*channel, block).present());
  ASSERT_TRUE(report_corrupt(*channel, block));
  EXPECT_FALSE(block_status(*channel, block).present());
}

TEST_F(WorkerCalls, TheStatusCountsWhatHappened) {
  start();
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 2 * test_page);
  ASSERT_TRUE(reads_right(*channel, block));
  ASSERT_TRUE(reads_right(*channel, block));
  const Result<RpcReply> reply = call(*channel, Method::worker_status, proto::WorkerStatusRequest());
  proto::WorkerStatusReply body;
  ASSERT_TRUE(reply && body.ParseFromString(reply->body));
  EXPECT_EQ(body.worker().hit_bytes(), 2 * test_page);
  EXPECT_EQ(body.worker().miss_bytes(), 2 * test_page);
  EXPECT_EQ(body.worker().fetched_bytes(), 2 * test_page);
  EXPECT_EQ(body.worker().fetches(), 2U);
  ASSERT_TRUE(load(*channel, file("b", 3 * test_page)));
  const Result<RpcReply> later = call(*channel, Method::worker_status, proto::WorkerStatusRequest());
  proto::WorkerStatusReply loaded;
  ASSERT_TRUE(later && loaded.ParseFromString(later->body));
  EXPECT_EQ(loaded.worker().fetched_bytes(), 5 * test_page) << "what is loaded is fetched, though nobody read it";
  EXPECT_EQ(loaded.worker().miss_bytes(), 2 * test_page);
  EXPECT_EQ(body.store_reads(), 2U);
  EXPECT_EQ(body.resident_bytes(), 2 * test_page);
  EXPECT_EQ(body.worker().address(), shard_->bound().front().to_string());
}

TEST_F(WorkerCalls, DrainingFinishesTheReadsThatRun) {
  start();
  const BlockRef block = file("a", 3 * test_page);
  const auto channel = connect_tcp();
  proto::ReadRequest request;
  block_to_wire(block, *request.mutable_block());
  request.set_length_bytes(block.length_bytes);
  std::vector<std::byte> bytes(block.length_bytes);
  Status read_status = Error(Code::internal, "not done");
  TaskGroup group(loop_.executor());
  store_->close_gate();
  ASSERT_TRUE(group.spawn(keep_status(call_task(channel.get(), Method::read, request.SerializeAsString(), bytes),
                                      &read_status)));
  ASSERT_TRUE(loop_.work_until([&] { return store_->in_flight() == 3; }));
  bool stopped = false;
  ASSERT_TRUE(group.spawn(stop_in(shard_.get(), 5s, &stopped)));
  ASSERT_TRUE(loop_.work_until([&] { return master_.state == proto::WorkerInfo::DRAINING; }));
  EXPECT_FALSE(stopped);
  store_->open_gate();
  ASSERT_TRUE(loop_.work_until([&] { return stopped; }));
  EXPECT_TRUE(loop_.run(group.join()));
  EXPECT_TRUE(read_status) << read_status.error().message();
  EXPECT_TRUE(is_oracle(bytes, "a", "v1", 0));
  EXPECT_EQ(master_.deregistered, 1);
  shard_.reset();
}

TEST_F(WorkerCalls, AReadThatHangsInTheStoreDoesNotHoldUpTheStop) {
  start();
  const BlockRef block = file("a", test_page);
  const auto channel = connect_tcp();
  proto::ReadRequest request;
  block_to_wire(block, *request.mutable_block());
  request.set_length_bytes(test_page);
  std::vector<std::byte> bytes(test_page);
  Status read_status = ok();
  TaskGroup group(loop_.executor());
  store_->close_gate();
  store_->ignore_cancellation();
  ASSERT_TRUE(group.spawn(keep_status(call_task(channel.get(), Method::read, request.SerializeAsString(), bytes),
                                      &read_status)));
  ASSERT_TRUE(loop_.work_until([&] { return store_->in_flight() == 1; }));
  const Status stopped = loop_.run(shard_->stop(50ms));
  EXPECT_EQ(stopped.code(), Code::deadline_exceeded);
  EXPECT_TRUE(loop_.run(group.join()));
  EXPECT_FALSE(read_status);
  EXPECT_EQ(master_.deregistered, 1);
  store_->open_gate();  // only now can the shard go
  ASSERT_TRUE(loop_.work_until([&] { return store_->in_flight() == 0; }));
  loop_.settle();
  ASSERT_TRUE(loop_.work_until([&] { return shard_->status().fetches_running == 0; }));
  loop_.settle();
  shard_.reset();
}

TEST_F(WorkerCalls, TenThousandReadsAndGrantsLeakNoDescriptor) {
  WorkerOptions options = small_options();
  options.memory.capacity_bytes = 16 * test_page;
  start(options);
  const auto channel = connect_local();
  std::vector<BlockRef> files;
  for (int i = 0; i < 40; ++i) files.push_back(file("f" + std::to_string(i), 100 + i * 1000));
  ASSERT_TRUE(reads_right(*channel, files[0]));
  proto::FreeBlocksRequest request;
  request.set_block_ids(block_ids_to_wire({files[0].id}));
  ASSERT_TRUE(call(*channel, Method::free_blocks, request));
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 10'000; ++i) {
    const BlockRef& block = files[static_cast<std::size_t>(i) * 7 % files.size()];
    ASSERT_TRUE(read(*channel, block, 0, block.length_bytes).status);
    if (i % 10 != 0) continue;
    const Result<RpcReply> granted = grant(*channel, block);
    if (!granted) continue;
    proto::GrantReply body;
    ASSERT_TRUE(body.ParseFromString(granted->body));
    proto::ReleaseRequest release;
    release.add_lease_ids(body.lease_id());
    ASSERT_TRUE(call(*channel, Method::release, release));
  }
  std::vector<BlockId> all = shard_->blocks().all_blocks();
  request.set_block_ids(block_ids_to_wire(all));
  ASSERT_TRUE(call(*channel, Method::free_blocks, request));
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(shard_->status().fetches_running, 0U);
}

}  // namespace
}  // namespace hearth::worker

// A worker with devices below its memory: what is read from where, what moves, and what a device in trouble costs.
#include "tiering/eviction/trace.h"
#include "worker/tiers_testing.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace hearth::worker::testing {
namespace {

using namespace std::chrono_literals;

TEST_F(WorkerTiers, ATierOfThePolicyIsWhereTheDataGoesAndIsReadFrom) {
  start_with_devices(64);
  use_policy("[defaults]\ntier = \"nvme\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 8 * test_page + 100);
  EXPECT_TRUE(reads_right(*channel, block));
  ASSERT_TRUE(loop_.work_until([&] { return tier().residency(block.id).complete; }));
  EXPECT_FALSE(shard_->blocks().residency(block.id).present);
  const int reads = store_->reads();
  const ReadBytes again = read(*channel, block, 0, block.length_bytes);
  EXPECT_EQ(again.hit_bytes, block.length_bytes);
  EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_EQ(store_->reads(), reads);
}

TEST_F(WorkerTiers, AnyRangeOfABlockOnADeviceReadsRight) {
  start_with_devices(64);
  use_policy("[defaults]\ntier = \"nvme\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 3 * test_page + 12'345);
  ASSERT_TRUE(load(*channel, block));
  for (const std::uint64_t offset : {0UL, 1UL, 4095UL, 4096UL, 65'535UL, 65'536UL, 100'001UL, block.length_bytes - 1}) {
    for (const std::uint64_t length : {1UL, 512UL, 4096UL, 10'000UL, 65'536UL, 150'000UL}) {
      const std::uint64_t wanted = std::min(length, block.length_bytes - offset);
      const ReadBytes got = read(*channel, block, offset, wanted);
      ASSERT_TRUE(got.status) << got.status.error().message();
      EXPECT_TRUE(is_oracle(got.bytes, block.store_path, block.version, offset)) << offset << "+" << wanted;
      EXPECT_EQ(got.miss_bytes, 0U);
    }
  }
}

TEST_F(WorkerTiers, WhatMemoryHasNoRoomForMovesDownAndIsNeverFetchedAgain) {
  start_with_devices(32);
  use_policy("[tier.memory]\nhigh_watermark = \"80%\"\nlow_watermark = \"70%\"\n");
  const auto channel = connect_tcp();
  std::vector<BlockRef> files;
  for (int i = 0; i < 20; ++i) files.push_back(file("f" + std::to_string(i), 4 * test_page));
  for (const BlockRef& block : files) {
    EXPECT_TRUE(reads_right(*channel, block));
    ASSERT_TRUE(loop_.work_until([&] { return shard_->status().tier.resident_bytes <= 25 * test_page; }));
  }
  const int reads = store_->reads();
  for (const BlockRef& block : files) EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_EQ(store_->reads(), reads) << "80 pages: 32 in memory, the others on the device";
  EXPECT_GT(shard_->tiers().mover().demoted_bytes(), 0U);
  EXPECT_EQ(shard_->tiers().mover().dropped_bytes(), 0U);
  EXPECT_EQ(shard_->status().tier.foreground_evictions, 0U) << "no fill had to wait for room";
  ASSERT_TRUE(loop_.work_until([&] { return master_.blocks.size() == files.size(); })) << "the master knows all of them";
}

TEST_F(WorkerTiers, WhatIsReadOftenEnoughComesUpToMemory) {
  start_with_devices(64);
  use_policy("[defaults]\ntier = \"nvme\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 2 * test_page);
  ASSERT_TRUE(load(*channel, block));
  use_policy("[defaults]\ntier = \"auto\"\npromote_after = { reads = 3, within = \"1h\" }\n");
  EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_FALSE(shard_->blocks().residency(block.id).present);
  EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_TRUE(shard_->blocks().residency(block.id).complete);
  EXPECT_TRUE(reads_right(*channel, block));
}

TEST_F(WorkerTiers, SmallReadsOfAPageCountOneByOne) {
  start_with_devices(64);
  use_policy("[defaults]\ntier = \"nvme\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", test_page);
  ASSERT_TRUE(load(*channel, block));
  use_policy("[defaults]\npromote_after = { reads = 3, within = \"1h\" }\n");
  for (int reads = 1; reads <= 2; ++reads) {
    EXPECT_EQ(read(*channel, block, 0, 4096).hit_bytes, 4096U);
    EXPECT_FALSE(shard_->blocks().residency(block.id).present) << "after " << reads;
  }
  EXPECT_EQ(read(*channel, block, 8192, 4096).hit_bytes, 4096U);
  EXPECT_TRUE(shard_->blocks().residency(block.id).complete);
}

TEST_F(WorkerTiers, LoadingWhatADeviceKeepsReadsNothing) {
  start_with_devices(64);
  use_policy("[defaults]\ntier = \"nvme\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 4 * test_page);
  ASSERT_TRUE(load(*channel, block));
  const std::uint64_t device_reads = tier().stats().reads;
  const int store_reads = store_->reads();
  ASSERT_TRUE(load(*channel, block));
  EXPECT_EQ(tier().stats().reads, device_reads);
  EXPECT_EQ(store_->reads(), store_reads);
}

TEST_F(WorkerTiers, NeverAdmittedIsNeverKeptAndSecondReadIsKeptAtTheSecond) {
  start_with_devices(64);
  use_policy("[[rule]]\nname = \"scan\"\npath = \"/**/never*\"\nadmission = \"never\"\n"
             "[[rule]]\nname = \"twice\"\npath = \"/**/twice*\"\nadmission = \"second-read\"\n");
  const auto channel = connect_tcp();
  const BlockRef never = file("never", test_page);
  EXPECT_TRUE(reads_right(*channel, never));
  EXPECT_TRUE(reads_right(*channel, never));
  EXPECT_FALSE(shard_->tiers().residency(never).present);
  const BlockRef twice = file("twice", test_page);
  EXPECT_TRUE(reads_right(*channel, twice));
  EXPECT_FALSE(shard_->tiers().residency(twice).present);
  EXPECT_TRUE(reads_right(*channel, twice));
  EXPECT_TRUE(shard_->tiers().residency(twice).complete);
}

TEST_F(WorkerTiers, ARestartFindsWhatTheDeviceHeldAndWhatMemoryHeldWhenItStopped) {
  start_with_devices(64);
  auto channel = connect_tcp();
  const BlockRef a = file("a", 8 * test_page);
  const BlockRef b = file("b", 100);
  EXPECT_TRUE(reads_right(*channel, a));
  EXPECT_TRUE(reads_right(*channel, b));
  const int reads = store_->reads();
  channel.reset();
  restart_with_devices(64);
  ASSERT_TRUE(loop_.work_until([&] { return master_.blocks.contains(a.id) && master_.blocks.contains(b.id); }));
  channel = connect_tcp();
  EXPECT_TRUE(reads_right(*channel, a));
  EXPECT_TRUE(reads_right(*channel, b));
  EXPECT_EQ(store_->reads(), reads);
}

TEST_F(WorkerTiers, AFlippedByteOnTheDeviceNeverReachesAReader) {
  start_with_devices(64);
  use_policy("[defaults]\ntier = \"nvme\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 4 * test_page);
  ASSERT_TRUE(load(*channel, block));
  for (const std::string& name : media_[0]->names()) {
    const auto content = media_[0]->content(name);
    if (content && content->size() == block.length_bytes) {
      for (std::uint64_t page = 0; page < 4; ++page) EXPECT_TRUE(media_[0]->flip_bit(name, page * test_page + 777, 3));
    }
  }
  const int reads = store_->reads();
  EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_GE(shard_->status().corrupt_pages, 4U);
  EXPECT_EQ(store_->reads(), reads + 4);
  ASSERT_TRUE(loop_.work_until([&] { return shard_->tiers().residency(block).complete; })) << "and it was repaired";
}

TEST_F(WorkerTiers, ADeviceThatFailsCostsMissesOnlyAndComesBack) {
  start_with_devices(64);
  use_policy("[defaults]\ntier = \"nvme\"\n");
  const auto channel = connect_tcp();
  std::vector<BlockRef> files;
  for (int i = 0; i < 8; ++i) files.push_back(file("f" + std::to_string(i), 2 * test_page));
  for (const BlockRef& block : files) ASSERT_TRUE(load(*channel, block));
  media_[0]->set_access(SimAccess::missing);
  for (const BlockRef& block : files) EXPECT_TRUE(reads_right(*channel, block));
  ASSERT_TRUE(loop_.work_until([&] { return shard_->tiers().status()[1].state == "fenced"; }));
  for (const BlockRef& block : files) EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_FALSE(shard_->tiers().status()[1].reason.empty());
  media_[0]->set_access(SimAccess::writable);
  ASSERT_TRUE(loop_.work_until([&] { return shard_->tiers().status()[1].state == "healthy"; }));
  const int reads = store_->reads();
  for (const BlockRef& block : files) EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_EQ(store_->reads(), reads) << "what it held is believed again, checksum by checksum";
}

TEST_F(WorkerTiers, ADeviceThatIsNotThereAtTheStartDoesNotStopTheWorker) {
  media_[0]->set_access(SimAccess::missing);
  start_with_devices(64);
  EXPECT_EQ(shard_->tiers().status()[1].state, "absent");
  const auto channel = connect_tcp();
  EXPECT_TRUE(reads_right(*channel, file("a", 4 * test_page)));
}

TEST_F(WorkerTiers, BlocksSpreadOverDevicesAndOneDevicesLossLeavesTheOthers) {
  start_with_devices(64, device_count);
  use_policy("[defaults]\ntier = \"nvme\"\n");
  const auto channel = connect_tcp();
  std::vector<BlockRef> files;
  for (int i = 0; i < 40; ++i) files.push_back(file("f" + std::to_string(i), test_page));
  for (const BlockRef& block : files) ASSERT_TRUE(load(*channel, block));
  EXPECT_GT(resident(0), 8 * test_page);
  EXPECT_GT(resident(1), 8 * test_page);
  media_[1]->set_access(SimAccess::missing);
  const int reads = store_->reads();
  for (const BlockRef& block : files) EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_LE(store_->reads(), reads + static_cast<int>(resident(1) / test_page) + 40 - static_cast<int>(resident(0) / test_page));
}

TEST_F(WorkerTiers, APinnedFileStaysInMemoryWhateverIsReadBesideIt) {
  start_with_devices(16);
  use_policy("[[rule]]\nname = \"hot\"\npath = \"/**/hot\"\npin = { tier = \"memory\" }\n");
  const auto channel = connect_tcp();
  const BlockRef hot = file("hot", 4 * test_page);
  EXPECT_TRUE(reads_right(*channel, hot));
  for (int i = 0; i < 12; ++i) {
    EXPECT_TRUE(reads_right(*channel, file("f" + std::to_string(i), 4 * test_page)));
    loop_.settle();
  }
  EXPECT_TRUE(shard_->blocks().residency(hot.id).complete);
  EXPECT_EQ(shard_->status().tier.pinned_bytes, 4 * test_page);
}

TEST_F(WorkerTiers, FreeingABlockFreesItInEveryTier) {
  start_with_devices(64);
  use_policy("[defaults]\npromote_after = { reads = 1, within = \"1h\" }\ntier = \"nvme\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 4 * test_page);
  ASSERT_TRUE(load(*channel, block));
  use_policy("[defaults]\npromote_after = { reads = 1, within = \"1h\" }\n");
  EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_EQ(shard_->tiers().where(block.id), "memory+nvme");
  proto::FreeBlocksRequest request;
  std::string id;
  for (const std::uint64_t half : {block.id.high, block.id.low}) {
    for (int shift = 0; shift < 64; shift += 8) id.push_back(static_cast<char>(half >> shift & 0xFF));
  }
  request.set_block_ids(id);
  ASSERT_TRUE(call(*channel, Method::free_blocks, request));
  EXPECT_EQ(shard_->tiers().where(block.id), "");
  ASSERT_TRUE(loop_.work_until([&] { return !master_.blocks.contains(block.id); }));
}

TEST_F(WorkerTiers, AQuotaMakesRoomAmongItsOwnFilesOnly) {
  start_with_devices(64);
  use_policy("[defaults]\ntier = \"memory\"\n"
             "[[quota]]\nname = \"team\"\npath = \"/**/team*\"\nmemory_max = \"" + std::to_string(4 * test_page / 1024) + "KiB\"\n");
  const auto channel = connect_tcp();
  const BlockRef other = file("other", 4 * test_page);
  EXPECT_TRUE(reads_right(*channel, other));
  std::vector<BlockRef> team;
  for (int i = 0; i < 6; ++i) team.push_back(file("team" + std::to_string(i), 2 * test_page));
  for (const BlockRef& block : team) {
    EXPECT_TRUE(reads_right(*channel, block));
    EXPECT_LE(shard_->tiers().quotas().charged(0, policy::CacheTier::memory), 4 * test_page);
  }
  EXPECT_TRUE(shard_->blocks().residency(other.id).complete);
  EXPECT_FALSE(shard_->blocks().residency(team[0].id).present) << "the least recently read went";
  EXPECT_TRUE(shard_->blocks().residency(team[5].id).complete);
}

TEST_F(WorkerTiers, DataPastItsTimeToLiveIsFetchedAgain) {
  start_with_devices(64);
  use_policy("[defaults]\nttl = \"1s\"\nttl_action = \"expire\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 2 * test_page);
  EXPECT_TRUE(reads_right(*channel, block));
  const int reads = store_->reads();
  ASSERT_TRUE(loop_.work_until([&] {
    EXPECT_TRUE(reads_right(*channel, block));
    return store_->reads() >= reads + 2;
  }));
}

TEST_F(WorkerTiers, AnIdleFileMovesToTheDevice) {
  start_with_devices(64);
  use_policy("[defaults]\ndemote_after_idle = \"1s\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 2 * test_page);
  EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_EQ(shard_->tiers().where(block.id), "memory");
  ASSERT_TRUE(loop_.work_until([&] { return shard_->tiers().where(block.id) == "nvme"; }));
  const int reads = store_->reads();
  EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_EQ(store_->reads(), reads);
}

TEST_F(WorkerTiers, ATraceHoldsWhatWasReadAndWhatIfCountsIt) {
  start_with_devices(64);
  const auto channel = connect_tcp();
  BlockRef block = file("a", 4 * test_page);
  block.file.uid = 1001;
  block.file.tenant = "ml";
  proto::TraceRequest request;
  request.set_paths(proto::TraceRequest::PLAIN);
  ASSERT_TRUE(call(*channel, Method::trace, request));
  EXPECT_EQ(call(*channel, Method::trace, request).code(), Code::busy);
  EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_TRUE(reads_right(*channel, block));
  request.set_action(proto::TraceRequest::STOP);
  std::vector<std::byte> room(1U << 20);
  const Result<RpcReply> stopped = call(*channel, Method::trace, request, room);
  ASSERT_TRUE(stopped) << stopped.error().message();
  proto::TraceReply counted;
  ASSERT_TRUE(counted.ParseFromString(stopped->body));
  EXPECT_EQ(counted.records(), 8U);
  auto text = std::make_unique<std::istringstream>(std::string(reinterpret_cast<const char*>(room.data()), stopped->payload_bytes));
  auto reader = TraceReader::read(std::move(text), "trace", TraceFormat::hearth);
  ASSERT_TRUE(reader) << reader.error().message();
  int from_store = 0;
  int from_memory = 0;
  for (auto record = reader->next(); record && *record; record = reader->next()) {
    EXPECT_EQ((*record)->bytes, test_page);
    ASSERT_NE(reader->file_of(**record), nullptr);
    EXPECT_TRUE(reader->file_of(**record)->path.ends_with("/a"));
    EXPECT_EQ(reader->file_of(**record)->uid, 1001U);
    EXPECT_EQ(reader->tenant_of(**record), "ml");
    ((*record)->served_by == 0 ? from_store : from_memory) += 1;
  }
  EXPECT_EQ(from_store, 4);
  EXPECT_EQ(from_memory, 4);
  EXPECT_EQ(call(*channel, Method::trace, request, room).code(), Code::not_found);

  const Result<RpcReply> asked = call(*channel, Method::whatif, proto::WhatIfRequest());
  ASSERT_TRUE(asked) << asked.error().message();
  proto::WhatIfReply answer;
  ASSERT_TRUE(answer.ParseFromString(asked->body));
  EXPECT_GT(answer.samples(), 0U);
  ASSERT_EQ(answer.tiers_size(), 2);
  EXPECT_EQ(answer.tiers(1).name(), "nvme");
  EXPECT_GT(answer.curve_size(), 0);
}

}  // namespace
}  // namespace hearth::worker::testing

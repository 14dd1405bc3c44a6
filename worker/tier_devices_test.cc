// What happens to the devices of a worker while it runs, and what of them outlives it.
#include "common/crc32c.h"
#include "tiering/nvme/index_format.h"
#include "worker/tiers_testing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace hearth::worker::testing {
namespace {

using namespace std::chrono_literals;

class WorkerDevices : public WorkerTiers {
 protected:
  TierStatus device_status() { return shard_->tiers().status()[1]; }
  std::vector<BlockRef> files(int count, std::uint64_t pages) {
    std::vector<BlockRef> made;
    for (int i = 0; i < count; ++i) made.push_back(file("f" + std::to_string(i), pages * test_page));
    return made;
  }
  bool empty_device() { return tier().all_blocks().empty(); }
};

TEST_F(WorkerDevices, ADeviceThatHangsAtTheStopIsToldAndNotDestroyed) {
  WorkerOptions options = options_with_devices(64, 1);
  options.nvme.close_within = 100ms;
  start(std::move(options));
  use_policy("[defaults]\ntier = \"nvme\"\n");
  auto channel = connect_tcp();
  const BlockRef block = file("a", 4 * test_page);
  ASSERT_TRUE(load(*channel, block));
  channel.reset();
  media_[0]->add_fault({.operation = SimOperation::sync, .effect = SimEffect::hang});
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(loop_.run(shard_->stop(10ms)).code(), Code::deadline_exceeded);
  EXPECT_LT(std::chrono::steady_clock::now() - began, 30s);
  EXPECT_GT(media_[0]->hung(), 0U);
  EXPECT_TRUE(tier().residency(block.id).present) << "its call is in flight: the tier is there";
  media_[0]->clear_faults();
  media_[0]->release_hung();
  EXPECT_TRUE(stop_shard(1s)) << "and ends when the device answers";
}

TEST_F(WorkerDevices, ADeviceThatHangsAtTheStartHoldsUpNobodyAndIsOpenedWhenItAnswers) {
  media_[0]->add_fault({.operation = SimOperation::open, .effect = SimEffect::hang});
  WorkerOptions options = options_with_devices(64, 1);
  options.nvme.open_within = 50ms;
  start(std::move(options));
  EXPECT_EQ(device_status().state, "absent");
  EXPECT_NE(device_status().reason.find("does not answer"), std::string::npos) << device_status().reason;
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 4 * test_page);
  EXPECT_TRUE(reads_right(*channel, block));
  media_[0]->clear_faults();
  media_[0]->release_hung();
  ASSERT_TRUE(loop_.work_until([&] { return device_status().state == "healthy"; }));
  EXPECT_TRUE(reads_right(*channel, block));
}

TEST_F(WorkerDevices, AnEmptyDiskInTheDevicesPlaceIsTakenIntoUseWithinHalfAMinute) {
  start_with_devices(64);
  use_policy("[defaults]\ntier = \"nvme\"\n");
  const auto channel = connect_tcp();
  const std::vector<BlockRef> blocks = files(6, 2);
  for (const BlockRef& block : blocks) ASSERT_TRUE(load(*channel, block));
  ASSERT_TRUE(loop_.work_until([&] { return master_.blocks.size() == blocks.size(); }));
  const auto old = media_[0];
  media_[0] = std::make_shared<SimDiskMedium>(SimDiskOptions{.seed = 2});
  old->set_access(SimAccess::replaced);
  ASSERT_TRUE(loop_.work_until([&] { return master_.blocks.empty(); }, 30s)) << "what it held is gone, and the master knows";
  ASSERT_TRUE(loop_.work_until([&] { return device_status().state == "healthy" && empty_device(); }, 30s));
  for (const BlockRef& block : blocks) ASSERT_TRUE(load(*channel, block));
  for (const BlockRef& block : blocks) EXPECT_TRUE(reads_right(*channel, block));
  EXPECT_EQ(resident(), 12 * test_page);
  ASSERT_TRUE(loop_.work_until([&] { return master_.blocks.size() == blocks.size(); }));
}

TEST_F(WorkerDevices, ADeviceThatHangsAndIsReplacedIsNotWaitedFor) {
  WorkerOptions options = options_with_devices(64, 1);
  options.nvme.close_within = 100ms;
  start(std::move(options));
  use_policy("[defaults]\ntier = \"nvme\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 2 * test_page);
  ASSERT_TRUE(load(*channel, block));
  const auto old = media_[0];
  for (const SimOperation operation : {SimOperation::open, SimOperation::read, SimOperation::write, SimOperation::sync, SimOperation::space}) {
    old->add_fault({.operation = operation, .effect = SimEffect::hang});
  }
  // Something has to be under way when it goes.
  ASSERT_TRUE(loop_.work_until([&] { return old->hung() > 0; }, 30s));
  media_[0] = std::make_shared<SimDiskMedium>(SimDiskOptions{.seed = 3});
  old->set_access(SimAccess::replaced);
  ASSERT_TRUE(loop_.work_until([&] { return device_status().state == "healthy" && empty_device(); }, 30s));
  ASSERT_TRUE(load(*channel, block));
  EXPECT_EQ(resident(), 2 * test_page);
  old->clear_faults();
  old->release_hung();
}

TEST_F(WorkerDevices, AReplacementThatCanNotBeUsedIsRefusedWithASentenceUntilItCan) {
  start_with_devices(64);
  use_policy("[defaults]\ntier = \"nvme\"\n");
  const auto channel = connect_tcp();
  const BlockRef block = file("a", 2 * test_page);
  ASSERT_TRUE(load(*channel, block));
  const auto old = media_[0];
  media_[0] = std::make_shared<SimDiskMedium>(SimDiskOptions{.seed = 4});
  IndexSector newer = encode_identity(DeviceIdentity{});
  newer[8] = std::byte{77};
  const std::uint32_t crc = crc32c(std::span<const std::byte>(newer).first(index_header_bytes - 4));
  for (unsigned i = 0; i < 4; ++i) newer[index_header_bytes - 4 + i] = static_cast<std::byte>(crc >> (8 * i));
  media_[0]->plant(std::string(index_file_name), newer);
  media_[0]->plant(std::string(identity_file_name), newer);
  old->set_access(SimAccess::replaced);
  ASSERT_TRUE(loop_.work_until([&] { return device_status().state == "absent"; }, 30s));
  ASSERT_TRUE(loop_.work_until([&] { return device_status().reason.find("format version 77") != std::string::npos; }, 30s)) << device_status().reason;
  EXPECT_TRUE(reads_right(*channel, block));
  media_[0]->erase(std::string(index_file_name));
  media_[0]->erase(std::string(identity_file_name));
  ASSERT_TRUE(loop_.work_until([&] { return device_status().state == "healthy"; }, 30s));
}

TEST_F(WorkerDevices, ATimeToLiveGoesOnOverARestartAndEndsInFreeing) {
  start_with_devices(64);
  use_policy("[[rule]]\nname = \"short\"\npath = \"/**/short\"\nttl = \"2s\"\nttl_action = \"free\"\n"
             "[defaults]\ntier = \"nvme\"\n");
  auto channel = connect_tcp();
  const BlockRef brief = file("short", 2 * test_page);
  const BlockRef lasting = file("long", 2 * test_page);
  ASSERT_TRUE(load(*channel, brief));
  ASSERT_TRUE(load(*channel, lasting));
  channel.reset();
  restart_with_devices(64);
  ASSERT_TRUE(loop_.work_until([&] { return !tier().residency(brief.id).present; })) << "without any policy, and nobody reads it";
  EXPECT_TRUE(tier().residency(lasting.id).complete);
  ASSERT_TRUE(loop_.work_until([&] { return !master_.blocks.contains(brief.id) && master_.blocks.contains(lasting.id); }));
}

TEST_F(WorkerDevices, DataPastItsTimeToLiveIsNotServedAfterARestart) {
  start_with_devices(64);
  use_policy("[defaults]\nttl = \"1s\"\nttl_action = \"expire\"\n");  // in memory until the stop writes it down
  auto channel = connect_tcp();
  const BlockRef block = file("a", 2 * test_page);
  EXPECT_TRUE(reads_right(*channel, block));
  const int reads = store_->reads();
  channel.reset();
  restart_with_devices(64);
  EXPECT_EQ(tier().expiries().size(), 1U);
  channel = connect_tcp();
  ASSERT_TRUE(loop_.work_until([&] {
    EXPECT_TRUE(reads_right(*channel, block));
    return store_->reads() >= reads + 2;
  }));
}

TEST_F(WorkerDevices, WatermarksOfAPolicyAreKeptToByDevicesThatAreOpen) {
  WorkerOptions options = options_with_devices(64, 1);
  options.nvme.devices[0].capacity_bytes = 100 * test_page;
  start(std::move(options));
  use_policy("[defaults]\ntier = \"nvme\"\n");
  const auto channel = connect_tcp();
  for (const BlockRef& block : files(40, 2)) ASSERT_TRUE(load(*channel, block));
  EXPECT_EQ(resident(), 80 * test_page);
  use_policy("[defaults]\ntier = \"nvme\"\n[tier.nvme]\nhigh_watermark = \"50%\"\nlow_watermark = \"30%\"\n");
  ASSERT_TRUE(loop_.work_until([&] { return resident() <= 30 * test_page; }));
}

TEST_F(WorkerDevices, TheEvictionClassOfAPolicyIsThatOfDevicesThatAreOpen) {
  WorkerOptions options = options_with_devices(64, 1);
  options.nvme.devices[0].capacity_bytes = 64 * test_page;
  start(std::move(options));
  const std::string all_there = "high_watermark = \"100%\"\nlow_watermark = \"99%\"\n";
  const auto use = [&](const std::string& eviction) { use_policy("[defaults]\ntier = \"nvme\"\n[tier.nvme]\neviction = \"" + eviction + "\"\n" + all_there); };
  const auto channel = connect_tcp();
  const std::vector<BlockRef> hot = files(8, 1);
  // Reads the hot files twice, then scans what does not fit; how many of the hot ones are left.
  const auto left_after_scan = [&](const std::string& name) {
    for (int round = 0; round < 3; ++round) {
      for (const BlockRef& block : hot) EXPECT_TRUE(reads_right(*channel, block));
    }
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(load(*channel, file(name + std::to_string(i), test_page)));
    return std::count_if(hot.begin(), hot.end(), [&](const BlockRef& block) { return tier().residency(block.id).complete; });
  };
  use("lru");
  EXPECT_EQ(left_after_scan("first"), 0) << "least recently read: the scan takes all";
  use("s3-fifo");
  EXPECT_EQ(left_after_scan("second"), 8) << "which withstands scans, on the same open device";
}

}  // namespace
}  // namespace hearth::worker::testing

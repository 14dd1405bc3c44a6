// Everything that can be wrong with a device and its directory: it costs misses, never a wrong byte, and passes by itself.
#include "tiering/nvme/nvme_test_support.h"

#include "common/rng.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace hearth {
namespace {

using namespace hearth::testing;  // NOLINT: a test

constexpr std::uint64_t page_64k = 64 * kib;
using std::chrono::milliseconds;
using std::chrono::seconds;

BlockRef block_of(std::uint64_t number, std::uint64_t length, std::uint32_t page_size = 64 * 1024) { return make_block(number, length, page_size); }

class Faulty : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(world.open(small_tier())); }
  void reopen(DiskTierOptions options = small_tier()) {
    world.close();
    const Status opened = world.open(std::move(options));
    ASSERT_TRUE(opened) << text(opened);
  }
  DeviceState state() { return world.tier().stats().state; }
  // Ticks until the device is healthy; how long it took.
  Duration until_healthy() {
    const TimePoint begin = world.clock.now();
    while (state() != DeviceState::healthy && world.clock.now() - begin < std::chrono::minutes(5)) world.ticks(1);
    return world.clock.now() - begin;
  }
  // Reads every page of the blocks; all that is shown is right. How many were.
  int right_pages(std::initializer_list<BlockRef> blocks) {
    int right = 0;
    for (const BlockRef& block : blocks) {
      for (std::uint32_t page = 0; page < block.page_count(); ++page) {
        const auto small = world.read(block, page, 5000 % block.page_length_bytes(PageIndex{page}), 1);
        const auto expected = page_content(block, PageIndex{page});
        EXPECT_TRUE(!small || small->bytes[0] == expected[5000 % expected.size()]);
        const Status shown = world.shows(block, page);
        EXPECT_NE(shown.code(), Code::internal) << text(shown);
        right += shown.has_value();
      }
    }
    return right;
  }
  World world;
};

// ---- flipped bits ---------------------------------------------------------------------------------------------------

TEST_F(Faulty, AFlippedBitOfABlockFileIsAMissOfItsPageOnly) {
  const BlockRef block = block_of(1, 8 * page_64k + 99);
  ASSERT_TRUE(world.write_all(block));
  SeededRng rng(3);
  for (int round = 0; round < 40; ++round) {
    const std::uint64_t offset = rng.below(block.length_bytes);
    ASSERT_TRUE(world.medium->flip_bit(block_file_name(block.id), offset, static_cast<unsigned>(rng.below(8))));
    EXPECT_EQ(right_pages({block}), 8) << "byte " << offset;
    world.settle();
    ASSERT_TRUE(world.write(block, static_cast<std::uint32_t>(offset / page_64k))) << "fetched again";
    EXPECT_EQ(right_pages({block}), 9);
  }
  EXPECT_EQ(world.tier().stats().corrupt_pages, 40U);
  EXPECT_EQ(world.problems(), "");
}

TEST_F(Faulty, AFlippedBitInTheTailPaddingHarmsNobody) {
  const BlockRef block = block_of(1, 100);
  ASSERT_TRUE(world.write_all(block));
  ASSERT_TRUE(world.medium->flip_bit(block_file_name(block.id), 2000, 1));
  EXPECT_EQ(right_pages({block}), 1);
}

TEST_F(Faulty, FlippedBitsOfTheIndexCostAtMostTheirRecords) {
  const BlockRef block = block_of(1, 8 * page_64k);
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    (void)world.write_all(block);
    for (std::uint32_t page = 0; page < 8; ++page) (void)world.write(block, page);
    world.close();
    ASSERT_TRUE(world.medium->flip_random_bit(seed, std::string(index_file_name)));
    ASSERT_TRUE(world.open());
    EXPECT_GE(right_pages({block}), 7) << "seed " << seed;
    EXPECT_EQ(world.problems(), "") << "seed " << seed;
  }
}

TEST_F(Faulty, FlippedBitsOfTheChecksumFileAreRepairedFromThePage) {
  const BlockRef block = block_of(1, 8 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    world.close();
    ASSERT_TRUE(world.medium->flip_random_bit(seed, std::string(sums_file_name)));
    ASSERT_TRUE(world.open());
    EXPECT_EQ(right_pages({block}), 8) << "seed " << seed;
  }
  EXPECT_EQ(world.tier().stats().corrupt_pages, 0U);
  reopen();
  const std::uint64_t before = world.disk->read_bytes;
  for (std::uint32_t page = 0; page < 8; ++page) ASSERT_TRUE(world.read(block, page, 0, 4096));
  EXPECT_EQ(world.disk->read_bytes - before, 8U * (4096 + 64)) << "the file is right again";
}

TEST_F(Faulty, ADamagedIdentityIsWrittenAgainFromTheIndex) {
  const BlockRef block = block_of(1, 8 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    world.close();
    ASSERT_TRUE(world.medium->flip_random_bit(seed, std::string(identity_file_name)));
    ASSERT_TRUE(world.open());
    EXPECT_EQ(right_pages({block}), 8) << "seed " << seed;
  }
  // And while the tier runs.
  ASSERT_TRUE(world.medium->flip_bit(std::string(identity_file_name), 20, 2));
  world.ticks(100);
  EXPECT_EQ(state(), DeviceState::healthy);
  EXPECT_TRUE(decode_identity(*world.medium->content(std::string(identity_file_name)), "identity"));
}

TEST_F(Faulty, ADamagedIndexHeaderIsWrittenAgainFromTheIdentity) {
  const BlockRef block = block_of(1, 8 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  world.close();
  ASSERT_TRUE(world.medium->flip_bit(std::string(index_file_name), 17, 4));
  ASSERT_TRUE(world.open());
  EXPECT_EQ(right_pages({block}), 8);
}

TEST_F(Faulty, BothCopiesOfTheIdentityDamagedIsRefusedOrStartedEmptyAsAsked) {
  ASSERT_TRUE(world.write_all(block_of(1, 8 * page_64k)));
  world.close();
  for (const std::string_view name : {identity_file_name, index_file_name}) ASSERT_TRUE(world.medium->flip_bit(std::string(name), 30, 1));
  const Status refused = world.open();
  ASSERT_EQ(refused.code(), Code::corrupt);
  EXPECT_NE(refused.error().message().find("rebuild"), std::string::npos) << text(refused);
  DiskTierOptions rebuild = small_tier();
  rebuild.if_unreadable = IfUnreadable::rebuild;
  ASSERT_TRUE(world.open(rebuild));
  EXPECT_EQ(world.tier().stats().pages, 0U);
  EXPECT_EQ(world.problems(), "") << "the old blocks' files are removed";
  EXPECT_TRUE(world.write_all(block_of(1, 8 * page_64k)));
}

TEST_F(Faulty, AnotherFormatVersionIsRefusedAndNeverMisread) {
  ASSERT_TRUE(world.write_all(block_of(1, 8 * page_64k)));
  world.close();
  auto sector = *world.medium->content(std::string(index_file_name));
  sector[8] = std::byte{3};
  const std::uint32_t crc = crc32c(std::span<const std::byte>(sector).first(index_header_bytes - 4));
  for (unsigned i = 0; i < 4; ++i) sector[index_header_bytes - 4 + i] = static_cast<std::byte>(crc >> (8 * i));
  world.medium->plant(std::string(index_file_name), sector);
  const Status refused = world.open();
  EXPECT_EQ(refused.code(), Code::version_mismatch);
  EXPECT_NE(refused.error().message().find("format version 3, this build knows 2"), std::string::npos) << text(refused);
  EXPECT_EQ(*world.medium->content(std::string(index_file_name)), sector) << "left as it was";
}

TEST_F(Faulty, AnIndexOfTheVersionBeforeIsTakenOverAndMarkedAsTheNewOne) {
  const BlockRef block = block_of(1, 8 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  for (const bool only_the_identity : {false, true}) {
    world.close();
    for (const std::string_view name : {identity_file_name, index_file_name}) {
      if (only_the_identity && name == index_file_name) continue;  // a crash came between the two
      auto bytes = *world.medium->content(std::string(name));
      bytes[8] = std::byte{1};
      const std::uint32_t crc = crc32c(std::span<const std::byte>(bytes).first(index_header_bytes - 4));
      for (unsigned i = 0; i < 4; ++i) bytes[index_header_bytes - 4 + i] = static_cast<std::byte>(crc >> (8 * i));
      world.medium->plant(std::string(name), bytes);
    }
    ASSERT_TRUE(world.open());
    EXPECT_EQ(right_pages({block}), 8);
    for (const std::string_view name : {identity_file_name, index_file_name}) {
      EXPECT_EQ((*world.medium->content(std::string(name)))[8], std::byte{2}) << name << ": a build that forgets times to live refuses it";
    }
  }
}

TEST_F(Faulty, AnotherClustersDirectoryIsRefused) {
  world.close();
  DiskTierOptions ours = small_tier();
  World fresh;
  ours.cluster_id = 5;
  ASSERT_TRUE(fresh.open(ours));
  fresh.close();
  ours.cluster_id = 6;
  EXPECT_EQ(fresh.open(ours).code(), Code::invalid_argument);
}

// ---- files that do not belong, or lack --------------------------------------------------------------------------------

TEST_F(Faulty, ATruncatedBlockFileIsAMissOfWhatItLacks) {
  const BlockRef block = block_of(1, 8 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  world.close();
  auto bytes = *world.medium->content(block_file_name(block.id));
  bytes.resize(5 * page_64k + 100);
  world.medium->plant(block_file_name(block.id), bytes);
  ASSERT_TRUE(world.open());
  EXPECT_EQ(right_pages({block}), 5);
  EXPECT_EQ(world.problems(), "");
  for (std::uint32_t page = 5; page < 8; ++page) EXPECT_TRUE(world.write(block, page));
  EXPECT_EQ(right_pages({block}), 8);
}

TEST_F(Faulty, TruncatedIndexAndChecksumFilesCostWhatTheyLack) {
  const BlockRef block = block_of(1, 8 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  world.close();
  auto index = *world.medium->content(std::string(index_file_name));
  index.resize(index_header_bytes + 5 * index_record_bytes + 13);
  world.medium->plant(std::string(index_file_name), index);
  world.medium->plant(std::string(sums_file_name), {});
  ASSERT_TRUE(world.open());
  EXPECT_EQ(right_pages({block}), 5);
  EXPECT_EQ(world.problems(), "");
}

TEST_F(Faulty, ForeignFilesAreLeftAloneAndOrphansRemoved) {
  const std::vector<std::byte> some(5000, std::byte{7});
  const std::string orphan = block_file_name(BlockId{0xAB, 0xCD});
  ASSERT_TRUE(world.write_all(block_of(1, page_64k)));
  world.close();
  world.medium->plant("notes.txt", some);
  world.medium->plant("ab/something", some);
  world.medium->plant(orphan, some);
  ASSERT_TRUE(world.open());
  EXPECT_EQ(world.problems(), "");
  EXPECT_TRUE(world.medium->content("notes.txt"));
  EXPECT_TRUE(world.medium->content("ab/something"));
  EXPECT_FALSE(world.medium->content(orphan));
  EXPECT_EQ(world.tier().stats().foreign_files, 2U);
  EXPECT_EQ(world.tier().stats().orphan_files_removed, 1U);
}

TEST_F(Faulty, AFileThatVanishedIsAMissAndIsMadeAgain) {
  const BlockRef block = block_of(1, 3 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  reopen();
  ASSERT_TRUE(world.medium->erase(block_file_name(block.id)));
  EXPECT_EQ(right_pages({block}), 0);
  world.settle();
  ASSERT_TRUE(world.write_all(block));
  EXPECT_EQ(right_pages({block}), 3);
  EXPECT_EQ(world.problems(), "");
}

TEST(DirectoryLock, ASecondTierOnOneDirectoryIsRefusedWithASentence) {
  char directory[] = "/tmp/hearth-lock-XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  DiskTierOptions options = small_tier();
  options.lock_file = std::string(directory) + "/lock";
  World first;
  World second;
  ASSERT_TRUE(first.open(options));
  const Status refused = second.open(options);
  EXPECT_EQ(refused.code(), Code::busy);
  EXPECT_NE(refused.error().message().find("in use by process " + std::to_string(::getpid())), std::string::npos) << text(refused);
  first.close();
  EXPECT_TRUE(second.open(options)) << "free again";
  second.close();
  std::filesystem::remove_all(directory);
}

// ---- space ----------------------------------------------------------------------------------------------------------

TEST_F(Faulty, AFullFileSystemShrinksTheTierAndFencesNothing) {
  const BlockRef block = block_of(1, 100 * page_64k);
  for (std::uint32_t page = 0; page < 6; ++page) ASSERT_TRUE(world.write(block, page));
  world.medium->set_capacity(world.medium->used_bytes() + page_64k / 2, 1000);
  int written = 0;
  for (std::uint32_t page = 10; page < 60; ++page) {
    const Status status = world.write(block, page);
    EXPECT_TRUE(status || status.code() == Code::no_space) << text(status);
    written += status.has_value();
    world.ticks(1);
  }
  EXPECT_GT(written, 30) << "it goes on with what there is";
  EXPECT_EQ(state(), DeviceState::healthy);
  EXPECT_LT(world.tier().stats().effective_capacity_bytes, 1U << 20);
  EXPECT_EQ(world.problems(), "");
  world.medium->set_capacity(1ULL << 40, 1000);
  world.ticks(200);
  EXPECT_EQ(world.tier().stats().effective_capacity_bytes, 1U << 20) << "and grows again with it";
}

TEST_F(Faulty, WithoutInodesOldBlocksMakeRoomForNewOnes) {
  for (std::uint64_t i = 0; i < 20; ++i) ASSERT_TRUE(world.write_all(block_of(i, 100)));
  world.medium->set_capacity(1ULL << 40, world.medium->names().size());
  int written = 0;
  for (std::uint64_t i = 100; i < 140; ++i) {
    const Status status = world.write_all(block_of(i, 100));
    EXPECT_TRUE(status || status.code() == Code::no_space) << text(status);
    written += status.has_value();
    world.ticks(1);
  }
  EXPECT_GE(written, 19);
  EXPECT_EQ(state(), DeviceState::healthy);
  EXPECT_EQ(world.problems(), "");
}

// ---- errors and health -----------------------------------------------------------------------------------------------

TEST_F(Faulty, ReadErrorsFenceTheDeviceAndItComesBackByItself) {
  const BlockRef block = block_of(1, 4 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  (void)world.tier().take_changes();
  world.medium->add_fault({.operation = SimOperation::read, .code = Code::io_error});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(world.read(block, 0).code(), Code::io_error);
  EXPECT_EQ(state(), DeviceState::fenced);
  EXPECT_FALSE(world.tier().lookup(block, PageIndex{0})) << "costs misses only";
  EXPECT_EQ(world.read(block, 0).code(), Code::unavailable);
  EXPECT_EQ(world.write(block_of(2, 10), 0).code(), Code::unavailable);
  world.ticks(1);
  EXPECT_EQ(world.tier().take_changes().removed.size(), 1U) << "the master is told";
  world.ticks(600);
  EXPECT_EQ(state(), DeviceState::fenced) << "the cause lasts";
  world.medium->clear_faults();
  EXPECT_LE(until_healthy(), seconds(30));
  EXPECT_EQ(world.tier().take_changes().added.size(), 1U);
  EXPECT_EQ(right_pages({block}), 4);
  EXPECT_EQ(world.problems(), "");
}

TEST_F(Faulty, WriteErrorsLeaveNothingBehind) {
  const BlockRef block = block_of(1, 8 * page_64k);
  ASSERT_TRUE(world.write(block, 0));
  world.medium->add_fault({.operation = SimOperation::write, .effect = SimEffect::fail_partly, .name = block_file_name(block.id), .count = 2});
  EXPECT_EQ(world.write(block, 1).code(), Code::io_error);
  EXPECT_EQ(state(), DeviceState::suspect);
  EXPECT_EQ(world.write(block, 2).code(), Code::unavailable) << "a suspect takes no writes";
  EXPECT_EQ(text(world.shows(block, 0)), "ok") << "but is read";
  world.medium->clear_faults();
  EXPECT_LE(until_healthy(), seconds(30));
  EXPECT_EQ(world.problems(), "");
  EXPECT_TRUE(world.write(block, 1));
  EXPECT_EQ(right_pages({block}), 2);
}

TEST_F(Faulty, LostAndTornWritesAreFoundByTheFirstRead) {
  const BlockRef block = block_of(1, 8 * page_64k);
  for (const SimEffect effect : {SimEffect::lose, SimEffect::tear}) {
    world.medium->add_fault({.operation = SimOperation::write, .effect = effect, .name = block_file_name(block.id)});
    for (std::uint32_t page = 0; page < 8; ++page) (void)world.write(block, page);
    world.medium->clear_faults();
    EXPECT_LT(right_pages({block}), 8);
    world.settle();
    EXPECT_EQ(world.problems(), "");
    world.in_context([&] { world.tier().free_block(block.id); });
  }
}

TEST_F(Faulty, AReadThatReturnsFlippedBitsIsAMissNotAWrongByte) {
  const BlockRef block = block_of(1, 8 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  world.medium->add_fault({.operation = SimOperation::read, .effect = SimEffect::flip, .probability = 0.3});
  for (int round = 0; round < 20; ++round) {
    (void)right_pages({block});
    for (std::uint32_t page = 0; page < 8; ++page) (void)world.write(block, page);
  }
  EXPECT_GT(world.tier().stats().corrupt_pages, 0U);
}

TEST_F(Faulty, AReadOnlyFileSystemFencesTheDeviceUntilItIsWritableAgain) {
  const BlockRef block = block_of(1, 4 * page_64k);
  ASSERT_TRUE(world.write(block, 0));
  world.medium->set_access(SimAccess::read_only);
  EXPECT_EQ(world.write(block, 1).code(), Code::read_only);
  EXPECT_EQ(state(), DeviceState::fenced);
  world.ticks(200);
  EXPECT_EQ(state(), DeviceState::fenced);
  world.medium->set_access(SimAccess::writable);
  EXPECT_LE(until_healthy(), seconds(30));
  world.ticks(2);  // what the failed write left is cleaned up now
  EXPECT_TRUE(world.write(block, 1));
  EXPECT_EQ(right_pages({block}), 2);
  EXPECT_EQ(world.problems(), "");
}

TEST_F(Faulty, AMissingDirectoryIsNoticedWithoutAReadAndComesBack) {
  const BlockRef block = block_of(1, 4 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  world.medium->set_access(SimAccess::missing);
  world.ticks(100);
  EXPECT_EQ(state(), DeviceState::fenced);
  EXPECT_EQ(world.read(block, 0).code(), Code::unavailable);
  world.medium->set_access(SimAccess::writable);
  EXPECT_LE(until_healthy(), seconds(30));
  EXPECT_EQ(right_pages({block}), 4);
}

TEST_F(Faulty, AnotherDirectoryInItsPlaceIsFencedUntilTheRightOneIsBack) {
  const BlockRef block = block_of(1, 4 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  const std::string name(identity_file_name);
  const std::string index(index_file_name);
  const auto ours = *world.medium->content(name);
  DeviceIdentity other;
  other.uuid[0] = std::byte{1};
  const IndexSector foreign = encode_identity(other);
  world.medium->plant(name, foreign);
  world.ticks(100);
  EXPECT_EQ(state(), DeviceState::fenced);
  EXPECT_NE(world.tier().stats().state_reason.find("another"), std::string::npos) << world.tier().stats().state_reason;
  world.medium->plant(name, ours);
  EXPECT_LE(until_healthy(), seconds(30));
  EXPECT_EQ(right_pages({block}), 4);
}

TEST_F(Faulty, ADeviceAHundredTimesSlowerIsFencedAndComesBack) {
  const BlockRef block = block_of(1, 8 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  world.medium->set_latency(std::chrono::microseconds(100));
  for (int i = 0; i < 400; ++i) ASSERT_TRUE(world.read(block, static_cast<std::uint32_t>(i % 8)));
  ASSERT_EQ(state(), DeviceState::healthy);
  world.medium->set_slowdown(100);
  int reads = 0;
  while (state() != DeviceState::fenced && reads < 3000) {
    ++reads;
    const Status shown = world.shows(block, static_cast<std::uint32_t>(reads % 8));
    EXPECT_TRUE(shown || shown.code() == Code::unavailable) << text(shown);
  }
  EXPECT_EQ(state(), DeviceState::fenced) << "after " << reads << " slow reads";
  world.medium->set_slowdown(1);
  EXPECT_LE(until_healthy(), seconds(30));
  EXPECT_EQ(right_pages({block}), 8);
}

TEST_F(Faulty, NobodyWaitsForAHungDeviceLongerThanItsDeadline) {
  const BlockRef block = block_of(1, 4 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  world.medium->add_fault({.operation = SimOperation::read, .effect = SimEffect::hang, .name = block_file_name(block.id)});
  std::optional<Result<DiskPage>> outcome;
  const TimePoint began = world.clock.now();
  auto done = [&](const std::exception_ptr&, Result<DiskPage> result) { outcome = std::move(result); };
  asio::co_spawn(*world.io, world.tier().read(block, PageIndex{0}, 0, 4096, Deadline::after(world.clock, seconds(3))), done);
  world.settle();
  while (!outcome && world.clock.now() - began < seconds(60)) world.ticks(1);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->code(), Code::deadline_exceeded);
  EXPECT_LE(world.clock.now() - began, seconds(4));
  world.ticks(200);
  EXPECT_EQ(state(), DeviceState::fenced) << "a call without an answer for ten seconds";
  world.medium->clear_faults();
  world.medium->release_hung();
  EXPECT_LE(until_healthy(), seconds(30));
  EXPECT_EQ(right_pages({block}), 4);
}

TEST_F(Faulty, ClockJumpsChangeNothingThatIsRead) {
  const BlockRef block = block_of(1, 4 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  for (const auto jump : {std::chrono::hours(24), std::chrono::hours(24 * 365 * 20)}) {
    world.clock.advance(jump);
    world.ticks(3);
    EXPECT_EQ(state(), DeviceState::healthy);
    EXPECT_EQ(right_pages({block}), 4);
    ASSERT_TRUE(world.write(block_of(static_cast<std::uint64_t>(jump.count()), 10), 0));
    reopen();
    EXPECT_EQ(right_pages({block}), 4);
  }
}

// ---- the scrubber ----------------------------------------------------------------------------------------------------

TEST_F(Faulty, TheScrubberFindsAndTellsWhatNobodyReads) {
  DiskTierOptions options = small_tier();
  options.scrub_bytes_per_second = 4 * page_64k;
  options.scrub_pause = seconds(10);
  reopen(options);
  const BlockRef block = block_of(1, 8 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  ASSERT_TRUE(world.medium->flip_bit(block_file_name(block.id), 5 * page_64k + 3, 1));
  std::vector<std::uint32_t> told;
  world.tier().on_corrupt([&](BlockId, PageIndex page) { told.push_back(page.value); });
  const std::uint64_t before = world.disk->read_bytes;
  world.ticks(20 * 4);
  EXPECT_EQ(told, (std::vector<std::uint32_t>{5}));
  EXPECT_FALSE(world.tier().lookup(block, PageIndex{5}));
  EXPECT_LE(world.disk->read_bytes - before, 4 * 6 * page_64k) << "at its rate";
  EXPECT_GE(world.tier().stats().scrubbed_pages, 8U);
  EXPECT_EQ(world.problems(), "");
}

}  // namespace
}  // namespace hearth

// The simulation itself: what it forgets, tears, breaks and delays is what the tier is tested against.
#include "tiering/disk/disk_test_support.h"

#include "common/canceller.h"
#include "common/rng.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace hearth {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t page = disk_alignment_bytes;
constexpr std::uint64_t sector = 512;

class SimDiskTest : public ::testing::Test, public DiskRunner {
 protected:
  std::shared_ptr<SimDiskMedium> medium = std::make_shared<SimDiskMedium>(SimDiskOptions{});
  std::unique_ptr<Disk> disk = open_sim_disk(medium, io.get_executor(), clock);

  void reopen() { disk = open_sim_disk(medium, io.get_executor(), clock); }
  DiskFileId file(const std::string& name, DiskOpen how = DiskOpen::create_or_open) {
    auto opened = run(disk->open(name, how, DiskCaching::direct));
    EXPECT_TRUE(opened) << opened.error().to_string();
    return opened ? *opened : DiskFileId{};
  }
  Status write(DiskFileId to, std::uint64_t offset, std::uint64_t length, std::uint64_t seed) {
    const DiskBuffer buffer = disk->buffer(length);
    fill_pattern(buffer.bytes(), seed);
    return run(disk->write(to, offset, buffer.bytes()));
  }
  Status read(DiskFileId from, std::uint64_t offset, DiskBuffer into) { return run(disk->read(from, offset, into.bytes())); }
  void make_durable(const std::string& name, std::uint64_t length, std::uint64_t seed) {
    const DiskFileId f = file(name);
    ASSERT_TRUE(write(f, 0, length, seed));
    ASSERT_TRUE(run(disk->sync(f)));
    ASSERT_TRUE(run(disk->sync_directory()));
    ASSERT_TRUE(run(disk->close(f)));
  }
};

// How often each sector of `name` is of pattern `a`, `b`, or zero.
struct Sectors {
  int first = 0;
  int second = 0;
  int zero = 0;
  int other = 0;
};
Sectors sectors_in(const std::vector<std::byte>& bytes, std::size_t from, std::size_t length, std::uint64_t first_seed,
                   std::uint64_t second_seed) {
  std::vector<std::byte> first(bytes.size());
  std::vector<std::byte> second(bytes.size());
  fill_pattern(first, first_seed);
  fill_pattern(second, second_seed);
  Sectors count;
  for (std::size_t at = from; at < from + length; at += sector) {
    const std::span<const std::byte> one(bytes.data() + at, sector);
    auto same = [&](const std::vector<std::byte>& as) { return std::equal(one.begin(), one.end(), as.data() + at); };
    if (same(first)) ++count.first;
    else if (same(second)) ++count.second;
    else if (std::all_of(one.begin(), one.end(), [](std::byte b) { return b == std::byte{0}; })) ++count.zero;
    else ++count.other;
  }
  return count;
}

Sectors sectors_of(const std::vector<std::byte>& bytes, std::uint64_t first_seed, std::uint64_t second_seed) {
  return sectors_in(bytes, 0, bytes.size(), first_seed, second_seed);
}

TEST_F(SimDiskTest, PowerLossKeepsWhatWasSynced) {
  make_durable("ab/a", 64 * page, 1);
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    medium->forget_unsynced(seed);
    reopen();
    const DiskBuffer buffer = disk->buffer(64 * page);
    ASSERT_TRUE(read(file("ab/a", DiskOpen::existing), 0, buffer));
    ASSERT_TRUE(has_pattern(buffer.bytes(), 1)) << "seed " << seed;
  }
}

TEST_F(SimDiskTest, PowerLossKeepsLosesAndTearsUnsyncedPagesBySector) {
  make_durable("a", 64 * page, 1);
  ASSERT_TRUE(write(file("a"), 0, 64 * page, 2));
  medium->forget_unsynced(7);
  const auto content = medium->content("a");
  ASSERT_TRUE(content);
  const Sectors count = sectors_of(*content, 1, 2);
  EXPECT_EQ(count.other, 0) << "a sector is old or new, never a mix";
  EXPECT_EQ(count.zero, 0);
  EXPECT_GT(count.first, 100);
  EXPECT_GT(count.second, 100);
  int torn_pages = 0;
  for (std::uint64_t at = 0; at < content->size(); at += page) {
    const Sectors of_page = sectors_in(*content, at, page, 1, 2);
    const int old_sectors = of_page.first;
    torn_pages += old_sectors > 0 && old_sectors < 8 ? 1 : 0;
  }
  EXPECT_GT(torn_pages, 0);
}

TEST_F(SimDiskTest, ASeedMeansTheSameLossEveryTime) {
  auto lose = [](std::uint64_t seed) {
    DiskRunner runner;
    auto medium = std::make_shared<SimDiskMedium>(SimDiskOptions{});
    auto disk = open_sim_disk(medium, runner.io.get_executor(), runner.clock);
    for (int i = 0; i < 20; ++i) {
      auto f = runner.run(disk->open("f" + std::to_string(i), DiskOpen::create_new, DiskCaching::direct));
      const DiskBuffer buffer = disk->buffer(4 * page);
      fill_pattern(buffer.bytes(), 5);
      EXPECT_TRUE(runner.run(disk->write(*f, 0, buffer.bytes())));
    }
    medium->forget_unsynced(seed);
    std::map<std::string, std::vector<std::byte>> left;
    for (const std::string& name : medium->names()) left[name] = *medium->content(name);
    return left;
  };
  EXPECT_EQ(lose(3), lose(3));
  EXPECT_NE(lose(3), lose(4));
}

TEST_F(SimDiskTest, NamesAreDurableOnlyAfterSyncDirectory) {
  make_durable("kept", page, 1);
  make_durable("from", page, 2);
  std::set<bool> created;
  std::set<bool> removed;
  std::set<bool> renamed;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    reopen();
    const DiskFileId f = file("new");
    ASSERT_TRUE(run(disk->sync(f))) << "the bytes, not the name";
    ASSERT_TRUE(run(disk->remove("kept")));
    ASSERT_TRUE(run(disk->rename("from", "to")));
    medium->forget_unsynced(seed);
    const auto names = medium->names();
    const std::set<std::string> left(names.begin(), names.end());
    created.insert(left.contains("new"));
    removed.insert(!left.contains("kept"));
    renamed.insert(left.contains("to"));
    EXPECT_NE(left.contains("to"), left.contains("from")) << "a rename is whole or nothing";
    for (const std::string& name : names) medium->erase(name);
    reopen();
    make_durable("kept", page, 1);
    make_durable("from", page, 2);
  }
  const std::set<bool> both{false, true};
  EXPECT_EQ(created, both);
  EXPECT_EQ(removed, both);
  EXPECT_EQ(renamed, both);
}

TEST_F(SimDiskTest, AProcessKillKeepsWhatWasCompleted) {
  const DiskFileId f = file("a");
  ASSERT_TRUE(write(f, 0, 16 * page, 3));
  medium->restart(SimCrash::process_kill, 1);
  EXPECT_EQ(write(f, 0, page, 4).code(), Code::unavailable) << "the disk of the dead process";
  reopen();
  const DiskBuffer buffer = disk->buffer(16 * page);
  ASSERT_TRUE(read(file("a", DiskOpen::existing), 0, buffer));
  EXPECT_TRUE(has_pattern(buffer.bytes(), 3));
}

TEST_F(SimDiskTest, AKillTearsTheWriteThatWasInFlight) {
  make_durable("a", 64 * page, 1);
  const std::uint64_t before = medium->operations_done();
  const DiskFileId f = file("a");
  medium->crash_after(before);
  EXPECT_EQ(write(f, 0, 64 * page, 2).code(), Code::unavailable);
  EXPECT_TRUE(medium->crashed());
  EXPECT_EQ(run(disk->space()).code(), Code::unavailable);
  medium->restart(SimCrash::process_kill, 11);
  const Sectors count = sectors_of(*medium->content("a"), 1, 2);
  EXPECT_GT(count.first, 0);
  EXPECT_GT(count.second, 0);
  EXPECT_EQ(count.other + count.zero, 0);
}

TEST_F(SimDiskTest, EveryWriteBoundaryIsACrashPoint) {
  auto workload = [](DiskRunner& runner, Disk& disk) {
    auto f = runner.run(disk.open("a", DiskOpen::create_new, DiskCaching::direct));  // 1
    if (!f) return;
    const DiskBuffer buffer = disk.buffer(page);
    fill_pattern(buffer.bytes(), 9);
    static_cast<void>(runner.run(disk.write(*f, 0, buffer.bytes())));   // 2
    static_cast<void>(runner.run(disk.sync(*f)));                       // 3
    static_cast<void>(runner.run(disk.sync_directory()));               // 4
    static_cast<void>(runner.run(disk.rename("a", "b")));               // 5
    static_cast<void>(runner.run(disk.sync_directory()));               // 6
  };
  std::uint64_t total = 0;
  for (std::uint64_t boundary = 0; boundary <= 6; ++boundary) {
    auto fresh = std::make_shared<SimDiskMedium>(SimDiskOptions{});
    auto opened = open_sim_disk(fresh, io.get_executor(), clock);
    fresh->crash_after(boundary);
    workload(*this, *opened);
    EXPECT_EQ(fresh->crashed(), boundary < 6);
    EXPECT_EQ(fresh->operations_done(), boundary);
    total = std::max(total, fresh->operations_done());
    fresh->restart(SimCrash::power_loss, 1);
    // Whole from the boundary on at which the workload had made it durable.
    const auto names = fresh->names();
    if (boundary >= 4) {
      ASSERT_EQ(names.size(), 1U) << boundary;
      EXPECT_TRUE(has_pattern(*fresh->content(names[0]), 9)) << boundary;
    }
    if (boundary == 6) { EXPECT_EQ(names[0], "b"); }
  }
  EXPECT_EQ(total, 6U);
}

TEST_F(SimDiskTest, FaultsHitTheirOperationFileAndTurn) {
  make_durable("a", 4 * page, 1);
  make_durable("b", 4 * page, 1);
  const DiskFileId a = file("a");
  const DiskFileId b = file("b");
  const DiskBuffer buffer = disk->buffer(page);
  medium->add_fault({.operation = SimOperation::read, .code = Code::io_error, .name = "a", .skip = 2, .count = 1});
  EXPECT_TRUE(read(a, 0, buffer));
  EXPECT_TRUE(read(b, 0, buffer));
  EXPECT_TRUE(read(a, 0, buffer));
  EXPECT_EQ(read(a, 0, buffer).code(), Code::io_error);
  EXPECT_TRUE(read(a, 0, buffer));
  EXPECT_TRUE(read(b, 0, buffer));
  medium->clear_faults();
  medium->add_fault({.operation = SimOperation::write, .code = Code::no_space, .probability = 0.5});
  int failed = 0;
  for (int i = 0; i < 200; ++i) failed += write(a, 0, page, 1) ? 0 : 1;
  EXPECT_GT(failed, 60);
  EXPECT_LT(failed, 140);
}

TEST_F(SimDiskTest, LostTornAndHalfFailedWritesAreWhatTheySay) {
  make_durable("a", 64 * page, 1);
  const DiskFileId f = file("a");
  medium->add_fault({.operation = SimOperation::write, .effect = SimEffect::lose, .count = 1});
  EXPECT_TRUE(write(f, 0, 64 * page, 2));
  EXPECT_TRUE(has_pattern(*medium->content("a"), 1));
  medium->add_fault({.operation = SimOperation::write, .effect = SimEffect::tear, .count = 1});
  EXPECT_TRUE(write(f, 0, 64 * page, 2));
  const Sectors torn = sectors_of(*medium->content("a"), 1, 2);
  EXPECT_GT(torn.first, 0);
  EXPECT_GT(torn.second, 0);
  medium->add_fault({.operation = SimOperation::write, .effect = SimEffect::fail_partly, .code = Code::io_error, .count = 1});
  EXPECT_EQ(write(f, 0, 64 * page, 3).code(), Code::io_error);
  EXPECT_GT(sectors_of(*medium->content("a"), 2, 3).second, 0);
  medium->add_fault({.operation = SimOperation::sync, .effect = SimEffect::lose, .count = 1});
  ASSERT_TRUE(write(f, 0, 64 * page, 4));
  EXPECT_TRUE(run(disk->sync(f))) << "a device that lies";
  medium->forget_unsynced(5);
  EXPECT_FALSE(has_pattern(*medium->content("a"), 4));
}

TEST_F(SimDiskTest, AFlippedBitStaysAndAFlippedReadDoesNot) {
  make_durable("a", page, 1);
  const DiskBuffer buffer = disk->buffer(page);
  const DiskFileId f = file("a");
  medium->add_fault({.operation = SimOperation::read, .effect = SimEffect::flip, .count = 1});
  ASSERT_TRUE(read(f, 0, buffer));
  EXPECT_FALSE(has_pattern(buffer.bytes(), 1));
  ASSERT_TRUE(read(f, 0, buffer));
  EXPECT_TRUE(has_pattern(buffer.bytes(), 1));
  EXPECT_TRUE(medium->flip_bit("a", 100, 3));
  EXPECT_FALSE(medium->flip_bit("a", page, 3));
  medium->forget_unsynced(1);
  reopen();
  ASSERT_TRUE(read(file("a"), 0, buffer));
  EXPECT_FALSE(has_pattern(buffer.bytes(), 1));
  buffer.bytes()[100] ^= std::byte{8};
  EXPECT_TRUE(has_pattern(buffer.bytes(), 1));
  const auto flip = medium->flip_random_bit(9);
  ASSERT_TRUE(flip);
  EXPECT_EQ(flip->name, "a");
  EXPECT_FALSE(medium->flip_random_bit(9, "none"));
}

TEST_F(SimDiskTest, CrawlsAndHangsByTheClock) {
  make_durable("a", page, 1);
  const DiskFileId f = file("a");
  const DiskBuffer buffer = disk->buffer(page);
  medium->set_latency(SimOperation::read, 1ms);
  medium->set_slowdown(100);
  const auto slow = start(disk->read(f, 0, buffer.bytes()));
  io.poll();
  EXPECT_FALSE(*slow);
  clock.advance(99ms);
  io.restart();
  io.poll();
  EXPECT_FALSE(*slow);
  clock.advance(1ms);
  EXPECT_TRUE(finish(slow));

  medium->set_latency(0ms);
  medium->add_fault({.operation = SimOperation::read, .effect = SimEffect::hang, .count = 1});
  const auto hung = start(disk->read(f, 0, buffer.bytes()));
  io.restart();
  io.poll();
  EXPECT_EQ(medium->hung(), 1U);
  EXPECT_TRUE(run(disk->read(f, 0, buffer.bytes()))) << "only that one";
  EXPECT_FALSE(*hung);
  medium->release_hung();
  EXPECT_TRUE(finish(hung));
  EXPECT_EQ(medium->hung(), 0U);
}

Task<> read_without_throwing(Disk& disk, DiskFileId f, DiskBuffer into, std::optional<Status>& outcome) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto read = co_await disk.read(f, 0, into.bytes());
  outcome = std::move(read);
  co_return ok();
}

TEST_F(SimDiskTest, ACancelledCallThatHangsHangsOn) {
  make_durable("a", page, 1);
  const DiskFileId f = file("a");
  medium->add_fault({.operation = SimOperation::read, .effect = SimEffect::hang, .count = 1});
  Canceller canceller(io.get_executor());
  std::optional<Status> outcome;
  const DiskBuffer buffer = disk->buffer(page);
  auto ignore = [](const std::exception_ptr&, const Status&) {};
  asio::co_spawn(io, read_without_throwing(*disk, f, buffer, outcome), asio::bind_cancellation_slot(canceller.slot(), ignore));
  io.restart();
  io.poll();
  ASSERT_EQ(medium->hung(), 1U);
  canceller.cancel();
  io.restart();
  io.poll();
  EXPECT_FALSE(outcome) << "the device may still write into its memory";
  medium->release_hung();
  while (!outcome) step();
  EXPECT_TRUE(*outcome);
  EXPECT_TRUE(has_pattern(buffer.bytes(), 1));
}

TEST_F(SimDiskTest, ARestartEndsWhatHangs) {
  const DiskFileId f = file("a");
  medium->add_fault({.operation = SimOperation::write, .effect = SimEffect::hang, .count = 1});
  const DiskBuffer buffer = disk->buffer(page);
  const auto hung = start(disk->write(f, 0, buffer.bytes()));
  io.restart();
  io.poll();
  EXPECT_FALSE(*hung);
  medium->restart(SimCrash::process_kill, 1);
  EXPECT_EQ(finish(hung).code(), Code::unavailable);
  EXPECT_TRUE(run(disk->shut_down()));
}

TEST_F(SimDiskTest, ReadOnlyRefusesChangesAndServesReads) {
  make_durable("a", page, 1);
  const DiskFileId f = file("a");
  medium->set_access(SimAccess::read_only);
  EXPECT_EQ(write(f, 0, page, 2).code(), Code::read_only);
  EXPECT_EQ(run(disk->open("b", DiskOpen::create_new, DiskCaching::direct)).code(), Code::read_only);
  EXPECT_EQ(run(disk->remove("a")).code(), Code::read_only);
  EXPECT_EQ(run(disk->rename("a", "b")).code(), Code::read_only);
  const DiskBuffer buffer = disk->buffer(page);
  EXPECT_TRUE(read(f, 0, buffer));
  EXPECT_TRUE(has_pattern(buffer.bytes(), 1));
}

// Random operations against the plainest model of a file system; the accounting of space above all.
TEST_F(SimDiskTest, CountsItsSpaceExactly) {
  const char* given = std::getenv("HEARTH_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 20261121;
  SCOPED_TRACE("HEARTH_SEED=" + std::to_string(seed));
  SeededRng dice(seed);
  std::map<std::string, std::set<std::uint64_t>> model;  // allocated pages by file
  const DiskBuffer buffer = disk->buffer(4 * page);
  for (int step = 0; step < 3000; ++step) {
    const std::string name = "f" + std::to_string(dice.below(6));
    const std::uint64_t at = dice.below(16);
    const std::uint64_t kind = dice.below(6);
    if (kind == 5) {
      const Status removed = run(disk->remove(name));
      EXPECT_EQ(static_cast<bool>(removed), model.erase(name) == 1);
    } else {
      const DiskFileId f = file(name);
      auto& pages = model[name];
      if (kind <= 1) {
        ASSERT_TRUE(run(disk->write(f, at * page, buffer.bytes())));
        for (std::uint64_t i = at; i < at + 4; ++i) pages.insert(i);
      } else if (kind == 2) {
        ASSERT_TRUE(run(disk->truncate(f, at * page)));
        const auto length = *run(disk->length_bytes(f));
        ASSERT_EQ(length, at * page);
        const auto content = medium->content(name);
        std::erase_if(pages, [&](std::uint64_t i) { return i >= at; });
      } else if (kind == 3) {
        ASSERT_TRUE(run(disk->punch(f, at * page, 3 * page)));
        for (std::uint64_t i = at; i < at + 3; ++i) pages.erase(i);
      } else {
        const std::string to = "f" + std::to_string(dice.below(6));
        ASSERT_TRUE(run(disk->rename(name, to)));
        if (to != name) {
          model[to] = model[name];
          model.erase(name);
        }
      }
      ASSERT_TRUE(run(disk->close(f)));
    }
    std::uint64_t expected = 0;
    for (const auto& [unused, pages] : model) expected += pages.size() * page;
    ASSERT_EQ(medium->used_bytes(), expected) << "step " << step;
    ASSERT_EQ(medium->names().size(), model.size());
  }
}

}  // namespace
}  // namespace hearth

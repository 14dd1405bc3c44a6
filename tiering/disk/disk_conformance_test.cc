// What every engine promises (disk.h), against each of them.
#include "common/canceller.h"
#include "tiering/disk/disk_test_support.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/this_coro.hpp>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <set>

namespace hearth {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t page = disk_alignment_bytes;

class DiskConformance : public ::testing::TestWithParam<DiskCase>, public DiskRunner {
 protected:
  bool simulated() const { return !GetParam().engine.has_value(); }
  DiskCaching caching() const { return GetParam().caching; }

  void open(DiskOptions options = {}) {
    if (simulated()) {
      medium = std::make_shared<SimDiskMedium>(
          SimDiskOptions{.queue_depth = options.queue_depth, .max_waiting = options.max_waiting});
      disk = open_sim_disk(medium, io.get_executor(), clock);
      return;
    }
    options.directory = directory.path();
    options.engine = *GetParam().engine;
    options.registered_bytes = 4ULL << 20;
    auto opened = open_disk(options, io.get_executor(), clock);
    ASSERT_TRUE(opened) << opened.error().to_string();
    disk = std::move(*opened);
  }
  // Calls take a while: those of the simulation too.
  void take_time() {
    if (simulated()) medium->set_latency(1ms);
  }
  void TearDown() override {
    if (!disk) return;
    const Status down = run(disk->shut_down());
    EXPECT_TRUE(down) << down.error().to_string();
  }

  DiskFileId file(const std::string& name, DiskOpen how = DiskOpen::create_or_open) {
    auto opened = run(disk->open(name, how, caching()));
    EXPECT_TRUE(opened) << opened.error().to_string();
    return opened ? *opened : DiskFileId{};
  }
  DiskBuffer pattern(std::uint64_t length, std::uint64_t seed) {
    DiskBuffer buffer = disk->buffer(length);
    fill_pattern(buffer.bytes().first(length), seed);
    return buffer;
  }
  Status write(DiskFileId to, std::uint64_t offset, std::uint64_t length, std::uint64_t seed) {
    const DiskBuffer buffer = pattern(length, seed);
    return run(disk->write(to, offset, buffer.bytes().first(length)));
  }
  Status check(DiskFileId from, std::uint64_t offset, std::uint64_t length, std::uint64_t seed) {
    const DiskBuffer buffer = disk->buffer(length);
    Status read = run(disk->read(from, offset, buffer.bytes().first(length)));
    if (read) { EXPECT_TRUE(has_pattern(buffer.bytes().first(length), seed)) << "at " << offset; }
    return read;
  }

  TemporaryDirectory directory;
  std::shared_ptr<SimDiskMedium> medium;
  std::unique_ptr<Disk> disk;
};

TEST_P(DiskConformance, ReadsExactlyWhatWasWritten) {
  open();
  const DiskFileId f = file("ab/data");
  EXPECT_TRUE(write(f, 0, 8 * page, 1));
  EXPECT_TRUE(write(f, 16 * page, 256 * page, 2));
  EXPECT_TRUE(check(f, 0, 8 * page, 1));
  EXPECT_TRUE(check(f, 16 * page, 256 * page, 2));
  DiskBuffer hole = pattern(8 * page, 3);
  EXPECT_TRUE(run(disk->read(f, 8 * page, hole.bytes())));
  EXPECT_TRUE(std::all_of(hole.bytes().begin(), hole.bytes().end(), [](std::byte b) { return b == std::byte{0}; }));
  auto length = run(disk->length_bytes(f));
  ASSERT_TRUE(length);
  EXPECT_EQ(*length, 272 * page);
}

TEST_P(DiskConformance, KeepsItsBytesOverSyncCloseAndOpen) {
  open();
  const DiskFileId f = file("ab/data");
  EXPECT_TRUE(write(f, page, 4 * page, 7));
  EXPECT_TRUE(run(disk->sync(f)));
  EXPECT_TRUE(run(disk->sync_directory()));
  EXPECT_TRUE(run(disk->close(f)));
  EXPECT_EQ(run(disk->sync(f)).code(), Code::invalid_argument);
  EXPECT_EQ(run(disk->close(f)).code(), Code::invalid_argument);
  const DiskFileId again = file("ab/data", DiskOpen::existing);
  EXPECT_NE(again, f);
  EXPECT_TRUE(check(again, page, 4 * page, 7));
}

TEST_P(DiskConformance, RefusesMisalignedDirectCallsAndTakesBufferedOnes) {
  open();
  const DiskFileId f = file("data");
  ASSERT_TRUE(write(f, 0, 4 * page, 1));
  const DiskBuffer buffer = disk->buffer(2 * page);
  const Code expected = caching() == DiskCaching::direct ? Code::invalid_argument : Code::ok;
  EXPECT_EQ(run(disk->read(f, 512, buffer.bytes().first(page))).code(), expected);
  EXPECT_EQ(run(disk->read(f, 0, buffer.bytes().first(100))).code(), expected);
  EXPECT_EQ(run(disk->read(f, 0, buffer.bytes().subspan(512, page))).code(), expected);
  EXPECT_EQ(run(disk->write(f, 512, buffer.bytes().first(page))).code(), expected);
  EXPECT_EQ(run(disk->write(f, 0, buffer.bytes().subspan(1, 10))).code(), expected);
}

TEST_P(DiskConformance, AReadThatMeetsTheEndIsCorrupt) {
  open();
  const DiskFileId f = file("data");
  EXPECT_EQ(check(f, 0, page, 0).code(), Code::corrupt);
  ASSERT_TRUE(write(f, 0, 2 * page, 1));
  EXPECT_EQ(check(f, page, 2 * page, 0).code(), Code::corrupt);
  EXPECT_EQ(check(f, 2 * page, page, 0).code(), Code::corrupt);
  ASSERT_TRUE(run(disk->truncate(f, page + 100)));
  EXPECT_TRUE(check(f, 0, page, 1));
  EXPECT_EQ(check(f, page, page, 0).code(), Code::corrupt);
  EXPECT_EQ(check(f, 0, 2 * page, 0).code(), Code::corrupt);
}

TEST_P(DiskConformance, RefusesNamesOutsideOfTheRule) {
  open();
  const std::string long_name(256, 'a');
  for (const std::string& name : {std::string(), std::string("."), std::string(".."), std::string("/etc/passwd"),
                                  std::string("../x"), std::string("a/../b"), std::string("a/b/c"), std::string("a/"),
                                  std::string("/a"), std::string("a//b"), std::string("sp ace"), std::string("a\0b", 3),
                                  std::string("ümlaut"), long_name}) {
    EXPECT_EQ(run(disk->open(name, DiskOpen::create_or_open, caching())).code(), Code::invalid_argument) << name;
    EXPECT_EQ(run(disk->remove(name)).code(), Code::invalid_argument) << name;
    EXPECT_EQ(run(disk->rename(name, "b")).code(), Code::invalid_argument) << name;
    EXPECT_EQ(run(disk->rename("b", name)).code(), Code::invalid_argument) << name;
  }
}

TEST_P(DiskConformance, OpensAsItIsTold) {
  open();
  EXPECT_EQ(run(disk->open("a", DiskOpen::existing, caching())).code(), Code::not_found);
  EXPECT_EQ(run(disk->open("no/a", DiskOpen::existing, caching())).code(), Code::not_found);
  const DiskFileId first = file("a", DiskOpen::create_new);
  EXPECT_EQ(run(disk->open("a", DiskOpen::create_new, caching())).code(), Code::already_exists);
  ASSERT_TRUE(write(first, 0, page, 5));
  const DiskFileId second = file("a", DiskOpen::create_or_open);
  EXPECT_TRUE(check(second, 0, page, 5));
}

TEST_P(DiskConformance, RemovesAndStillServesWhoHasItOpen) {
  open();
  const DiskFileId f = file("ab/a");
  ASSERT_TRUE(write(f, 0, page, 5));
  EXPECT_TRUE(run(disk->remove("ab/a")));
  EXPECT_EQ(run(disk->remove("ab/a")).code(), Code::not_found);
  EXPECT_EQ(run(disk->open("ab/a", DiskOpen::existing, caching())).code(), Code::not_found);
  EXPECT_TRUE(check(f, 0, page, 5));
  EXPECT_TRUE(run(disk->sync_directory()));
}

TEST_P(DiskConformance, RenameReplacesItsTarget) {
  open();
  ASSERT_TRUE(write(file("a"), 0, page, 1));
  ASSERT_TRUE(write(file("b"), 0, page, 2));
  EXPECT_TRUE(run(disk->rename("a", "b")));
  EXPECT_TRUE(check(file("b", DiskOpen::existing), 0, page, 1));
  EXPECT_EQ(run(disk->rename("a", "c")).code(), Code::not_found);
  EXPECT_TRUE(run(disk->rename("b", "new/b"))) << "its directory is made";
  EXPECT_TRUE(run(disk->sync_directory()));
  EXPECT_TRUE(check(file("new/b", DiskOpen::existing), 0, page, 1));
}

TEST_P(DiskConformance, ListsEveryFileOnceInPieces) {
  open();
  std::set<std::string> expected;
  for (int i = 0; i < 40; ++i) {
    const std::string name = (i % 4 == 0 ? "top-" : i % 4 == 1 ? "aa/" : i % 4 == 2 ? "bb/" : "cc.x/") + std::to_string(i);
    expected.insert(name);
    const DiskFileId f = file(name);
    if (i == 1) { ASSERT_TRUE(write(f, 0, 2 * page, 1)); }
    ASSERT_TRUE(run(disk->close(f)));
  }
  std::set<std::string> seen;
  std::string after;
  for (int calls = 0; calls < 100; ++calls) {
    auto some = run(disk->list(after, 7));
    ASSERT_TRUE(some) << some.error().to_string();
    ASSERT_LE(some->size(), 7U);
    if (some->empty()) break;
    for (const DiskEntry& each : *some) {
      EXPECT_TRUE(seen.insert(each.name).second) << each.name << " twice";
      EXPECT_EQ(each.length_bytes, each.name == "aa/1" ? 2 * page : 0);
      EXPECT_EQ(each.allocated_bytes, each.name == "aa/1" ? 2 * page : 0);
    }
    after = some->back().name;
    // What is removed meanwhile, the last name above all, must not end or confuse the listing.
    ASSERT_TRUE(run(disk->remove(after)));
  }
  EXPECT_EQ(seen, expected);
}

TEST_P(DiskConformance, TruncatesPunchesAndAllocates) {
  open();
  const DiskFileId f = file("a");
  auto allocated = run(disk->allocate(f, 64 * page));
  EXPECT_TRUE(allocated || allocated.code() == Code::unsupported) << allocated.error().to_string();
  EXPECT_EQ(*run(disk->length_bytes(f)), 0U);
  ASSERT_TRUE(write(f, 0, 16 * page, 9));
  ASSERT_TRUE(run(disk->sync(f)));
  const std::uint64_t before = (*run(disk->list("", 10)))[0].allocated_bytes;
  EXPECT_GE(before, allocated ? 64 * page : 16 * page);
  const Status punched = run(disk->punch(f, 4 * page, 8 * page));
  ASSERT_TRUE(punched) << punched.error().to_string();
  EXPECT_EQ(*run(disk->length_bytes(f)), 16 * page);
  EXPECT_EQ((*run(disk->list("", 10)))[0].allocated_bytes, before - 8 * page);
  const DiskBuffer hole = pattern(8 * page, 1);
  EXPECT_TRUE(run(disk->read(f, 4 * page, hole.bytes())));
  EXPECT_TRUE(std::all_of(hole.bytes().begin(), hole.bytes().end(), [](std::byte b) { return b == std::byte{0}; }));
  EXPECT_TRUE(run(disk->truncate(f, 32 * page)));
  EXPECT_EQ(*run(disk->length_bytes(f)), 32 * page);
  EXPECT_TRUE(run(disk->truncate(f, 0)));
  EXPECT_EQ(check(f, 0, page, 0).code(), Code::corrupt);
}

TEST_P(DiskConformance, ManyInFlightKeepTheirOwnBytes) {
  open({.queue_depth = 16});
  take_time();
  const DiskFileId f = file("a");
  std::vector<std::pair<DiskBuffer, std::shared_ptr<Outcome<void>>>> calls;
  for (std::uint64_t i = 0; i < 400; ++i) {
    DiskBuffer buffer = pattern(2 * page, i);
    auto task = disk->write(f, i * 2 * page, buffer.bytes());
    calls.emplace_back(buffer, start(std::move(task)));
  }
  for (auto& [buffer, outcome] : calls) ASSERT_TRUE(finish(outcome));
  calls.clear();
  for (std::uint64_t i = 0; i < 400; ++i) {
    DiskBuffer buffer = disk->buffer(2 * page);
    auto task = disk->read(f, i * 2 * page, buffer.bytes());
    calls.emplace_back(buffer, start(std::move(task)));
  }
  for (std::uint64_t i = 0; i < 400; ++i) {
    ASSERT_TRUE(finish(calls[i].second));
    ASSERT_TRUE(has_pattern(calls[i].first.bytes(), i)) << i;
  }
}

TEST_P(DiskConformance, RefusesMoreThanMayWaitAndServesTheRest) {
  open({.queue_depth = 4, .max_waiting = 8, .fallback_threads = 4});
  take_time();
  const DiskFileId f = file("a");
  const DiskBuffer buffer = pattern(page, 1);
  ASSERT_TRUE(run(disk->write(f, 0, buffer.bytes())));
  std::vector<std::shared_ptr<Outcome<void>>> calls;
  for (int i = 0; i < 40; ++i) {
    auto task = disk->write(f, 0, buffer.bytes());
    calls.push_back(start(std::move(task)));
  }
  int done = 0;
  int refused = 0;
  for (const auto& each : calls) {
    const Status status = finish(each);
    done += status ? 1 : 0;
    refused += status.code() == Code::overloaded ? 1 : 0;
  }
  EXPECT_EQ(done + refused, 40);
  EXPECT_GE(done, 12);
  EXPECT_GT(refused, 0);
  EXPECT_TRUE(run(disk->write(f, 0, buffer.bytes()))) << "it was for a moment only";
}

TEST_P(DiskConformance, ShutDownAwaitsWhatIsInFlight) {
  open({.queue_depth = 4, .fallback_threads = 4});
  take_time();
  const DiskFileId f = file("a");
  const DiskBuffer buffer = pattern(16 * page, 1);
  std::vector<std::shared_ptr<Outcome<void>>> calls;
  for (std::uint64_t i = 0; i < 32; ++i) {
    auto task = disk->write(f, i * 16 * page, buffer.bytes());
    calls.push_back(start(std::move(task)));
  }
  io.poll_one();  // the first one at least is on its way
  const auto down = start(disk->shut_down());
  ASSERT_TRUE(finish(down));
  std::size_t written = 0;
  for (const auto& each : calls) {
    EXPECT_TRUE(*each) << "a call outlived shut_down";
    const Status status = finish(each);
    EXPECT_TRUE(status || status.code() == Code::unavailable) << status.error().to_string();
    written += status ? 1 : 0;
  }
  EXPECT_GT(written, 0U);
  EXPECT_EQ(run(disk->open("b", DiskOpen::create_new, caching())).code(), Code::unavailable);
  EXPECT_FALSE(run(disk->write(f, 0, buffer.bytes())));
}

TEST_P(DiskConformance, CloseAwaitsTheCallsOfItsFile) {
  open({.queue_depth = 2, .fallback_threads = 2});
  take_time();
  const DiskFileId f = file("a");
  const DiskBuffer buffer = pattern(16 * page, 3);
  std::vector<std::shared_ptr<Outcome<void>>> calls;
  for (std::uint64_t i = 0; i < 8; ++i) {
    auto task = disk->write(f, i * 16 * page, buffer.bytes());
    calls.push_back(start(std::move(task)));
  }
  const auto closed = start(disk->close(f));
  ASSERT_TRUE(finish(closed));
  for (const auto& each : calls) {
    ASSERT_TRUE(*each) << "a call outlived close";
    EXPECT_TRUE(finish(each));
  }
  EXPECT_TRUE(check(file("a", DiskOpen::existing), 112 * page, 16 * page, 3));
}

Task<> read_into_own_memory(Disk& disk, DiskFileId f, int& ended) {
  co_await asio::this_coro::throw_if_cancelled(false);  // as in every TaskGroup
  const DiskBuffer buffer = disk.buffer(64 * page);
  auto read = co_await disk.read(f, 0, buffer.bytes());
  ++ended;
  co_return read;
}

// The memory of a cancelled call is the caller's again when the call ends, so that must be after the device let go
// of it (SimDiskTest.ACancelledCallThatHangsHangsOn shows the waiting itself; under ASan, that no frame went early).
TEST_P(DiskConformance, ACancelledCallEndsOnlyWhenTheDeviceIsDone) {
  open({.queue_depth = 8, .fallback_threads = 4});
  take_time();
  const DiskFileId f = file("a");
  ASSERT_TRUE(write(f, 0, 64 * page, 4));
  int ended = 0;
  std::vector<Canceller> cancellers;
  for (int i = 0; i < 32; ++i) {
    Canceller& canceller = cancellers.emplace_back(io.get_executor());
    auto done = [](const std::exception_ptr&, const Status&) {};
    asio::co_spawn(io, read_into_own_memory(*disk, f, ended), asio::bind_cancellation_slot(canceller.slot(), done));
  }
  for (int i = 0; i < 8; ++i) step();
  for (Canceller& each : cancellers) each.cancel();
  while (ended < 32) step();
  EXPECT_TRUE(check(f, 0, 64 * page, 4));
}

TEST_P(DiskConformance, GivesAlignedBuffersAlsoWhenThePoolIsUsedUp) {
  open();
  std::vector<DiskBuffer> held;
  for (int i = 0; i < 12; ++i) {
    held.push_back(disk->buffer((1U << 20) - 100));
    ASSERT_GE(held.back().bytes().size(), 1U << 20);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(held.back().bytes().data()) % page, 0U);
  }
  const DiskFileId f = file("a");
  for (std::uint64_t i = 0; i < held.size(); ++i) {
    const auto bytes = held[i].bytes().first(1U << 20);
    fill_pattern(bytes, i);
    ASSERT_TRUE(run(disk->write(f, i << 20, bytes)));
  }
  for (std::uint64_t i = 0; i < held.size(); ++i) EXPECT_TRUE(check(f, i << 20, 1U << 20, i));
}

TEST_P(DiskConformance, SaysHowMuchSpaceThereIs) {
  open();
  auto space = run(disk->space());
  ASSERT_TRUE(space) << space.error().to_string();
  EXPECT_GT(space->total_bytes, 0U);
  EXPECT_LE(space->free_bytes, space->total_bytes);
  EXPECT_GT(space->free_inodes, 0U);
}

TEST_P(DiskConformance, AFullDiskIsNoSpaceAndRecovers) {
  if (!simulated()) HEARTH_NEEDS(directory.mount("tmpfs", "size=1m,nr_inodes=16"), "a small tmpfs needs root to mount");
  open();
  if (simulated()) medium->set_capacity(1U << 20, 15);
  const DiskFileId f = file("big");
  Status status = ok();
  std::uint64_t written = 0;
  while (written < 1024 && status) {
    status = write(f, written * page, page, written);
    if (status) ++written;
  }
  EXPECT_EQ(status.code(), Code::no_space);
  EXPECT_GE(written, 200U);
  for (std::uint64_t i = 0; i < written; ++i) ASSERT_TRUE(check(f, i * page, page, i));
  EXPECT_EQ(run(disk->allocate(f, 2U << 20)).code(), Code::no_space);
  ASSERT_TRUE(run(disk->truncate(f, 0)));
  EXPECT_TRUE(write(f, 0, page, 1));
  const DiskFileId first = file("f0", DiskOpen::create_new);
  Result<DiskFileId> opened = first;
  for (int i = 1; i < 32 && opened; ++i) opened = run(disk->open("f" + std::to_string(i), DiskOpen::create_new, caching()));
  EXPECT_EQ(opened.code(), Code::no_space) << "no inodes left";
  EXPECT_TRUE(run(disk->close(first)));
  EXPECT_TRUE(run(disk->remove("f0")));
  EXPECT_TRUE(run(disk->open("other", DiskOpen::create_new, caching())));
}

TEST_P(DiskConformance, ADirectoryThatIsGoneIsUnavailableAndNotAnAbsence) {
  open();
  const DiskFileId f = file("a");
  ASSERT_TRUE(write(f, 0, page, 1));
  if (simulated()) {
    medium->set_access(SimAccess::missing);
  } else {
    std::filesystem::remove_all(directory.path());
  }
  EXPECT_EQ(run(disk->open("a", DiskOpen::existing, caching())).code(), Code::unavailable);
  EXPECT_EQ(run(disk->open("b", DiskOpen::create_new, caching())).code(), Code::unavailable);
  EXPECT_EQ(run(disk->open("cc/b", DiskOpen::create_new, caching())).code(), Code::unavailable);
  EXPECT_EQ(run(disk->remove("a")).code(), Code::unavailable);
  EXPECT_EQ(run(disk->rename("a", "b")).code(), Code::unavailable);
  EXPECT_EQ(run(disk->rename("a", "cc/b")).code(), Code::unavailable);
}

// Of engines whose directory others can put things into.
class RealDiskConformance : public DiskConformance {};

TEST_P(RealDiskConformance, FollowsNoSymlinkAndOpensNoPipe) {
  open();
  const TemporaryDirectory elsewhere;
  std::ofstream(elsewhere.path() + "/secret") << "x";
  std::filesystem::create_symlink(elsewhere.path() + "/secret", directory.path() + "/link");
  std::filesystem::create_directory_symlink(elsewhere.path(), directory.path() + "/dir");
  ASSERT_EQ(::mkfifo((directory.path() + "/pipe").c_str(), 0600), 0);
  for (const std::string name : {"link", "dir/secret", "dir/new", "pipe"}) {
    EXPECT_FALSE(run(disk->open(name, DiskOpen::create_or_open, caching()))) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(elsewhere.path() + "/new"));
  auto listed = run(disk->list("", 10));
  ASSERT_TRUE(listed);
  EXPECT_TRUE(listed->empty()) << "foreign things are not listed";
  EXPECT_FALSE(run(disk->rename("link", "dir/x")) && std::filesystem::exists(elsewhere.path() + "/x"));
}

TEST_P(DiskConformance, SharesADescriptorThatCanNotWrite) {
  open();
  const DiskFileId f = file("a");
  ASSERT_TRUE(write(f, 0, page, 6));
  ASSERT_TRUE(run(disk->sync(f)));
  auto shared = disk->share(f);
  if (simulated()) {
    EXPECT_EQ(shared.code(), Code::unsupported);
    return;
  }
  ASSERT_TRUE(shared) << shared.error().to_string();
  std::vector<std::byte> bytes(page);
  EXPECT_EQ(::pread(shared->get(), bytes.data(), page, 0), static_cast<ssize_t>(page));
  EXPECT_TRUE(has_pattern(bytes, 6));
  EXPECT_LT(::pwrite(shared->get(), bytes.data(), page, 0), 0);
  EXPECT_EQ(::fcntl(shared->get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  struct stat found {};
  ASSERT_EQ(::fstat(shared->get(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
}

// As a process ends: its executor stops first and the disk is never shut down.
TEST_P(DiskConformance, MayGoAwayWithCallsInFlightWhenItsExecutorNoLongerRuns) {
  open({.queue_depth = 4, .fallback_threads = 2});
  take_time();
  const DiskFileId f = file("a");
  ASSERT_TRUE(write(f, 0, 64 * page, 4));
  int ended = 0;
  for (int i = 0; i < 16; ++i) {
    auto done = [](const std::exception_ptr&, const Status&) {};
    asio::co_spawn(io, read_into_own_memory(*disk, f, ended), done);
  }
  for (int i = 0; i < 6; ++i) step();
  disk.reset();
  EXPECT_LT(ended, 16);
}

std::string case_name(const ::testing::TestParamInfo<DiskCase>& info) { return info.param.name; }

const auto real_engines =
    ::testing::Values(DiskCase{"threads_direct", DiskOptions::Engine::threads},
                      DiskCase{"threads_buffered", DiskOptions::Engine::threads, DiskCaching::buffered},
                      DiskCase{"uring_direct", DiskOptions::Engine::io_uring},
                      DiskCase{"uring_buffered", DiskOptions::Engine::io_uring, DiskCaching::buffered});

INSTANTIATE_TEST_SUITE_P(Simulated, DiskConformance, ::testing::Values(DiskCase{"simulated", std::nullopt}), case_name);
INSTANTIATE_TEST_SUITE_P(Engines, DiskConformance, real_engines, case_name);
INSTANTIATE_TEST_SUITE_P(Engines, RealDiskConformance, real_engines, case_name);

}  // namespace
}  // namespace hearth

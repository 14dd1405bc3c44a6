// What only the engine on io_uring promises.
#include "common/io_thread.h"
#include "tiering/disk/disk_test_support.h"
#include "tiering/disk/metrics.h"

#include <sys/resource.h>

#include <thread>

namespace hearth {
namespace {

constexpr std::uint64_t page = disk_alignment_bytes;

DiskOptions ring_in(const TemporaryDirectory& directory) {
  DiskOptions options;
  options.directory = directory.path();
  options.engine = DiskOptions::Engine::io_uring;
  options.registered_bytes = 2ULL << 20;
  return options;
}

class UringDisk : public ::testing::Test, public DiskRunner {
 protected:
  void open() {
    auto opened = open_disk(ring_in(directory), io.get_executor(), clock);
    ASSERT_TRUE(opened) << opened.error().to_string();
    disk = std::move(*opened);
  }
  DiskFileId file(const std::string& name, DiskCaching caching) {
    auto opened = run(disk->open(name, DiskOpen::create_or_open, caching));
    EXPECT_TRUE(opened) << opened.error().to_string();
    return opened ? *opened : DiskFileId{};
  }

  TemporaryDirectory directory;
  std::unique_ptr<Disk> disk;
};

// Reads of cached pages complete inside of the submission, so that no wake-up blurs the count.
TEST_F(UringDisk, SubmitsTheOperationsOfOneTurnTogetherAndServesWhatIsThereAtOnce) {
  open();
  const DiskFileId f = file("a", DiskCaching::buffered);
  const DiskBuffer buffer = disk->buffer(64 * page);
  fill_pattern(buffer.bytes(), 1);
  ASSERT_TRUE(run(disk->write(f, 0, buffer.bytes())));
  Counter& enters = metrics().counter(disk::described::enters_total);
  const std::uint64_t before = enters.value();
  std::vector<std::shared_ptr<Outcome<void>>> calls;
  for (std::uint64_t i = 0; i < 64; ++i) {
    calls.push_back(start(disk->read(f, i * page, buffer.bytes().subspan(i * page, page))));
  }
  for (const auto& each : calls) ASSERT_TRUE(finish(each));
  EXPECT_TRUE(has_pattern(buffer.bytes(), 1));
  EXPECT_LE(enters.value() - before, 8U) << "64 operations";
  EXPECT_TRUE(run(disk->shut_down()));
}

TEST_F(UringDisk, IsUsedByTheThreadOfItsExecutorWhereverItWasOpened) {
  IoThread thread("disk-test");
  auto opened = open_disk(ring_in(directory), thread.executor(), clock);
  ASSERT_TRUE(opened);
  thread.start();
  auto f = thread.run_sync((*opened)->open("a", DiskOpen::create_new, DiskCaching::direct));
  ASSERT_TRUE(f) << f.error().to_string();
  const DiskBuffer buffer = (*opened)->buffer(page);
  fill_pattern(buffer.bytes(), 2);
  EXPECT_TRUE(thread.run_sync((*opened)->write(*f, 0, buffer.bytes())));
  EXPECT_TRUE(thread.run_sync((*opened)->read(*f, 0, buffer.bytes())));
  EXPECT_TRUE(has_pattern(buffer.bytes(), 2));
  thread.stop();
  opened->reset();  // here, after its thread ended, and with no shut_down
}

Task<> read_and_drop(std::unique_ptr<Disk>& disk, DiskFileId f, DiskBuffer into, int& ended) {
  auto read = co_await disk->read(f, 0, into.bytes());
  ++ended;
  disk.reset();
  co_return read;
}

// A caller that drops the disk from inside of a completion takes the other calls with it, and nothing else.
TEST_F(UringDisk, MayBeDroppedByOneOfItsOwnCalls) {
  open();
  const DiskFileId f = file("a", DiskCaching::buffered);
  const DiskBuffer buffer = disk->buffer(page);
  ASSERT_TRUE(run(disk->write(f, 0, buffer.bytes())));
  int ended = 0;
  auto ignore = [](const std::exception_ptr&, const Status&) {};
  for (int i = 0; i < 8; ++i) asio::co_spawn(io, read_and_drop(disk, f, disk->buffer(page), ended), ignore);
  for (int i = 0; i < 100 && disk; ++i) step();
  EXPECT_FALSE(disk);
  io.restart();
  io.poll();
  EXPECT_EQ(ended, 1);
}

TEST_F(UringDisk, LeavesAnIdleExecutorFreeToEnd) {
  open();
  const DiskFileId f = file("a", DiskCaching::direct);
  const DiskBuffer buffer = disk->buffer(page);
  const auto written = start(disk->write(f, 0, buffer.bytes()));
  io.restart();
  io.run();  // ends by itself once the write has
  EXPECT_TRUE(*written);
  EXPECT_TRUE(run(disk->shut_down()));
}

// The ring's table of files is bounded by RLIMIT_NOFILE; those beyond it are used by their descriptors.
TEST_F(UringDisk, ServesMoreFilesThanItsTableHolds) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 64;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &small), 0);
  open();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  const DiskBuffer buffer = disk->buffer(page);
  std::vector<DiskFileId> files;
  for (std::uint64_t i = 0; i < 100; ++i) {
    files.push_back(file("f" + std::to_string(i), DiskCaching::direct));
    fill_pattern(buffer.bytes(), i);
    ASSERT_TRUE(run(disk->write(files.back(), 0, buffer.bytes())));
  }
  for (std::uint64_t i = 0; i < 100; i += 2) ASSERT_TRUE(run(disk->close(files[i])));
  for (std::uint64_t i = 1; i < 100; i += 2) {
    ASSERT_TRUE(run(disk->read(files[i], 0, buffer.bytes())));
    ASSERT_TRUE(has_pattern(buffer.bytes(), i));
  }
  const DiskFileId reused = file("f0", DiskCaching::direct);
  ASSERT_TRUE(run(disk->read(reused, 0, buffer.bytes())));
  EXPECT_TRUE(has_pattern(buffer.bytes(), 0)) << "a place of the table that was used before";
  EXPECT_TRUE(run(disk->shut_down()));
}

}  // namespace
}  // namespace hearth

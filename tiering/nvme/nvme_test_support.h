// What the tests of the NVMe tier share: a tier on a simulated disk, with a clock that stands still, and blocks whose bytes are a
// function of (block, offset).
#pragma once

#include "common/log.h"
#include "common/manual_clock.h"
#include "tiering/disk/sim_disk.h"
#include "tiering/nvme/disk_tier_impl.h"
#include "tiering/tiering_test_support.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hearth::testing {

// The disk of the tests, which shares a descriptor of nothing.
class SharingDisk final : public Disk {
 public:
  explicit SharingDisk(std::unique_ptr<Disk> disk) : disk_(std::move(disk)) {}
  const DiskTraits& traits() const override { return disk_->traits(); }
  DiskBuffer buffer(std::uint64_t length) override { return disk_->buffer(length); }
  Task<DiskFileId> open(std::string name, DiskOpen how, DiskCaching caching) override { return disk_->open(std::move(name), how, caching); }
  Task<> close(DiskFileId file) override { return disk_->close(file); }
  Task<> read(DiskFileId file, std::uint64_t offset, std::span<std::byte> into) override {
    ++reads;
    read_bytes += into.size();
    return disk_->read(file, offset, into);
  }
  Task<> write(DiskFileId file, std::uint64_t offset, std::span<const std::byte> bytes) override { return disk_->write(file, offset, bytes); }
  Task<> sync(DiskFileId file) override { return disk_->sync(file); }
  Task<> allocate(DiskFileId file, std::uint64_t length) override { return disk_->allocate(file, length); }
  Task<> truncate(DiskFileId file, std::uint64_t length) override { return disk_->truncate(file, length); }
  Task<> punch(DiskFileId file, std::uint64_t offset, std::uint64_t length) override { return disk_->punch(file, offset, length); }
  Task<std::uint64_t> length_bytes(DiskFileId file) override { return disk_->length_bytes(file); }
  Result<UniqueFd> share(DiskFileId) override { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }
  Task<> remove(std::string name) override { return disk_->remove(std::move(name)); }
  Task<> rename(std::string from, std::string to) override { return disk_->rename(std::move(from), std::move(to)); }
  Task<> sync_directory() override { return disk_->sync_directory(); }
  Task<std::vector<DiskEntry>> list(std::string after, std::size_t limit) override { return disk_->list(std::move(after), limit); }
  Task<DiskSpace> space() override { return disk_->space(); }
  Task<> check_place() override { return disk_->check_place(); }
  Task<> shut_down() override { return disk_->shut_down(); }

  std::uint64_t reads = 0;
  std::uint64_t read_bytes = 0;

 private:
  std::unique_ptr<Disk> disk_;
};

inline DiskTierOptions small_tier(std::uint64_t capacity = 1U << 20) {
  DiskTierOptions options;
  options.name = "test";
  options.capacity_bytes = capacity;
  options.max_page_bytes = 64 * 1024;
  options.low_watermark = 1;
  options.high_watermark = 1;
  options.grant_max_fraction = 1;
  options.scrub_bytes_per_second = 0;
  return options;
}

// A machine with one disk. Closing and opening the tier is a restart of its process.
class World {
 public:
  explicit World(SimDiskOptions disk = {}) : medium(std::make_shared<SimDiskMedium>(disk)) { set_log_level(LogLevel::off); }
  ~World() {
    close();
    // What a crash left waiting is destroyed with the context, before the tier it refers to.
    io.reset();
  }

  Status open(DiskTierOptions with = small_tier()) {
    disk = std::make_unique<SharingDisk>(open_sim_disk(medium, io->get_executor(), clock));
    auto opened = run(DiskTier::open(std::move(with), *disk, clock, make_lru_policy()));
    if (!opened) {
      disk.reset();
      return std::move(opened).error();
    }
    tier_.reset(static_cast<DiskTierImpl*>(opened->release()));
    return ok();
  }
  // In an orderly way.
  void close() {
    if (!tier_) return;
    const Status ended = run(tier_->shut_down(Deadline::after(clock, std::chrono::hours(1))));
    EXPECT_TRUE(ended) << ended.error().to_string();
    tier_.reset();
    disk.reset();
  }
  // As after kill -9 or a power cut: nothing is written any more.
  void crash(SimCrash how, std::uint64_t seed) {
    if (!medium->crashed()) medium->crash_now();
    close();
    medium->restart(how, seed);
  }
  DiskTierImpl& tier() { return *tier_; }
  bool is_open() const { return tier_ != nullptr; }

  // Runs the task to its end, moving time forward when everything waits for it.
  template <class T>
  Result<T> run(Task<T> task) {
    std::optional<Result<T>> outcome;
    auto done = [&outcome](const std::exception_ptr& exception, Result<T> result) {
      if (exception) std::rethrow_exception(exception);
      outcome = std::move(result);
    };
    asio::co_spawn(io->get_executor(), std::move(task), std::move(done));
    settle();
    while (!outcome && clock.sleepers() > 0) {
      clock.advance(clock.next_wakeup() - clock.now());
      settle();
    }
    if (!outcome) return Error(Code::internal, "the task waits for ever");
    return std::move(*outcome);
  }
  // Until nothing is left to do at this moment.
  void settle() {
    io->restart();
    while (io->poll() > 0) io->restart();
  }
  // So many ticks of maintain().
  void ticks(int count, Duration each = std::chrono::milliseconds(50)) {
    for (int i = 0; i < count; ++i) {
      pass(each);
      in_context([this] { tier_->step(); });
    }
  }
  // Time goes by, and what waits for a moment of it runs at that moment.
  void pass(Duration time) {
    const TimePoint end = clock.now() + time;
    while (clock.now() < end) {
      clock.advance(std::min(clock.next_wakeup(), end) - clock.now());
      settle();
    }
  }
  // On the executor, as every call of a tier must be.
  template <class Work>
  void in_context(Work work) {
    asio::post(*io, std::move(work));
    settle();
  }

  Status write(const BlockRef& block, std::uint32_t page) {
    const auto bytes = page_content(block, PageIndex{page});
    const DiskBuffer none;
    auto sums = chunk_checksums(bytes);
    return run(tier_->write(block, PageIndex{page}, std::span<const std::byte>(bytes), std::move(sums), soon()));
  }
  Status write_all(const BlockRef& block) {
    for (std::uint32_t page = 0; page < block.page_count(); ++page) CHECK_OK(write(block, page));
    return ok();
  }
  Result<DiskPage> read(const BlockRef& block, std::uint32_t page, std::uint64_t offset, std::uint64_t length) {
    return run(tier_->read(block, PageIndex{page}, offset, length, soon()));
  }
  Result<DiskPage> read(const BlockRef& block, std::uint32_t page) { return read(block, page, 0, block.page_length_bytes(PageIndex{page})); }
  // ok when the page is here and shows the right bytes; corrupt and not_found as the tier says; internal for wrong bytes.
  Status shows(const BlockRef& block, std::uint32_t page) {
    TRY(shown, read(block, page));
    const auto expected = page_content(block, PageIndex{page});
    if (shown.bytes.size() != expected.size() || std::memcmp(shown.bytes.data(), expected.data(), expected.size()) != 0) {
      return Error(Code::internal, "WRONG BYTES in page " + std::to_string(page));
    }
    if (shown.chunk_checksums != chunk_checksums(expected)) return Error(Code::internal, "wrong checksums");
    return ok();
  }
  // check() after the background came to rest.
  std::string problems() {
    for (int i = 0; i < 3; ++i) ticks(25);
    auto report = run(tier_->check());
    if (!report) return report.error().to_string();
    std::string all;
    for (const std::string& each : report->problems) all += each + "\n";
    return all;
  }
  Deadline soon() const { return Deadline::after(clock, std::chrono::minutes(10)); }

  ManualClock clock;
  std::shared_ptr<SimDiskMedium> medium;  // shared with its disks
  std::unique_ptr<asio::io_context> io = std::make_unique<asio::io_context>(1);
  std::unique_ptr<SharingDisk> disk;

 private:
  std::unique_ptr<DiskTierImpl> tier_;
};

inline std::string text(const Status& status) { return status ? "ok" : status.error().to_string(); }

}  // namespace hearth::testing

// hearth-tier-torture: a process that works on one NVMe tier directory until somebody kills it, and that first proves that
// whatever the one before it left there is right.
//
//   hearth-tier-torture --directory D --seed N [--engine threads]
//
// Prints "verified PAGES recovered RECOVERED discarded RECORDS orphans FILES" when every page that the tier shows has the oracle's bytes,
// twice, and its self check is clean; then "pages N" now and then while it writes, reads, frees, grants and evicts. Ends with 1 and a
// sentence on a wrong byte, a leak or anything else that must not be. Started by tests/integration/tier_kill.py.
#include "common/clock.h"
#include "common/crc32c.h"
#include "common/log.h"
#include "common/rng.h"
#include "common/task_group.h"
#include "tiering/disk/disk.h"
#include "tiering/nvme/disk_tier.h"
#include "understore/oracle.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace hearth {
namespace {

constexpr std::uint64_t capacity = 24ULL << 20;
constexpr std::uint64_t block_count = 24;
constexpr std::uint32_t page_size = 128U << 10;
constexpr int clients = 6;

BlockRef block_of(std::uint64_t number) {
  BlockRef block;
  block.id = BlockId{oracle_word(number, 1, 0), number};
  block.page_size_bytes = page_size;
  // A third of them small, the others up to 4 MiB with odd ends: twice the capacity together.
  block.length_bytes = number % 3 == 0 ? 1 + number * 377 : 1'000'000 + number * 131'071;
  return block;
}

std::vector<std::byte> bytes_of(std::uint64_t number, std::uint64_t offset, std::uint64_t length) {
  std::vector<std::byte> bytes(length);
  oracle_fill(bytes, number, 1, offset);
  return bytes;
}

Error failure(const std::string& what, std::uint64_t block, PageIndex page) {
  return Error(Code::internal, what + ": block " + std::to_string(block) + " page " + std::to_string(page.value));
}

class Torture {
 public:
  Torture(std::string directory, std::uint64_t seed, DiskOptions::Engine engine)
      : directory_(std::move(directory)), engine_(engine), rng_(seed) {}

  Task<> run(Executor executor) {
    DiskOptions disk_options;
    disk_options.directory = directory_;
    disk_options.engine = engine_;
    CO_TRY(disk, open_disk(disk_options, executor, clock_));
    disk_ = std::move(disk);
    DiskTierOptions options;
    options.name = "torture";
    options.lock_file = directory_ + "/lock";
    options.capacity_bytes = capacity;
    options.max_page_bytes = page_size;
    options.grant_max_fraction = 1;
    options.tick = std::chrono::milliseconds(5);
    options.flush_interval = std::chrono::milliseconds(20);
    options.health.suspect_floor = std::chrono::hours(1);  // a busy test machine is not a slow device
    CO_TRY(tier, co_await DiskTier::open(options, *disk_, clock_, make_lru_policy()));
    tier_ = std::move(tier);
    tasks_ = std::make_unique<TaskGroup>(executor, clock_);
    TaskGroup& group = *tasks_;
    CO_CHECK_OK(group.spawn(tier_->maintain(), "maintain"));
    const std::uint64_t recovered = tier_->stats().recovered_pages;
    for (int round = 0; round < 2; ++round) CO_CHECK_OK(co_await verify_everything());
    CO_CHECK_OK(co_await self_check());
    const DiskTierStats stats = tier_->stats();
    std::printf("verified %llu recovered %llu discarded %llu orphans %llu\n", static_cast<unsigned long long>(stats.pages),
                static_cast<unsigned long long>(recovered), static_cast<unsigned long long>(stats.discarded_records),
                static_cast<unsigned long long>(stats.orphan_files_removed));
    std::fflush(stdout);
    for (int i = 0; i < clients; ++i) CO_CHECK_OK(group.spawn(client(), "client"));
    while (failure_.empty()) {
      std::printf("pages %llu\n", static_cast<unsigned long long>(tier_->stats().pages));
      std::fflush(stdout);
      CO_CHECK_OK(co_await clock_.sleep_for(std::chrono::milliseconds(20)));
    }
    co_return Error(Code::internal, failure_);
  }

 private:
  Task<> verify_everything() {
    for (std::uint64_t number = 0; number < block_count; ++number) {
      const BlockRef block = block_of(number);
      for (PageIndex page{0}; page.value < block.page_count(); ++page.value) CO_CHECK_OK(co_await read_and_compare(number, page, 0, block.page_length_bytes(page)));
    }
    co_return ok();
  }

  // A page that is not here, or that the tier itself found wrong, is fine; wrong bytes are not.
  Task<> read_and_compare(std::uint64_t number, PageIndex page, std::uint64_t offset, std::uint64_t length) {
    const BlockRef block = block_of(number);
    const Deadline soon = Deadline::after(clock_, std::chrono::seconds(30));
    auto shown = co_await tier_->read(block, page, offset, length, soon);
    if (!shown) {
      const bool fine = shown.code() == Code::not_found || shown.code() == Code::corrupt;
      co_return fine ? ok() : Status(std::move(shown).error());
    }
    if (oracle_mismatch(shown->bytes, number, 1, std::uint64_t{page.value} * page_size + offset)) co_return failure("WRONG BYTES", number, page);
    co_return ok();
  }

  // Once the background has compared files and records.
  Task<> self_check() {
    DiskTierReport report;
    for (int attempt = 0; attempt < 400; ++attempt) {
      CO_TRY(found, co_await tier_->check());
      report = std::move(found);
      if (report.problems.empty()) co_return ok();
      CO_CHECK_OK(co_await clock_.sleep_for(std::chrono::milliseconds(5)));
    }
    co_return Error(Code::internal, "the self check finds: " + report.problems.front());
  }

  Task<> client() {
    while (failure_.empty()) {
      Status done = co_await one_operation();
      if (!done && failure_.empty()) failure_ = done.error().to_string();
    }
    co_return ok();
  }

  Task<> one_operation() {
    const std::uint64_t number = rng_.below(block_count);
    const BlockRef block = block_of(number);
    const PageIndex page{static_cast<std::uint32_t>(rng_.below(block.page_count()))};
    const Deadline soon = Deadline::after(clock_, std::chrono::seconds(30));
    const std::uint64_t dice = rng_.below(100);
    if (dice < 45) {
      const auto bytes = bytes_of(number, std::uint64_t{page.value} * page_size, block.page_length_bytes(page));
      std::vector<std::uint32_t> sums = chunk_checksums(bytes);
      Status written = co_await tier_->write(block, page, std::span<const std::byte>(bytes), std::move(sums), soon);
      const bool fine = written || written.code() == Code::already_exists || written.code() == Code::busy || written.code() == Code::no_space;
      co_return fine ? ok() : std::move(written);
    }
    if (dice < 90) {
      const std::uint64_t offset = rng_.below(block.page_length_bytes(page));
      const std::uint64_t length = 1 + rng_.below(block.page_length_bytes(page) - offset);
      Status read = co_await read_and_compare(number, page, offset, length);
      co_return read;
    }
    if (dice < 94) {
      tier_->free_block(block.id);
    } else if (dice < 97) {
      Status begun = co_await tier_->begin_whole(block, soon);
      const bool fine = begun || begun.code() == Code::busy || begun.code() == Code::no_space;
      if (!fine) co_return begun;
      tier_->end_whole(block_of(rng_.below(block_count)).id);
    } else {
      Status granted = co_await grant_and_compare(number);
      co_return granted;
    }
    co_return ok();
  }

  // What a client sees through the descriptor.
  Task<> grant_and_compare(std::uint64_t number) {
    const BlockRef block = block_of(number);
    const Deadline soon = Deadline::after(clock_, std::chrono::seconds(30));
    auto granted = co_await tier_->grant(block, soon);
    if (!granted) {
      const bool fine = granted.code() == Code::not_found || granted.code() == Code::corrupt;
      co_return fine ? ok() : Status(std::move(granted).error());
    }
    std::vector<std::byte> bytes(block.length_bytes + 1);
    const ssize_t n = ::pread(granted->fd.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(block.length_bytes);
    const bool right = n == static_cast<ssize_t>(block.length_bytes) && !oracle_mismatch(bytes, number, 1, 0);
    tier_->release(granted->lease);
    if (!right) co_return failure("a granted descriptor shows WRONG BYTES", number, PageIndex{0});
    co_return ok();
  }

  const std::string directory_;
  const DiskOptions::Engine engine_;
  SeededRng rng_;
  Clock& clock_ = real_clock();
  std::unique_ptr<Disk> disk_;
  std::unique_ptr<DiskTier> tier_;
  std::unique_ptr<TaskGroup> tasks_;  // never ends: the process is killed, or leaves by _Exit
  std::string failure_;
};

int torture(std::map<std::string, std::string> flags) {
  set_log_level(LogLevel::error);
  asio::io_context io{1};
  const std::uint64_t seed = std::strtoull(flags["--seed"].c_str(), nullptr, 10);
  const auto engine = flags["--engine"] == "threads" ? DiskOptions::Engine::threads : DiskOptions::Engine::automatic;
  Torture work(flags["--directory"], seed, engine);
  auto ended = [](const std::exception_ptr&, const Status& status) {
    std::printf("%s\n", status ? "ended" : status.error().to_string().c_str());
    std::fflush(stdout);
    std::_Exit(1);  // it only ends by failing: nothing here is worth an orderly end
  };
  asio::co_spawn(io, work.run(io.get_executor()), ended);
  io.run();
  return 1;
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
  return hearth::torture(std::move(flags));
}

// hearth-tier-bench: what an NVMe tier does with one directory for a while, in fio's words, as one line of JSON, as hearth-disk-bench.
//
//   hearth-tier-bench --directory D --op randread|read|write --block BYTES --depth N --seconds S [--size BYTES] [--engine E]
//   hearth-tier-bench --directory D --op restart --pages N
//   hearth-tier-bench --directory D --op kill --pages N ; hearth-tier-bench --directory D --op reopen --pages N
//
// Reads are of a file of --size bytes (default 1 GiB) in the tier, laid out by the first run and found again by the next ones; each is
// verified. write fills 1 MiB pages of ever new blocks, evicting old ones. restart makes an index of N pages and opens it. kill writes N pages of 4 KiB, goes on writing a thousand a second and kills itself in the
// middle of it; reopen tells how long the next start takes, how many of them it finds, and reads a sample.
#include "common/clock.h"
#include "common/crc32c.h"
#include "common/log.h"
#include "common/rng.h"
#include "common/task_group.h"
#include "tiering/disk/disk.h"
#include "tiering/nvme/disk_tier.h"
#include "tiering/nvme/index_format.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace hearth::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr std::uint32_t page_size = 1U << 20;
constexpr std::uint32_t small_page = 4096;
constexpr std::uint64_t pages_per_block = 1000;
constexpr std::uint64_t paced_pages = 2000;

struct Job {
  std::string directory;
  std::string op = "randread";
  std::uint64_t block_bytes = 4096;
  int depth = 1;
  double seconds = 1;
  std::uint64_t size = 1ULL << 30;
  std::uint64_t pages = 1'000'000;
  DiskOptions::Engine engine = DiskOptions::Engine::automatic;
};

struct State {
  const Job& job;
  std::unique_ptr<Disk> disk{};
  std::unique_ptr<DiskTier> tier{};
  SteadyClock::time_point end{};
  std::uint64_t next = 0;
  SeededRng dice{42};
  std::vector<float> latencies_us{};
  DiskBuffer fill{};
  std::vector<std::uint32_t> fill_sums{};
  double cpu_begin = 0, process_begin = 0;
  SteadyClock::time_point begin{};
};

double seconds_of(const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; }
double cpu_seconds(int whose) {
  rusage usage{};
  ::getrusage(whose, &usage);
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

BlockRef block_of(std::uint64_t number, std::uint64_t length) {
  BlockRef block;
  block.id = BlockId{number * 0x9E3779B97F4A7C15ULL, number};
  block.length_bytes = length;
  block.page_size_bytes = page_size;
  return block;
}

Deadline in_a_minute() { return Deadline::after(real_clock(), std::chrono::minutes(1)); }

DiskTierOptions options_of(const Job& job) {
  DiskTierOptions options;
  options.name = "bench";
  options.lock_file = job.directory + "/lock";
  options.capacity_bytes = job.op == "restart" ? (job.pages + 64) * page_size : job.size * 3;
  if (job.op == "kill" || job.op == "reopen") options.capacity_bytes = job.pages * 2 * small_page;
  options.scrub_bytes_per_second = 0;
  options.health.suspect_floor = std::chrono::hours(1);  // a throttled virtual disk is measured, not fenced
  return options;
}

Task<> keep_one_in_flight(State& state) {
  const Job& job = state.job;
  const std::uint64_t parts = job.size / job.block_bytes;
  const BlockRef laid_out = block_of(1, job.size);
  auto before = SteadyClock::now();
  while (before < state.end) {
    Status status = ok();
    const Deadline deadline = in_a_minute();
    if (job.op == "write") {
      const std::uint64_t number = state.next++;
      const BlockRef block = block_of(1000 + number / 256 + static_cast<std::uint64_t>(state.begin.time_since_epoch().count()), 256ULL << 20);
      const PageIndex page{static_cast<std::uint32_t>(number % 256)};
      status = co_await state.tier->write(block, page, state.fill, state.fill_sums, deadline);
    } else {
      const std::uint64_t part = job.op == "randread" ? state.dice.below(parts) : state.next++ % parts;
      const std::uint64_t at = part * job.block_bytes;
      const PageIndex page{static_cast<std::uint32_t>(at / page_size)};
      auto read = co_await state.tier->read(laid_out, page, at % page_size, job.block_bytes, deadline);
      if (!read) status = std::move(read).error();
    }
    if (!status) co_return status;
    const auto after = SteadyClock::now();
    state.latencies_us.push_back(std::chrono::duration<float, std::micro>(after - before).count());
    before = after;
  }
  co_return ok();
}

Task<> lay_out(State& state) {
  const BlockRef block = block_of(1, state.job.size);
  for (PageIndex page{0}; page.value < block.page_count(); ++page.value) {
    const Deadline deadline = in_a_minute();
    Status written = co_await state.tier->write(block, page, state.fill, state.fill_sums, deadline);
    if (!written && written.code() != Code::already_exists) co_return written;
    // Its checksums into memory, as they are in the steady state.
    auto read = co_await state.tier->read(block, page, 0, 4096, deadline);
    if (!read) co_return std::move(read).error();
  }
  co_return ok();
}

Task<> load(State& state) {
  TaskGroup workers(co_await asio::this_coro::executor);
  state.begin = SteadyClock::now();
  state.end = state.begin + std::chrono::microseconds(static_cast<std::int64_t>(state.job.seconds * 1e6));
  state.cpu_begin = cpu_seconds(RUSAGE_THREAD);
  state.process_begin = cpu_seconds(RUSAGE_SELF);
  for (int i = 0; i < state.job.depth; ++i) CO_CHECK_OK(workers.spawn(keep_one_in_flight(state), "bench"));
  CO_CHECK_OK(co_await workers.join());
  const double seconds = std::chrono::duration<double>(SteadyClock::now() - state.begin).count();
  auto& sorted = state.latencies_us;
  if (sorted.empty()) co_return Error(Code::io_error, "not one call ended well");
  std::sort(sorted.begin(), sorted.end());
  const auto count = static_cast<double>(sorted.size());
  const DiskTraits& traits = state.disk->traits();
  const DiskTierStats stats = state.tier->stats();
  std::printf("{\"ops\": %.0f, \"seconds\": %.6f, \"iops\": %.1f, \"cpu_us_per_op\": %.3f, \"process_cpu_us_per_op\": %.3f, "
              "\"p50_us\": %.1f, \"p99_us\": %.1f, \"engine\": \"%s\", \"direct\": %s, \"foreground_evictions\": %llu, \"corrupt\": %llu}\n",
              count, seconds, count / seconds, (cpu_seconds(RUSAGE_THREAD) - state.cpu_begin) * 1e6 / count,
              (cpu_seconds(RUSAGE_SELF) - state.process_begin) * 1e6 / count, sorted[sorted.size() / 2], sorted[sorted.size() * 99 / 100],
              traits.engine.c_str(), traits.direct ? "true" : "false", static_cast<unsigned long long>(stats.foreground_evictions),
              static_cast<unsigned long long>(stats.corrupt_pages));
  co_return ok();
}

// Records of `pages` pages, in blocks of 1000, as a tier would have written them.
Status make_index(const Job& job) {
  std::fstream file(job.directory + "/index", std::ios::in | std::ios::out | std::ios::binary);
  IndexSector sector{};
  file.read(reinterpret_cast<char*>(sector.data()), sector.size());
  TRY(identity, decode_identity(sector, "index"));
  std::vector<std::byte> records(job.pages * index_record_bytes);
  for (std::uint64_t slot = 0; slot < job.pages; ++slot) {
    const BlockRef block = block_of(slot / 1000, 1000ULL * page_size);
    const IndexRecord record{.block = block.id, .block_length = block.length_bytes, .page = static_cast<std::uint32_t>(slot % 1000),
                             .page_size_bytes = page_size, .crc = static_cast<std::uint32_t>(slot), .last_access = static_cast<std::uint32_t>(slot * 7919 % 1'000'000)};
    const std::span<std::byte, index_record_bytes> place(records.data() + slot * index_record_bytes, index_record_bytes);
    encode_record(record, identity, static_cast<std::uint32_t>(slot), place);
  }
  file.seekp(index_header_bytes);
  file.write(reinterpret_cast<const char*>(records.data()), static_cast<std::streamsize>(records.size()));
  return file.good() ? ok() : Status(Error(Code::io_error, "cannot write the index"));
}

Task<> open_tier(State& state) {
  EvictionOptions expected;
  if (state.job.op == "restart" || state.job.op == "reopen") expected.expected_slots = state.job.pages;
  CO_TRY(policy, make_policy("lru", expected));
  CO_TRY(tier, co_await DiskTier::open(options_of(state.job), *state.disk, real_clock(), std::move(policy)));
  state.tier = std::move(tier);
  co_return ok();
}

Task<> close_tier(State& state) {
  const Deadline deadline = in_a_minute();
  Status closed = co_await state.tier->shut_down(deadline);
  state.tier.reset();
  co_return closed;
}

Task<> restart(State& state) {
  CO_CHECK_OK(co_await open_tier(state));
  CO_CHECK_OK(co_await close_tier(state));
  CO_CHECK_OK(make_index(state.job));
  for (int round = 0; round < 3; ++round) {
    ::malloc_trim(0);
    const std::size_t before = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
    const auto begin = SteadyClock::now();
    CO_CHECK_OK(co_await open_tier(state));
    const double seconds = std::chrono::duration<double>(SteadyClock::now() - begin).count();
    const DiskTierStats stats = state.tier->stats();
    const auto memory = static_cast<double>(::mallinfo2().uordblks + ::mallinfo2().hblkhd - before);
    std::printf("{\"pages\": %llu, \"open_seconds\": %.3f, \"bytes_per_page\": %.1f, \"index_bytes_per_page\": %.1f}\n",
                static_cast<unsigned long long>(stats.pages), seconds, memory / static_cast<double>(stats.pages),
                static_cast<double>(stats.index_bytes) / static_cast<double>(stats.pages));
    CO_CHECK_OK(co_await close_tier(state));
  }
  co_return ok();
}

BlockRef small_block(std::uint64_t page) {
  BlockRef block = block_of(1 + page / pages_per_block, pages_per_block * small_page);
  block.page_size_bytes = small_page;
  return block;
}

Task<> write_small(State& state, std::uint64_t last) {
  while (state.next < last) {
    const std::uint64_t page = state.next++;
    const Deadline deadline = in_a_minute();
    const PageIndex index{static_cast<std::uint32_t>(page % pages_per_block)};
    const std::span<const std::byte> bytes = state.fill.bytes().first(small_page);
    std::vector<std::uint32_t> sums{crc32c(bytes)};
    CO_CHECK_OK(co_await state.tier->write(small_block(page), index, bytes, std::move(sums), deadline));
  }
  co_return ok();
}

Task<> fill_and_die(State& state) {
  constexpr int writers = 32;
  TaskGroup group(co_await asio::this_coro::executor);
  for (int i = 0; i < writers; ++i) CO_CHECK_OK(group.spawn(write_small(state, state.job.pages), "fill"));
  CO_CHECK_OK(co_await group.join());
  for (std::uint64_t more = 0; more < paced_pages; ++more) {
    CO_CHECK_OK(co_await real_clock().sleep_for(std::chrono::milliseconds(1)));
    CO_CHECK_OK(co_await write_small(state, state.job.pages + more + 1));
  }
  std::printf("{\"written_pages\": %llu}\n", static_cast<unsigned long long>(state.next));
  std::fflush(stdout);
  ::kill(::getpid(), SIGKILL);
  co_return ok();
}

Task<> reopen(State& state, double seconds) {
  const DiskTierStats stats = state.tier->stats();
  std::uint64_t right = 0;
  std::uint64_t sampled = 0;
  for (std::uint64_t page = 0; page < state.job.pages; page += 97) {
    const Deadline deadline = in_a_minute();
    const PageIndex index{static_cast<std::uint32_t>(page % pages_per_block)};
    auto read = co_await state.tier->read(small_block(page), index, 0, small_page, deadline);
    ++sampled;
    right += read && std::equal(read->bytes.begin(), read->bytes.end(), state.fill.bytes().begin());
  }
  std::printf("{\"open_seconds\": %.3f, \"pages\": %llu, \"kept\": %.5f, \"sampled\": %llu, \"right\": %llu}\n", seconds,
              static_cast<unsigned long long>(stats.recovered_pages),
              static_cast<double>(stats.recovered_pages) / static_cast<double>(state.job.pages + paced_pages),
              static_cast<unsigned long long>(sampled), static_cast<unsigned long long>(right));
  co_return ok();
}

Task<> run_job(State& state) {
  DiskOptions options;
  options.directory = state.job.directory;
  options.engine = state.job.engine;
  const Executor executor = co_await asio::this_coro::executor;
  CO_TRY(disk, open_disk(options, executor, real_clock()));
  state.disk = std::move(disk);
  if (state.job.op == "restart") {
    Status restarted = co_await restart(state);
    co_await state.disk->shut_down();
    co_return restarted;
  }
  const auto opening = SteadyClock::now();
  CO_CHECK_OK(co_await open_tier(state));
  const double open_seconds = std::chrono::duration<double>(SteadyClock::now() - opening).count();
  state.fill = state.disk->buffer(page_size);
  SeededRng(7).fill(state.fill.bytes().first(page_size));
  state.fill_sums = chunk_checksums(state.fill.bytes().first(page_size));
  TaskGroup background(executor);
  CO_CHECK_OK(background.spawn(state.tier->maintain(), "maintain"));
  Status done = ok();
  if (state.job.op == "kill") {
    done = co_await fill_and_die(state);
  } else if (state.job.op == "reopen") {
    done = co_await reopen(state, open_seconds);
  } else {
    if (state.job.op != "write") done = co_await lay_out(state);
    if (done) done = co_await load(state);
  }
  const Deadline deadline = in_a_minute();
  Status closed = co_await state.tier->shut_down(deadline);
  CO_CHECK_OK(co_await background.join());
  state.tier.reset();
  co_await state.disk->shut_down();
  co_return done ? closed : done;
}

int run(const Job& job) {
  set_log_level(LogLevel::error);
  asio::io_context io{1};
  State state{.job = job};
  state.latencies_us.reserve(1U << 20);
  Status outcome = Error(Code::internal, "the job did not end");
  auto ended = [&outcome](const std::exception_ptr&, Status status) { outcome = std::move(status); };
  asio::co_spawn(io, run_job(state), ended);
  io.run();
  if (!outcome) std::fprintf(stderr, "%s\n", outcome.error().to_string().c_str());
  return outcome ? 0 : 1;
}

}  // namespace
}  // namespace hearth::bench

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
  hearth::bench::Job job{.directory = flags["--directory"]};
  const auto number = [&](const char* flag, std::uint64_t otherwise) {
    return flags.contains(flag) ? std::strtoull(flags[flag].c_str(), nullptr, 10) : otherwise;
  };
  if (flags.contains("--op")) job.op = flags["--op"];
  if (flags.contains("--seconds")) job.seconds = std::atof(flags["--seconds"].c_str());
  job.block_bytes = number("--block", 4096);
  job.depth = static_cast<int>(number("--depth", 1));
  job.size = number("--size", job.size);
  job.pages = number("--pages", job.pages);
  if (flags["--engine"] == "threads") job.engine = hearth::DiskOptions::Engine::threads;
  if (flags["--engine"] == "io_uring") job.engine = hearth::DiskOptions::Engine::io_uring;
  return hearth::bench::run(job);
}

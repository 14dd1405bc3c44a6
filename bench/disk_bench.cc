// hearth-disk-bench: what one Disk does with one file for a while, in fio's words, as one line of JSON.
//
//   hearth-disk-bench --directory D --file F --op randread|read|write --block BYTES --depth N --seconds S [--engine E]
//
// `depth` coroutines on one thread each keep one call in flight. Used by bench/disk, which runs fio beside it.
#include "common/clock.h"
#include "common/rng.h"
#include "common/task_group.h"
#include "tiering/disk/disk.h"

#include <boost/asio/io_context.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace hearth::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct Job {
  std::string directory;
  std::string file;
  std::string op = "randread";
  std::uint64_t block_bytes = 4096;
  int depth = 1;
  double seconds = 1;
  DiskOptions::Engine engine = DiskOptions::Engine::automatic;
};

struct State {
  const Job& job;
  Disk& disk;
  DiskFileId file{};
  std::uint64_t blocks = 0;
  SteadyClock::time_point end{};
  std::uint64_t next_block = 0;
  SeededRng dice{42};
  std::vector<float> latencies_us{};
  std::string failure{};
};

Task<> keep_one_in_flight(State& state) {
  const bool is_random = state.job.op == "randread";
  const bool is_write = state.job.op == "write";
  auto before = SteadyClock::now();
  while (before < state.end) {
    const std::uint64_t block = is_random ? state.dice.below(state.blocks) : state.next_block++ % state.blocks;
    const DiskBuffer buffer = state.disk.buffer(state.job.block_bytes);
    const std::uint64_t offset = block * state.job.block_bytes;
    Status status = ok();
    if (is_write) {
      status = co_await state.disk.write(state.file, offset, buffer.bytes());
    } else {
      status = co_await state.disk.read(state.file, offset, buffer.bytes());
    }
    if (!status) {
      state.failure = status.error().to_string();
      co_return status;
    }
    const auto after = SteadyClock::now();
    state.latencies_us.push_back(std::chrono::duration<float, std::micro>(after - before).count());
    before = after;
  }
  co_return ok();
}

Task<> run_job(State& state) {
  auto opened = co_await state.disk.open(state.job.file, DiskOpen::existing, DiskCaching::direct);
  if (!opened) {
    state.failure = opened.error().to_string();
    co_return ok();
  }
  state.file = *opened;
  auto length = co_await state.disk.length_bytes(state.file);
  state.blocks = length ? *length / state.job.block_bytes : 0;
  if (state.blocks == 0) {
    state.failure = "the file is shorter than one block";
    co_return ok();
  }
  TaskGroup workers(co_await asio::this_coro::executor);
  state.end = SteadyClock::now() + std::chrono::microseconds(static_cast<std::int64_t>(state.job.seconds * 1e6));
  for (int i = 0; i < state.job.depth; ++i) {
    const Status spawned = workers.spawn(keep_one_in_flight(state), "bench");
    if (!spawned) state.failure = spawned.error().to_string();
  }
  co_await workers.join();
  co_await state.disk.shut_down();
  co_return ok();
}

double seconds_of(const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; }

// Of this thread, as fio reports its own: threads of the kernel that work for io_uring are not in either.
double cpu_seconds(int whose) {
  rusage usage{};
  ::getrusage(whose, &usage);
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

int run(const Job& job) {
  asio::io_context io{1};
  DiskOptions options;
  options.directory = job.directory;
  options.engine = job.engine;
  auto disk = open_disk(options, io.get_executor(), real_clock());
  if (!disk) {
    std::fprintf(stderr, "%s\n", disk.error().to_string().c_str());
    return 1;
  }
  State state{.job = job, .disk = **disk};
  state.latencies_us.reserve(1U << 20);
  TaskGroup group(io.get_executor());
  const double thread_before = cpu_seconds(RUSAGE_THREAD);
  const double process_before = cpu_seconds(RUSAGE_SELF);
  const auto start = SteadyClock::now();
  const Status spawned = group.spawn(run_job(state), "job");
  io.run();
  const double seconds = std::chrono::duration<double>(SteadyClock::now() - start).count();
  if (!spawned || !state.failure.empty()) {
    std::fprintf(stderr, "%s\n", state.failure.c_str());
    return 1;
  }
  auto& sorted = state.latencies_us;
  std::sort(sorted.begin(), sorted.end());
  const auto count = static_cast<double>(sorted.size());
  const DiskTraits& traits = (*disk)->traits();
  std::printf("{\"ops\": %.0f, \"seconds\": %.6f, \"iops\": %.1f, \"cpu_us_per_op\": %.3f, \"process_cpu_us_per_op\": %.3f, "
              "\"p50_us\": %.1f, \"p99_us\": %.1f, \"engine\": \"%s\", \"direct\": %s}\n",
              count, seconds, count / seconds, (cpu_seconds(RUSAGE_THREAD) - thread_before) * 1e6 / count,
              (cpu_seconds(RUSAGE_SELF) - process_before) * 1e6 / count, sorted[sorted.size() / 2],
              sorted[sorted.size() * 99 / 100], traits.engine.c_str(), traits.direct ? "true" : "false");
  return 0;
}

}  // namespace
}  // namespace hearth::bench

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
  hearth::bench::Job job{.directory = flags["--directory"], .file = flags["--file"]};
  if (flags.contains("--op")) job.op = flags["--op"];
  if (flags.contains("--block")) job.block_bytes = std::strtoull(flags["--block"].c_str(), nullptr, 10);
  if (flags.contains("--depth")) job.depth = std::atoi(flags["--depth"].c_str());
  if (flags.contains("--seconds")) job.seconds = std::atof(flags["--seconds"].c_str());
  if (flags["--engine"] == "threads") job.engine = hearth::DiskOptions::Engine::threads;
  if (flags["--engine"] == "io_uring") job.engine = hearth::DiskOptions::Engine::io_uring;
  return hearth::bench::run(job);
}

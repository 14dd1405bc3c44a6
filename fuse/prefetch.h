// Loads opened files whole into the cache, so that their next open is passed through.
//
// Threads: add() any, never blocks; two threads of its own load.
// Bounds:  64 files wait; more are not prefetched. A load goes in steps of 64 MiB and stops between them.
// Fails:   silently, in the debug log: a prefetch is a guess.
#pragma once

#include "fuse/source.h"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

namespace hearth {

class Prefetcher {
 public:
  static constexpr std::size_t max_waiting = 64;
  static constexpr std::uint64_t step_bytes = 64U << 20;

  Prefetcher();
  ~Prefetcher();  // waits for the running steps

  // Queues `file` unless it is queued or loading already; `key` names path and version.
  void add(std::string key, std::shared_ptr<SourceFile> file);
  std::uint64_t started() const { return started_.load(std::memory_order_relaxed); }
  // Blocks until nothing waits and nothing loads.
  void drain();

 private:
  struct Job {
    std::string key;
    std::shared_ptr<SourceFile> file;  // shared with the open handle
  };
  void run();
  void load(const Job& job);

  std::atomic<std::uint64_t> started_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_
  std::deque<Job> waiting_;
  std::unordered_set<std::string> known_;  // waiting or loading
  std::vector<std::thread> threads_;       // last: they use the rest
};

}  // namespace hearth

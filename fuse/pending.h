// Requests that wait for somebody else, and what becomes of them when the caller gives up.
//
// The kernel sends INTERRUPT for any signal, also those that only want a handler to run. So an
// interrupted request gets a grace to end by itself; then it is answered (EINTR) and whoever
// worked on it finds that the answer is no longer wanted. Exactly one side answers.
//
// Threads: any. One thread of its own waits for the graces.
// Bounds:  at most one record per request in flight.
#pragma once

#include "common/clock.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace hearth {

class PendingRequest {
 public:
  explicit PendingRequest(std::function<void()> abandon) : abandon_(std::move(abandon)) {}
  // True for the one who answers.
  bool claim() { return !answered_.exchange(true, std::memory_order_acq_rel); }
  bool answered() const { return answered_.load(std::memory_order_acquire); }
  void abandon() { abandon_(); }

 private:
  const std::function<void()> abandon_;
  std::atomic<bool> answered_{false};
};

class InterruptedRequests {
 public:
  explicit InterruptedRequests(Duration grace);
  ~InterruptedRequests();  // forgets what still waits: its workers will answer

  // The caller of `request` gave up now. Never blocks for long: it runs on the thread that reads requests.
  void add(std::shared_ptr<PendingRequest> request);

 private:
  struct Waiting {
    TimePoint until;
    std::shared_ptr<PendingRequest> request;  // shared: its worker holds the other end
  };
  void run();

  const Duration grace_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_
  std::deque<Waiting> waiting_;  // in order of time, since the grace is the same for all
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace hearth

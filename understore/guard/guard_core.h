// The state of one guarded store: its parts, one mutex for those that have none, and what is decided between attempts.
//
// Threads: any.
#pragma once

#include "common/rng.h"
#include "understore/guard/guard_options.h"
#include "understore/guard/guarded_store.h"
#include "understore/guard/metrics.h"
#include "understore/guard/turnstile.h"

#include <atomic>
#include <mutex>
#include <optional>
#include <string>

namespace hearth {

class GuardCore {
 public:
  GuardCore(std::string store, GuardOptions options, Clock& clock, std::uint64_t seed);

  Clock& clock() { return clock_; }
  Turnstile& turns() { return turns_; }
  GuardMetrics& metrics() { return metrics_; }

  // A call begins, before its first attempt.
  void called();
  CircuitBreaker::Verdict ask_breaker();
  Error refusal();
  Deadline probe_deadline(Deadline deadline) const;
  Deadline attempt_deadline(Deadline deadline) const;

  // What an attempt that began at `began` found; learns from it.
  void learn(StoreOp op, const Status& outcome, TimePoint began);
  // Did a probe get an answer? When not, the store stays away.
  bool learn_probe(const Status& outcome, TimePoint began);
  // The pause before attempt `next`, or nothing when the failure is final.
  std::optional<Duration> retry_after(const Error& why, std::uint32_t next, Repeatable repeatable, Deadline deadline);

  std::optional<Duration> straggles_after(std::uint64_t length_bytes);
  // The right to one more request for a read; the turn goes with it.
  std::optional<Turnstile::Turn> take_hedge();
  void hedge_won();
  void read_took(std::uint64_t length_bytes, TimePoint began);

  GuardState state() const;

 private:
  bool says_nothing(const Status& outcome, TimePoint began) const;

  // Set once
  const GuardOptions options_;
  Clock& clock_;
  const RetryPolicy retries_;
  Turnstile turns_;
  GuardMetrics metrics_;
  std::atomic<std::uint64_t> retried_{0};
  std::atomic<std::uint64_t> hedges_sent_{0};
  std::atomic<std::uint64_t> hedges_won_{0};

  mutable std::mutex mutex_;
  // Guarded by mutex_
  CircuitBreaker breaker_;
  TokenBudget retry_budget_;
  Hedge hedge_;
  SeededRng rng_;
};

}  // namespace hearth

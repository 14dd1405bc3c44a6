// When a read that takes long gets a second request beside it: after the p95 of recent reads of its size, and for at
// most one read in twenty, so that a store that is slow as a whole is not made slower (Dean and Barroso, The Tail at
// Scale, 2013).
//
// Threads: none of its own; whoever owns it locks.
#pragma once

#include "understore/guard/latency_window.h"
#include "understore/guard/token_budget.h"

#include <algorithm>

namespace hearth {

struct HedgeOptions {
  double quantile = 0.95;
  double share = 0.05;  // extra requests per read; 0: never
  Duration soonest = std::chrono::milliseconds(2);
};

class Hedge {
 public:
  explicit Hedge(HedgeOptions options)
      : options_(options), latency_(options.quantile),
        budget_({.share = options.share, .initial = 0, .most = std::max(1.0, 100 * options.share)}) {}

  // A read begins. After so long without its end it is a straggler; nothing when too little is known.
  std::optional<Duration> straggles_after(std::uint64_t length_bytes, TimePoint now) {
    if (options_.share <= 0) return std::nullopt;
    budget_.called();
    const std::optional<Duration> usual = latency_.quantile(length_bytes, now);
    if (!usual) return std::nullopt;
    return std::max(*usual, options_.soonest);
  }
  bool take() { return budget_.take(); }
  void took(std::uint64_t length_bytes, Duration latency, TimePoint now) { latency_.took(length_bytes, latency, now); }

 private:
  HedgeOptions options_;
  LatencyWindow latency_;
  TokenBudget budget_;
};

}  // namespace hearth

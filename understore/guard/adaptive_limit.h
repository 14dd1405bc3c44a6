// How many calls one store is asked at once: more while it keeps up, fewer as soon as it says "slow down".
//
// Additive increase, multiplicative decrease (Chiu and Jain 1989, as TCP does): every `limit` good answers allow one
// more call, a refusal or a timeout takes 30 % away. The calls that were under way when a cut was made say nothing new,
// so only calls that began after the last cut can cut again.
//
// Threads: none of its own; whoever owns it locks.
// Bounds:  floor <= limit() <= ceiling.
#pragma once

#include "common/clock.h"

#include <algorithm>
#include <cstddef>

namespace hearth {

struct AdaptiveLimitOptions {
  std::size_t floor = 2;
  std::size_t initial = 32;
  std::size_t ceiling = 128;
};

class AdaptiveLimit {
 public:
  explicit AdaptiveLimit(AdaptiveLimitOptions options)
      : floor_(std::max<std::size_t>(options.floor, 1)), ceiling_(std::max(options.ceiling, floor_)),
        limit_(static_cast<double>(std::clamp(options.initial, floor_, ceiling_))) {}

  std::size_t limit() const { return static_cast<std::size_t>(limit_); }

  // A call ended well while `in_flight` (itself included) were under way. A limit that is not used is not proven, so
  // it does not grow.
  void kept_up(std::size_t in_flight) {
    if (2 * in_flight < limit()) return;
    limit_ = std::min(limit_ + 1.0 / limit_, static_cast<double>(ceiling_));
  }
  // A call that began at `began` was refused or not answered in time.
  void overloaded(TimePoint began, TimePoint now) {
    if (began < last_cut_) return;
    last_cut_ = now;
    limit_ = std::max(limit_ * 0.7, static_cast<double>(floor_));
  }

 private:
  // Set once
  std::size_t floor_;
  std::size_t ceiling_;

  double limit_;
  TimePoint last_cut_ = TimePoint::min();
};

}  // namespace hearth

// Whether a store is asked at all. One that does not answer is left alone, except for one probe at a time, so that
// callers get their "unavailable" at once instead of after a timeout each.
//
//   closed    -- 5 failures in a row and no answer for a second -->  open
//   open      -- 0.25 s later, doubling up to 2 s -->                    half open: one caller may probe
//   half open -- the probe was answered --> closed;  it failed --> open
//
// A store that is back is noticed within the longest pause (2 s) and one probe (2 s at most): under 5 s.
//
// Threads: none of its own; whoever owns it locks.
#pragma once

#include "common/clock.h"

#include <hearth/result.h>

#include <cstdint>
#include <string>

namespace hearth {

struct CircuitBreakerOptions {
  std::uint32_t failures_to_open = 5;
  Duration silence_to_open = std::chrono::seconds(1);
  Duration first_pause = std::chrono::milliseconds(250);
  Duration longest_pause = std::chrono::seconds(2);
  Duration probe_timeout = std::chrono::seconds(2);
};

enum class BreakerState : std::uint8_t { closed, open, half_open };

class CircuitBreaker {
 public:
  enum class Verdict : std::uint8_t {
    pass,
    probe,   // ask the store something small first, then say answered(), failed() or abandoned()
    refuse,  // answer refusal()
  };

  // `store` is how messages name it.
  CircuitBreaker(std::string store, CircuitBreakerOptions options) : store_(std::move(store)), options_(options) {}

  Verdict ask(TimePoint now);
  // The store said something, whatever it was.
  void answered(TimePoint now);
  // A question of `began` could not be asked, or was not answered.
  void failed(const Error& why, TimePoint began, TimePoint now, WallTime wall_now);
  // A probe ended without saying anything about the store (its caller left).
  void abandoned();

  BreakerState state() const { return state_; }
  // `unavailable`, with since when and the last error.
  Error refusal(TimePoint now) const;
  Duration probe_timeout() const { return options_.probe_timeout; }

 private:
  // Set once
  const std::string store_;
  const CircuitBreakerOptions options_;

  BreakerState state_ = BreakerState::closed;
  std::uint32_t failures_ = 0;                 // in a row
  TimePoint last_answer_ = TimePoint::min();
  Error last_error_;
  TimePoint silent_since_ = TimePoint::min();  // the first of the failures in a row began, nothing was answered later
  WallTime silent_since_wall_{};
  Duration pause_{};
  TimePoint next_probe_ = TimePoint::min();
};

}  // namespace hearth

#include "understore/guard/circuit_breaker.h"

#include "common/units.h"

#include <algorithm>
#include <ctime>

namespace hearth {
namespace {

std::string utc(WallTime when) {
  const auto seconds = std::chrono::time_point_cast<std::chrono::seconds>(when);
  const std::time_t count = seconds.time_since_epoch().count();
  std::tm broken{};
  ::gmtime_r(&count, &broken);
  char text[32];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &broken);
  return std::string(text, length);
}

}  // namespace

CircuitBreaker::Verdict CircuitBreaker::ask(TimePoint now) {
  switch (state_) {
    case BreakerState::closed:
      return Verdict::pass;
    case BreakerState::half_open:
      // Somebody probes already; one whose caller was destroyed in the middle must not be waited for.
      if (now < next_probe_ + options_.probe_timeout) return Verdict::refuse;
      break;
    case BreakerState::open:
      break;
  }
  if (now < next_probe_) return Verdict::refuse;
  state_ = BreakerState::half_open;
  // Counted from the beginning of the probe: one that hangs is no reason to wait longer after it.
  pause_ = std::min(pause_ * 2, options_.longest_pause);
  next_probe_ = now + pause_;
  return Verdict::probe;
}

void CircuitBreaker::answered(TimePoint now) {
  state_ = BreakerState::closed;
  failures_ = 0;
  last_answer_ = now;
}

void CircuitBreaker::failed(const Error& why, TimePoint began, TimePoint now, WallTime wall_now) {
  last_error_ = why;
  if (state_ == BreakerState::half_open) {
    state_ = BreakerState::open;
    return;
  }
  if (state_ == BreakerState::open) return;
  if (failures_ == 0) {
    silent_since_ = std::max(began, last_answer_);
    silent_since_wall_ = wall_now - (now - silent_since_);
  }
  failures_ += 1;
  if (failures_ < options_.failures_to_open || now - silent_since_ < options_.silence_to_open) return;
  state_ = BreakerState::open;
  pause_ = options_.first_pause;
  next_probe_ = now + pause_;
}

void CircuitBreaker::abandoned() {
  if (state_ == BreakerState::half_open) state_ = BreakerState::open;
}

Error CircuitBreaker::refusal(TimePoint now) const {
  return Error(Code::unavailable, store_ + " has not answered since " + utc(silent_since_wall_) + " (" +
                                      human_duration(now - silent_since_) + "); the last error was: " +
                                      last_error_.message() +
                                      ". What is cached is served; the store is asked again every " +
                                      human_duration(options_.longest_pause));
}

}  // namespace hearth

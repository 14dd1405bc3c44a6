// Time as a seam: everything that reads a clock or sleeps gets one of these.
#pragma once

#include "common/async.h"

#include <chrono>

namespace hearth {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;  // monotonic; for leases, TTLs, deadlines
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;   // for display only

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() const = 0;
  virtual WallTime wall_now() const = 0;
  // Resumes on the caller's executor at or after `when`. Ends early with `cancelled` when the
  // awaiting coroutine is cancelled (asio cancellation).
  virtual Task<> sleep_until(TimePoint when) = 0;

  Task<> sleep_for(Duration duration) { return sleep_until(now() + duration); }
};

// The machine's clocks. Thread safe; lives for the whole process.
Clock& real_clock();

// An absolute point after which nobody waits any more. A parameter of everything that can
// wait; it has no default. The remaining time travels in the frame header.
class Deadline {
 public:
  static Deadline at(TimePoint when) { return Deadline(when); }
  static Deadline after(const Clock& clock, Duration duration) { return Deadline(clock.now() + duration); }
  // For work that has no caller (background loops own their pace and say so).
  static Deadline never() { return Deadline(TimePoint::max()); }

  TimePoint when() const { return when_; }
  bool is_never() const { return when_ == TimePoint::max(); }
  bool expired(TimePoint now) const { return now >= when_; }
  Duration remaining(TimePoint now) const { return now >= when_ ? Duration::zero() : when_ - now; }
  Deadline sooner_of(Deadline other) const { return when_ < other.when_ ? *this : other; }

 private:
  explicit Deadline(TimePoint when) : when_(when) {}
  TimePoint when_;
};

}  // namespace hearth

// Whether a device may be used, from what its calls answer and how long they take.
//
//   healthy ──(an error, or slow)──► suspect ──(more of it)──► fenced ──(good probes)──► healthy
//
// suspect: still read, no longer written. fenced: neither; the owner probes it when probe_due() says so.
// Slow is relative to the device's own past: the time of a call per unit of work that was in flight with it (so that a long
// queue is not taken for a slow device), against the median of what was seen while healthy, and above an absolute floor.
// no_space is no fault: the tier shrinks instead.
//
// Threads: confined to the tier's executor; pure, the time is passed in.
// Owns:    a histogram for each class of calls (read or write, small or large).
#pragma once

#include "common/clock.h"

#include <hearth/code.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace hearth {

enum class DeviceState : std::uint8_t { healthy, suspect, fenced };
std::string_view name(DeviceState state);

enum class DeviceCall : std::uint8_t { read, write };

struct DeviceHealthOptions {
  std::uint32_t errors_to_fence = 3;                           // within error_window
  Duration error_window = std::chrono::seconds(10);
  double suspect_ratio = 8;                                    // of the median
  double fence_ratio = 50;
  Duration suspect_floor = std::chrono::milliseconds(2);       // faster than this is never slow
  Duration fence_floor = std::chrono::milliseconds(5);
  Duration slow_for = std::chrono::seconds(1);                 // suspect and slow this long: fenced
  Duration hung_after = std::chrono::seconds(10);              // a call without an answer for this long: fenced
  Duration calm = std::chrono::seconds(10);                    // without a fault: suspect is healthy again
  Duration probe_interval = std::chrono::seconds(2);           // while fenced
  std::uint32_t probes_to_readmit = 3;                         // good ones in a row: back within 10 s of the cause's end
};

class DeviceHealth {
 public:
  explicit DeviceHealth(const DeviceHealthOptions& options) : options_(options) {}

  DeviceState state() const { return state_; }
  bool readable() const { return state_ != DeviceState::fenced; }
  bool writable() const { return state_ == DeviceState::healthy; }
  // Why it is not healthy; "" when it is.
  const std::string& reason() const { return reason_; }
  std::uint64_t times_fenced() const { return times_fenced_; }

  // A call for `bytes` answered `code` after `took`; `in_flight_bytes` were under way with it when it began, its own included.
  void answered(DeviceCall call, Code code, std::uint64_t bytes, std::uint64_t in_flight_bytes, Duration took, TimePoint now);
  // The oldest call in flight began at `since`.
  void oldest_in_flight(TimePoint since, TimePoint now);
  // The directory is gone or not ours any more, by a check of the identity.
  void lost(std::string reason, TimePoint now);
  // Time passes: calm ends suspicion.
  void tick(TimePoint now);

  bool probe_due(TimePoint now) const { return state_ == DeviceState::fenced && now >= next_probe_; }
  // A probe (identity read, a write and a read compared) ended. `took` is its slowest call.
  void probed(Code code, Duration took, TimePoint now);

 private:
  // Times per unit of work in quarter octaves; halved when full, so that the past fades.
  class History {
   public:
    void add(double value);
    double median() const { return median_; }
    std::uint32_t count() const { return count_; }

   private:
    void follow_median();

    std::array<std::uint32_t, 256> cells_{};
    std::uint32_t count_ = 0;
    std::size_t middle_ = 0;    // the median's cell: kept, since every call asks for it
    std::uint32_t below_ = 0;   // what is in the cells before it
    double median_ = 0;
  };
  // Moving averages over about 16 calls.
  struct Pace {
    History history;
    double per_unit = 0;  // ns
    double raw = 0;       // ns
  };
  static constexpr std::size_t classes = 4;

  void fault(Code code, TimePoint now);
  void measure(Pace& pace, double units_in_flight, Duration took, TimePoint now);
  void suspect(std::string reason, TimePoint now);
  void fence(std::string reason, TimePoint now);

  // Set once.
  DeviceHealthOptions options_;
  // The tier's executor only.
  DeviceState state_ = DeviceState::healthy;
  std::string reason_;
  std::array<Pace, classes> paces_;
  std::uint32_t errors_ = 0;
  TimePoint errors_since_{};
  TimePoint last_fault_{};
  TimePoint slow_since_ = TimePoint::max();
  TimePoint next_probe_{};
  std::uint32_t good_probes_ = 0;
  std::uint64_t times_fenced_ = 0;
};

}  // namespace hearth

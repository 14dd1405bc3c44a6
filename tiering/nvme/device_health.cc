#include "tiering/nvme/device_health.h"

#include "common/units.h"

#include <algorithm>
#include <cmath>

namespace hearth {
namespace {

constexpr double smoothing = 1.0 / 16;
constexpr std::uint32_t history_full = 1U << 16;
constexpr std::uint32_t history_meaningful = 32;
constexpr double clip_ratio = 128;              // one call that took forever is one call
constexpr std::uint64_t large_call_bytes = 64U << 10;
constexpr double call_overhead_bytes = 16384;   // a call costs about what moving so much costs

double nanoseconds(Duration duration) { return static_cast<double>(duration.count()); }

}  // namespace

std::string_view name(DeviceState state) {
  switch (state) {
    case DeviceState::healthy: return "healthy";
    case DeviceState::suspect: return "suspect";
    case DeviceState::fenced: return "fenced";
  }
  return "unknown";
}

void DeviceHealth::History::add(double value) {
  const double quarter = std::clamp(4 * std::log2(std::max(value, 1e-9)) + 128, 0.0, 255.0);
  const auto cell = static_cast<std::size_t>(quarter);
  ++cells_[cell];
  ++count_;
  if (cell < middle_) ++below_;
  if (count_ >= history_full) {
    count_ = below_ = 0;
    middle_ = 0;
    for (std::uint32_t& each : cells_) count_ += each /= 2;
  }
  follow_median();
}

// To the first cell that has half of all together with those before it.
void DeviceHealth::History::follow_median() {
  const std::size_t before = middle_;
  while (middle_ + 1 < cells_.size() && (below_ + cells_[middle_]) * 2 < count_) below_ += cells_[middle_++];
  while (middle_ > 0 && below_ * 2 >= count_) below_ -= cells_[--middle_];
  if (middle_ != before || median_ == 0) median_ = std::exp2((static_cast<double>(middle_) + 0.5 - 128) / 4);
}

void DeviceHealth::answered(DeviceCall call, Code code, std::uint64_t bytes, std::uint64_t in_flight_bytes, Duration took, TimePoint now) {
  switch (code) {
    case Code::io_error:
    case Code::read_only:
    case Code::unavailable:
      fault(code, now);
      return;
    case Code::ok: break;
    default: return;  // no_space, not_found, corrupt, overloaded, cancelled: not the device's
  }
  if (state_ == DeviceState::fenced) return;  // calls that were under way
  const std::size_t index = (call == DeviceCall::write ? 2U : 0U) + (bytes > large_call_bytes ? 1U : 0U);
  measure(paces_[index], static_cast<double>(std::max(in_flight_bytes, bytes)) + call_overhead_bytes, took, now);
}

void DeviceHealth::measure(Pace& pace, double units_in_flight, Duration took, TimePoint now) {
  const double raw = nanoseconds(took);
  const double per_unit = raw / units_in_flight;
  if (pace.history.count() < history_meaningful) {
    pace.history.add(per_unit);
    pace.per_unit = pace.per_unit == 0 ? per_unit : pace.per_unit + (per_unit - pace.per_unit) * smoothing;
    pace.raw = pace.raw == 0 ? raw : pace.raw + (raw - pace.raw) * smoothing;
    return;
  }
  const double median = pace.history.median();
  const double clip = std::min(1.0, clip_ratio * median / std::max(per_unit, 1e-9));  // both averages alike
  pace.per_unit += (per_unit * clip - pace.per_unit) * smoothing;
  pace.raw += (raw * clip - pace.raw) * smoothing;
  const auto slower_than = [&](double ratio, Duration floor) { return pace.per_unit > ratio * median && pace.raw > nanoseconds(floor); };
  if (!slower_than(options_.suspect_ratio, options_.suspect_floor)) {
    if (state_ == DeviceState::healthy) pace.history.add(per_unit);
    slow_since_ = TimePoint::max();
    return;
  }
  last_fault_ = now;
  if (slow_since_ == TimePoint::max()) slow_since_ = now;
  const std::string how = "calls take " + human_duration(std::chrono::nanoseconds(static_cast<std::int64_t>(pace.raw))) + ", " +
                          std::to_string(static_cast<int>(pace.per_unit / median)) + " times its usual pace";
  suspect(how, now);
  if (slower_than(options_.fence_ratio, options_.fence_floor) && now - slow_since_ >= options_.slow_for) fence(how, now);
}

void DeviceHealth::fault(Code code, TimePoint now) {
  last_fault_ = now;
  if (code == Code::read_only) return fence("the file system is read-only", now);
  if (code == Code::unavailable) return fence("the directory is gone", now);
  if (errors_ == 0 || now - errors_since_ > options_.error_window) {
    errors_ = 0;
    errors_since_ = now;
  }
  ++errors_;
  suspect("I/O error", now);
  if (errors_ >= options_.errors_to_fence) fence(std::to_string(errors_) + " I/O errors within " + human_duration(options_.error_window), now);
}

void DeviceHealth::oldest_in_flight(TimePoint since, TimePoint now) {
  if (now - since < options_.hung_after) return;
  last_fault_ = now;
  fence("a call has had no answer for " + human_duration(now - since), now);
}

void DeviceHealth::lost(std::string reason, TimePoint now) {
  last_fault_ = now;
  if (state_ == DeviceState::fenced) reason_ = reason;  // says more than what it was fenced for
  fence(std::move(reason), now);
}

void DeviceHealth::tick(TimePoint now) {
  if (state_ != DeviceState::suspect || now - last_fault_ < options_.calm) return;
  state_ = DeviceState::healthy;
  reason_.clear();
  errors_ = 0;
  slow_since_ = TimePoint::max();
}

void DeviceHealth::suspect(std::string reason, TimePoint) {
  if (state_ != DeviceState::healthy) return;
  state_ = DeviceState::suspect;
  reason_ = std::move(reason);
}

void DeviceHealth::fence(std::string reason, TimePoint now) {
  if (state_ == DeviceState::fenced) return;
  state_ = DeviceState::fenced;
  reason_ = std::move(reason);
  ++times_fenced_;
  good_probes_ = 0;
  next_probe_ = now + options_.probe_interval;
}

void DeviceHealth::probed(Code code, Duration took, TimePoint now) {
  if (state_ != DeviceState::fenced) return;
  next_probe_ = now + options_.probe_interval;
  const double usual = (paces_[0].history.count() >= history_meaningful ? paces_[0].history.median() : 0) * (4096 + call_overhead_bytes);
  const bool slow = took > options_.suspect_floor && nanoseconds(took) > options_.suspect_ratio * usual && usual > 0;
  if (code != Code::ok || slow) {
    good_probes_ = 0;
    return;
  }
  if (++good_probes_ < options_.probes_to_readmit) return;
  state_ = DeviceState::healthy;
  reason_.clear();
  errors_ = 0;
  slow_since_ = TimePoint::max();
  for (Pace& pace : paces_) {
    // What it was before the fault still is its usual pace; what the fault did to the averages is forgotten.
    pace.per_unit = pace.history.count() == 0 ? 0 : pace.history.median();
    pace.raw = 0;
  }
}

}  // namespace hearth

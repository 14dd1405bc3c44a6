// How long reads of a store took lately, by size: the quantile after which a read counts as a straggler.
//
// Reads of 4 KiB and of 8 MiB have nothing in common, so each power of eight of the size has a window of its own: the
// last 256 reads, and of these only what is younger than a minute.
//
// Threads: none of its own; whoever owns it locks.
// Bounds:  4 KiB for each of its 6 classes of size. A quantile is computed anew every 16 reads.
#pragma once

#include "common/clock.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace hearth {

class LatencyWindow {
 public:
  // `fraction` of the reads are faster than quantile().
  explicit LatencyWindow(double fraction) : fraction_(fraction) {}

  void took(std::uint64_t length_bytes, Duration latency, TimePoint now);
  // Nothing while fewer than 20 reads of about this size are known.
  std::optional<Duration> quantile(std::uint64_t length_bytes, TimePoint now);

 private:
  static constexpr std::size_t class_count = 6;  // up to 4 KiB, 32 KiB, 256 KiB, 2 MiB, 16 MiB, more
  struct Sample {
    Duration latency;
    TimePoint when;
  };
  struct Class {
    std::vector<Sample> samples;  // a ring once it is full
    std::size_t next = 0;
    std::size_t since_computed = 0;
    TimePoint computed_at = TimePoint::min();
    std::optional<Duration> computed;
  };
  static std::size_t class_of(std::uint64_t length_bytes);
  void compute(Class& of, TimePoint now) const;

  const double fraction_;
  std::array<Class, class_count> classes_;
};

}  // namespace hearth

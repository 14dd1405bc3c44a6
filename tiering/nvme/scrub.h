// What the scrubber looks at next, and how much it may: every page in the order of its slot, at a bounded rate, round by round.
//
// Threads: confined to the tier's executor; pure, the time is passed in.
#pragma once

#include "common/clock.h"
#include "tiering/nvme/page_map.h"

#include <cstdint>
#include <optional>

namespace hearth {

class ScrubPacer {
 public:
  ScrubPacer(std::uint64_t bytes_per_second, Duration pause) : bytes_per_second_(bytes_per_second), pause_(pause) {}

  // The next resident page that may be read now; nothing when the rate is used up, a round has just ended or scrubbing is off.
  std::optional<PageSlot> next(const PageMap& pages, TimePoint now);
  // So many bytes were read for it.
  void spent(std::uint64_t bytes) { allowance_ -= static_cast<double>(bytes); }
  std::uint64_t rounds() const { return rounds_; }

 private:
  // A second's worth at most is saved up: an idle day is not followed by a burst.
  void earn(TimePoint now);

  // Set once.
  const std::uint64_t bytes_per_second_;
  const Duration pause_;
  // The tier's executor only.
  PageSlot next_slot_ = 0;
  double allowance_ = 0;
  TimePoint earned_at_ = TimePoint::min();
  TimePoint round_begins_ = TimePoint::min();
  std::uint64_t rounds_ = 0;
};

}  // namespace hearth

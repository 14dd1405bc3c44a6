#include "tiering/nvme/scrub.h"

#include <algorithm>

namespace hearth {

void ScrubPacer::earn(TimePoint now) {
  if (earned_at_ != TimePoint::min()) {
    const double seconds = std::chrono::duration<double>(now - earned_at_).count();
    allowance_ = std::min(allowance_ + seconds * static_cast<double>(bytes_per_second_), static_cast<double>(bytes_per_second_));
  }
  earned_at_ = now;
}

std::optional<PageSlot> ScrubPacer::next(const PageMap& pages, TimePoint now) {
  if (bytes_per_second_ == 0) return std::nullopt;
  earn(now);
  if (now < round_begins_ || allowance_ <= 0) return std::nullopt;
  // A bounded look ahead: an almost empty index is not walked in one go.
  for (int looked = 0; looked < 65536; ++looked) {
    if (next_slot_ >= pages.slot_end()) {
      next_slot_ = 0;
      ++rounds_;
      round_begins_ = now + pause_;
      return std::nullopt;
    }
    const PageSlot slot = next_slot_++;
    if (pages.page(slot).state() == PageState::resident) return slot;
  }
  return std::nullopt;
}

}  // namespace hearth

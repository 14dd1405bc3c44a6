#include "fuse/locked_places.h"

namespace hearth {

void LockedPlaces::note(NodeId directory) {
  constexpr Duration remembered = std::chrono::minutes(1);
  constexpr std::size_t many = 1000;
  const TimePoint now = real_clock().now();
  const std::lock_guard lock(mutex_);
  if (until_.size() > many) std::erase_if(until_, [now](const auto& one) { return one.second < now; });
  until_[directory] = now + remembered;
  any_.store(true, std::memory_order_relaxed);
}

bool LockedPlaces::contains(NodeId directory) const {
  if (!any_.load(std::memory_order_relaxed)) return false;
  const std::lock_guard lock(mutex_);
  const auto found = until_.find(directory);
  return found != until_.end() && real_clock().now() < found->second;
}

}  // namespace hearth

// How often something was read within a window, for what has to earn its place in memory.
//
// Counts live in two generations: the present one and the one before; each lasts one window, or until it is full. A count
// thus reaches back between one and two windows.
//
// Threads: confined to the data thread; the time is passed in.
// Bounds:  2 * max_entries counts (about 40 bytes each).
#pragma once

#include "common/clock.h"

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>

namespace hearth::worker {

class ReadCounts {
 public:
  explicit ReadCounts(std::size_t max_entries) : max_entries_(max_entries) {}

  // One more read; how many there were within the window, this one included.
  std::uint32_t note(std::uint64_t fingerprint, Duration window, TimePoint now) {
    if (now - began_ > window || present_.size() >= max_entries_) {
      before_ = now - began_ > 2 * window ? Counts() : std::move(present_);
      present_ = Counts();
      began_ = now;
    }
    const auto earlier = before_.find(fingerprint);
    return ++present_[fingerprint] + (earlier == before_.end() ? 0 : earlier->second);
  }
  void forget(std::uint64_t fingerprint) {
    present_.erase(fingerprint);
    before_.erase(fingerprint);
  }
  std::size_t size() const { return present_.size() + before_.size(); }

 private:
  using Counts = std::unordered_map<std::uint64_t, std::uint32_t>;
  const std::size_t max_entries_;
  TimePoint began_{};
  Counts present_;
  Counts before_;
};

}  // namespace hearth::worker

// Touches on their way: applied some calls later, when what they need has come from memory.
//
// With ten million slots each hit waits for four or five cache lines that nothing else uses, one after the other. Here
// the lines of the next hits are asked for while earlier ones are applied.
//
// Threads: confined, like the policy.
// Owns:    the slots of the last 16 touches. Who removes or evicts a slot asks here first.
#pragma once

#include "tiering/eviction_policy.h"

#include <array>

namespace hearth::eviction {

class TouchQueue {
 public:
  static constexpr EvictionSlot none = 0xFFFFFFFF;
  static constexpr std::uint32_t length = 16;

  TouchQueue() { slots_.fill(none); }

  // Takes `slot` in; gives the one whose turn it is to be applied (or none).
  EvictionSlot push(EvictionSlot slot) {
    const EvictionSlot due = slots_[next_ % length];
    slots_[next_++ % length] = slot;
    return due;
  }
  // Half way through: what push() took in eight calls ago, so its first line should be here.
  EvictionSlot half_way() const { return slots_[(next_ + length / 2) % length]; }

  bool contains(EvictionSlot slot) const {
    bool found = false;
    for (const EvictionSlot each : slots_) found |= each == slot;
    return found;
  }
  // Forgets the touches of `slot`; how many they were.
  std::uint32_t drop(EvictionSlot slot) {
    std::uint32_t dropped = 0;
    for (EvictionSlot& each : slots_) {
      if (each != slot) continue;
      each = none;
      ++dropped;
    }
    return dropped;
  }

 private:
  std::array<EvictionSlot, length> slots_;
  std::uint32_t next_ = 0;
};

}  // namespace hearth::eviction

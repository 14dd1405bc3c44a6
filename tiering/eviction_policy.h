// Which unit of memory goes next. Policies differ in nothing but this.
//
// Threads: confined to the data thread.
// Owns:    the order, not the memory. Keys are dense 32-bit slots, so a policy is arrays, not maps.
//          A slot is reused after removed(); the fingerprint tells who is in it, and lets a policy
//          remember what it evicted (ghost entries).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace hearth {

using EvictionSlot = std::uint32_t;

enum class Removal : std::uint8_t {
  evicted,  // to make room: worth remembering
  dropped,  // freed, corrupt, or pinned by a lease: says nothing about its worth
};

class EvictionPolicy {
 public:
  using Evictable = std::function<bool(EvictionSlot)>;
  virtual ~EvictionPolicy() = default;

  virtual void inserted(EvictionSlot slot, std::uint64_t fingerprint) = 0;
  virtual void touched(EvictionSlot slot) = 0;
  virtual void removed(EvictionSlot slot, Removal why) = 0;
  // The slot to give up next among those that `evictable` allows; it stays until removed().
  virtual std::optional<EvictionSlot> victim(const Evictable& evictable) = 0;
};

// Least recently used first.
std::unique_ptr<EvictionPolicy> make_lru_policy();

}  // namespace hearth

// A tier without bytes: what would be resident, under the eviction policy that a real tier would use.
//
// Threads: confined.
// Owns:    the ids that are resident and their sizes; the policy.
#pragma once

#include "tiering/eviction_policy.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

namespace hearth {

class CacheModel {
 public:
  // Told of each object that had to go, before its room is used.
  using Evicted = std::function<void(std::uint64_t id, std::uint64_t bytes)>;
  enum class Lookup : std::uint8_t { hit, miss };
  enum class Kept : std::uint8_t { yes, too_large };

  CacheModel(std::uint64_t capacity_bytes, std::unique_ptr<EvictionPolicy> policy);

  // A hit is told to the policy.
  Lookup find(std::uint64_t id);
  // Only after a miss. Evicts until it fits.
  Kept insert(std::uint64_t id, std::uint64_t bytes, const Evicted& evicted = nullptr);
  void remove(std::uint64_t id, Removal why);

  std::uint64_t capacity_bytes() const { return capacity_bytes_; }
  std::uint64_t resident_bytes() const { return resident_bytes_; }
  std::size_t resident() const { return slots_.size(); }

 private:
  struct Object {
    std::uint64_t id = 0;
    std::uint64_t bytes = 0;
  };
  using Slots = std::unordered_map<std::uint64_t, EvictionSlot>;
  void release(Slots::iterator slot, Removal why);

  const std::uint64_t capacity_bytes_;
  const std::unique_ptr<EvictionPolicy> policy_;
  Slots slots_;
  std::vector<Object> objects_;  // by slot
  std::vector<EvictionSlot> free_slots_;
  std::uint64_t resident_bytes_ = 0;
};

}  // namespace hearth

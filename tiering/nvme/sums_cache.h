// Sector checksums of the pages read or written lately, within a bound; new ones wait here until they are written to the file.
//
// Threads: confined to the tier's executor; pure.
// Owns:    the sums. What does not fit is forgotten, unwritten ones included: their page is then read whole once, and its sums
//          are made anew.
#pragma once

#include "tiering/nvme/page_map.h"

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace hearth {

class SumsCache {
 public:
  explicit SumsCache(std::uint64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  enum class Written : std::uint8_t { no, yes };
  void put(PageSlot slot, std::vector<std::uint32_t> sums, Written written);
  // Empty when they are not here; counts as a use. Valid until the next put() or drop().
  std::span<const std::uint32_t> get(PageSlot slot);
  void drop(PageSlot slot);
  void clear();

  // Slots whose sums the file does not have yet, in order, at most `limit`; they count as written from now on.
  std::vector<PageSlot> take_unwritten(std::size_t limit);
  // They could not be written after all.
  void unwritten_again(PageSlot slot);
  std::size_t unwritten() const { return unwritten_; }
  std::uint64_t memory_bytes() const { return used_bytes_; }

 private:
  // A hash node with its entry, and two allocations' overhead.
  static constexpr std::uint64_t overhead_bytes = 160;
  // In the order they came, and those used since get a second turn (CLOCK): a use touches no neighbour, which is rarely in a cache line.
  struct Entry {
    Entry* older = nullptr;
    Entry* newer = nullptr;
    PageSlot slot = 0;
    Written written = Written::yes;
    bool used = false;  // since it was linked
    std::vector<std::uint32_t> sums;
  };

  static std::uint64_t cost(const Entry& entry) { return entry.sums.capacity() * sizeof(std::uint32_t) + overhead_bytes; }
  void link_youngest(Entry& entry);
  void unlink(Entry& entry);
  void erase(Entry& entry);
  void make_room();

  const std::uint64_t capacity_bytes_;
  std::unordered_map<PageSlot, Entry> entries_;  // whose places in memory stay
  Entry* oldest_ = nullptr;
  Entry* youngest_ = nullptr;
  std::uint64_t used_bytes_ = 0;
  std::size_t unwritten_ = 0;
};

}  // namespace hearth

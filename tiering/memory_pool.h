// Evicted memory that keeps its pages, so that the next block does not pay for page faults.
//
// Only memory of one unit, never granted, with no view, fill or lease. Its old bytes are still in
// it: it may be granted again only after a whole block was written over it (grant asks for that).
//
// Threads: confined to the data thread.
// Owns:    the memory and its charge in the column `pooled`, at most capacity_bytes.
#pragma once

#include "tiering/block_memory.h"

#include <cstdint>
#include <list>
#include <memory>
#include <optional>

namespace hearth {

struct PooledMemory {
  std::shared_ptr<BlockMemory> memory;  // the only holder
  std::uint64_t charged_bytes = 0;
};

class MemoryPool {
 public:
  MemoryPool(std::shared_ptr<Budget> budget, std::uint64_t capacity_bytes)
      : budget_(std::move(budget)), capacity_bytes_(capacity_bytes) {}
  ~MemoryPool() { while (release_oldest()) {} }
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  bool accepts(std::uint64_t charged_bytes) const;
  // Takes memory over; its bytes are charged as pooled already.
  void put(PooledMemory entry);
  // The best fitting memory for a block that costs `charge_bytes`, still charged as pooled.
  std::optional<PooledMemory> take(Granule granule, std::uint64_t charge_bytes);
  // Gives the oldest entry back to the kernel; false when there is none.
  bool release_oldest();

 private:
  // A search looks at this many of the newest entries: bounded work on the data thread.
  static constexpr std::size_t max_searched = 32;

  const std::shared_ptr<Budget> budget_;  // shared with memory that outlives the store
  const std::uint64_t capacity_bytes_;
  std::list<PooledMemory> entries_;  // newest first
};

}  // namespace hearth

#include "tiering/memory_pool.h"

#include <cassert>

namespace hearth {

bool MemoryPool::accepts(std::uint64_t charged_bytes) const {
  return budget_->bytes(Charge::pooled) + charged_bytes <= capacity_bytes_;
}

void MemoryPool::put(PooledMemory entry) {
  assert(!entry.memory->sealed() && entry.memory.use_count() == 1);
  entries_.push_front(std::move(entry));
}

std::optional<PooledMemory> MemoryPool::take(Granule granule, std::uint64_t charge_bytes) {
  auto best = entries_.end();
  std::size_t searched = 0;
  for (auto entry = entries_.begin(); entry != entries_.end() && searched < max_searched; ++entry, ++searched) {
    // Up to four times too large is worth it: shrinking costs less than faulting.
    const bool fits = entry->memory->granule() == granule && entry->charged_bytes >= charge_bytes &&
                      entry->charged_bytes / 4 <= charge_bytes;
    if (fits && (best == entries_.end() || entry->charged_bytes < best->charged_bytes)) best = entry;
  }
  if (best == entries_.end()) return std::nullopt;
  PooledMemory taken = std::move(*best);
  entries_.erase(best);
  return taken;
}

bool MemoryPool::release_oldest() {
  if (entries_.empty()) return false;
  PooledMemory oldest = std::move(entries_.back());
  entries_.pop_back();
  oldest.memory.reset();  // the kernel has the bytes back before the ledger says so
  budget_->uncharge(Charge::pooled, oldest.charged_bytes);
  return true;
}

}  // namespace hearth

#include "tiering/nvme/sums_cache.h"

#include <algorithm>

namespace hearth {

void SumsCache::put(PageSlot slot, std::vector<std::uint32_t> sums, Written written) {
  drop(slot);
  order_.push_back(Entry{slot, written, std::move(sums)});
  where_[slot] = std::prev(order_.end());
  used_bytes_ += cost(order_.back());
  unwritten_ += written == Written::no;
  while (used_bytes_ > capacity_bytes_ && !order_.empty()) erase(order_.begin());
}

std::span<const std::uint32_t> SumsCache::get(PageSlot slot) {
  const auto found = where_.find(slot);
  if (found == where_.end()) return {};
  order_.splice(order_.end(), order_, found->second);
  return found->second->sums;
}

void SumsCache::drop(PageSlot slot) {
  const auto found = where_.find(slot);
  if (found != where_.end()) erase(found->second);
}

void SumsCache::clear() {
  order_.clear();
  where_.clear();
  used_bytes_ = 0;
  unwritten_ = 0;
}

std::vector<PageSlot> SumsCache::take_unwritten(std::size_t limit) {
  std::vector<PageSlot> slots;
  // The newest are the likely ones: they stand at the end.
  for (auto entry = order_.rbegin(); entry != order_.rend() && slots.size() < limit && unwritten_ > 0; ++entry) {
    if (entry->written == Written::yes) continue;
    entry->written = Written::yes;
    --unwritten_;
    slots.push_back(entry->slot);
  }
  std::sort(slots.begin(), slots.end());
  return slots;
}

void SumsCache::unwritten_again(PageSlot slot) {
  const auto found = where_.find(slot);
  if (found == where_.end() || found->second->written == Written::no) return;
  found->second->written = Written::no;
  ++unwritten_;
}

void SumsCache::erase(Order::iterator entry) {
  used_bytes_ -= cost(*entry);
  unwritten_ -= entry->written == Written::no;
  where_.erase(entry->slot);
  order_.erase(entry);
}

}  // namespace hearth

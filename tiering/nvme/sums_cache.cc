#include "tiering/nvme/sums_cache.h"

#include <algorithm>

namespace hearth {

void SumsCache::put(PageSlot slot, std::vector<std::uint32_t> sums, Written written) {
  drop(slot);
  Entry& entry = entries_[slot];
  entry.slot = slot;
  entry.written = written;
  entry.sums = std::move(sums);
  link_youngest(entry);
  used_bytes_ += cost(entry);
  unwritten_ += written == Written::no;
  make_room();
}

void SumsCache::make_room() {
  while (used_bytes_ > capacity_bytes_ && oldest_ != nullptr) {
    Entry& entry = *oldest_;
    if (!entry.used) {
      erase(entry);
      continue;
    }
    unlink(entry);
    link_youngest(entry);
  }
}

std::span<const std::uint32_t> SumsCache::get(PageSlot slot) {
  const auto found = entries_.find(slot);
  if (found == entries_.end()) return {};
  found->second.used = true;
  return found->second.sums;
}

void SumsCache::drop(PageSlot slot) {
  const auto found = entries_.find(slot);
  if (found != entries_.end()) erase(found->second);
}

void SumsCache::clear() {
  entries_.clear();
  oldest_ = youngest_ = nullptr;
  used_bytes_ = 0;
  unwritten_ = 0;
}

std::vector<PageSlot> SumsCache::take_unwritten(std::size_t limit) {
  std::vector<PageSlot> slots;
  // The newest are the likely ones.
  for (Entry* entry = youngest_; entry != nullptr && slots.size() < limit && unwritten_ > 0; entry = entry->older) {
    if (entry->written == Written::yes) continue;
    entry->written = Written::yes;
    --unwritten_;
    slots.push_back(entry->slot);
  }
  std::sort(slots.begin(), slots.end());
  return slots;
}

void SumsCache::unwritten_again(PageSlot slot) {
  const auto found = entries_.find(slot);
  if (found == entries_.end() || found->second.written == Written::no) return;
  found->second.written = Written::no;
  ++unwritten_;
}

void SumsCache::link_youngest(Entry& entry) {
  entry.older = youngest_;
  entry.newer = nullptr;
  (youngest_ == nullptr ? oldest_ : youngest_->newer) = &entry;
  youngest_ = &entry;
  entry.used = false;
}

void SumsCache::unlink(Entry& entry) {
  (entry.older == nullptr ? oldest_ : entry.older->newer) = entry.newer;
  (entry.newer == nullptr ? youngest_ : entry.newer->older) = entry.older;
}

void SumsCache::erase(Entry& entry) {
  used_bytes_ -= cost(entry);
  unwritten_ -= entry.written == Written::no;
  unlink(entry);
  const PageSlot slot = entry.slot;
  entries_.erase(slot);
}

}  // namespace hearth

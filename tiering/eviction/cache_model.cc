#include "tiering/eviction/cache_model.h"

#include <cassert>

namespace hearth {

CacheModel::CacheModel(std::uint64_t capacity_bytes, std::unique_ptr<EvictionPolicy> policy)
    : capacity_bytes_(capacity_bytes), policy_(std::move(policy)) {}

CacheModel::Lookup CacheModel::find(std::uint64_t id) {
  const auto found = slots_.find(id);
  if (found == slots_.end()) return Lookup::miss;
  policy_->touched(found->second);
  return Lookup::hit;
}

CacheModel::Kept CacheModel::insert(std::uint64_t id, std::uint64_t bytes, const Evicted& evicted) {
  if (bytes > capacity_bytes_) return Kept::too_large;
  while (capacity_bytes_ - resident_bytes_ < bytes) {
    const auto victim = policy_->victim([](EvictionSlot) { return true; });
    assert(victim && "a tier that is full holds something, and here nothing is in use");
    const Object gone = objects_[*victim];
    release(slots_.find(gone.id), Removal::evicted);
    if (evicted) evicted(gone.id, gone.bytes);
  }
  EvictionSlot slot = static_cast<EvictionSlot>(objects_.size());
  if (free_slots_.empty()) {
    objects_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  const bool fresh = slots_.try_emplace(id, slot).second;
  assert(fresh && "what is resident is found, not inserted");
  (void)fresh;
  objects_[slot] = Object{.id = id, .bytes = bytes};
  resident_bytes_ += bytes;
  policy_->inserted(slot, id, bytes);
  return Kept::yes;
}

void CacheModel::remove(std::uint64_t id, Removal why) {
  const auto found = slots_.find(id);
  if (found != slots_.end()) release(found, why);
}

void CacheModel::release(Slots::iterator entry, Removal why) {
  const EvictionSlot slot = entry->second;
  policy_->removed(slot, why);
  resident_bytes_ -= objects_[slot].bytes;
  free_slots_.push_back(slot);
  slots_.erase(entry);
}

}  // namespace hearth

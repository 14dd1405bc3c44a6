#include "client/src/grant_cache.h"

#include <algorithm>

namespace hearth::client {

std::shared_ptr<MappedGrant> GrantCache::find(const BlockId& block) {
  std::lock_guard lock(mutex_);
  const auto found = index_.find(block);
  if (found == index_.end()) return nullptr;
  (*found->second)->touch();
  return *found->second;
}

GrantCache::Order::iterator GrantCache::unlink(Order::iterator entry, Order& dropped) {
  bytes_ -= (*entry)->length_bytes();
  index_.erase((*entry)->block());
  const auto next = std::next(entry);
  dropped.splice(dropped.end(), order_, entry);
  return next;
}

// Two rounds at most: the first may only clear second-chance bits.
void GrantCache::make_room(std::uint64_t bytes, Order& dropped) {
  for (std::size_t looks = 2 * order_.size(); looks > 0 && !order_.empty(); --looks) {
    if (bytes_ + bytes <= max_bytes_ && order_.size() < max_grants_) return;
    const auto coldest = order_.begin();
    if ((*coldest)->take_recently_used()) {
      order_.splice(order_.end(), order_, coldest);
    } else {
      unlink(coldest, dropped);
    }
  }
}

void GrantCache::insert(std::shared_ptr<MappedGrant> grant) {
  Order dropped;
  {
    std::lock_guard lock(mutex_);
    if (const auto found = index_.find(grant->block()); found != index_.end()) unlink(found->second, dropped);
    make_room(grant->length_bytes(), dropped);
    bytes_ += grant->length_bytes();
    const BlockId block = grant->block();
    order_.push_back(std::move(grant));
    index_.emplace(block, std::prev(order_.end()));
  }
  for (const auto& old : dropped) old->retire();
}

template <class Wanted>
void GrantCache::drop_where(Wanted wanted) {
  Order dropped;
  {
    std::lock_guard lock(mutex_);
    for (auto entry = order_.begin(); entry != order_.end();) {
      entry = wanted(**entry) ? unlink(entry, dropped) : std::next(entry);
    }
  }
  for (const auto& old : dropped) old->retire();
}

void GrantCache::drop(const MappedGrant& grant) {
  drop_where([&grant](const MappedGrant& held) { return &held == &grant; });
}

void GrantCache::recall(WorkerId worker, std::span<const std::uint64_t> leases) {
  drop_where([worker, leases](const MappedGrant& held) {
    return held.lease().worker == worker && std::find(leases.begin(), leases.end(), held.lease().lease) != leases.end();
  });
}

void GrantCache::drop_connection(WorkerId worker, std::uint64_t connection) {
  drop_where([worker, connection](const MappedGrant& held) {
    return held.lease().worker == worker && held.lease().connection == connection;
  });
}

void GrantCache::clear() {
  drop_where([](const MappedGrant&) { return true; });
}

std::uint64_t GrantCache::mapped_bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

std::size_t GrantCache::size() const {
  std::lock_guard lock(mutex_);
  return order_.size();
}

}  // namespace hearth::client

// The grants this client holds, by block or segment; bounded, given back when cold, recalled or lost.
//
// Threads: any; one mutex, never taken by a read whose file has the grant at hand already.
// Owns:    a share of each grant. One that was dropped here lives on until its last pin goes.
// Bounds:  `max_bytes` mapped and `max_grants` descriptors in the cache; the coldest go first (second chance).
#pragma once

#include "client/src/mapped_grant.h"

#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>

namespace hearth::client {

class GrantCache {
 public:
  GrantCache(std::uint64_t max_bytes, std::size_t max_grants) : max_bytes_(max_bytes), max_grants_(max_grants) {}
  ~GrantCache() { clear(); }

  std::shared_ptr<MappedGrant> find(const BlockId& block);
  // Keeps `grant`, making room; a grant of the same block that is there already is replaced and retired.
  void insert(std::shared_ptr<MappedGrant> grant);
  // Drops exactly this grant (not a newer one of the same block).
  void drop(const MappedGrant& grant);
  // The worker wants these back: idle ones go now, busy ones after use.
  void recall(WorkerId worker, std::span<const std::uint64_t> leases);
  // The connection ended and its leases with it.
  void drop_connection(WorkerId worker, std::uint64_t connection);
  void clear();

  std::uint64_t mapped_bytes() const;
  std::size_t size() const;

 private:
  using Order = std::list<std::shared_ptr<MappedGrant>>;  // shared: open files hold them too

  template <class Wanted>
  void drop_where(Wanted wanted);
  Order::iterator unlink(Order::iterator entry, Order& dropped);
  void make_room(std::uint64_t bytes, Order& dropped);

  const std::uint64_t max_bytes_;
  const std::size_t max_grants_;
  mutable std::mutex mutex_;
  // Guarded by mutex_. Grants are retired outside of it.
  Order order_;  // the hand takes from the front, newcomers go to the back
  std::unordered_map<BlockId, Order::iterator, BlockIdHash> index_;
  std::uint64_t bytes_ = 0;
};

}  // namespace hearth::client

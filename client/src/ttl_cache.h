// Values by path that may be answered from for a while; the least recently used go first.
//
// Threads: any; each shard has its own mutex, held only for the look-up.
// Bounds:  at most `max_entries` over all shards (rounded up to a multiple of the shards).
#pragma once

#include "common/clock.h"

#include <array>
#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace hearth::client {

template <class Value>
class TtlCache {
 public:
  explicit TtlCache(std::size_t max_entries) : max_per_shard_((max_entries + shard_count - 1) / shard_count) {}

  std::optional<Value> find(std::string_view path, TimePoint now) {
    Shard& shard = shard_of(path);
    std::lock_guard lock(shard.mutex);
    const auto found = shard.index.find(path);
    if (found == shard.index.end()) return std::nullopt;
    if (now >= found->second->expires) {
      shard.erase(found);
      return std::nullopt;
    }
    shard.order.splice(shard.order.begin(), shard.order, found->second);
    return found->second->value;
  }

  void put(std::string_view path, Value value, TimePoint expires) {
    if (max_per_shard_ == 0) return;
    Shard& shard = shard_of(path);
    std::lock_guard lock(shard.mutex);
    if (const auto found = shard.index.find(path); found != shard.index.end()) shard.erase(found);
    if (shard.order.size() >= max_per_shard_) shard.erase(shard.index.find(shard.order.back().path));
    shard.order.push_front(Entry{std::string(path), std::move(value), expires});
    shard.index.emplace(shard.order.front().path, shard.order.begin());
  }

  void erase(std::string_view path) {
    Shard& shard = shard_of(path);
    std::lock_guard lock(shard.mutex);
    if (const auto found = shard.index.find(path); found != shard.index.end()) shard.erase(found);
  }

  // Looks at every entry.
  void erase_below(std::string_view prefix) {
    for (Shard& shard : shards_) {
      std::lock_guard lock(shard.mutex);
      for (auto entry = shard.order.begin(); entry != shard.order.end();) {
        const auto looked_at = entry++;
        if (looked_at->path.starts_with(prefix)) shard.erase(shard.index.find(looked_at->path));
      }
    }
  }

  void clear() {
    for (Shard& shard : shards_) {
      std::lock_guard lock(shard.mutex);
      shard.index.clear();
      shard.order.clear();
    }
  }

  std::size_t size() {
    std::size_t total = 0;
    for (Shard& shard : shards_) {
      std::lock_guard lock(shard.mutex);
      total += shard.order.size();
    }
    return total;
  }

 private:
  static constexpr std::size_t shard_count = 16;
  struct Entry {
    std::string path;
    Value value;
    TimePoint expires;
  };
  using Order = std::list<Entry>;
  struct Shard {
    std::mutex mutex;
    // Guarded by mutex. The index's keys are views of the entries' own strings.
    Order order;
    std::unordered_map<std::string_view, typename Order::iterator> index;

    void erase(typename std::unordered_map<std::string_view, typename Order::iterator>::iterator found) {
      const auto entry = found->second;
      index.erase(found);
      order.erase(entry);
    }
  };

  Shard& shard_of(std::string_view path) {
    // The upper bits: the map inside of the shard uses the lower ones.
    return shards_[(std::hash<std::string_view>{}(path) >> 48) % shard_count];
  }

  const std::size_t max_per_shard_;
  std::array<Shard, shard_count> shards_;
};

}  // namespace hearth::client

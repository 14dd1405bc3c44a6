#include "tiering/eviction/ghost_table.h"

#include "tiering/eviction/hashing.h"

#include <algorithm>
#include <bit>

namespace hearth::eviction {
namespace {

// Buckets filled to two thirds on average lose about 2 % of their entries early.
std::size_t buckets_for(std::size_t entries, std::size_t ways) { return entries * 3 / (2 * ways) + 1; }

}  // namespace

GhostTable::GhostTable(std::size_t expected_entries) : buckets_(buckets_for(expected_entries, ways)) {}

std::size_t GhostTable::capacity() const { return (buckets_.size() - 1) * 2 * ways / 3; }

void GhostTable::grow_to(std::size_t entries) {
  while (buckets_.size() < buckets_for(entries, ways)) {
    // The bit that now chooses between two halves was never stored: an entry goes into both, and the false
    // one ages away.
    std::vector<Bucket, HugeAllocator<Bucket>> larger(buckets_.size() * 2);
    for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
      larger[2 * bucket] = larger[2 * bucket + 1] = buckets_[bucket];
    }
    buckets_ = std::move(larger);
  }
}

GhostTable::Place GhostTable::place(std::uint64_t fingerprint) const {
  const std::uint64_t hash = mix(fingerprint);
  const auto tag = static_cast<std::uint32_t>(hash);
  return Place{.bucket = reduce(static_cast<std::uint32_t>(hash >> 32), buckets_.size()), .tag = tag == 0 ? 1 : tag};
}

void GhostTable::prefetch(std::uint64_t fingerprint) const { __builtin_prefetch(&buckets_[place(fingerprint).bucket], 1); }

void GhostTable::put(std::uint64_t fingerprint, std::uint32_t clock) {
  const Place at = place(fingerprint);
  Entry* chosen = nullptr;
  std::uint32_t chosen_age = 0;
  for (Entry& entry : buckets_[at.bucket].entries) {
    const std::uint32_t age = entry.tag == 0 || entry.tag == at.tag ? ~0U : clock - entry.clock;
    if (chosen == nullptr || age > chosen_age) {
      chosen = &entry;
      chosen_age = age;
    }
    if (entry.tag == at.tag) {
      chosen = &entry;
      break;
    }
  }
  *chosen = Entry{.tag = at.tag, .clock = clock};
}

std::optional<std::uint32_t> GhostTable::take(std::uint64_t fingerprint) {
  const Place at = place(fingerprint);
  for (Entry& entry : buckets_[at.bucket].entries) {
    if (entry.tag != at.tag) continue;
    entry.tag = 0;
    return entry.clock;
  }
  return std::nullopt;
}

GhostQueue::GhostQueue(std::size_t expected_entries)
    : table_(expected_entries), live_(std::bit_ceil(std::max<std::size_t>(64, expected_entries * ring_per_entry))) {}

void GhostQueue::grow_to(std::size_t entries) {
  table_.grow_to(entries);
  if (live_.size() >= entries * ring_per_entry) return;
  std::vector<bool> larger(std::bit_ceil(entries * ring_per_entry));
  for (std::uint32_t clock = oldest_; clock != clock_; ++clock) {
    larger[clock & (larger.size() - 1)] = live_[clock & (live_.size() - 1)];
  }
  live_ = std::move(larger);
}

void GhostQueue::put(std::uint64_t fingerprint, std::size_t limit) {
  if (limit == 0) return;
  grow_to(limit);
  table_.put(fingerprint, clock_);
  const std::size_t mask = live_.size() - 1;
  while (live_entries_ >= limit || clock_ - oldest_ >= live_.size()) {
    live_entries_ -= live_[oldest_ & mask];
    live_[oldest_++ & mask] = false;
  }
  live_[clock_++ & mask] = true;
  ++live_entries_;
}

bool GhostQueue::take(std::uint64_t fingerprint) {
  const std::optional<std::uint32_t> clock = table_.take(fingerprint);
  const std::size_t place = clock.value_or(0) & (live_.size() - 1);
  if (!clock || clock_ - *clock > clock_ - oldest_ || *clock == clock_ || !live_[place]) return false;
  live_[place] = false;
  --live_entries_;
  return true;
}

}  // namespace hearth::eviction

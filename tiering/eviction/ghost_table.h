// Fingerprints of what went away, without the bytes: bounded memory, one cache line per question.
//
// Entries carry the clock of whoever puts them. A bucket holds eight; a full one gives up its oldest. A wrong answer
// needs the same bucket and the same 32-bit tag: less than 8 in 2^32 questions.
//
// Threads: confined, like the policy.
// Owns:    12 bytes per expected entry: 8 each, filled to two thirds.
#pragma once

#include "tiering/eviction/huge_allocator.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace hearth::eviction {

class GhostTable {
 public:
  explicit GhostTable(std::size_t expected_entries);

  // Room for this many. Growing keeps what is there.
  void grow_to(std::size_t entries);
  // The clock may wrap.
  void put(std::uint64_t fingerprint, std::uint32_t clock);
  // The clock that `fingerprint` was put with; it is forgotten.
  std::optional<std::uint32_t> take(std::uint64_t fingerprint);
  void prefetch(std::uint64_t fingerprint) const;

  std::size_t capacity() const;
  std::size_t memory_bytes() const { return buckets_.capacity() * sizeof(Bucket); }

 private:
  struct Entry {
    std::uint32_t tag = 0;  // 0: empty
    std::uint32_t clock = 0;
  };
  static constexpr std::size_t ways = 8;
  struct alignas(64) Bucket {
    Entry entries[ways];
  };
  struct Place {
    std::size_t bucket;
    std::uint32_t tag;
  };
  Place place(std::uint64_t fingerprint) const;

  std::vector<Bucket, HugeAllocator<Bucket>> buckets_;
};

// The last fingerprints that were put, first in, first out; those that are taken make room for older ones.
//
// Owns: a GhostTable, and half a byte per entry that says who is still in.
class GhostQueue {
 public:
  explicit GhostQueue(std::size_t expected_entries);

  // Of `limit` entries at most the oldest goes; more than four times as many puts ago is gone as well.
  void put(std::uint64_t fingerprint, std::size_t limit);
  // Whether it is in; then it is no more.
  bool take(std::uint64_t fingerprint);

  std::size_t memory_bytes() const { return table_.memory_bytes() + live_.capacity() / 8; }

 private:
  static constexpr std::size_t ring_per_entry = 4;
  void grow_to(std::size_t entries);

  GhostTable table_;
  std::vector<bool> live_;      // ring by clock; a power of two
  std::uint32_t clock_ = 0;     // of the next put
  std::uint32_t oldest_ = 0;    // all before are gone
  std::size_t live_entries_ = 0;
};

}  // namespace hearth::eviction

// Where small blocks lie in the segments of local workers, so that reading one again asks nobody.
//
// Threads: any; each shard has its own mutex, held for the look-up and not for the copy.
// Owns:    places, and the control object of each mapped segment; the mapping is the grant cache's to give back.
// Bounds:  `max_blocks` places (rounded up to a multiple of the shards); the least recently read go first (second chance).
#pragma once

#include <hearth/client.h>

#include "client/src/grant_cache.h"
#include "common/block.h"

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace hearth::client {

// A block inside of a segment, as its worker told it.
struct PackedBlock {
  BlockId segment;
  std::uint64_t offset_bytes = 0;  // in the segment
  std::uint64_t length_bytes = 0;
  std::vector<std::uint32_t> chunk_checksums;  // CRC32C of each checksum_chunk_bytes of the block
};

class PackedPlaces {
 public:
  // What there is of a range of a packed block: bytes that stay until unpin(), or none.
  struct Found {
    std::shared_ptr<MappedGrant> segment;  // pinned; null: nothing is known, or the segment is not mapped
    std::span<const std::byte> bytes;
    std::optional<std::uint64_t> wrong;    // instead of bytes: where in the block they do not match; the place is forgotten
    WorkerId worker;                       // of `wrong`
  };

  PackedPlaces(std::size_t max_blocks, GrantCache& grants) : max_per_shard_((max_blocks + shard_count - 1) / shard_count), grants_(grants) {}

  // Takes the place of what was known of the block. A worker's word: nothing outside of the segment is ever read.
  void learn(const BlockId& block, PackedBlock place);
  // The bytes [offset, offset + length) of the block, verified as `verify` says. The caller unpins `segment`.
  Found find(const BlockId& block, std::uint64_t offset, std::uint64_t length, Verify verify);

 private:
  static constexpr std::size_t shard_count = 16;
  struct Entry {
    BlockId block;
    PackedBlock place;
    std::shared_ptr<MappedGrant> segment;  // shared with the cache of grants; null until it was found there
    std::uint64_t verified = 0;            // one bit per chunk
    bool recently_used = true;
  };
  using Order = std::list<Entry>;
  struct Shard {
    std::mutex mutex;
    // Guarded by mutex. The hand takes from the front, newcomers go to the back.
    Order order;
    std::unordered_map<BlockId, Order::iterator, BlockIdHash> index;
  };
  Shard& shard_of(const BlockId& block) { return shards_[(BlockIdHash{}(block) >> 56) % shard_count]; }
  static void forget(Shard& shard, const BlockId& block);
  void make_room(Shard& shard) const;

  const std::size_t max_per_shard_;
  GrantCache& grants_;
  std::array<Shard, shard_count> shards_;
};

}  // namespace hearth::client

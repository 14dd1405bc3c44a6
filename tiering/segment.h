// A segment: memory that many small blocks share, slot after slot, each written once and never over.
//
// Who may read one block of a segment can read all of it, so a segment holds blocks of one domain only.
//
// Threads: confined to the data thread.
// Owns:    a share of its memory; a segment that left the shelf lives as long as a lease or a fill holds it.
#pragma once

#include "common/block.h"
#include "tiering/block_memory.h"
#include "tiering/block_store.h"
#include "tiering/huge_pages.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace hearth {

struct Block;

// What blocks must have in common to share a segment.
struct SegmentDomain {
  AttachmentId attachment;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t read_bits = 0;  // of the mode: 0444

  bool operator==(const SegmentDomain&) const = default;
  // Nothing for a block whose owner or mode nobody said.
  static std::optional<SegmentDomain> of(const BlockRef& block);
};

struct SegmentDomainHash {
  std::size_t operator()(const SegmentDomain& domain) const;
};

// How small blocks are packed in a tier.
struct Packing {
  std::uint64_t below_bytes = 0;    // blocks of one page up to this length; 0: none
  std::uint64_t segment_bytes = 0;
  // The first of a segment is taken and charged by small pages, so that a domain of few files costs little.
  std::uint64_t small_bytes = huge_granule_bytes;
  std::uint32_t max_slots = 8192;  // of a segment: bounds the work of evicting, leasing and releasing it
  // Segments that are appended to, one for each domain. Beyond it a half full one is closed, or one that none of so many
  // blocks went to; while there is none, blocks of further domains are not packed.
  std::uint32_t max_open = 64;
  std::uint64_t blocks_until_idle = 1024;

  // Segments of at most a 32nd of the tier, of whole 2 MiB; a tier too small for that packs nothing.
  static Packing of(const MemoryTierOptions& options);
};

inline constexpr std::uint64_t segment_slot_alignment_bytes = 64;

constexpr std::uint64_t segment_slot_bytes(std::uint64_t length_bytes) {
  return round_up(length_bytes, segment_slot_alignment_bytes);
}

struct Segment {
  enum class Stage : std::uint8_t { open, closed, left };

  BlockId id;  // random, never used again
  SegmentDomain domain;
  std::shared_ptr<BlockMemory> memory;  // shared with blocks, views and fills
  std::vector<Block*> blocks;           // by slot, in the order of their offsets; null: dead
  Stage stage = Stage::open;
  std::uint64_t used_bytes = 0;     // where the next slot begins
  std::uint64_t charged_bytes = 0;  // what the slots so far may take from the kernel; never less than used_bytes
  std::uint64_t live_bytes = 0;     // of slots in the map, filled or being filled
  std::uint32_t live_blocks = 0;
  std::uint32_t pinned_blocks = 0;
  std::uint32_t writers = 0;        // fills, also of blocks that left the map
  std::uint32_t leases = 0;
  std::uint64_t last_taken = 0;     // the shelf's count of blocks when it got its last one
  std::uint64_t last_access = 0;    // of any of its blocks

  bool leased() const { return leases > 0; }
  std::uint64_t dead_bytes() const { return used_bytes - live_bytes; }
};

}  // namespace hearth

// The memory tier of one worker: blocks in memfds, resident page by page, within an exact budget.
//
// Threads: confined to the worker's data thread; nothing here locks, waits or knows sockets. PageFill::store
//          may run on another thread, before commit(); a PageView may be read by any.
// Owns:    memfds, mappings, page table, checksums, the budget. A PageView, PageFill or lease pins what it shows.
// Budget:  resident + filling + orphaned + pooled, never above capacity_bytes. Leased is part of resident.
// Fails:   no_space (everything left is pinned, filling or leased), busy (that page is being filled), corrupt (checksum).
#pragma once

#include <hearth/result.h>

#include "common/block.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/ids.h"
#include "tiering/eviction_policy.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace hearth {

enum class HugePages : std::uint8_t { off, attempt, require };

// Runs `work` on a thread that may block, some time; false: it does not take any now, and has let go of it.
using RunElsewhere = std::function<bool(std::function<void()> work)>;

struct MemoryTierOptions {
  std::uint64_t capacity_bytes = 0;
  HugePages huge_pages = HugePages::attempt;
  // A block larger than this share of the tier is never granted (a granted block can only be freed whole).
  double grant_max_fraction = 1.0 / 8;
  // A block of one page, up to this long, whose owner and mode are known, is packed: it lies in a segment with others of
  // its domain (attachment, owner, group, read bits) and is read through a grant of the segment. 0: none.
  std::uint64_t pack_below_bytes = 0;
  std::uint64_t segment_bytes = 64ULL << 20;  // at most; a 32nd of the tier, and nothing is packed where that is below 2 MiB
  // A block of one page, shorter than this, that is not packed lies in private memory of the worker: it costs no descriptor
  // and no mapping, and is never granted (a descriptor for so little costs more than sending the bytes).
  std::uint64_t private_below_bytes = 0;
  std::size_t max_blocks = 0;        // of shareable blocks and segments; each holds a descriptor and a mapping; 0 = half of RLIMIT_NOFILE, at most 3/4 of vm.max_map_count
  std::string eviction = "lru";      // the class that chooses what goes: lru, s3-fifo or w-tinylfu
  RunElsewhere run_elsewhere;        // unset: what takes long is done on the data thread
  std::uint64_t pool_bytes = 0;      // evicted, never granted memory kept pre-faulted for reuse; part of the capacity
};

struct MemoryTierStats {
  std::uint64_t capacity_bytes = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t filling_bytes = 0;
  std::uint64_t leased_bytes = 0;        // under a lease, still in the map
  // Dropped from the map, a lease or view still holds them; and dead_bytes.
  std::uint64_t orphaned_bytes = 0;
  std::uint64_t pooled_bytes = 0;
  std::uint64_t pinned_bytes = 0;        // never chosen for eviction, part of resident_bytes
  std::uint64_t evicted_bytes = 0;       // total since start
  std::uint64_t foreground_evictions = 0;  // a fill had to wait for room; total since start
  std::uint64_t corrupt_chunks = 0;      // total since start
  std::uint64_t blocks = 0;
  std::uint64_t leases = 0;
  std::uint64_t segments = 0;
  std::uint64_t dead_bytes = 0;          // of segments in use: slots whose block is gone, and rounding
  std::uint64_t compactable_bytes = 0;   // of dead_bytes: what compaction gives back without evicting anything
  std::uint64_t leaving_bytes = 0;       // of orphaned_bytes: segments that go as soon as a read in flight ends or the kernel took them
  std::uint64_t compacted_bytes = 0;     // copied by it; total since start
  bool huge_pages = false;
};

using LeaseId = StrongId<struct LeaseTag>;

// Where a small block lies: in a segment that it shares with other blocks, written once and never over.
struct PackedPlace {
  BlockId segment;  // random, never used again
  std::uint64_t offset_bytes = 0;
};

class BlockStoreImpl;

// A resident page. While it lives the bytes stay and do not change; it may outlive eviction and replacement.
class PageView {
 public:
  PageView() = default;
  explicit operator bool() const { return holder_ != nullptr; }
  std::span<const std::byte> bytes() const { return bytes_; }
  // CRC32C of each checksum_chunk_bytes of bytes(), the last chunk short.
  std::span<const std::uint32_t> chunk_checksums() const { return checksums_; }

 private:
  friend class BlockStoreImpl;
  std::shared_ptr<const void> holder_;  // shared: readers in flight outlive the page's place in the map
  std::span<const std::byte> bytes_;
  std::span<const std::uint32_t> checksums_;
};

// Room reserved for one page: store() its bytes, then commit; destroying it uncommitted gives the room back.
class PageFill {
 public:
  PageFill();
  PageFill(PageFill&&) noexcept;
  PageFill& operator=(PageFill&&) noexcept;
  ~PageFill();
  std::uint64_t length_bytes() const;
  // What store() will take from the kernel beyond the page's own bytes: a segment grows in large steps.
  std::uint64_t takes_ahead_bytes() const;
  // Puts the page's bytes, all length_bytes() of them, into the tier. Takes memory from the kernel, so it may block: call
  // it on a thread that may. Fails: no_space (the machine has no memory left), io_error.
  Status store(std::span<const std::byte> bytes);

 private:
  friend class BlockStoreImpl;
  struct State;
  std::unique_ptr<State> state_;
};

// A descriptor that a local client may keep: sealed (SHRINK, GROW, FUTURE_WRITE, SEAL), mode 0400, opened read-only.
// Of a block in filling it is sealed against FUTURE_WRITE only when the last page is there; holes in it read as zeros.
struct BlockGrant {
  LeaseId lease;
  UniqueFd fd;                    // block bytes are [offset_bytes, offset_bytes + length_bytes) of it; it ends there
  std::uint64_t offset_bytes = 0;
  std::uint64_t length_bytes = 0;
  std::vector<std::uint32_t> chunk_checksums;  // empty: in filling
};

// What became present or absent since the last call, net, for the reports to the master.
struct PresenceChanges {
  std::vector<BlockId> added;
  std::vector<BlockId> removed;
};

struct BlockResidency {
  bool present = false;
  bool complete = false;
  std::uint64_t resident_bytes = 0;
  std::uint32_t leases = 0;
  bool goes_whole = false;  // it was granted, so no page of it is given back alone
};

// The unit of memory that eviction would take next, still in its place. Its pages stay while this lives, and nothing
// else evicts it meanwhile (but a packed block may move, and go with its segment).
struct ColdUnit {
  BlockRef block;  // id, length and page size; the rest is empty
  std::vector<std::pair<PageIndex, PageView>> pages;
  std::uint64_t charged_bytes = 0;
  std::uint32_t first_unit = 0;
  std::uint64_t last_access = 0;  // the store's access counter when it was chosen
};

class BlockStore {
 public:
  static Result<std::unique_ptr<BlockStore>> open(const MemoryTierOptions& options);
  virtual ~BlockStore() = default;

  // The page if it is resident; counts as an access for eviction.
  virtual std::optional<PageView> find(const BlockRef& block, PageIndex page) = 0;
  // Reserves room for the page, evicting colder ones. busy: it is resident or being filled already.
  virtual Result<PageFill> begin_fill(const BlockRef& block, PageIndex page) = 0;
  // Publishes a stored page with the checksums of its chunks (computed by whoever filled it).
  virtual PageView commit(PageFill fill, std::vector<std::uint32_t> chunk_checksums) = 0;

  // ok when bytes [offset, offset + length) of the page match their chunk checksums, else corrupt.
  static Status verify(const PageView& view, std::uint64_t offset, std::uint64_t length);
  // Forgets a page whose bytes were found wrong; a granted block goes whole.
  virtual void drop_corrupt(const BlockId& block, PageIndex page) = 0;

  // Only for a fully resident block within grant_max_fraction that is neither private nor packed; unsupported or
  // not_found otherwise.
  virtual Result<BlockGrant> grant(const BlockRef& block) = 0;
  // The same for a block of which pages are missing, maybe all: they are filled where the descriptor shows them as long
  // as the block stays in the map. A complete block is granted as by grant(). Never one whose memory held another block's
  // bytes. no_space: there is no room for it.
  virtual Result<BlockGrant> grant_in_filling(const BlockRef& block) = 0;
  // Where a complete block lies, when it is packed. It may be moved until the segment is granted.
  virtual std::optional<PackedPlace> packed_place(const BlockId& block) const = 0;
  // The whole segment in which the complete block lies now; not_found otherwise. While a lease on it lasts its blocks are
  // neither evicted nor moved, and new ones may come in. The grant is as long as the segment and has no checksums.
  virtual Result<BlockGrant> grant_segment(const BlockRef& block, const BlockId& segment) = 0;
  // Copies a few blocks out of the segment with the most dead slots, when much is dead and memory is short. False: there
  // is nothing to do, or no room for copies.
  virtual bool compact() = 0;
  // Whether the descriptor of this lease shows exactly these bytes.
  virtual bool shows(LeaseId lease, std::span<const std::byte> bytes) const = 0;
  virtual void release(LeaseId lease) = 0;
  // Leases whose release would give memory back, coldest first, when `bytes` more are wanted.
  virtual std::vector<LeaseId> leases_to_recall(std::uint64_t bytes) const = 0;

  // Drops a block from the map; leased bytes stay billed until their leases end. Returns resident bytes dropped.
  virtual std::uint64_t free_block(const BlockId& block) = 0;

  // Another class of eviction from now on; what it would have remembered of the past is lost.
  virtual void set_eviction(std::unique_ptr<EvictionPolicy> policy) = 0;
  // For moving data to a tier below before memory is short. Nothing when all that is left is pinned, leased or in use.
  virtual std::optional<ColdUnit> coldest() = 0;
  // The units of one block that may go now, in order.
  virtual std::vector<ColdUnit> units_of(const BlockId& block) = 0;
  // Gives up what these gave, unless somebody read it, granted it or fills it since. Returns the bytes freed.
  virtual std::uint64_t evict(ColdUnit unit) = 0;
  // A pinned block is never chosen for eviction, until it leaves the map for another reason or is unpinned.
  virtual void pin(const BlockId& block, Pinned pinned) = 0;
  // Whether find() would find it; not an access.
  virtual bool contains(const BlockId& block, PageIndex page) const = 0;

  virtual BlockResidency residency(const BlockId& block) const = 0;
  virtual PresenceChanges take_changes() = 0;
  virtual std::vector<BlockId> all_blocks() const = 0;
  virtual MemoryTierStats stats() const = 0;

  // Test hook: the writable bytes of a resident block, to damage them on purpose.
  virtual std::span<std::byte> tamper_for_test(const BlockId& block) = 0;
};

}  // namespace hearth

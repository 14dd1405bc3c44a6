// One device's share of a worker's cache: pages of blocks in sparse files, found by an index in memory, within an exact
// budget. What BlockStore is for memory, with waiting where a device is involved.
//
// Threads: confined to the executor of its Disk (the shard's); calls resume there.
// Owns:    the directory (alone: a lock keeps a second process out), the index, the order of eviction, the budget, leases.
//          Not the Disk, the Clock: both outlive it. Await shut_down() before the destructor.
// Budget:  charged_bytes() = resident + filling + leaving + orphaned <= capacity at every moment; each page costs its length
//          rounded up to 4 KiB. Index and checksum files (about 0.11 % of it) come on top.
// Belief:  no byte leaves without having been compared with its CRC32C in that very read. A wrong one is `corrupt`, its page
//          is dropped and counted; the caller fetches it from elsewhere. Whatever a crash leaves costs misses only.
// Fails:   unavailable (fenced, or shut down), busy (that page is on its way in or out), no_space (all that is left is pinned,
//          leased or in use), not_found, corrupt, deadline_exceeded (the device goes on; nobody waits for it), and the Disk's.
#pragma once

#include "common/block.h"
#include "tiering/block_store.h"
#include "tiering/disk/disk.h"
#include "tiering/eviction_policy.h"
#include "tiering/nvme/device_health.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace hearth {

enum class IfUnreadable : std::uint8_t {
  refuse,   // an index of another version, or both copies of the identity damaged: open() fails with a sentence
  rebuild,  // start empty instead; block files found are removed
};

struct DiskTierOptions {
  std::string name = "nvme";           // in messages, logs and metrics
  std::string lock_file;               // a path on this machine, locked while the tier is open; "" = none (simulation)
  std::uint64_t cluster_id = 0;        // 0 = not checked
  std::uint64_t worker_id = 0;         // noted in the identity, for people
  std::uint64_t capacity_bytes = 0;
  std::uint64_t reserve_bytes = 0;     // of the file system, left to others: the tier shrinks before it takes them
  std::uint32_t max_page_bytes = default_page_size_bytes;  // of any block kept here; larger ones are `unsupported`
  double low_watermark = 0.95;         // of the capacity: the background evicts down to it ...
  double high_watermark = 0.98;        // ... when this is passed
  double grant_max_fraction = 1.0 / 8; // a block larger than this share is never granted
  std::size_t max_open_files = 1024;
  std::size_t max_reads_in_flight = 8192;                    // more are `overloaded`
  std::uint64_t sums_cache_bytes = 64ULL << 20;              // sector checksums in memory: 1/1024 of the data they cover
  std::uint64_t max_dirty_records = 4096;                    // the index is written when so many records wait ...
  Duration flush_interval = std::chrono::milliseconds(200);  // ... or after this long: what a kill may forget
  Duration tick = std::chrono::milliseconds(50);             // of maintain()
  std::uint64_t scrub_bytes_per_second = 16ULL << 20;        // 0 = no scrubbing
  Duration scrub_pause = std::chrono::hours(24);             // between two rounds over everything
  IfUnreadable if_unreadable = IfUnreadable::refuse;
  DeviceHealthOptions health;
};

struct DiskTierStats {
  std::uint64_t capacity_bytes = 0;       // as configured
  std::uint64_t effective_capacity_bytes = 0;  // less when the file system is short of space
  std::uint64_t resident_bytes = 0;       // believed or waiting to be; pages of leased blocks included
  std::uint64_t filling_bytes = 0;        // reserved for pages on their way in
  std::uint64_t leaving_bytes = 0;        // dropped, not yet given back by the file system
  std::uint64_t orphaned_bytes = 0;       // unlinked, held by a lease or a reader
  std::uint64_t leased_bytes = 0;         // part of resident_bytes
  std::uint64_t pinned_bytes = 0;         // part of resident_bytes
  std::uint64_t index_bytes = 0;          // memory of the index, the policy left out
  std::uint64_t pages = 0;
  std::uint64_t unverified_pages = 0;     // not read yet since the restart or readmission
  std::uint64_t blocks = 0;
  std::uint64_t leases = 0;
  std::uint64_t open_files = 0;
  std::uint64_t dirty_records = 0;
  // Totals since the tier was opened.
  std::uint64_t reads = 0, read_bytes = 0, writes = 0, written_bytes = 0;
  std::uint64_t sums_misses = 0;          // reads that had to fetch sector checksums first
  std::uint64_t evicted_bytes = 0;
  std::uint64_t foreground_evictions = 0; // a write had to wait for room
  std::uint64_t corrupt_pages = 0;
  std::uint64_t recovered_pages = 0;      // of the index at open()
  std::uint64_t discarded_records = 0;    // damaged, duplicate or pointless ones at open()
  std::uint64_t orphan_files_removed = 0, leaked_bytes_freed = 0;
  std::uint64_t foreign_files = 0;        // in the directory, not ours, left alone
  std::uint64_t scrubbed_pages = 0, scrub_rounds = 0;
  std::uint64_t read_errors = 0, write_errors = 0, refused = 0;  // refused: asked while fenced
  DeviceState state = DeviceState::healthy;
  std::string state_reason;               // why it is not healthy; "" when it is
  bool replaced = false;                  // fenced since another directory is in its place: shut it down and open that one
};

// When the time of a block's bytes is over, by the wall clock, which goes on while nobody runs. The tier keeps it, in whole
// seconds, for its owner, and does nothing about it.
struct BlockExpiry {
  enum class Then : std::uint8_t { free = 1, expire = 2 };
  WallTime at{};
  Then then = Then::free;
  bool operator==(const BlockExpiry&) const = default;
};

struct DiskPageInfo {
  std::uint32_t length_bytes = 0;
  Duration idle{};          // since the last access that the index knows of
  bool verified = false;    // wholly, since the restart
};

// Verified bytes of one page. They stay while this (or a copy of buffer) lives.
struct DiskPage {
  DiskBuffer buffer;                        // aligned memory that holds them, and perhaps their neighbours
  std::span<const std::byte> bytes;         // exactly what was asked for
  std::uint64_t offset_in_page = 0;
  // CRC32C of each piece of `bytes`, cut where checksum_chunk_bytes of the page end: for a whole page, those of its chunks.
  std::vector<std::uint32_t> chunk_checksums;
};

// What check() found; empty problems = clean.
struct DiskTierReport {
  std::vector<std::string> problems;      // each names the object and the difference
  std::uint64_t files = 0, pages = 0, allocated_bytes = 0, expected_bytes = 0, foreign_files = 0;
};

class DiskTier {
 public:
  // Reads the index and is ready; files without records and records without files are put right by maintain().
  // Fails: busy (another process has the directory), version_mismatch, corrupt, invalid_argument, permission_denied.
  static Task<std::unique_ptr<DiskTier>> open(DiskTierOptions options, Disk& disk, Clock& clock, std::unique_ptr<EvictionPolicy> policy);
  virtual ~DiskTier() = default;

  // Resident, and the device is not fenced. Does not count as an access.
  virtual std::optional<DiskPageInfo> lookup(const BlockRef& block, PageIndex page) const = 0;
  // Bytes [offset, offset + length) of the page; length > 0, inside the page. Counts as an access.
  virtual Task<DiskPage> read(BlockRef block, PageIndex page, std::uint64_t offset, std::uint64_t length, Deadline deadline) = 0;

  // Room for the page now, colder ones evicted if need be, then its bytes: all of them. `chunk_checksums` are compared with the
  // bytes first (`corrupt`: nothing was written); empty = the caller has none. `already_exists`: it is resident.
  // The bytes must stay until the call ends. The second form copies nothing when the memory is aligned to 4 KiB and its holder
  // keeps it unchanged; bytes.bytes() may then be longer than the page (its padding).
  virtual Task<> write(BlockRef block, PageIndex page, std::span<const std::byte> bytes, std::vector<std::uint32_t> chunk_checksums,
                       Deadline deadline) = 0;
  virtual Task<> write(BlockRef block, PageIndex page, DiskBuffer bytes, std::vector<std::uint32_t> chunk_checksums, Deadline deadline) = 0;
  // Whether a page of that length could be written now without waiting for an eviction.
  virtual bool has_room(std::uint64_t length_bytes) const = 0;
  // A whole block is about to be written: reserves its room in the budget and in the file, so that it lies in one piece. Ends when
  // the block is complete, at end_whole() or free_block(). Fails: no_space; `busy` when it is begun already.
  virtual Task<> begin_whole(BlockRef block, Deadline deadline) = 0;
  virtual void end_whole(BlockId block) = 0;

  // Forgets a page whose bytes were found wrong by others too (read() does it by itself); a leased block goes whole.
  virtual void drop_corrupt(const BlockId& block, PageIndex page) = 0;
  // Forgets a page that is kept elsewhere now (promotion that moves). Not while its block is leased.
  virtual void drop_page(const BlockId& block, PageIndex page) = 0;
  // Drops a block; leased bytes stay billed until their leases end. Returns resident bytes dropped.
  virtual std::uint64_t free_block(const BlockId& block) = 0;

  // A descriptor for a complete block whose every page was verified in this residency (pages that were not are read now).
  // Lease numbers have their highest bit set: never equal to one of the memory tier.
  // Fails: not_found (not complete), unsupported (too large, or the engine shares nothing).
  virtual Task<BlockGrant> grant(BlockRef block, Deadline deadline) = 0;
  virtual void release(LeaseId lease) = 0;
  // Leases whose end would give room back, coldest first, when `bytes` more are wanted.
  virtual std::vector<LeaseId> leases_to_recall(std::uint64_t bytes) const = 0;
  // A pinned block is never chosen for eviction; survives a restart once a page of it is resident.
  virtual void pin(const BlockId& block, Pinned pinned) = 0;
  // Kept while the block is here, and with its pages over a restart. Say it before the first page is written, so that no crash
  // comes between; take it back (nothing) when no page could be.
  virtual void set_expiry(const BlockId& block, std::optional<BlockExpiry> expiry) = 0;
  virtual std::vector<std::pair<BlockId, BlockExpiry>> expiries() const = 0;
  // Another class takes over, in the order of last accesses; shares of the capacity, 0 <= low <= high <= 1, as in the options.
  virtual void set_eviction(std::unique_ptr<EvictionPolicy> policy) = 0;
  virtual void set_watermarks(double low, double high) = 0;

  virtual BlockResidency residency(const BlockId& block) const = 0;
  // Net since the last call; a fenced device's blocks are absent, and present again after its readmission.
  virtual PresenceChanges take_changes() = 0;
  virtual std::vector<BlockId> all_blocks() const = 0;
  // The coldest pages first, at most `count`, for demotion to a tier below; pinned, leased and busy ones are left out.
  virtual std::vector<std::pair<BlockId, PageIndex>> coldest(std::size_t count) const = 0;
  virtual DiskTierStats stats() const = 0;

  // Runs until shut_down(): writes the index, evicts between the watermarks, cleans up after a crash, watches for calls past
  // their deadline, probes a fenced device, scrubs. Without it nothing of that happens. The owner spawns it once.
  virtual Task<> maintain() = 0;
  // Told of each page the scrubber found wrong and dropped, so that the owner can fetch it again.
  virtual void on_corrupt(std::function<void(BlockId, PageIndex)> told) = 0;
  // Writes what the index has not written yet, and syncs.
  virtual Task<> flush() = 0;
  // Compares index, files and budget; meant for rest (no writes meanwhile), after the clean-up of open() has ended.
  virtual Task<DiskTierReport> check() = 0;
  // Refuses new calls, waits for those in flight until the deadline, writes the index, closes the files. deadline_exceeded: a call
  // of the device has not ended, and the tier can not be destroyed; call it again, or end the process.
  virtual Task<> shut_down(Deadline deadline) = 0;
};

}  // namespace hearth

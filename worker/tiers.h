// Where the pages of a block are on this worker: memory, and the devices below it. One place to ask, whatever tier.
//
//   read:  memory (BlockStore::find) -> a device (read_part, read_page) -> the under-store (PageFetcher)
//   fill:  as the policy says (place): memory first and down later, straight to a device, or nowhere
//
// Threads: confined to the data thread.
// Owns:    the devices, what moves data between tiers, and what the policy's times need to know of a block. Not the BlockStore.
// Never:   fails a read that the under-store could serve: not_found means "not here", whatever went wrong with a device.
#pragma once

#include "common/async.h"
#include "common/block.h"
#include "common/blocking.h"
#include "common/clock.h"
#include "common/task_group.h"
#include "tiering/block_store.h"
#include "tiering/eviction/admission_policy.h"
#include "tiering/policy/policy.h"
#include "worker/attachments.h"
#include "worker/metrics.h"
#include "worker/page_bytes.h"
#include "worker/quota_keeper.h"
#include "worker/read_counts.h"
#include "worker/read_observer.h"
#include "worker/tier_devices.h"
#include "worker/tier_mover.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hearth::worker {

enum class Keep : std::uint8_t {
  when_there_is_room,
  never,     // the reader asked not to fill
  required,   // loading: without room it fails with no_space
  in_memory,  // the reader maps the memory: placed elsewhere, it fails with no_space
};

// Where a page that came from the under-store is kept.
enum class Placement : std::uint8_t { memory, device, nowhere };

struct TiersParts {
  Executor executor;
  Clock& clock;
  BlockStore& memory;
  BlockingPool& compute;
  WorkerAttachments& attachments;
  WorkerCounters& counters;
  std::function<void()> presence_changed;
};

struct TierStatus {
  std::string name;        // "memory", "nvme0"
  std::string directory;   // "" for memory
  std::uint64_t capacity_bytes = 0;
  std::uint64_t used_bytes = 0;
  std::uint64_t blocks = 0;
  std::string state;       // "healthy", "suspect", "fenced", "absent"
  std::string reason;      // why it is not healthy
  std::string engine;      // "io_uring, direct"
  std::string fallback_reason;
  DiskTierStats device;    // zero for memory
};

enum class GrantOf : std::uint8_t { complete_block, block_in_filling };

// A descriptor of a block in some tier, and how to end it.
struct TierGrant {
  BlockGrant grant;
  DiskTier* device = nullptr;  // null: memory
};

class Tiers {
 public:
  Tiers(TiersParts parts, NvmeOptions options, DiskOpener opener, std::uint64_t worker_id);
  ~Tiers();

  // Fails as TierDevices::open().
  Task<> start();
  // Moves down what memory holds while time remains, then closes the devices.
  Task<> stop(Deadline deadline);
  void set_policy(std::shared_ptr<const policy::Policy> policy);
  std::uint64_t policy_changes() const { return policy_changes_; }  // so far; what was decided before may be otherwise now
  policy::Decision decide(const BlockRef& block, std::optional<PageIndex> page) const;

  // ---- reading

  // A look at memory that counts as an access; nothing for data past its time to live.
  std::optional<PageView> find(const BlockRef& block, PageIndex page);
  bool on_device(const BlockRef& block, PageIndex page) const { return devices_.holder(block, page) != nullptr; }
  // Bytes [offset, offset + length) of a page on a device, verified. not_found: ask the under-store.
  Task<PageBytes> read_part(BlockRef block, PageIndex page, std::uint64_t offset, std::uint64_t length, Deadline deadline);
  // The whole page. It comes to memory as well when it was read as often as the policy's promote_after says.
  Task<PageBytes> read_page(BlockRef block, PageIndex page, Keep keep, Deadline deadline);

  // ---- filling

  Placement place(const BlockRef& block, PageIndex page, Keep keep);
  // Whether the page may come before anybody asked for it: it would be kept at once, and nothing has to go for it.
  bool wants_unasked(const BlockRef& block, PageIndex page) const;
  // Of the largest tier that may keep the block.
  std::uint64_t capacity_for(const BlockRef& block) const;
  bool has(const BlockRef& block, PageIndex page) const { return parts_.memory.contains(block.id, page) || on_device(block, page); }
  // Where a page goes that memory has no room for: to a device, or nowhere.
  Placement place_below(const BlockRef& block);
  // Memory took a page of the block.
  void kept_in_memory(const BlockRef& block);
  // Writes a page that only a device is to keep. no_space, unavailable: it is kept nowhere.
  Task<> keep_on_device(BlockRef block, PageIndex page, PageBytes bytes, Deadline deadline);

  // ---- blocks in any tier

  BlockResidency residency(const BlockRef& block) const;  // pages in two tiers count once
  BlockResidency residency(const BlockId& block) const;   // without a length to go by: of the tier that has more
  std::string where(const BlockId& block) const;          // "memory", "memory+nvme", "nvme", ""
  std::uint64_t free_block(const BlockId& block);
  void drop_corrupt(const BlockId& block, PageIndex page);
  PresenceChanges take_changes();
  std::vector<BlockId> all_blocks() const;
  // Fails as BlockStore::grant and DiskTier::grant. In filling: as BlockStore::grant_in_filling, and unsupported when the
  // policy may keep a page of the block elsewhere.
  Task<TierGrant> grant(BlockRef block, GrantOf what, Deadline deadline);
  // As BlockStore::packed_place and BlockStore::grant_segment.
  std::optional<PackedPlace> packed_place(const BlockId& block) const { return parts_.memory.packed_place(block); }
  Result<BlockGrant> grant_segment(const BlockRef& block, const BlockId& segment);
  bool shows(LeaseId lease, const PageBytes& page) const { return parts_.memory.shows(lease, page.bytes()); }
  void release(LeaseId lease, DiskTier* device);
  std::vector<LeaseId> leases_to_recall(std::uint64_t bytes) const;
  std::vector<TierStatus> status() const;

  TierDevices& devices() { return devices_; }
  ReadObserver& observer() { return observer_; }
  const QuotaKeeper& quotas() const { return quotas_; }
  // A reader got this page.
  void served(const BlockRef& block, PageIndex page, Source source);
  const TierMover& mover() const { return mover_; }

 private:
  void use_eviction();
  void note_read(const BlockId& block);
  static std::uint64_t fingerprint(const BlockId& block, PageIndex page);
  // It has been read as often as promote_after says.
  bool earned_memory(const BlockRef& block, PageIndex page);
  struct Piece {
    std::uint64_t offset = 0;  // in the page
    std::uint64_t length = 0;
  };
  Task<PageBytes> read_device(DiskTier* device, BlockRef block, PageIndex page, Piece piece, Deadline deadline);
  // The whole page, into memory as well if there is room.
  Task<PageBytes> read_up(BlockRef block, PageIndex page, Deadline deadline);
  Task<PageBytes> bring_up(BlockRef block, PageIndex page, PageBytes bytes);
  // `device` keeps the block now; null: memory does.
  void note_kept(const BlockRef& block, DiskTier* device);
  void pin_as_decided(const BlockRef& block, DiskTier* device, const policy::Pin& pin);

  // Set once
  TiersParts parts_;
  // Data thread only
  TierDevices devices_;
  QuotaKeeper quotas_;
  TierMover mover_;
  ReadObserver observer_;
  std::shared_ptr<const policy::Policy> policy_;  // shared: decisions point into it
  std::uint64_t policy_changes_ = 0;
  std::unique_ptr<AdmissionPolicy> second_read_;
  ReadCounts device_reads_;
  std::vector<BlockId> left_with_a_device_;  // and not reported yet
};

}  // namespace hearth::worker

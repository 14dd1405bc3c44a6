// The NVMe tier: page map, budget, eviction policy, index file, open files and the device's health put together.
//
// Threads: confined to the disk's executor. Between two awaits nothing else runs, so a state is whole whenever one is met.
// Owns:    everything of the tier. A page goes filling → resident → leaving; a block whose file is being unlinked is `doomed`
//          and stays in the map, closed to everyone, until its name is gone.
#pragma once

#include "common/task_group.h"
#include "tiering/nvme/call_watch.h"
#include "tiering/nvme/device_calls.h"
#include "tiering/nvme/directory_lock.h"
#include "tiering/nvme/disk_tier.h"
#include "tiering/nvme/file_cache.h"
#include "tiering/nvme/index_file.h"
#include "tiering/nvme/page_map.h"
#include "tiering/nvme/scrub.h"
#include "tiering/nvme/sums_cache.h"
#include "tiering/nvme/tier_budget.h"

#include <map>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace hearth {

// Work on a block's file that its unlinking has to wait for: the block must not go from under it.
class BlockJob {
 public:
  using Jobs = std::unordered_map<BlockSlot, std::uint32_t>;
  BlockJob(Jobs& jobs, BlockSlot block, Signal& quiet) : jobs_(jobs), block_(block), quiet_(quiet) { ++jobs_[block_]; }
  BlockJob(const BlockJob&) = delete;
  BlockJob& operator=(const BlockJob&) = delete;
  ~BlockJob() {
    const auto found = jobs_.find(block_);
    if (--found->second == 0) jobs_.erase(found);
    if (quiet_.has_waiters()) quiet_.notify_all();
  }

 private:
  Jobs& jobs_;
  BlockSlot block_;
  Signal& quiet_;
};

class DiskTierImpl final : public DiskTier {
 public:
  DiskTierImpl(DiskTierOptions options, DirectoryLock lock, Disk& disk, Executor executor, Clock& clock, std::unique_ptr<EvictionPolicy> policy);
  ~DiskTierImpl() override;
  // The second half of open().
  Task<> recover();

  std::optional<DiskPageInfo> lookup(const BlockRef& block, PageIndex page) const override;
  Task<DiskPage> read(BlockRef block, PageIndex page, std::uint64_t offset, std::uint64_t length, Deadline deadline) override;
  Task<> write(BlockRef block, PageIndex page, std::span<const std::byte> bytes, std::vector<std::uint32_t> chunk_checksums,
               Deadline deadline) override;
  Task<> write(BlockRef block, PageIndex page, DiskBuffer bytes, std::vector<std::uint32_t> chunk_checksums, Deadline deadline) override;
  bool has_room(std::uint64_t length_bytes) const override;
  Task<> begin_whole(BlockRef block, Deadline deadline) override;
  void end_whole(BlockId block) override;
  void drop_corrupt(const BlockId& block, PageIndex page) override;
  void drop_page(const BlockId& block, PageIndex page) override;
  std::uint64_t free_block(const BlockId& block) override;
  Task<BlockGrant> grant(BlockRef block, Deadline deadline) override;
  void release(LeaseId lease) override;
  std::vector<LeaseId> leases_to_recall(std::uint64_t bytes) const override;
  void pin(const BlockId& block, Pinned pinned) override;
  void set_expiry(const BlockId& block, std::optional<BlockExpiry> expiry) override;
  std::vector<std::pair<BlockId, BlockExpiry>> expiries() const override;
  void set_eviction(std::unique_ptr<EvictionPolicy> policy) override;
  void set_watermarks(double low, double high) override;
  BlockResidency residency(const BlockId& block) const override;
  PresenceChanges take_changes() override;
  std::vector<BlockId> all_blocks() const override;
  std::vector<std::pair<BlockId, PageIndex>> coldest(std::size_t count) const override;
  DiskTierStats stats() const override;
  Task<> maintain() override;
  void on_corrupt(std::function<void(BlockId, PageIndex)> told) override { told_of_corrupt_ = std::move(told); }
  Task<> flush() override;
  Task<DiskTierReport> check() override;
  Task<> shut_down(Deadline deadline) override;

  // What maintain() does at each tick; tests call it themselves.
  void step();

 private:
  using FileUse = FileCache::Use;
  struct Lease {
    BlockId block;
    FileUse file;
    std::uint64_t bytes = 0;
    std::uint64_t last_access = 0;
  };
  // What begin_whole() reserved and allocated, and no page has used yet.
  struct WholeLoad {
    std::uint64_t bytes = 0;
    std::vector<bool> pages;
  };
  // Verified sectors of one page, from `begin` (a multiple of 4 KiB) on.
  struct Fetched {
    DiskBuffer buffer;
    std::uint64_t begin = 0;
    std::uint64_t valid_bytes = 0;
    std::vector<std::uint32_t> sums;  // of the sectors in the buffer
  };
  enum class Presence : std::uint8_t { present, absent };

  // Questions: disk_tier_impl.cc.
  Status usable() const;
  Status validate(const BlockRef& block, PageIndex page) const;
  std::optional<PageSlot> find_page(const BlockRef& block, PageIndex page) const;
  bool still_resident(const BlockId& block, std::uint32_t page, PageSlot slot) const;
  bool evictable(PageSlot slot) const;
  std::uint32_t charge_of(PageSlot slot) const;
  std::uint32_t now_seconds() const;
  std::optional<IndexRecord> record_of(PageSlot slot) const;
  Error error(Code code, const std::string& sentence) const;

  // Changes of state that wait for nothing: tier_state.cc.
  void touch(PageSlot slot);
  void mark_dirty(PageSlot slot);
  void enter_policy(PageSlot slot);
  void leave_policy(PageSlot slot, Removal why);
  void publish(PageSlot slot, std::uint32_t crc);
  void begin_leaving(PageSlot slot, Removal why);
  void doom(BlockSlot block, Removal why);
  void drop_bad(const BlockId& block, std::uint32_t page, PageSlot slot);
  void exclude_from_eviction(BlockSlot block);
  void allow_eviction(BlockSlot block);
  void presence_changed(const BlockId& id, Presence now);
  void room_changed();
  void forget_block(BlockSlot block);

  // Reading: tier_read.cc.
  Task<DiskPage> read_now(BlockRef block, PageIndex page, std::uint64_t offset, std::uint64_t length);
  Task<Fetched> fetch(BlockShape shape, std::uint32_t page, PageSlot slot, std::uint64_t offset, std::uint64_t length);
  Task<> read_odd_end(std::shared_ptr<TierFile> file, std::uint64_t offset, std::span<std::byte> into);
  std::vector<std::uint32_t> known_sums(PageSlot slot, std::uint64_t first, std::uint64_t end);
  Task<std::vector<std::uint32_t>> load_sums(PageSlot slot, std::uint32_t page_length, std::uint32_t crc, std::uint64_t first, std::uint64_t end);

  // Writing: tier_write.cc.
  Task<> write_now(BlockRef block, PageIndex page, DiskBuffer bytes, std::vector<std::uint32_t> chunk_checksums, Deadline deadline);
  Task<PageSlot> reserve_page(BlockShape shape, PageIndex page, Deadline deadline);
  Task<> make_room(std::uint64_t bytes, Deadline deadline);
  Task<> store(std::shared_ptr<TierFile> file, BlockShape shape, std::uint32_t page, std::span<const std::byte> bytes);
  Task<> out_of_space();
  Task<> begin_whole_now(BlockRef block, Deadline deadline);

  // Giving room back: tier_evict.cc.
  std::uint64_t evict(std::uint64_t bytes);
  void evict_to_watermark();
  Task<> give_back(BlockSlot block, std::vector<PageSlot> slots);
  Task<> punch(BlockSlot block, std::vector<PageSlot> slots);
  Task<> unlink(BlockSlot block);
  void start_trim(BlockSlot block);
  Task<> trim(BlockSlot block);
  void uncharge_allocated(BlockSlot block);
  void retry_stuck();
  void note_stuck(std::map<BlockSlot, std::uint64_t>& where, BlockSlot block, std::uint64_t bytes);
  void unstick(std::map<BlockSlot, std::uint64_t>& where, BlockSlot block);

  // Leases: tier_grant.cc.
  Task<BlockGrant> grant_now(BlockRef block, Deadline deadline);
  Task<std::vector<std::uint32_t>> verify_block(BlockShape shape, Deadline deadline);
  Task<> cut_to_length(std::shared_ptr<TierFile> file, BlockShape shape);
  void end_lease(const BlockId& block);

  // The index and the background: tier_maintain.cc, tier_recover.cc, tier_check.cc.
  Task<> tick_loop();
  void background(bool* running, Task<> task, std::string_view what);
  Task<> flush_now();
  Task<> sync_now();
  void health_changed();
  Task<> probe();
  Task<> try_device();
  Task<> look_at_device();
  Task<> look_at_place();
  void note_place(const Status& found);
  Task<> finish(Deadline deadline);
  Task<> scrub();
  Task<> reconcile();
  Task<> reconcile_file(DiskEntry file);
  void reconcile_unseen();
  void adopt_pages();
  void publish_metrics();
  Task<> check_files(DiskTierReport* report);
  void check_map(DiskTierReport* report) const;
  bool is_own_file(std::string_view name) const;

  // Set once.
  const DiskTierOptions options_;  // but for its watermarks
  const DirectoryLock lock_;
  Clock& clock_;
  const TimePoint opened_at_;
  // The executor only. The order is that of use: what stands above is there until what stands below is gone.
  DeviceCalls device_;
  IndexFile index_;
  PageMap pages_;
  std::unique_ptr<EvictionPolicy> policy_;
  SumsCache sums_;
  TierBudget budget_;
  ScrubPacer scrubber_;
  TaskGroup tasks_;
  TaskGroup ticker_;
  FileCache files_;
  CallWatch calls_;
  Signal room_;    // bytes were given back, or a write ended
  Signal quiet_;   // a reader or a writer of some page ended
  std::vector<PageSlot> dirty_;
  std::unordered_map<BlockId, Presence, BlockIdHash> changes_;  // only what differs from the last report
  std::unordered_set<BlockId, BlockIdHash> pinned_;
  std::unordered_map<BlockId, BlockExpiry, BlockIdHash> expiries_;
  std::unordered_map<BlockSlot, WholeLoad> whole_;
  std::unordered_map<BlockSlot, std::uint64_t> allocated_unused_;  // and given up; billed as leaving
  std::map<std::uint64_t, Lease> leases_;
  std::map<BlockSlot, std::uint64_t> stuck_blocks_;         // could not be unlinked, and what they are billed
  std::map<BlockSlot, std::vector<PageSlot>> stuck_pages_;  // could not be punched
  std::map<BlockSlot, std::uint64_t> trim_again_;           // could not be trimmed, and what is allocated there for nothing
  BlockJob::Jobs jobs_;
  std::uint64_t stuck_bytes_ = 0;                           // of all three: billed as leaving, and nobody is at it
  std::function<void(BlockId, PageIndex)> told_of_corrupt_;
  DiskTierStats totals_;                                // only its totals are kept here
  DiskTierStats told_;                                  // of them, to the metrics
  DeviceState seen_state_ = DeviceState::healthy;
  std::uint64_t resident_pages_ = 0, verified_pages_ = 0, pinned_bytes_ = 0, leased_bytes_ = 0;
  std::uint64_t accesses_ = 0;
  std::uint32_t life_before_ = 0;                       // seconds of earlier runs
  std::uint64_t reads_in_flight_ = 0;
  mutable PageSlot coldest_from_ = 0;
  bool closed_ = false;
  bool fence_seen_ = false;
  bool replaced_ = false;
  bool flushing_ = false, probing_ = false, looking_ = false, placing_ = false, scrubbing_ = false, reconciling_ = false;
  bool reconciled_ = false;
  bool was_clean_ = false;  // the process before this one ended in an orderly way
  TimePoint flushed_at_{}, synced_at_{}, looked_at_{}, placed_at_{}, retried_at_{};
  double low_watermark_, high_watermark_;
};

}  // namespace hearth

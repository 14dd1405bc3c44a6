// What goes on between tiers without anybody waiting for it: eviction between watermarks, demotion under pressure and of
// idle data, the end of times to live.
//
// Memory above its high watermark is brought down to the low one, coldest first; what a device below may have is written
// there before memory lets it go. While somebody reads from the devices, writing takes at most `movement_share` of the time;
// otherwise it goes on as fast as the device does. When fills come faster still, memory is given up by the fills themselves,
// without a copy below (MemoryTierStats::foreground_evictions).
//
// Bytes of dead slots that compaction will give back do not count as used, nor those of segments that are being given back:
// they are no reason to evict. Compaction runs here, step by step, between the calls of others.
//
// Threads: confined to the data thread.
// Owns:    the times of blocks whose policy names one, and the tasks.
#pragma once

#include "common/async.h"
#include "common/block.h"
#include "common/clock.h"
#include "common/task_group.h"
#include "tiering/block_store.h"
#include "tiering/policy/policy.h"
#include "worker/metrics.h"
#include "worker/quota_keeper.h"
#include "worker/tier_devices.h"
#include "worker/wait.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace hearth::worker {

struct MoverParts {
  Executor executor;
  Clock& clock;
  BlockStore& memory;
  TierDevices& devices;
  QuotaKeeper& quotas;
  WorkerCounters& counters;
  std::function<void()> presence_changed;
};

class TierMover {
 public:
  explicit TierMover(MoverParts parts);
  ~TierMover();

  Status start();
  // Until the first deadline: writes down what memory holds and devices lack. deadline_exceeded: what was under way had not ended
  // at the second one; a device does not answer.
  Task<> stop(Deadline moved, Deadline ended);
  void set_settings(const policy::TierSettings& memory) { settings_ = memory; }

  // A block was kept or read; `decision` says which times apply to it.
  void kept(const BlockRef& block, const policy::Attributes& decided);
  // What a device kept of the blocks' times over a restart.
  void found(const DiskTier& device);
  // Every page that goes to a device: with its block's time to live, which the device keeps.
  Task<> write(DiskTier* device, BlockRef block, PageIndex page, std::span<const std::byte> bytes, std::vector<std::uint32_t> sums,
               Deadline deadline);
  void was_read(const BlockId& block);
  // Its time to live is over and its bytes are not to be served any more.
  bool expired(const BlockId& block) const;
  void forget(const BlockId& block) { times_.erase(block); }
  // Memory may have passed its high watermark.
  void nudge();
  // Memory takes this many bytes more without passing it.
  bool has_room(std::uint64_t bytes) const;

  std::uint64_t demoted_bytes() const { return demoted_bytes_; }
  std::uint64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  // Of blocks whose policy names a time or forbids devices; all others cost nothing here.
  struct Times {
    TimePoint expires = TimePoint::max();
    WallTime expires_by_wall{};  // the same, as devices keep it
    policy::TtlAction at_end = policy::TtlAction::free;
    Duration demote_after = Duration::zero();
    TimePoint last_read{};
    bool memory_only = false;
  };
  enum class Pressure : std::uint8_t { normal, leaving };

  Task<> watch();
  Task<> watch_times();
  Task<> look_at(BlockId block);
  TimePoint next_look(const Times& times) const;
  std::optional<BlockExpiry> expiry_of(const BlockId& block) const;
  bool anywhere(const BlockId& block) const;
  Task<> lower();
  Task<> compact();
  Task<> move_down(ColdUnit* unit, Pressure pressure);
  Task<> demote_block(BlockId block);
  bool above(const policy::Percent& watermark) const;
  std::uint64_t charged_bytes() const;
  Task<> pace(Duration busy);
  std::uint64_t device_reads() const;

  // Set once
  Executor executor_;
  Clock& clock_;
  BlockStore& memory_;
  TierDevices& devices_;
  QuotaKeeper& quotas_;
  WorkerCounters& counters_;
  std::function<void()> presence_changed_;
  // Data thread only
  policy::TierSettings settings_;
  std::unordered_map<BlockId, Times, BlockIdHash> times_;
  std::multimap<TimePoint, BlockId> looks_;  // when each of times_ has to be looked at next
  std::shared_ptr<Event> wanted_;
  Duration debt_{};  // time that movement owes to readers
  std::uint64_t device_reads_seen_ = 0;
  int lowering_ = 0;  // tasks
  bool compacting_ = false;
  Deadline writes_end_ = Deadline::never();
  std::uint64_t demoted_bytes_ = 0;
  std::uint64_t dropped_bytes_ = 0;
  TaskGroup tasks_;
};

}  // namespace hearth::worker

// The NVMe devices of a worker, each with its tier: opened at the start, tried again while one is not usable.
//
// Threads: confined to the data thread.
// Owns:    disks and tiers. A device that is gone costs misses only; await close() before the destructor.
// Fails:   open() only for what needs a person: busy (another worker has the directory), version_mismatch, invalid_argument,
//          permission_denied. A directory that is missing or answers with errors is looked for in the background instead.
#pragma once

#include "common/async.h"
#include "common/block.h"
#include "common/clock.h"
#include "common/task_group.h"
#include "tiering/nvme/disk_tier.h"
#include "worker/worker_options.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::worker {

using DiskOpener = std::function<Result<std::unique_ptr<Disk>>(const DiskOptions&, Executor, Clock&)>;

class TierDevices {
 public:
  struct Device {
    NvmeDeviceOptions options;
    std::string name;                // "nvme0", in the order of the configuration
    std::unique_ptr<Disk> disk;
    std::unique_ptr<DiskTier> tier;  // null while the device can not be opened
    std::string why_not;
  };

  TierDevices(Executor executor, Clock& clock, NvmeOptions options, DiskOpener opener, std::uint64_t worker_id);
  ~TierDevices();
  TierDevices(const TierDevices&) = delete;
  TierDevices& operator=(const TierDevices&) = delete;

  // Called for each tier as it opens, before anybody else sees it.
  void on_open(std::function<void(DiskTier&)> told) { opened_ = std::move(told); }
  Task<> open();
  // deadline_exceeded: a device does not answer; nothing here can be destroyed and the process should end.
  Task<> close(Deadline deadline);

  bool empty() const { return devices_.empty(); }
  const std::vector<Device>& all() const { return devices_; }
  // For devices that open from now on.
  void set_eviction(std::string_view name) { eviction_ = name; }
  // The device that has this page and may be read now; null: none.
  DiskTier* holder(const BlockRef& block, PageIndex page) const;
  // Where pages of this block go: the one that has some of it already, else by rendezvous hashing, weighted by capacity.
  // Null: no device takes writes now.
  DiskTier* home(const BlockId& block) const;

 private:
  Task<> open_device(std::size_t index);
  Task<> look_again();

  // Set once
  Executor executor_;
  Clock& clock_;
  NvmeOptions options_;
  DiskOpener opener_;
  std::uint64_t worker_id_;
  std::function<void(DiskTier&)> opened_;
  // Data thread only
  std::vector<Device> devices_;
  std::string eviction_ = "s3-fifo";
  TaskGroup maintenance_;
};

}  // namespace hearth::worker

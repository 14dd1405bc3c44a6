// The NVMe devices of a worker, each with its tier: opened at the start, tried again while one is not usable.
//
// Threads: confined to the data thread.
// Owns:    disks and tiers. A device that is gone costs misses only; await close() before the destructor.
// Replaced: when another directory is found in a device's place, its tier is closed and that one is opened (or refused, with why_not)
//          within 30 s. What pointed to the old tier may be used for one more look_again_every.
// Fails:   open() only for what needs a person: busy (another worker has the directory), version_mismatch, invalid_argument,
//          permission_denied. A directory that is missing or answers with errors is looked for in the background instead.
#pragma once

#include "common/async.h"
#include "common/block.h"
#include "common/clock.h"
#include "common/task_group.h"
#include "tiering/nvme/disk_tier.h"
#include "tiering/policy/policy.h"
#include "worker/wait.h"
#include "worker/worker_options.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
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
    bool opening = false;            // a task is at it, perhaps for long
    std::shared_ptr<Event> ended;    // set when it is done; shared with who waits for it
    Status opened = ok();            // of the last try
  };

  TierDevices(Executor executor, Clock& clock, NvmeOptions options, DiskOpener opener, std::uint64_t worker_id);
  ~TierDevices();
  TierDevices(const TierDevices&) = delete;
  TierDevices& operator=(const TierDevices&) = delete;

  // Called for each tier as it opens, before anybody else sees it.
  void on_open(std::function<void(DiskTier&)> told) { opened_ = std::move(told); }
  // Called for each tier that goes away while the worker runs.
  void on_close(std::function<void(DiskTier&)> told) { closed_ = std::move(told); }
  Task<> open();
  // deadline_exceeded: a device does not answer; nothing here can be destroyed and the process should end.
  Task<> close(Deadline deadline);

  Duration close_within() const { return options_.close_within; }
  bool empty() const { return devices_.empty(); }
  const std::vector<Device>& all() const { return devices_; }
  // For devices that are open, and those that open from now on.
  void use(const policy::TierSettings& settings);
  // The device that has this page and may be read now; null: none.
  DiskTier* holder(const BlockRef& block, PageIndex page) const;
  // Where pages of this block go: the one that has some of it already, else by rendezvous hashing, weighted by capacity.
  // Null: no device takes writes now.
  DiskTier* home(const BlockId& block) const;

 private:
  // A tier that is not in use any more, and the disk below it: it goes at the next look, when nobody can be in it.
  struct Retired {
    std::string name;
    std::unique_ptr<Disk> disk;
    std::unique_ptr<DiskTier> tier;
    bool ended = false;  // its calls have
  };

  Task<> try_to_open(std::size_t index);
  Task<> open_device(std::size_t index);
  // Tries, and goes on in the background when that takes long.
  Task<> begin_open(std::size_t index);
  Task<> look_again();
  Task<> retire(std::size_t index);
  Task<> bury_retired();
  void set_watermarks(DiskTier& tier) const;

  // Set once
  Executor executor_;
  Clock& clock_;
  NvmeOptions options_;
  DiskOpener opener_;
  std::uint64_t worker_id_;
  std::function<void(DiskTier&)> opened_;
  std::function<void(DiskTier&)> closed_;
  // Data thread only
  std::vector<Device> devices_;
  std::vector<Retired> retired_;
  policy::TierSettings settings_;
  TaskGroup maintenance_;
};

}  // namespace hearth::worker

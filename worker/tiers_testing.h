// For the tests of a worker with devices: simulated ones, below the cluster of test_cluster.h.
#pragma once

#include "tiering/disk/sim_disk.h"
#include "worker/test_cluster.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace hearth::worker::testing {

class WorkerTiers : public Cluster {
 protected:
  static constexpr std::size_t device_count = 2;

  void start_with_devices(std::uint64_t memory_pages, std::size_t devices = 1) {
    start(options_with_devices(memory_pages, devices));
  }
  WorkerOptions options_with_devices(std::uint64_t memory_pages, std::size_t devices) {
    WorkerOptions options = small_options();
    options.memory.capacity_bytes = memory_pages * test_page;
    options.nvme.lock = false;
    options.nvme.scrub_bytes_per_second = 0;
    options.nvme.look_again_every = std::chrono::milliseconds(50);
    options.nvme.health.probe_interval = std::chrono::milliseconds(20);
    options.nvme.health.error_window = std::chrono::seconds(10);
    for (std::size_t i = 0; i < devices; ++i) {
      options.nvme.devices.push_back({.directory = std::to_string(i), .capacity_bytes = 512 * test_page});
    }
    open_device_ = [this](const DiskOptions& disk, Executor executor, Clock& clock) -> Result<std::unique_ptr<Disk>> {
      return open_sim_disk(media_[std::stoul(disk.directory)], executor, clock);
    };
    return options;
  }
  const DiskTier& tier(std::size_t device = 0) { return *shard_->tiers().devices().all()[device].tier; }
  std::uint64_t resident(std::size_t device = 0) { return tier(device).stats().resident_bytes; }
  void restart_with_devices(std::uint64_t memory_pages) {
    ASSERT_TRUE(stop_shard(std::chrono::seconds(5)));
    start_shard(options_with_devices(memory_pages, 1));
  }

  // Shared with the disks that are open on them.
  std::vector<std::shared_ptr<SimDiskMedium>> media_{std::make_shared<SimDiskMedium>(SimDiskOptions{}),
                                                     std::make_shared<SimDiskMedium>(SimDiskOptions{})};
};

}  // namespace hearth::worker::testing

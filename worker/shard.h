// One data thread's share of a worker: its block store, its server, its fetches and its link to the master.
//
// There is one today. Several would each own a slice of the block ids (and of the capacity) and listen on the same
// port; nothing in here is shared with another shard but the blocking pools.
//
// Threads: confined to its executor, from construction to destruction.
// Owns:    everything of the data path. start() and stop() mirror each other; destroy it only after stop().
#pragma once

#include "common/async.h"
#include "common/blocking.h"
#include "common/clock.h"
#include "common/net/rpc.h"
#include "common/rng.h"
#include "common/task_group.h"
#include "tiering/block_store.h"
#include "tiering/policy/policy.h"
#include "worker/attachments.h"
#include "worker/metrics.h"
#include "worker/page_fetcher.h"
#include "worker/tiers.h"
#include "worker/worker_options.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace hearth::proto {
class WorkerInfo;
}

namespace hearth::worker {

class BlockHandlers;
class GrantHandler;
class MasterLink;
class ObserveHandlers;
class Prefetcher;
class ReadHandler;
class ReadManyHandler;
class StoreFiles;
struct Service;

struct ShardContext {
  Executor executor;
  Clock& clock;
  Rng& rng;
  BlockingPool& store_pool;
  BlockingPool& compute_pool;
  StoreOpener open_store;
  DiskOpener open_device;  // empty: open_disk
  std::unique_ptr<Transport> transport;
};

// What Worker::status() shows.
struct ShardStatus {
  MemoryTierStats tier;
  std::vector<TierStatus> tiers;
  std::uint64_t hit_bytes = 0;
  std::uint64_t miss_bytes = 0;
  std::uint64_t store_reads = 0;
  std::uint64_t store_read_bytes = 0;
  std::uint64_t through_bytes = 0;  // total passed beside the tier
  std::uint64_t corrupt_pages = 0;
  std::uint64_t grants = 0;
  std::size_t fetches_running = 0;
  std::size_t prefetch_jobs = 0;
  bool registered = false;
  bool draining = false;
};

class Shard {
 public:
  Shard(ShardContext context, WorkerOptions options);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // Listens and begins to look for the master. On failure, stop() is still to be awaited.
  Task<> start();
  // Tells the master, lets running calls end within `grace`, deregisters. deadline_exceeded: an under-store read
  // hangs, or a device; the shard cannot be destroyed and the process should end.
  Task<> stop(Duration grace);

  std::vector<Address> bound() const;
  ShardStatus status() const;
  BlockStore& blocks() { return *blocks_; }  // for tests
  Tiers& tiers() { return *tiers_; }
  // In force; never null.

 private:
  void serve_calls();
  Task<ServerReply> worker_status(std::shared_ptr<ServerCall> call);
  Task<> publish_gauges();
  void describe(proto::WorkerInfo& info) const;
  std::string advertised_address() const;
  Status make_parts();
  Status listen();
  Task<> end_fetches(Deadline deadline);

  // Set once
  WorkerOptions options_;
  Executor executor_;
  Clock& clock_;
  Rng& rng_;
  BlockingPool& store_pool_;
  BlockingPool& compute_pool_;
  DiskOpener open_device_;
  WorkerId id_;
  std::unique_ptr<Transport> transport_;
  WorkerAttachments attachments_;

  // Data thread only; destroyed in reverse order
  WorkerCounters counters_;
  TaskGroup background_;  // the master link and the gauges
  TaskGroup fetches_;
  std::unique_ptr<BlockStore> blocks_;
  std::unique_ptr<Tiers> tiers_;
  std::unique_ptr<MasterLink> master_;
  std::unique_ptr<PageFetcher> fetcher_;
  std::unique_ptr<Prefetcher> prefetcher_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<GrantHandler> grants_;
  std::unique_ptr<ReadHandler> reads_;
  std::unique_ptr<ReadManyHandler> batches_;
  std::unique_ptr<StoreFiles> store_files_;
  std::unique_ptr<BlockHandlers> block_calls_;
  std::unique_ptr<ObserveHandlers> observe_calls_;
  std::unique_ptr<RpcServer> server_;
};

}  // namespace hearth::worker

// Master and worker as services. Apart from services.cc, so that a mount need not link them.
#include "cli/daemon/services.h"

#include "cli/daemon/version.h"
#include "master/master.h"
#include "worker/worker.h"

namespace hearth::cli {
namespace {

// Calls under way at the master are short; what takes longer waits for an under-store.
constexpr Duration master_grace = std::chrono::seconds(5);

class MasterService final : public Service {
 public:
  explicit MasterService(std::unique_ptr<Master> master) : master_(std::move(master)) {}
  std::string address() const override { return master_->bound().front().to_string(); }
  Status stop() override { return master_->stop(master_grace); }

 private:
  std::unique_ptr<Master> master_;
};

class WorkerService final : public Service {
 public:
  WorkerService(std::unique_ptr<Worker> worker, Duration grace) : worker_(std::move(worker)), grace_(grace) {}
  std::string address() const override { return worker_->bound_addresses().front().to_string(); }
  Status stop() override { return worker_->drain_and_stop(grace_); }

 private:
  std::unique_ptr<Worker> worker_;
  Duration grace_;
};

}  // namespace

WorkerOptions worker_options(const WorkerConfig& config, const std::string& metrics_address) {
  WorkerOptions options;
  options.master = config.master;
  options.listen = config.listen;
  options.advertise = config.advertise;
  options.local_socket = config.local_socket;
  options.staging_directory = config.staging_directory;
  options.host = config.host;
  options.version = build_version();
  options.metrics_address = metrics_address;
  options.memory.capacity_bytes = config.memory.capacity.bytes;
  options.memory.huge_pages = config.memory.huge_pages;
  options.memory.grant_max_fraction = config.memory.grant_max_percent / 100.0;
  options.memory.pack_below_bytes = config.memory.pack_below.bytes;
  options.memory.private_below_bytes = ClientOptions().grant_min_bytes;  // of what is not packed: no client asks a grant for it
  options.memory.pool_bytes = config.memory.pool.bytes;
  for (const std::string& directory : config.nvme.directories) {
    options.nvme.devices.push_back({.directory = directory, .capacity_bytes = config.nvme.capacity.bytes});
  }
  options.nvme.engine = config.nvme.engine;
  options.nvme.queue_depth = config.nvme.queue_depth;
  options.nvme.scrub_bytes_per_second = config.nvme.scrub_per_second.bytes;
  options.nvme.if_unreadable = config.nvme.if_unreadable;
  options.fetch_parallelism = config.fetch_parallelism;
  options.readahead_pages = config.readahead_pages;
  options.fetch_timeout = config.fetch_timeout;
  return options;
}

Result<std::unique_ptr<Service>> start_master(const MasterConfig& config) {
  MasterOptions options;
  options.listen = config.listen;
  options.data_dir = config.data_dir;
  options.heartbeat_interval = config.heartbeat_interval;
  options.lost_after = config.lost_after;
  options.lock_lease = config.lock_lease;
  options.trust_tcp_callers = config.tcp_callers == MasterConfig::TcpCallers::trusted;
  options.push_timeout = config.push_timeout;
  options.store_deadline = config.store_deadline;
  options.rocksdb_cache_bytes = config.metadata_cache.bytes;
  options.max_inodes = config.max_inodes;
  options.policy_file = config.policy_file;
  options.events_listen = config.events_listen;
  options.events_token_file = config.events_token_file;
  options.version = build_version();
  TRY(master, Master::start(options));
  return std::unique_ptr<Service>(std::make_unique<MasterService>(std::move(master)));
}

Result<std::unique_ptr<Service>> start_worker(const WorkerConfig& config, const std::string& metrics_address) {
  TRY(worker, Worker::start(worker_options(config, metrics_address)));
  return std::unique_ptr<Service>(std::make_unique<WorkerService>(std::move(worker), config.drain_grace));
}

}  // namespace hearth::cli

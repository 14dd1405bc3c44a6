#include "tests/support/in_process_cluster.h"

#include "understore/oracle.h"

#include <cstdlib>
#include <fstream>
#include <thread>

namespace hearth::testing {
namespace {

// Sockets and heartbeats are real here, so "soon" is a bound on the wall clock and not a pause.
constexpr Duration settle_within = std::chrono::seconds(20);

}  // namespace

InProcessCluster::InProcessCluster(InProcessClusterOptions options) : options_(options), workers_(options.workers) {
  std::string name = (std::filesystem::temp_directory_path() / "hearth-cluster-XXXXXX").string();
  root_ = ::mkdtemp(name.data());
  store_ = root_ / "store";
  std::filesystem::create_directories(store_);
}

InProcessCluster::~InProcessCluster() {
  for (std::size_t i = 0; i < workers_.size(); ++i) kill_worker(i);
  kill_master();
  std::filesystem::remove_all(root_);
}

Status InProcessCluster::start() {
  CHECK_OK(start_master());
  for (std::size_t i = 0; i < workers_.size(); ++i) CHECK_OK(start_worker(i));
  return wait_for_live_workers(workers_.size());
}

Status InProcessCluster::start_master() {
  MasterOptions options;
  options.trust_tcp_callers = true;  // tests ask in the name of others
  options.data_dir = (root_ / "master").string();
  options.listen = {master_address_};
  options.heartbeat_interval = options_.heartbeat_interval;
  options.lost_after = options_.lost_after;
  options.lock_lease = options_.lock_lease;
  options.default_metadata_ttl = std::chrono::milliseconds(50);
  options.rocksdb_cache_bytes = 8U << 20;
  options.version = "test";
  if (!options_.events_token.empty()) {
    options.events_listen = "127.0.0.1:0";
    options.events_token_file = (root_ / "token").string();
    std::ofstream(options.events_token_file) << options_.events_token << "\n";
  }
  MasterDependencies dependencies;
  if (options_.open_store) {
    dependencies.open_store = [open = options_.open_store](const std::string& uri, const StoreOptions&) { return open(uri); };
  }
  TRY(master, Master::start(options, std::move(dependencies)));
  master_ = std::move(master);
  master_address_ = master_->bound().front().to_string();
  return ok();
}

void InProcessCluster::kill_master() { master_.reset(); }

std::string InProcessCluster::worker_socket(std::size_t index) const {
  return (root_ / ("worker" + std::to_string(index) + ".sock")).string();
}

Status InProcessCluster::start_worker(std::size_t index) {
  WorkerOptions options;
  options.master = master_address_;
  options.local_socket = worker_socket(index);
  options.host = "worker" + std::to_string(index);
  options.version = "test";
  options.worker_id = 100 + index;
  options.memory.capacity_bytes = options_.memory_bytes;
  options.memory.huge_pages = HugePages::off;
  options.memory.grant_max_fraction = options_.grant_max_fraction;
  options.blocking_threads = 8;
  options.report_coalesce = std::chrono::milliseconds(10);
  options.master_backoff_max = std::chrono::milliseconds(200);
  WorkerDependencies dependencies;
  if (options_.open_store) {
    dependencies.open_store = [open = options_.open_store](const std::string& uri, const StoreOptions&, BlockingPool&,
                                                           Clock&) { return open(uri); };
  }
  TRY(worker, Worker::start(options, std::move(dependencies)));
  workers_[index] = std::move(worker);
  return ok();
}

void InProcessCluster::kill_worker(std::size_t index) { workers_[index].reset(); }

Status InProcessCluster::wait_for_live_workers(std::uint64_t count) {
  const Deadline deadline = Deadline::after(real_clock(), settle_within);
  while (!deadline.expired(real_clock().now())) {
    TRY(health, master_->health());
    if (health.live_workers == count) return ok();
    std::this_thread::yield();
  }
  return Error(Code::deadline_exceeded, "the master does not count " + std::to_string(count) + " live workers");
}

ClientOptions InProcessCluster::client_options() const {
  ClientOptions options;
  options.master = master_address_;
  return options;
}

Status InProcessCluster::attach(const std::string& path, AttachmentOptions options) {
  return attach(path, "file://" + store_.string(), options);
}

Status InProcessCluster::attach(const std::string& path, const std::string& uri, AttachmentOptions options) {
  TRY(client, connect());
  TRY(attached, client.attach(path, uri, options));
  return attached.path == path ? ok() : Error(Code::internal, "attached at " + attached.path + " instead of " + path);
}

// Written beside and renamed over: what a careful program does, so a reader has the old file or the new one.
void InProcessCluster::write_file(const std::string& name, std::uint64_t length_bytes, std::uint64_t version) {
  std::vector<std::byte> bytes(length_bytes);
  oracle_fill(bytes, oracle_seed(name), version, 0);
  const std::filesystem::path target = store_ / name;
  std::filesystem::create_directories(target.parent_path());
  const std::filesystem::path beside = root_ / "being-written";
  {
    std::ofstream out(beside, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  std::filesystem::rename(beside, target);
}

std::string InProcessCluster::mismatch(const std::string& name, std::uint64_t version, std::uint64_t offset,
                                       std::span<const std::byte> bytes) {
  const auto wrong = oracle_mismatch(bytes, oracle_seed(name), version, offset);
  return wrong ? name + " has a wrong byte at " + std::to_string(*wrong) : "";
}

}  // namespace hearth::testing

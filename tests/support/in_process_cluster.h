// A real master and real workers in this process, over loopback sockets, in front of a temporary directory.
//
// Threads: methods from the test's thread.
// Owns:    master, workers, their directories; everything is gone with it.
// Fails:   what the parts say; the constructor starts nothing.
#pragma once

#include <hearth/client.h>

#include "master/master.h"
#include "worker/worker.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace hearth::testing {

struct InProcessClusterOptions {
  std::size_t workers = 1;
  std::uint64_t memory_bytes = 64ULL << 20;  // of each worker
  double grant_max_fraction = 1.0;
  Duration heartbeat_interval = std::chrono::milliseconds(50);
  Duration lost_after = std::chrono::milliseconds(500);
  Duration lock_lease = std::chrono::seconds(10);
  // The under-store of every URI, for master and workers; unset: by scheme.
  std::function<Result<std::shared_ptr<UnderStore>>(const std::string& uri)> open_store;
  std::string events_token;  // events are taken at master()->events_port() with this
};

class InProcessCluster {
 public:
  explicit InProcessCluster(InProcessClusterOptions options);
  ~InProcessCluster();

  Status start();  // master, then workers; returns when the master counts all of them live
  Status start_master();  // at the same address as before
  void kill_master();
  Status start_worker(std::size_t index);
  void kill_worker(std::size_t index);  // without a farewell
  Status wait_for_live_workers(std::uint64_t count);

  ClientOptions client_options() const;
  Result<Client> connect() const { return Client::connect(client_options()); }
  // Binds store_directory() to `path`.
  Status attach(const std::string& path, AttachmentOptions options = {});
  Status attach(const std::string& path, const std::string& uri, AttachmentOptions options);

  // The under-store: files whose bytes are the oracle's (understore/oracle.h).
  const std::filesystem::path& store_directory() const { return store_; }
  void write_file(const std::string& name, std::uint64_t length_bytes, std::uint64_t version = 1);
  // Where the bytes of `name` first differ from the oracle's, as text; "" when they are right.
  static std::string mismatch(const std::string& name, std::uint64_t version, std::uint64_t offset,
                              std::span<const std::byte> bytes);

  Master* master() { return master_.get(); }
  Worker* worker(std::size_t index) { return workers_[index].get(); }
  std::string worker_socket(std::size_t index) const;

 private:
  const InProcessClusterOptions options_;
  std::filesystem::path root_;
  std::filesystem::path store_;
  std::string master_address_ = "127.0.0.1:0";
  std::unique_ptr<Master> master_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace hearth::testing

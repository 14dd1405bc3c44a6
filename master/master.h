// The master of a cluster, ready to serve: threads, database, sockets and services put together.
//
//   auto master = hearth::Master::start({.data_dir = "/var/lib/hearth/master", .listen = {"127.0.0.1:19800"}});
//
// Threads: start(), stop() and the rest from the owner's thread.
// Owns:    a network thread, a namespace thread, pool threads for blocking calls, the data directory (locked).
// Fails:   start(): busy (another master has the directory), already_exists or io_error (an address is taken),
//          version_mismatch (the directory was written by another schema), invalid_argument.
#pragma once

#include "common/clock.h"
#include "common/net/stream.h"
#include "master/store_set.h"

#include <hearth/result.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace hearth {

struct MasterOptions {
  std::string data_dir;
  std::vector<std::string> listen{"127.0.0.1:19800"};  // "host:port" or "unix:/path"
  Duration heartbeat_interval = std::chrono::seconds(1);
  Duration lost_after = std::chrono::seconds(5);
  Duration default_metadata_ttl = std::chrono::seconds(1);
  Duration store_deadline = std::chrono::seconds(10);  // of one question to an under-store
  std::uint64_t rocksdb_cache_bytes = 256ULL << 20;
  std::uint64_t max_inodes = 200'000'000;
  std::uint32_t socket_mode = 0660;  // of Unix sockets
  Duration lock_lease = std::chrono::seconds(10);  // a client silent for this long has lost its locks
  Duration push_timeout = std::chrono::milliseconds(200);  // that a change waits for clients to know it
  bool trust_tcp_callers = false;    // take changes from TCP peers, in whatever name they say
  std::string policy_file;           // applied when no policy was ever applied; "" = none
  // Where object stores post their events (event_intake.h): "host:port", "" = nowhere.
  std::string events_listen;
  std::string events_token_file;
  std::string version;
};

// What tests replace.
struct MasterDependencies {
  Clock* clock = nullptr;                                               // the machine's
  std::function<std::unique_ptr<Transport>(Executor)> make_transport;   // sockets
  master::StoreOpener open_store;                                       // by URI scheme
};

// For health checks.
struct MasterHealth {
  std::uint64_t inode_count = 0;
  std::uint64_t block_location_count = 0;
  std::uint64_t attachment_count = 0;
  std::uint64_t live_workers = 0;
  std::uint64_t lost_workers = 0;
  std::uint64_t cluster_id = 0;
};

class Master {
 public:
  static Result<std::unique_ptr<Master>> start(const MasterOptions& options, MasterDependencies dependencies);
  static Result<std::unique_ptr<Master>> start(const MasterOptions& options) { return start(options, MasterDependencies()); }
  ~Master();  // stops, if stop() was not called

  // Where it listens, with real ports.
  std::vector<Address> bound() const;
  std::uint16_t events_port() const;  // 0: events are not taken
  Result<MasterHealth> health();
  // Answers what is under way for at most `grace`, then closes. Idempotent.
  Status stop(Duration grace);

 private:
  struct Impl;
  explicit Master(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth

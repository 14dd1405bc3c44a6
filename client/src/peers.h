// The workers: who there is, how to reach each, which can be reached by a Unix socket of this host.
//
// Threads: confined to the io thread, but has_local() and table(), which any thread may ask.
// Owns:    a pool of connections per worker address, and one connection per local socket that answered (the leases of
//          grants end with their connection).
// Local:   a socket path says nothing by itself (every host may have the same one), so a worker is local
//          when the socket at its path was reached and its process said it is that worker.
// Suspicion: a worker that failed is passed over while others can serve, for 1 s at first, doubling to 30 s.
#pragma once

#include <hearth/client.h>

#include "client/src/master_link.h"
#include "client/src/signal.h"
#include "common/block.h"
#include "common/net/rpc.h"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace hearth::client {

struct WorkerTable {
  std::uint64_t version = 0;
  std::vector<WorkerStatus> workers;
};
using WorkerTablePtr = std::shared_ptr<const WorkerTable>;  // shared: readers of a table that was replaced meanwhile

// How to reach a worker.
struct Reach {
  WorkerId worker;
  std::shared_ptr<RpcChannel> channel;  // shared: calls in flight keep it
  bool local = false;
  std::uint64_t connection = 0;  // of a local channel: changes when it was lost
};

enum class Freshness : std::uint8_t { whatever_is_known, refreshed };

class Peers {
 public:
  struct Events {
    std::function<void(WorkerId, std::vector<std::uint64_t> leases)> recalled;
    std::function<void(WorkerId, std::uint64_t connection)> lost;
  };
  Peers(RpcContext context, std::shared_ptr<MasterLink> master, std::uint32_t connections_per_worker, Events events);

  // Loads the table when there is none, when the master said that it changed, or when asked to. Never fails: without a
  // master the last table stays, and without any there are no workers.
  Task<> refresh(Freshness freshness, Deadline deadline);
  // A reply of the master carried this table version.
  void saw_table_version(std::uint64_t version);
  // True once per `table_max_age`: the caller refreshes in the background.
  bool wants_background_refresh();

  WorkerTablePtr table() const;
  bool has_local() const { return has_local_.load(std::memory_order_relaxed); }
  std::optional<Reach> local_worker();  // any live one
  bool is_local(WorkerId worker) const;
  bool is_live(WorkerId worker) const;
  // Nothing when the worker is unknown or lost.
  std::optional<Reach> reach(WorkerId worker);
  std::uint64_t connection_of(WorkerId worker) const;  // 0: no local connection

  // Who to ask for a block, best first: local holder, other holders, local worker (when placed local first), and the
  // rendezvous order. Suspects are left out of the list and appended to `suspects`.
  std::vector<WorkerId> candidates(const BlockRef& block, std::span<const WorkerId> holders,
                                   AttachmentOptions::Placement placement, std::vector<WorkerId>& suspects);

  void suspect(WorkerId worker);
  void trust(WorkerId worker) { suspicions_.erase(worker); }
  bool is_suspect(WorkerId worker) const;
  void close();

 private:
  struct LocalSocket {
    std::shared_ptr<RpcChannel> channel;
    WorkerId worker;            // 0: it did not answer
    std::uint64_t connection = 0;
    TimePoint next_probe{};
  };
  struct Suspicion {
    TimePoint until{};
    Duration length{};
  };

  Task<> load_table(Deadline deadline);
  Task<> probe_sockets(std::vector<std::string> paths, Deadline deadline);
  Task<> probe(std::string path, Deadline deadline);
  void open_local(const std::string& path, LocalSocket& socket);
  void forget_departed(const WorkerTable& table);
  void update_has_local();
  const WorkerStatus* find(WorkerId worker) const;

  RpcContext context_;
  std::shared_ptr<MasterLink> master_;
  std::uint32_t connections_per_worker_;
  Events events_;

  // Io thread only
  std::unordered_map<WorkerId, std::shared_ptr<RpcChannel>> remote_;
  std::unordered_map<WorkerId, std::string> remote_address_;
  std::unordered_map<std::string, LocalSocket> local_;  // by socket path
  std::unordered_map<WorkerId, Suspicion> suspicions_;
  std::shared_ptr<Signal> loading_;
  std::uint64_t wanted_version_ = 0;
  std::uint64_t next_connection_ = 1;
  TimePoint loaded_at_{};
  TimePoint next_try_{};
  bool closed_ = false;

  std::atomic<bool> has_local_{false};
  mutable std::mutex table_mutex_;
  WorkerTablePtr table_;  // Guarded by table_mutex_
};

}  // namespace hearth::client

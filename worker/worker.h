// A worker: caches blocks in memory in front of the under-stores and serves them to clients.
//
// Threads: start(), drain_and_stop(), status() and the destructor from any thread, one at a time; inside, one data
//          thread and two pools of threads that may block.
// Owns:    all of them. start() returns once it listens; it looks for the master from then on, for ever.
// Fails:   start(): invalid_argument, already_exists (address or socket in use), what opening the tier says.
#pragma once

#include <hearth/result.h>

#include "common/clock.h"
#include "common/net/stream.h"
#include "common/rng.h"
#include "understore/under_store.h"
#include "worker/shard.h"
#include "worker/worker_options.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace hearth {

// The seams; what is empty is the real thing. They outlive the worker.
struct WorkerDependencies {
  Clock* clock = nullptr;
  Rng* rng = nullptr;
  std::function<std::unique_ptr<Transport>(Executor)> make_transport;
  std::function<Result<std::shared_ptr<UnderStore>>(const std::string& uri, const StoreOptions&, BlockingPool&, Clock&)> open_store;
  worker::DiskOpener open_device;
};

class Worker {
 public:
  static Result<std::unique_ptr<Worker>> start(WorkerOptions options, WorkerDependencies dependencies = {});
  ~Worker();  // stops without grace, if drain_and_stop() did not
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  std::vector<Address> bound_addresses() const { return bound_; }
  worker::ShardStatus status() const;

  // The way out on SIGTERM: tells the master, stops accepting, lets running calls end within `grace`, deregisters.
  // deadline_exceeded: a read hangs in an under-store; its memory and threads are left behind, and the process
  // should end without waiting for them (std::quick_exit).
  Status drain_and_stop(Duration grace);

 private:
  struct Parts;
  explicit Worker(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
  std::vector<Address> bound_;
  bool stopped_ = false;
};

}  // namespace hearth

#include "worker/worker.h"

#include "common/http/http.h"
#include "common/io_thread.h"
#include "common/log.h"
#include "understore/store_factory.h"
#include "worker/wire.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

namespace hearth {

namespace {

constexpr std::size_t max_queued_blocking_calls = 65'536;

Status check_options(const WorkerOptions& options) {
  if (options.memory.capacity_bytes == 0) {
    return Error(Code::invalid_argument, "the memory tier has no capacity; set memory.capacity, for example to 4GiB");
  }
  if (options.fetch_parallelism == 0 || options.blocking_threads == 0) {
    return Error(Code::invalid_argument, "fetch_parallelism and blocking_threads are at least 1");
  }
  if (options.through_bytes < max_page_size_bytes) {
    return Error(Code::invalid_argument, "through_bytes is at least one page of the largest size, 16MiB");
  }
  return ok();
}

std::string machine_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

std::size_t compute_threads(const WorkerOptions& options) {
  if (options.compute_threads != 0) return options.compute_threads;
  // Half of the cores: writers of one block's memory wait for each other in the kernel, spinning.
  return std::max<std::size_t>(2, std::thread::hardware_concurrency() / 2);
}

}  // namespace

struct Worker::Parts {
  explicit Parts(const WorkerOptions& options)
      : store_pool(options.blocking_threads, max_queued_blocking_calls),
        compute_pool(compute_threads(options), max_queued_blocking_calls) {
    thread.start();
  }

  // Runs `work` on the data thread and waits for it.
  Status on_thread(std::function<Status()> work) { return thread.run_sync(call(std::move(work))); }
  static Task<> call(std::function<Status()> work) { co_return work(); }

  IoThread thread{"hearth-worker"};
  BlockingPool store_pool;
  BlockingPool compute_pool;
  std::unique_ptr<HttpClient> http;  // of the stores that speak it; has no thread before the first request
  std::unique_ptr<worker::Shard> shard;  // made, used and destroyed on the thread
  worker::ShardStatus last_status;
};

Worker::Worker(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Result<std::unique_ptr<Worker>> Worker::start(WorkerOptions options, WorkerDependencies dependencies) {
  CHECK_OK(check_options(options));
  if (options.host.empty()) options.host = machine_name();
  auto parts = std::make_unique<Parts>(options);
  Parts& made = *parts;
  Clock& clock = dependencies.clock != nullptr ? *dependencies.clock : real_clock();
  Rng& rng = dependencies.rng != nullptr ? *dependencies.rng : system_rng();
  auto opener = dependencies.open_store;
  if (!opener) {
    made.http = make_http_client(HttpClientOptions(), clock);
    opener = [http = made.http.get()](const std::string& uri, const StoreOptions& store_options, BlockingPool& pool, Clock& time) {
      const StoreContext context{.pool = pool, .clock = time, .http = http};
      return open_under_store(uri, store_options, context);
    };
  }
  auto transport = dependencies.make_transport;
  if (!transport) transport = make_socket_transport;

  std::unique_ptr<Worker> worker(new Worker(std::move(parts)));
  std::function<Status()> begin = [&] {
    auto open = [opener, &made, &clock](const std::string& uri, const StoreOptions& store_options) {
      return opener(uri, store_options, made.store_pool, clock);
    };
    const Executor executor = made.thread.executor();
    worker::ShardContext context{executor, clock, rng, made.store_pool, made.compute_pool, open, dependencies.open_device, transport(executor)};
    made.shard = std::make_unique<worker::Shard>(std::move(context), options);
    return ok();
  };
  CHECK_OK(made.on_thread(begin));
  CHECK_OK(made.thread.run_sync(made.shard->start()));  // on failure the destructor stops what had begun
  worker->bound_ = made.shard->bound();
  return worker;
}

Worker::~Worker() {
  if (!stopped_) {
    Status stopped = drain_and_stop(Duration::zero());
    if (!stopped) log_error("worker_not_stopped", {{"why", stopped.error().to_string()}});
  }
}

worker::ShardStatus Worker::status() const {
  if (!parts_) return {};  // left behind by a stop that failed
  Parts& parts = *parts_;
  if (!stopped_) {
    Status looked = parts.on_thread([&parts] {
      parts.last_status = parts.shard->status();
      return ok();
    });
    if (!looked) log_warn("worker_status_unknown", {{"why", looked.error().to_string()}});
  }
  return parts.last_status;
}

Status Worker::drain_and_stop(Duration grace) {
  if (std::exchange(stopped_, true)) return ok();
  Parts& parts = *parts_;
  if (!parts.shard) return ok();
  Status stopped = parts.thread.run_sync(parts.shard->stop(grace));
  if (!stopped) {
    // Threads and buffers of reads that hang cannot be taken back: destroying them would wait, or be worse.
    static_cast<void>(parts_.release());
    return stopped;
  }
  return parts.on_thread([&parts] {
    parts.last_status = parts.shard->status();
    parts.shard.reset();
    return ok();
  });
}

}  // namespace hearth

#include "master/master.h"

#include "common/io_thread.h"
#include "common/log.h"
#include "common/net/rpc.h"
#include "common/rng.h"
#include "master/default_stores.h"
#include "master/event_intake.h"
#include "master/master_service.h"
#include "master/rocksdb_meta_store.h"
#include "tiering/policy/policy.h"

#include <fstream>

namespace hearth {

using master::MasterService;
using master::MasterSnapshot;
using master::MetadataOptions;
using master::MetadataService;
using master::MetaStore;

namespace {

constexpr std::size_t store_threads = 16;
// Of one under-store: three may hang in the kernel, and a fourth is still answered.
constexpr std::size_t store_calls_at_once = store_threads / 4;
constexpr std::size_t store_queue = 8192;
constexpr std::size_t sync_queue = 4;  // one sync runs at a time; see SyncGroup

// A mistake in the file is one of whoever starts the master: better said now than found in a log.
Status begin_with_policy_file(MetadataService& metadata, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(policy::max_policy_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (!file.eof() && text.size() <= policy::max_policy_bytes) {
    return Error(Code::not_found, "the file " + path + " of master.policy_file can not be read; is it there?");
  }
  Result<master::PolicyRow> row = metadata.begin_with_policy(text);
  if (!row) return std::move(row).error().with_context("master.policy_file " + path);
  log_info(row->text == text ? "policy_file_in_force" : "policy_file_not_used", {{"file", path}, {"version", row->version}});
  return ok();
}

// What has not run yet ends here: the metadata's upkeep waits already.
template <class Thread>
Error give_up(Thread& names, MetadataService& metadata, Clock& clock, Error why) {
  names.start();
  const Status ended = names.run_sync(metadata.stop(Deadline::after(clock, std::chrono::seconds(1))));
  names.stop();
  if (!ended) log_warn("metadata_not_stopped", {{"why", ended.error().to_string()}});
  return why;
}

Task<> stop_network(RpcServer& server, MasterService& service, Deadline deadline) {
  service.end_waits();
  const Status served = co_await server.stop(deadline);
  const Status stopped = co_await service.stop(Deadline::never());  // cancelled: ends at its next wait
  if (!served) co_return served;
  co_return stopped;
}

}  // namespace

// Members in the order of construction: what uses an executor comes after its thread.
struct Master::Impl {
  Impl(const MasterOptions& options, MasterDependencies given, std::unique_ptr<MetaStore> opened)
      : options(options), dependencies(std::move(given)), store(std::move(opened)) {}

  Clock& clock() { return *dependencies.clock; }
  Status take_events();

  MasterOptions options;
  MasterDependencies dependencies;
  std::unique_ptr<MetaStore> store;
  BlockingPool sync_pool{1, sync_queue};
  BlockingPool store_pool{store_threads, store_queue};
  IoThread names{"hearth-names"};
  IoThread network{"hearth-net"};
  std::unique_ptr<HttpClient> http;  // of the stores that speak it; has no thread before the first request
  std::unique_ptr<MetadataService> metadata;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<MasterService> service;
  std::unique_ptr<RpcServer> server;
  std::vector<Address> bound;
  std::unique_ptr<MetricsServer> events;
  enum class State : std::uint8_t { made, running, stopped } state = State::made;
};

Status Master::Impl::take_events() {
  if (options.events_listen.empty()) return ok();
  const master::EventIntakeOptions intake{.listen = options.events_listen, .token_file = options.events_token_file};
  auto started = master::start_event_intake(intake, [this](std::vector<master::StoreEvent> told) -> Status {
    const auto taken = names.run_sync(metadata->store_changed(std::move(told)));
    return taken ? ok() : Status(taken.error());
  });
  if (!started) return std::move(started).error();
  events = std::move(started).value();
  log_info("master_takes_events", {{"port", events->port()}});
  return ok();
}

Master::Master(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Master::~Master() {
  if (impl_->state == Impl::State::running) {
    const Status stopped = stop(std::chrono::seconds(1));
    if (!stopped) log_warn("master_stop_failed", {{"error", stopped.error().to_string()}});
  }
}

Result<std::unique_ptr<Master>> Master::start(const MasterOptions& options, MasterDependencies dependencies) {
  if (options.data_dir.empty()) {
    return Error(Code::invalid_argument, "the master has no data directory; set master.data_dir");
  }
  if (options.listen.empty()) {
    return Error(Code::invalid_argument, "the master listens nowhere; set master.listen, for example 127.0.0.1:19800");
  }
  std::vector<Address> addresses;
  for (const std::string& text : options.listen) {
    TRY(address, Address::parse(text));
    addresses.push_back(std::move(address));
  }
  if (dependencies.clock == nullptr) dependencies.clock = &real_clock();
  if (!dependencies.make_transport) dependencies.make_transport = make_socket_transport;

  master::RocksdbOptions database;
  database.directory = options.data_dir;
  database.cache_bytes = options.rocksdb_cache_bytes;
  TRY(store, master::open_rocksdb_meta_store(database));
  auto impl = std::make_unique<Impl>(options, std::move(dependencies), std::move(store));
  impl->http = make_http_client(HttpClientOptions(), impl->clock());
  if (!impl->dependencies.open_store) {
    impl->dependencies.open_store = master::default_store_opener(impl->store_pool, impl->clock(), *impl->http);
  }

  MetadataOptions metadata;
  metadata.default_metadata_ttl = options.default_metadata_ttl;
  metadata.store_deadline = options.store_deadline;
  metadata.store_calls_at_once = store_calls_at_once;
  metadata.max_inodes = options.max_inodes;
  const MetadataService::Parts metadata_parts{impl->names.executor(), impl->clock(), *impl->store,
                                              impl->sync_pool, impl->store_pool, impl->dependencies.open_store};
  TRY(service, MetadataService::open(metadata_parts, metadata, system_rng().next()));
  impl->metadata = std::move(service);
  const Status begun = options.policy_file.empty() ? ok() : begin_with_policy_file(*impl->metadata, options.policy_file);
  if (!begun) return give_up(impl->names, *impl->metadata, impl->clock(), begun.error());
  impl->transport = impl->dependencies.make_transport(impl->network.executor());
  const MasterService::Parts service_parts{impl->network.executor(), impl->names.executor(), impl->clock(),
                                           *impl->transport, *impl->metadata};
  master::ServiceOptions serving;
  serving.version = options.version;
  serving.heartbeat_interval = options.heartbeat_interval;
  serving.lost_after = options.lost_after;
  serving.default_metadata_ttl = options.default_metadata_ttl;
  serving.push_timeout = options.push_timeout;
  serving.trust_tcp_callers = options.trust_tcp_callers;
  serving.locks = {.lease = options.lock_lease, .sessions_file = options.data_dir + "/lock_sessions"};
  impl->service = std::make_unique<MasterService>(service_parts, serving);
  const RpcContext context{impl->network.executor(), *impl->transport, impl->clock(), RpcLimits()};
  impl->server = make_rpc_server(context);
  impl->service->serve(*impl->server);

  std::unique_ptr<Master> self(new Master(std::move(impl)));
  Impl& running = *self->impl_;
  running.state = Impl::State::running;  // from here on the destructor stops it
  Status listening = ok();
  for (const Address& address : addresses) {
    listening = running.server->listen(address, options.socket_mode);
    if (!listening) break;
  }
  running.bound = running.server->bound();
  if (listening) listening = running.service->start();
  running.names.start();
  running.network.start();
  if (!listening) return std::move(listening).error().with_context("the master cannot listen");
  CHECK_OK(running.take_events());
  for (const Address& address : running.bound) log_info("master_listening", {{"address", address.to_string()}});
  return self;
}

std::vector<Address> Master::bound() const { return impl_->bound; }
std::uint16_t Master::events_port() const { return impl_->events ? impl_->events->port() : 0; }

Result<MasterHealth> Master::health() {
  if (impl_->state != Impl::State::running) return Error(Code::unavailable, "the master is stopped");
  TRY(now, impl_->network.run_sync(impl_->service->snapshot()));
  MasterHealth out;
  out.inode_count = now.inode_count;
  out.block_location_count = now.block_location_count;
  out.attachment_count = now.attachment_count;
  out.live_workers = now.live_workers;
  out.lost_workers = now.lost_workers;
  out.cluster_id = now.cluster_id;
  return out;
}

Status Master::stop(Duration grace) {
  if (impl_->state != Impl::State::running) return ok();
  impl_->state = Impl::State::stopped;
  impl_->events.reset();  // before what it calls
  const Deadline deadline = Deadline::after(impl_->clock(), grace);
  const Status network = impl_->network.run_sync(stop_network(*impl_->server, *impl_->service, deadline));
  const Status names = impl_->names.run_sync(impl_->metadata->stop(deadline));
  impl_->network.stop();
  impl_->names.stop();
  impl_->server.reset();
  impl_->service.reset();
  impl_->metadata.reset();
  impl_->transport.reset();
  impl_->store.reset();
  log_info("master_stopped");
  if (!network) return network;
  return names;
}

}  // namespace hearth

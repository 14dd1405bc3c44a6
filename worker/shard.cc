#include "worker/shard.h"

#include "common/log.h"
#include "proto/hearth.pb.h"
#include "worker/block_handlers.h"
#include "worker/grant_handler.h"
#include "worker/master_link.h"
#include "worker/observe_handlers.h"
#include "worker/prefetch.h"
#include "worker/read_handler.h"
#include "worker/read_many_handler.h"
#include "worker/store_files.h"
#include "worker/service.h"
#include "worker/wire.h"

#include <algorithm>
#include <utility>

namespace hearth::worker {

namespace {
constexpr Duration announce_within = std::chrono::seconds(1);
constexpr Duration deregister_within = std::chrono::seconds(2);
constexpr Duration cancelled_fetches_end_within = std::chrono::seconds(1);
constexpr Duration gauge_interval = std::chrono::seconds(1);

// One hung under-store holds at most half of the threads that may block.
AttachmentLimits limits_of(const WorkerOptions& options) {
  const auto half = static_cast<std::uint32_t>(std::max<std::size_t>(options.blocking_threads / 2, 1));
  return AttachmentLimits{std::min(options.fetch_parallelism, half), options.max_waiting_fetches};
}
}  // namespace

Shard::Shard(ShardContext context, WorkerOptions options)
    : options_(std::move(options)), executor_(context.executor), clock_(context.clock), rng_(context.rng),
      store_pool_(context.store_pool),
      compute_pool_(context.compute_pool),
      open_device_(context.open_device ? std::move(context.open_device) : open_disk), id_{options_.worker_id}, transport_(std::move(context.transport)),
      attachments_(executor_, context.store_pool, std::move(context.open_store), limits_of(options_)),
      background_(executor_, clock_), fetches_(executor_, clock_) {
  while (id_.value == 0) id_.value = rng_.next();
}

Shard::~Shard() = default;

Task<> Shard::start() {
  CO_CHECK_OK(make_parts());
  CO_CHECK_OK(co_await tiers_->start());
  co_return listen();
}

Status Shard::listen() {
  serve_calls();
  TRY(listen, Address::parse(options_.listen));
  CHECK_OK(server_->listen(listen));
  if (!options_.local_socket.empty()) {
    Address local;
    local.kind = Address::Kind::unix_socket;
    local.host = options_.local_socket;
    CHECK_OK(server_->listen(local, options_.local_socket_mode));
  }
  master_->start();
  CHECK_OK(background_.spawn(publish_gauges(), "gauges"));
  log_info("worker_started", {{"worker", id_.value}, {"address", advertised_address()},
                              {"local_socket", options_.local_socket},
                              {"capacity_bytes", options_.memory.capacity_bytes}});
  return ok();
}

Status Shard::make_parts() {
  TRY(master_address, Address::parse(options_.master));
  MemoryTierOptions memory = options_.memory;
  memory.run_elsewhere = [&pool = compute_pool_](std::function<void()> work) { return pool.run_unwatched(std::move(work)); };
  TRY(blocks, BlockStore::open(memory));
  blocks_ = std::move(blocks);
  TiersParts parts{executor_, clock_, *blocks_, compute_pool_, attachments_, counters_,
                   [this] { if (master_) master_->note_changes(); }};
  tiers_ = std::make_unique<Tiers>(std::move(parts), options_.nvme, open_device_, id_.value);
  const RpcContext rpc{executor_, *transport_, clock_, RpcLimits{}};
  server_ = make_rpc_server(rpc);

  LinkSource source;
  source.describe = [this](proto::WorkerInfo& info) { describe(info); };
  source.take_changes = [this] { return tiers_->take_changes(); };
  source.all_blocks = [this] { return tiers_->all_blocks(); };
  source.policy_changed = [this](std::shared_ptr<const policy::Policy> changed) {
    tiers_->set_policy(std::move(changed));
  };
  master_ = std::make_unique<MasterLink>(options_, id_, make_rpc_channel(rpc, master_address), std::move(source),
                                         attachments_, background_, clock_, rng_, counters_);

  FetcherOptions fetching;
  fetching.through_bytes = options_.through_bytes;
  fetching.max_waiting = options_.max_waiting_fetches;
  fetching.fetch_timeout = options_.fetch_timeout;
  FetcherEvents events;
  events.presence_changed = [this] { master_->note_changes(); };
  events.no_room = [this](std::uint64_t bytes) { grants_->recall(bytes); };
  fetcher_ = std::make_unique<PageFetcher>(*blocks_, *tiers_, attachments_, compute_pool_, fetches_, clock_, counters_,
                                           fetching, std::move(events));

  const PrefetchOptions prefetching{options_.readahead_pages, options_.fetch_parallelism, options_.fetch_timeout};
  prefetcher_ = std::make_unique<Prefetcher>(PrefetchParts{clock_, *tiers_, *fetcher_, attachments_, fetches_, counters_}, prefetching);

  service_ = std::unique_ptr<Service>(
      new Service{options_, clock_, *tiers_, attachments_, *fetcher_, *prefetcher_, *master_, counters_});
  grants_ = std::make_unique<GrantHandler>(*service_, *server_);
  reads_ = std::make_unique<ReadHandler>(*service_, *grants_);
  batches_ = std::make_unique<ReadManyHandler>(*service_, executor_);
  store_files_ = std::make_unique<StoreFiles>(*service_, store_pool_);
  block_calls_ = std::make_unique<BlockHandlers>(*service_);
  observe_calls_ = std::make_unique<ObserveHandlers>(*service_);
  return ok();
}

void Shard::serve_calls() {
  using Call = std::shared_ptr<ServerCall>;
  const auto on = [this](Method method, Operation operation) {
    serve(*server_, clock_, method, std::move(operation));
  };
  on(Method::read, [this](Call call) { return reads_->read(std::move(call)); });
  on(Method::read_many, [this](Call call) { return batches_->read_many(std::move(call)); });
  on(Method::grant, [this](Call call) { return grants_->grant(std::move(call)); });
  on(Method::release, [this](Call call) { return grants_->release(std::move(call)); });
  on(Method::open_store_file, [this](Call call) { return store_files_->open(std::move(call)); });
  on(Method::publish_store_file, [this](Call call) { return store_files_->publish(std::move(call)); });
  on(Method::load, [this](Call call) { return block_calls_->load(std::move(call)); });
  on(Method::free_blocks, [this](Call call) { return block_calls_->free_blocks(std::move(call)); });
  on(Method::report_corrupt, [this](Call call) { return block_calls_->report_corrupt(std::move(call)); });
  on(Method::block_status, [this](Call call) { return block_calls_->block_status(std::move(call)); });
  on(Method::whatif, [this](Call call) { return observe_calls_->whatif(std::move(call)); });
  on(Method::trace, [this](Call call) { return observe_calls_->trace(std::move(call)); });
  on(Method::worker_status, [this](Call call) { return worker_status(std::move(call)); });
  server_->on_disconnect([this](ConnectionId connection) {
    reads_->disconnected(connection);
    grants_->disconnected(connection);
  });
}

Task<> Shard::stop(Duration grace_period) {
  if (!server_) co_return ok();
  const Deadline grace = Deadline::after(clock_, grace_period);
  log_info("worker_draining", {{"worker", id_.value}});
  const Deadline announced = grace.sooner_of(Deadline::after(clock_, announce_within));
  co_await master_->announce_draining(announced);
  Status served = co_await server_->stop(grace);
  if (!served) log_warn("calls_cut_off", {{"why", served.error().to_string()}});
  const Deadline deregistered = Deadline::after(clock_, deregister_within);
  co_await master_->stop(deregistered);
  attachments_.close();
  fetcher_->close();
  prefetcher_->close();
  background_.cancel();
  co_await background_.join();
  const Deadline fetched = Deadline::at(std::max(grace.when(), clock_.now()));
  Status ended = co_await end_fetches(fetched);
  Status closed = co_await tiers_->stop(grace);
  // Other failures of a device cost what it held; this one leaves calls behind that use our memory.
  if (ended && closed.code() == Code::deadline_exceeded) ended = std::move(closed);
  log_info("worker_stopped", {{"worker", id_.value}});
  co_return ended;
}

Task<> Shard::end_fetches(Deadline deadline) {
  Status drained = co_await fetches_.drain(deadline);
  if (drained) co_return ok();
  fetches_.cancel();
  const Deadline last = Deadline::after(clock_, cancelled_fetches_end_within);
  Status cancelled = co_await fetches_.drain(last);
  if (cancelled) co_return ok();
  co_return Error(Code::deadline_exceeded, std::to_string(fetches_.size()) +
                                               " reads hang in an under-store and cannot be given up; end the process");
}

std::vector<Address> Shard::bound() const { return server_ ? server_->bound() : std::vector<Address>{}; }

std::string Shard::advertised_address() const {
  if (!options_.advertise.empty()) return options_.advertise;
  for (Address address : bound()) {
    if (address.kind != Address::Kind::tcp) continue;
    const bool any = address.host == "0.0.0.0" || address.host == "::";
    if (any && !options_.host.empty()) address.host = options_.host;  // nobody can dial "any address"
    return address.to_string();
  }
  return "";
}

void Shard::describe(proto::WorkerInfo& info) const {
  const MemoryTierStats tier = blocks_->stats();
  std::uint64_t capacity_bytes = 0;
  std::uint64_t used_bytes = 0;
  for (const TierStatus& status : tiers_->status()) {
    tier_to_wire(status, *info.add_tiers());
    if (status.state != "absent") capacity_bytes += status.capacity_bytes;
    used_bytes += status.used_bytes;
  }
  info.set_worker_id(id_.value);
  info.set_host(options_.host);
  info.set_address(advertised_address());
  info.set_local_socket(options_.local_socket);
  info.set_capacity_bytes(capacity_bytes);
  info.set_used_bytes(used_bytes);
  info.set_state(master_->draining() ? proto::WorkerInfo::DRAINING : proto::WorkerInfo::LIVE);
  info.set_version(options_.version);
  info.set_block_count(tier.blocks);
  info.set_leased_bytes(tier.leased_bytes + tier.orphaned_bytes);
  info.set_hit_bytes(counters_.hit_bytes());
  info.set_miss_bytes(counters_.miss_bytes());
  info.set_fetched_bytes(counters_.store_read_bytes());
  info.set_fetches(counters_.store_reads());
}

Task<ServerReply> Shard::worker_status(std::shared_ptr<ServerCall> call) {
  proto::WorkerStatusRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  const MemoryTierStats tier = blocks_->stats();
  proto::WorkerStatusReply body;
  describe(*body.mutable_worker());
  master_->describe_policy(*body.mutable_worker());
  body.set_resident_bytes(tier.resident_bytes);
  body.set_in_flight_bytes(tier.filling_bytes + fetcher_->through_bytes_in_use());
  body.set_evicted_bytes(tier.evicted_bytes);
  body.set_store_read_bytes(counters_.store_read_bytes());
  body.set_store_reads(counters_.store_reads());
  body.set_corrupt_chunks(std::max(tier.corrupt_chunks, counters_.corrupt_pages()));
  body.set_short_circuit_grants(counters_.grants());
  body.set_huge_pages(tier.huge_pages);
  body.set_metrics_address(options_.metrics_address);
  co_return reply_with(body);
}

Task<> Shard::publish_gauges() {
  while (true) {
    counters_.tier(blocks_->stats());
    Status slept = co_await clock_.sleep_for(gauge_interval);
    if (!slept) co_return ok();
  }
}

ShardStatus Shard::status() const {
  ShardStatus status;
  if (!blocks_) return status;
  status.tier = blocks_->stats();
  if (tiers_) status.tiers = tiers_->status();
  status.hit_bytes = counters_.hit_bytes();
  status.miss_bytes = counters_.miss_bytes();
  status.store_reads = counters_.store_reads();
  status.store_read_bytes = counters_.store_read_bytes();
  status.through_bytes = counters_.through_bytes();
  status.corrupt_pages = counters_.corrupt_pages();
  status.grants = counters_.grants();
  status.fetches_running = fetcher_->running();
  status.prefetch_jobs = prefetcher_->jobs();
  status.registered = master_->registered();
  status.draining = master_->draining();
  return status;
}

}  // namespace hearth::worker

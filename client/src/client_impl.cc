#include "client/src/client_impl.h"

#include "common/block_wire.h"
#include "common/log.h"
#include "proto/hearth.pb.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <thread>

namespace hearth {
namespace {

using std::chrono::seconds;
constexpr Duration stop_within = seconds(5);

// Each grant keeps a descriptor; a quarter of what the process may open leaves the rest to the program.
std::size_t max_grants() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 256;
  return static_cast<std::size_t>(std::clamp<rlim_t>(limit.rlim_cur / 4, 16, 1U << 20));
}

}  // namespace

ClientImpl::Parts::Parts(ClientImpl& client, Address address)
    : transport(make_socket_transport(client.io_->executor())),
      group(client.io_->executor()),
      master(std::make_shared<client::MasterLink>(
          RpcContext{client.io_->executor(), *transport, client.clock_, RpcLimits{}}, client.clock_, address)),
      peers(RpcContext{client.io_->executor(), *transport, client.clock_, RpcLimits{}}, master,
            client.options_.connections_per_worker,
            client::Peers::Events{
                .recalled = [&client](WorkerId worker, std::vector<std::uint64_t> leases) { client.grants_->recall(worker, leases); },
                .lost = [&client](WorkerId worker, std::uint64_t connection) { client.grants_->drop_connection(worker, connection); }}),
      resolver(client.options_, client.clock_, client.io_->executor(), master, peers),
      stores(client.clock_),
      keeper(client.clock_, group, peers, *client.grants_),
      engine(client::ReadEngine::Parts{client.options_, client.clock_, group, *master, peers, resolver, stores, keeper, *client.packed_, client.counters_}),
      batches(engine.parts(), engine),
      locks(RpcContext{client.io_->executor(), *transport, client.clock_, RpcLimits{}}, group, std::move(address)),
      subscription(client.clock_, group, master, [&client](const ChangeNotice& notice, std::function<void()> done) {
        client.act_on(notice, std::move(done));
      }) {}

ClientImpl::ClientImpl(const ClientOptions& options, Address master)
    : options_(options), clock_(real_clock()),
      grants_(std::make_unique<client::GrantCache>(options.max_mapped_bytes, max_grants())),
      packed_(std::make_unique<client::PackedPlaces>(options.max_cached_paths, *grants_)), io_(std::make_unique<IoThread>("hearth-client")) {
  io_->start();
  parts_ = std::make_unique<Parts>(*this, std::move(master));
}

Task<> ClientImpl::stop_parts(Parts* parts) {
  (void)co_await parts->locks.end();
  parts->locks.close();
  parts->subscription.end();
  parts->keeper.close();
  parts->peers.close();
  parts->master->close();
  Status drained = co_await parts->group.drain(Deadline::after(real_clock(), stop_within));
  if (!drained) {
    parts->group.cancel();
    drained = co_await parts->group.drain(Deadline::after(real_clock(), stop_within));
  }
  co_return drained;
}

ClientImpl::~ClientImpl() {
  Status stopped = usable();
  if (stopped) {
    grants_->clear();
    stopped = io_->run_sync(stop_parts(parts_.get()));
    if (!stopped) log_error("client_stop_failed", {{"why", stopped.error().to_string()}});
  }
  if (!stopped) {
    // In a forked child the threads behind these are the parent's; after a hung under-store read they are still at
    // work. Only forgetting them is safe.
    struct Forgotten {
      std::unique_ptr<client::GrantCache> grants;
      std::unique_ptr<client::PackedPlaces> packed;
      std::unique_ptr<Parts> parts;
      std::unique_ptr<IoThread> io;
      Forgotten* next;
    };
    static std::atomic<Forgotten*> all{nullptr};  // so that they are not taken for leaks
    auto* forgotten = new Forgotten{std::move(grants_), std::move(packed_), std::move(parts_), std::move(io_), nullptr};  // tidy-allow(raw-new): never deleted
    forgotten->next = all.exchange(forgotten);
    return;
  }
  std::binary_semaphore gone{0};
  post([this, &gone] {
    parts_.reset();
    gone.release();
  });
  gone.acquire();
}

Status ClientImpl::usable() const {
  if (!fork_.is_child()) return ok();
  return Error(Code::invalid_argument, "this client was made before fork(); connect again in the child process");
}

bool ClientImpl::on_io_thread() const { return io_->is_this_thread(); }

void ClientImpl::post(std::function<void()> work) { asio::post(io_->executor(), std::move(work)); }

Result<std::shared_ptr<ClientImpl>> ClientImpl::connect(const ClientOptions& options) {
  auto master = Address::parse(options.master);
  if (!master) return std::move(master).error().with_context("the master's address '" + options.master + "'");
  if (const Status tenant = check_tenant(options.tenant); !tenant) {
    return Error(Code::invalid_argument, "the client " + tenant.error().message());
  }
  auto made = std::make_unique<ClientImpl>(options, std::move(master).value());
  // The last reference may go in a callback, on the very thread that the destructor waits for.
  std::shared_ptr<ClientImpl> client(made.release(), [](ClientImpl* last) {
    std::unique_ptr<ClientImpl> owned(last);
    if (!owned->usable() || !owned->on_io_thread()) return;
    std::thread([owned = std::move(owned)]() mutable { owned.reset(); }).detach();  // tidy-allow(thread-detach): nobody is left to join it; it ends in 2 * stop_within
  });
  CHECK_OK(client->wait(client->connect_task()));
  return client;
}

// Proves that a master of this protocol is there, and loads the worker table so that the first read knows its way.
Task<> ClientImpl::connect_task() {
  const Deadline deadline = metadata_deadline();
  proto::MasterStatusReply reply;
  CO_CHECK_OK(co_await parts_->master->call(Method::master_status, std::string(), &reply,
                                            client::MasterRetry::until_deadline, deadline));
  CO_CHECK_OK(co_await parts_->peers.refresh(client::Freshness::refreshed, deadline));
  if (!options_.subscribe) co_return ok();
  Status begun = co_await parts_->subscription.begin(deadline);
  co_return begun;
}

Task<> ClientImpl::obtain_grant(std::shared_ptr<FileImpl> file, std::size_t block, client::GrantOf what) {
  return parts_->keeper.obtain(std::move(file), block, what, Deadline::after(clock_, options_.attempt_deadline));
}

Task<> ClientImpl::fill(std::shared_ptr<FileImpl> file, std::uint64_t offset, std::uint64_t length) {
  return parts_->engine.fill(std::move(file), offset, length, Deadline::after(clock_, options_.attempt_deadline));
}

Task<> ClientImpl::read(std::shared_ptr<FileImpl> file, std::span<std::byte> into, std::uint64_t offset) {
  return parts_->engine.read(std::move(file), into, offset, Deadline::after(clock_, options_.read_deadline));
}

Task<std::uint64_t> ClientImpl::load(std::shared_ptr<FileImpl> file, std::uint64_t offset, std::uint64_t length) {
  return parts_->engine.load(std::move(file), offset, length);
}

Task<std::uint64_t> ClientImpl::resident_bytes(std::shared_ptr<FileImpl> file) {
  return parts_->engine.resident_bytes(std::move(file));
}

void ClientImpl::read_ahead(std::shared_ptr<FileImpl> file, std::uint64_t position) {
  post([this, file = std::move(file), position] { parts_->engine.read_ahead(file, position); });
}

void ClientImpl::fill_ahead(std::shared_ptr<FileImpl> file, std::uint64_t position) {
  post([this, file = std::move(file), position] { parts_->engine.fill_ahead(file, position); });
}

void ClientImpl::report_corrupt(std::shared_ptr<FileImpl> file, std::size_t block, std::uint64_t block_offset, WorkerId worker) {
  post([this, file = std::move(file), block, block_offset, worker] {
    parts_->engine.report_corrupt(file, block, block_offset, worker);
  });
}

}  // namespace hearth

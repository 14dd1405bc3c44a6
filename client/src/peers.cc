#include "client/src/peers.h"

#include "client/src/convert.h"
#include "client/src/placement.h"
#include "common/log.h"
#include "common/net/channel_pool.h"
#include "proto/hearth.pb.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>

namespace hearth::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
constexpr Duration load_within = milliseconds(500);  // reads must not wait longer for a master that is away
constexpr Duration pause_after_failure = seconds(1);
constexpr Duration table_max_age = seconds(5);
constexpr Duration probe_within = milliseconds(500);
constexpr Duration probe_again_after = seconds(2);
constexpr Duration first_suspicion = seconds(1);
constexpr Duration longest_suspicion = seconds(30);
constexpr std::size_t ranked_workers = 3;

bool socket_exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

}  // namespace


Peers::Peers(RpcContext context, std::shared_ptr<MasterLink> master, std::uint32_t connections_per_worker, Events events)
    : context_(context), master_(std::move(master)), connections_per_worker_(connections_per_worker),
      events_(std::move(events)), table_(std::make_shared<WorkerTable>()) {}

WorkerTablePtr Peers::table() const {
  std::lock_guard lock(table_mutex_);
  return table_;
}

void Peers::saw_table_version(std::uint64_t version) {
  if (version == table()->version) return;
  wanted_version_ = version;
}

bool Peers::wants_background_refresh() {
  const TimePoint now = context_.clock.now();
  return !closed_ && !loading_ && now >= next_try_ && now >= loaded_at_ + table_max_age;
}

Task<> Peers::refresh(Freshness freshness, Deadline deadline) {
  const TimePoint now = context_.clock.now();
  const bool outdated = loaded_at_ == TimePoint{} || (wanted_version_ != 0 && wanted_version_ != table()->version);
  if (closed_ || (!outdated && freshness == Freshness::whatever_is_known)) co_return ok();
  if (loading_) {
    co_await Signal::wait(loading_);
    co_return ok();
  }
  if (now < next_try_) co_return ok();
  auto done = std::make_shared<Signal>();
  loading_ = done;
  Status loaded = co_await load_table(deadline.sooner_of(Deadline::after(context_.clock, load_within)));
  if (!loaded) {
    next_try_ = context_.clock.now() + pause_after_failure;
    log_debug("worker_table_not_loaded", {{"why", loaded.error().to_string()}});
  }
  loading_.reset();
  done->set(context_.executor);
  co_return ok();
}

Task<> Peers::load_table(Deadline deadline) {
  proto::WorkersReply reply;
  CO_CHECK_OK(co_await master_->call(Method::workers, std::string(), &reply, MasterRetry::once, deadline));
  auto table = std::make_shared<WorkerTable>();
  table->version = reply.worker_table_version();
  for (const auto& worker : reply.workers()) table->workers.push_back(to_worker(worker));
  loaded_at_ = context_.clock.now();
  wanted_version_ = 0;
  forget_departed(*table);
  std::set<std::string> paths;
  for (const WorkerStatus& worker : table->workers) {
    if (worker.state != "lost" && !worker.local_socket.empty()) paths.insert(worker.local_socket);
  }
  {
    std::lock_guard lock(table_mutex_);
    table_ = std::move(table);
  }
  std::vector<std::string> list(paths.begin(), paths.end());
  Status probed = co_await probe_sockets(std::move(list), deadline);
  update_has_local();
  co_return probed;
}

// Channels of workers that are gone, lost or moved are closed, so that their calls end at once.
void Peers::forget_departed(const WorkerTable& table) {
  for (auto entry = remote_.begin(); entry != remote_.end();) {
    const auto known = std::find_if(table.workers.begin(), table.workers.end(), [&](const WorkerStatus& worker) {
      return worker.id == entry->first.value && worker.state != "lost" && worker.address == remote_address_[entry->first];
    });
    if (known != table.workers.end()) {
      ++entry;
      continue;
    }
    entry->second->close();
    remote_address_.erase(entry->first);
    entry = remote_.erase(entry);
  }
}

Task<> Peers::probe_sockets(std::vector<std::string> paths, Deadline deadline) {
  for (const std::string& path : paths) {
    if (!socket_exists(path)) continue;
    LocalSocket& socket = local_[path];
    const TimePoint now = context_.clock.now();
    if (socket.worker.value != 0 || now < socket.next_probe) continue;
    socket.next_probe = now + probe_again_after;
    Status probed = co_await probe(path, deadline.sooner_of(Deadline::after(context_.clock, probe_within)));
    if (!probed) log_debug("local_socket_not_usable", {{"path", path}, {"why", probed.error().to_string()}});
  }
  co_return ok();
}

void Peers::open_local(const std::string& path, LocalSocket& socket) {
  Address address;
  address.kind = Address::Kind::unix_socket;
  address.host = path;
  socket.channel = make_rpc_channel(context_, std::move(address));
  socket.channel->on_disconnect([this, path] {
    const auto found = local_.find(path);
    if (found == local_.end()) return;
    const WorkerId worker = std::exchange(found->second.worker, WorkerId{});
    const std::uint64_t connection = std::exchange(found->second.connection, 0);
    found->second.next_probe = TimePoint{};
    loaded_at_ = std::min(loaded_at_, context_.clock.now() - table_max_age);  // look for its successor
    update_has_local();
    if (worker.value != 0 && !closed_) events_.lost(worker, connection);
  });
  socket.channel->on_notice([this, path](Method method, std::string body) {
    const auto found = local_.find(path);
    proto::RecallNotice notice;
    if (method != Method::recall || found == local_.end() || !notice.ParseFromString(body)) return;
    std::vector<std::uint64_t> leases(notice.lease_ids().begin(), notice.lease_ids().end());
    if (!closed_) events_.recalled(found->second.worker, std::move(leases));
  });
}

// Asks the process behind a socket which worker it is.
Task<> Peers::probe(std::string path, Deadline deadline) {
  LocalSocket& socket = local_[path];
  if (!socket.channel) open_local(path, socket);
  RpcCall call;
  call.method = Method::worker_status;
  proto::WorkerStatusReply reply;
  auto answer = co_await call_and_decode(socket.channel, std::move(call), &reply, deadline);
  if (!answer) co_return std::move(answer).error();
  LocalSocket& answered = local_[path];
  answered.worker = WorkerId{reply.worker().worker_id()};
  answered.connection = next_connection_++;
  co_return ok();
}

const WorkerStatus* Peers::find(WorkerId worker) const {
  for (const WorkerStatus& known : table_->workers) {
    if (known.id == worker.value) return &known;
  }
  return nullptr;
}

bool Peers::is_local(WorkerId worker) const {
  return std::any_of(local_.begin(), local_.end(), [worker](const auto& entry) { return entry.second.worker == worker; }) &&
         worker.value != 0;
}

bool Peers::is_live(WorkerId worker) const {
  const WorkerStatus* known = find(worker);
  return known != nullptr && known->state == "live";
}

void Peers::update_has_local() {
  bool any = false;
  for (const WorkerStatus& worker : table_->workers) {
    any = any || (worker.state != "lost" && is_local(WorkerId{worker.id}));
  }
  has_local_.store(any, std::memory_order_relaxed);
}

std::uint64_t Peers::connection_of(WorkerId worker) const {
  for (const auto& [path, socket] : local_) {
    if (socket.worker == worker && worker.value != 0) return socket.connection;
  }
  return 0;
}

std::optional<Reach> Peers::local_worker() {
  for (const WorkerStatus& worker : table_->workers) {
    const WorkerId id{worker.id};
    if (worker.state == "live" && is_local(id) && !is_suspect(id)) return reach(id);
  }
  return std::nullopt;
}

std::optional<Reach> Peers::reach(WorkerId worker) {
  if (closed_ || worker.value == 0) return std::nullopt;
  for (auto& [path, socket] : local_) {
    if (socket.worker == worker) {
      return Reach{.worker = worker, .channel = socket.channel, .local = true, .connection = socket.connection};
    }
  }
  const WorkerStatus* known = find(worker);
  if (known == nullptr || known->state == "lost") return std::nullopt;
  auto& channel = remote_[worker];
  if (!channel) {
    auto address = Address::parse(known->address);
    if (!address) {
      remote_.erase(worker);
      return std::nullopt;
    }
    const ChannelPoolOptions pool{.max_connections = connections_per_worker_};
    channel = make_channel_pool(context_, std::move(address).value(), pool);
    remote_address_[worker] = known->address;
  }
  return Reach{.worker = worker, .channel = channel, .local = false, .connection = 0};
}

std::vector<WorkerId> Peers::candidates(const BlockRef& block, std::span<const WorkerId> holders,
                                        AttachmentOptions::Placement placement, std::vector<WorkerId>& suspects) {
  std::vector<WorkerId> order;
  const auto add = [&](WorkerId worker) {
    const WorkerStatus* known = find(worker);
    if (known == nullptr || known->state == "lost") return;
    auto& list = is_suspect(worker) ? suspects : order;
    if (std::find(list.begin(), list.end(), worker) == list.end()) list.push_back(worker);
  };
  for (const WorkerId holder : holders) {
    if (is_local(holder)) add(holder);
  }
  std::vector<PlacementCandidate> holding;
  std::vector<PlacementCandidate> live;
  for (const WorkerStatus& worker : table_->workers) {
    const WorkerId id{worker.id};
    // Every holder has one weight: all of them have the bytes, the hash only spreads the blocks over them.
    if (std::find(holders.begin(), holders.end(), id) != holders.end()) holding.push_back({id, 1});
    if (worker.state == "live") live.push_back({id, worker.capacity_bytes});
  }
  for (const WorkerId holder : place(block.id, holding, ranked_workers)) add(holder);
  if (placement == AttachmentOptions::Placement::local_first) {
    for (const PlacementCandidate& worker : live) {
      if (is_local(worker.worker)) add(worker.worker);
    }
  }
  for (const WorkerId worker : place(block.id, live, ranked_workers)) add(worker);
  return order;
}

void Peers::suspect(WorkerId worker) {
  Suspicion& suspicion = suspicions_[worker];
  suspicion.length = suspicion.length == Duration{} ? first_suspicion : std::min<Duration>(suspicion.length * 2, longest_suspicion);
  suspicion.until = context_.clock.now() + suspicion.length;
  loaded_at_ = std::min(loaded_at_, context_.clock.now() - table_max_age);
}

bool Peers::is_suspect(WorkerId worker) const {
  const auto found = suspicions_.find(worker);
  return found != suspicions_.end() && context_.clock.now() < found->second.until;
}

void Peers::close() {
  closed_ = true;
  for (auto& [worker, channel] : remote_) channel->close();
  for (auto& [path, socket] : local_) {
    if (socket.channel) socket.channel->close();
  }
}

}  // namespace hearth::client

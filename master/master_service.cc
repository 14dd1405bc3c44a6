#include "master/master_service.h"

#include "common/log.h"
#include "master/metrics.h"
#include "master/run_on.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace hearth::master {

namespace {

constexpr std::size_t shards_per_turn = 16;

}  // namespace

MasterService::MasterService(Parts parts, ServiceOptions options)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      started_at_ns_(parts_.clock.wall_now().time_since_epoch().count()),
      tasks_(parts_.network, parts_.clock),
      board_(parts_.network, parts_.clock),
      // An epoch of an earlier run must never be taken for one of this run.
      membership_(options_.lost_after, parts_.metadata.run() << 32),
      locks_(parts_.network, parts_.clock, options_.locks),
      subscribers_([this](std::span<const ConnectionId> to, const Notice& notice) { send_notice(to, notice); }) {
  // The namespace thread publishes; the copy that heartbeats read changes on this thread. It is posted before
  // the attach is answered, so whoever saw the answer finds the attachment here.
  parts_.metadata.on_attachments_changed([this](AttachmentsView view) {
    asio::post(parts_.network, [this, view = std::move(view)]() mutable { attachments_ = std::move(view); });
  });
  parts_.metadata.on_policy_changed([this](std::uint64_t version) {
    asio::post(parts_.network, [this, version] { policy_version_ = version; });
  });
  parts_.metadata.on_news([this](std::vector<NameNews> news) {
    asio::post(parts_.network, [this, news = std::move(news)] { subscribers_.mention(news); });
  });
}

void MasterService::add(RpcServer& server, Method method, Operation operation) {
  server.handle(method, [this, operation](Call call) { return timed(std::move(call), operation); });
}

void MasterService::serve(RpcServer& server) {
  add(server, Method::stat, &MasterService::stat);
  add(server, Method::list, &MasterService::list);
  add(server, Method::resolve, &MasterService::resolve);
  add(server, Method::locate, &MasterService::locate);
  add(server, Method::workers, &MasterService::workers);
  add(server, Method::attach, &MasterService::attach);
  add(server, Method::detach, &MasterService::detach);
  add(server, Method::attachments, &MasterService::attachments);
  add(server, Method::free_path, &MasterService::free_path);
  add(server, Method::bad_location, &MasterService::bad_location);
  add(server, Method::master_status, &MasterService::master_status);
  add(server, Method::policy_get, &MasterService::policy_get);
  add(server, Method::policy_list, &MasterService::policy_list);
  add(server, Method::policy_apply, &MasterService::policy_apply);
  add(server, Method::policy_rollback, &MasterService::policy_rollback);
  add(server, Method::register_worker, &MasterService::register_worker);
  add(server, Method::heartbeat, &MasterService::heartbeat);
  add(server, Method::deregister_worker, &MasterService::deregister_worker);
  add(server, Method::stat_many, &MasterService::stat_many);
  add(server, Method::resolve_many, &MasterService::resolve_many);
  add(server, Method::change, &MasterService::change);
  add(server, Method::remove_tree, &MasterService::remove_tree);
  add(server, Method::xattr, &MasterService::xattr);
  add(server, Method::lock, &MasterService::lock);
  add(server, Method::subscribe, &MasterService::subscribe);
  add(server, Method::space, &MasterService::space);
  server_ = &server;
  server.on_disconnect([this](ConnectionId connection) { lost_connection(connection); });
}

MasterService::Answer MasterService::timed(Call call, Operation operation) {
  const TimePoint began = parts_.clock.now();
  const std::string method(name(call->method()));
  Result<ServerReply> reply = co_await (this->*operation)(std::move(call));
  metrics().histogram(request_seconds, {method}).observe(parts_.clock.now() - began);
  if (!reply) metrics().counter(request_errors_total, {method, std::string(name(reply.code()))}).add();
  co_return reply;
}

Status MasterService::start() { return tasks_.spawn(watch(), "watch_workers"); }

Task<> MasterService::stop(Deadline deadline) {
  tasks_.cancel();
  co_return co_await tasks_.drain(deadline);
}

Task<> MasterService::watch() {
  const Duration shortest = std::min(options_.lost_after, options_.locks.lease);
  const Duration pause = std::min<Duration>(shortest / 10, std::chrono::milliseconds(200));
  for (;;) {
    CO_CHECK_OK(co_await parts_.clock.sleep_for(pause));
    for (const WorkerId worker : membership_.expire(parts_.clock.now())) {
      log_warn("worker_lost", {{"worker", worker.value}});
      metrics().counter(workers_lost_total).add();
    }
    for (auto line = lines_.begin(); line != lines_.end();) {
      const bool known = membership_.address(line->first) == line->second.address;
      line = known ? std::next(line) : lines_.erase(line);
    }
    while (membership_.blocks().needs_sweep()) {
      for (std::size_t i = 0; i < shards_per_turn; ++i) membership_.blocks().sweep_step();
      co_await asio::post(parts_.network, asio::use_awaitable);
    }
    locks_.expire(tasks_);
    set_gauges();
  }
}

void MasterService::set_gauges() {
  metrics().gauge(block_locations).set(static_cast<std::int64_t>(membership_.blocks().location_count()));
  metrics().gauge(master::subscribers, {"current"}).set(static_cast<std::int64_t>(subscribers_.size() - subscribers_.lagging()));
  metrics().gauge(master::subscribers, {"lagging"}).set(static_cast<std::int64_t>(subscribers_.lagging()));
  metrics().gauge(file_lock_sessions).set(static_cast<std::int64_t>(locks_.session_count()));
  metrics().gauge(file_locks, {"held"}).set(static_cast<std::int64_t>(locks_.lock_count()));
  metrics().gauge(file_locks, {"waiting"}).set(static_cast<std::int64_t>(locks_.wait_count()));
  metrics().gauge(master::attachments).set(static_cast<std::int64_t>(attachments_.rows.size()));
  metrics().gauge(master::policy_version).set(static_cast<std::int64_t>(policy_version_));
  metrics().gauge(master::workers, {"live"}).set(static_cast<std::int64_t>(membership_.count(WorkerState::live)));
  metrics().gauge(master::workers, {"draining"}).set(static_cast<std::int64_t>(membership_.count(WorkerState::draining)));
  metrics().gauge(master::workers, {"lost"}).set(static_cast<std::int64_t>(membership_.count(WorkerState::lost)));
}

namespace {

Task<std::uint64_t> count_inodes(MetadataService& metadata) {
  metrics().gauge(inodes).set(static_cast<std::int64_t>(metadata.inode_count()));
  co_return metadata.inode_count();
}

}  // namespace

Task<MasterSnapshot> MasterService::snapshot() {
  CO_TRY(inode_count, co_await run_on(parts_.names, count_inodes(parts_.metadata)));
  MasterSnapshot out;
  out.version = options_.version;
  out.started_at_ns = started_at_ns_;
  out.cluster_id = parts_.metadata.cluster_id();
  out.inode_count = inode_count;
  out.block_location_count = membership_.blocks().location_count();
  out.attachment_count = attachments_.rows.size();
  out.live_workers = membership_.count(WorkerState::live) + membership_.count(WorkerState::draining);
  out.lost_workers = membership_.count(WorkerState::lost);
  co_return out;
}

}  // namespace hearth::master

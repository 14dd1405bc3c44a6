#include "worker/master_link.h"

#include "common/block_wire.h"
#include "common/log.h"
#include "proto/hearth.pb.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace hearth::worker {

namespace {
constexpr Duration min_call_timeout = std::chrono::milliseconds(250);
constexpr std::size_t max_policy_problem_bytes = 1000;
constexpr std::size_t max_pending_reports = 400'000;  // ids; about 16 MiB, after which a full report is cheaper

std::vector<AttachedStore> attachments_of(const google::protobuf::RepeatedPtrField<proto::Attachment>& messages) {
  std::vector<AttachedStore> attachments;
  for (const proto::Attachment& message : messages) {
    AttachedStore attached;
    attached.id = AttachmentId{message.id()};
    attached.uri = message.uri();
    attached.path = message.path();
    const proto::AttachmentOptions& options = message.options();
    if (options.block_size_bytes() != 0) attached.block_size_bytes = options.block_size_bytes();
    if (options.page_size_bytes() != 0) attached.page_size_bytes = options.page_size_bytes();
    const bool by_hash = options.placement() == proto::AttachmentOptions::HASH;
    attached.placement = by_hash ? AttachedStore::Placement::by_hash : AttachedStore::Placement::at_reader;
    attached.writing = options.read_only() ? AttachedStore::Writing::refused : AttachedStore::Writing::allowed;
    for (const auto& [name, value] : options.store_options()) attached.options[name] = value;
    attachments.push_back(std::move(attached));
  }
  return attachments;
}
}  // namespace

// Those who wait for the outcome of the next heartbeat to begin.
struct MasterLink::Refresh {
  explicit Refresh(const Executor& executor) : done(std::make_shared<Event>(executor)) {}
  std::shared_ptr<Event> done;
  bool wanted = false;
  Status outcome = ok();
};

MasterLink::MasterLink(const WorkerOptions& options, WorkerId id, std::unique_ptr<RpcChannel> channel,
                       LinkSource source, WorkerAttachments& attachments, TaskGroup& tasks, Clock& clock, Rng& rng,
                       WorkerCounters& counters)
    : options_(options), id_(id), channel_(std::move(channel)), source_(std::move(source)), attachments_(attachments),
      tasks_(tasks), clock_(clock), rng_(rng), counters_(counters), call_timeout_(options.master_call_timeout),
      report_(options.report_page_ids, max_pending_reports), news_(std::make_shared<Event>(tasks.executor())),
      ended_(std::make_shared<Event>(tasks.executor())), refresh_(std::make_shared<Refresh>(tasks.executor())) {
  ended_->set();  // nothing runs before start()
}

void MasterLink::start() {
  ended_ = std::make_shared<Event>(tasks_.executor());
  Status spawned = tasks_.spawn(run(), "master_link");
  if (!spawned) ended_->set();
}

void MasterLink::poke() { news_->set(); }

void MasterLink::note_changes() {
  if (report_due_ != TimePoint::max()) return;
  report_due_ = clock_.now() + options_.report_coalesce;
  poke();
}

Task<> MasterLink::run() {
  while (!stopping_) {
    Status registered = co_await register_here();
    if (registered) {
      backoff_ = Duration::zero();
      Status ended = co_await heartbeats();
      set_registered(false, ended ? "stopping" : ended.error().to_string());
    } else {
      set_registered(false, registered.error().to_string());
      const Duration wait = next_backoff();
      co_await pause(wait);
    }
  }
  ended_->set();
  co_return ok();
}

Duration MasterLink::next_backoff() {
  backoff_ = backoff_ == Duration::zero() ? options_.master_backoff_min
                                          : std::min(2 * backoff_, options_.master_backoff_max);
  // Half of it is chance, so that a thousand workers do not come back in the same instant.
  const double share = 0.5 + 0.5 * rng_.fraction();
  return std::chrono::duration_cast<Duration>(backoff_ * share);
}

Task<> MasterLink::pause(Duration duration) {
  const TimePoint until = clock_.now() + duration;
  while (!stopping_ && clock_.now() < until) {
    news_ = std::make_shared<Event>(tasks_.executor());
    std::shared_ptr<Event> news = news_;
    Status woken = co_await Event::wait_until(news, clock_, Deadline::at(until));
    if (woken.code() == Code::cancelled) co_return woken;
  }
  co_return ok();
}

Task<std::string> MasterLink::call(Method method, std::string body) {
  RpcCall request;
  request.method = method;
  request.body = std::move(body);
  const Deadline deadline = Deadline::after(clock_, call_timeout_);
  Result<RpcReply> reply = co_await channel_->call(std::move(request), deadline);
  if (reply) co_return std::move(reply->body);
  metrics().counter(described::master_failures_total, {std::string(name(method))}).add();
  co_return std::move(reply).error();
}

Task<> MasterLink::register_here() {
  proto::RegisterWorkerRequest request;
  request.set_version(options_.version);
  source_.describe(*request.mutable_worker());
  describe_policy(*request.mutable_worker());
  std::string body = request.SerializeAsString();
  CO_TRY(answer, co_await call(Method::register_worker, std::move(body)));
  proto::RegisterWorkerReply reply;
  if (!reply.ParseFromString(answer)) {
    co_return Error(Code::bad_frame, "the master at " + options_.master + " answered a registration with other bytes");
  }
  learn(reply);
  co_return ok();
}

void MasterLink::learn(const proto::RegisterWorkerReply& reply) {
  epoch_ = reply.epoch();
  interval_ = std::chrono::milliseconds(std::max<std::uint64_t>(reply.heartbeat_interval_ms(), 1));
  if (reply.heartbeat_interval_ms() == 0) interval_ = std::chrono::seconds(1);
  if (options_.heartbeat_interval != Duration::zero()) interval_ = options_.heartbeat_interval;
  // A heartbeat that got stuck must leave time for a second try before the master gives this worker up.
  const Duration half_life = std::chrono::milliseconds(reply.lost_after_ms() / 2);
  call_timeout_ = options_.master_call_timeout;
  if (half_life != Duration::zero()) call_timeout_ = std::min(call_timeout_, std::max(half_life, min_call_timeout));
  attachments_.replace(attachments_of(reply.attachments()), reply.attachments_version());
  policy_wanted_ = reply.policy_version();
  report_.restart();
  full_page_sent_ = FullPage::none;
  full_wanted_later_ = false;
  heartbeat_due_ = clock_.now();  // the full report follows at once
  set_registered(true, "");
}

void MasterLink::set_registered(bool now_registered, const std::string& why) {
  counters_.master_registered(now_registered ? 1 : 0);
  if (now_registered) {
    log_info("master_registered", {{"master", options_.master}, {"worker", id_.value}, {"epoch", epoch_}});
  } else if (!stopping_ && (registered_ || backoff_ == Duration::zero())) {
    log_warn("master_away", {{"master", options_.master}, {"why", why}});
  }
  registered_ = now_registered;
  if (registered_ || !refresh_->wanted) return;
  const std::shared_ptr<Refresh> waiting = std::exchange(refresh_, std::make_shared<Refresh>(tasks_.executor()));
  waiting->outcome = Error(Code::unavailable, "the master at " + options_.master + " does not answer (" + why + ")");
  waiting->done->set();
}

Task<> MasterLink::heartbeats() {
  while (!stopping_) {
    Status beat = co_await heartbeat();
    if (beat) {
      backoff_ = Duration::zero();
      co_await learn_policy();
      co_await pause_for_news();
      continue;
    }
    if (beat.code() == Code::wrong_epoch || beat.code() == Code::not_found) co_return beat;
    set_registered(false, beat.error().to_string());
    const Duration wait = next_backoff();
    co_await pause(wait);
  }
  co_return ok();
}

// Until a heartbeat is due, changes are to be reported, or someone wants one now.
Task<> MasterLink::pause_for_news() {
  while (!stopping_ && !report_.has_news() && !refresh_->wanted) {
    const TimePoint due = std::min(heartbeat_due_, report_due_);
    if (clock_.now() >= due) {
      const bool changes_only = clock_.now() < heartbeat_due_;
      if (!changes_only && std::exchange(full_wanted_later_, false)) report_.owe_full();
      collect_changes();
      if (!changes_only || report_.has_news()) co_return ok();
      continue;
    }
    news_ = std::make_shared<Event>(tasks_.executor());
    std::shared_ptr<Event> news = news_;
    Status woken = co_await Event::wait_until(news, clock_, Deadline::at(due));
    if (woken.code() == Code::cancelled) co_return woken;
  }
  co_return ok();
}

void MasterLink::collect_changes() {
  report_due_ = TimePoint::max();
  const PresenceChanges changes = source_.take_changes();
  if (report_.full_owed()) {
    report_.begin_full(source_.all_blocks());
  } else {
    report_.add(changes);
    if (report_.full_owed()) report_.begin_full(source_.all_blocks());
  }
}

Task<> MasterLink::heartbeat() {
  const std::shared_ptr<Refresh> waiting = std::exchange(refresh_, std::make_shared<Refresh>(tasks_.executor()));
  collect_changes();
  const ReportPage& page = report_.page();
  full_page_sent_ = page.full_begin ? FullPage::first_or_middle : full_page_sent_;
  if (page.full_end) full_page_sent_ = FullPage::last;
  proto::HeartbeatRequest request;
  request.set_worker_id(id_.value);
  request.set_epoch(epoch_);
  request.set_sequence(page.sequence);
  request.set_full_begin(page.full_begin);
  request.set_full_end(page.full_end);
  request.set_added_block_ids(block_ids_to_wire(page.added));
  request.set_removed_block_ids(block_ids_to_wire(page.removed));
  request.set_attachments_version(attachments_.version());
  source_.describe(*request.mutable_worker());
  describe_policy(*request.mutable_worker());
  heartbeat_due_ = clock_.now() + interval_;

  std::string body = request.SerializeAsString();
  Result<std::string> answer = co_await call(Method::heartbeat, std::move(body));
  proto::HeartbeatReply reply;
  Status outcome = ok();
  if (!answer) {
    outcome = std::move(answer).error();
  } else if (!reply.ParseFromString(*answer)) {
    outcome = Error(Code::bad_frame, "the master at " + options_.master + " answered a heartbeat with other bytes");
  } else {
    learn(reply);
  }
  waiting->outcome = outcome;
  waiting->done->set();
  co_return outcome;
}

void MasterLink::learn(const proto::HeartbeatReply& reply) {
  report_.acknowledged();
  policy_wanted_ = reply.policy_version();
  const FullPage sent = full_page_sent_;
  if (sent == FullPage::last) full_page_sent_ = FullPage::none;
  if (reply.send_full_report()) {
    // Asked for while one is being told, it is on its way; right after one, it can wait for its turn.
    if (sent == FullPage::none) report_.owe_full();
    full_wanted_later_ = sent == FullPage::last;
  }
  if (reply.attachments_changed()) {
    attachments_.replace(attachments_of(reply.attachments()), reply.attachments_version());
  }
  if (!registered_) set_registered(true, "");
}

void MasterLink::describe_policy(proto::WorkerInfo& info) const {
  info.set_policy_version(policy_version_);
  info.set_policy_problem(policy_problem_);
}

// A failure to ask is repeated with the next heartbeat. A policy that this worker can not read (the master may be
// newer) changes nothing here, and is said to the master.
Task<> MasterLink::learn_policy() {
  if (policy_wanted_ == policy_seen_) co_return ok();
  proto::PolicyGetRequest request;  // the current one: the one just named may be gone again
  std::string body = request.SerializeAsString();
  Result<std::string> answer = co_await call(Method::policy_get, std::move(body));
  proto::PolicyGetReply reply;
  if (!answer || !reply.ParseFromString(*answer)) {
    log_warn("policy_not_got", {{"version", policy_wanted_}, {"why", answer ? "other bytes" : answer.error().to_string()}});
    co_return ok();
  }
  policy_seen_ = reply.policy().version();
  policy_wanted_ = policy_seen_;
  Result<policy::Policy> parsed = policy::parse_policy(reply.policy().text(), "version " + std::to_string(policy_seen_));
  if (parsed) {
    policy_version_ = policy_seen_;
    policy_problem_.clear();
    log_info("policy_changed", {{"version", policy_version_}});
    std::vector<policy::UserId> users;
    for (const proto::PolicyUser& user : reply.users()) users.push_back({.name = user.name(), .uid = user.uid()});
    if (source_.policy_changed) source_.policy_changed(std::make_shared<const policy::Policy>(parsed->with_users(users)));
  } else {
    policy_problem_ = parsed.error().message().substr(0, max_policy_problem_bytes);
    log_error("policy_refused", {{"version", policy_seen_}, {"kept", policy_version_}, {"why", policy_problem_}});
  }
  heartbeat_due_ = clock_.now();  // the master shows who runs what
  co_return ok();
}

Task<> MasterLink::refresh_attachments(Deadline deadline) {
  if (!registered_) {
    co_return Error(Code::unavailable, "this worker is not registered with the master at " + options_.master + " now");
  }
  std::shared_ptr<Refresh> mine = refresh_;
  mine->wanted = true;
  poke();
  std::shared_ptr<Event> done = mine->done;
  Status waited = co_await Event::wait_until(done, clock_, deadline);
  if (!waited) co_return waited;
  co_return mine->outcome;
}

Task<> MasterLink::announce_draining(Deadline deadline) {
  draining_ = true;
  Status told = co_await refresh_attachments(deadline);
  if (!told) log_warn("drain_unannounced", {{"master", options_.master}, {"why", told.error().to_string()}});
  co_return ok();
}

Task<> MasterLink::stop(Deadline deadline) {
  stopping_ = true;
  poke();
  if (!registered_) channel_->close();
  std::shared_ptr<Event> ended = ended_;
  Status over = co_await Event::wait_until(ended, clock_, deadline);
  if (over && epoch_ != 0 && channel_->connected()) {
    proto::DeregisterWorkerRequest request;
    request.set_worker_id(id_.value);
    request.set_epoch(epoch_);
    std::string body = request.SerializeAsString();
    Result<std::string> gone = co_await call(Method::deregister_worker, std::move(body));
    if (!gone) log_warn("deregister_failed", {{"master", options_.master}, {"why", gone.error().to_string()}});
  }
  channel_->close();
  // A heartbeat that hung ends with its channel.
  if (!over) co_await Event::wait(ended);
  co_return ok();
}

}  // namespace hearth::worker

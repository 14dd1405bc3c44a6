#include "master/lock_service.h"

#include "common/lock_wire.h"
#include "common/log.h"
#include "common/rng.h"
#include "master/metrics.h"
#include "master/wire.h"

#include <algorithm>
#include <utility>

namespace hearth::master {
namespace {

using proto::LockReply;
using proto::LockRequest;

constexpr std::size_t writes_at_once = 20'000;
constexpr Duration answer_within = std::chrono::milliseconds(200);  // before the caller stops waiting for it
constexpr Duration longest_wait = std::chrono::minutes(1);

LockReply reply_of(LockReply::Outcome outcome) {
  LockReply reply;
  reply.set_outcome(outcome);
  return reply;
}

std::set<std::uint64_t> sessions_before(const LockOptions& options) {
  if (options.sessions_file.empty()) return {};
  std::set<std::uint64_t> ids = read_lock_sessions(options.sessions_file);
  if (!ids.empty()) log_info("lock_sessions_of_before", {{"sessions", ids.size()}});
  return ids;
}

}  // namespace

LockService::LockService(Executor executor, Clock& clock, LockOptions options)
    : clock_(clock), options_(std::move(options)), sessions_(options_.lease, sessions_before(options_), clock.now()),
      board_(std::move(executor), clock), writer_(1, writes_at_once) {}

Task<> LockService::keep_sessions() {
  if (options_.sessions_file.empty()) co_return ok();
  std::function<Status()> write = [path = options_.sessions_file, ids = sessions_.ids()] { return write_lock_sessions(path, ids); };
  const Status written = co_await writer_.run<void>(std::move(write));
  if (!written) log_warn("lock_sessions_not_kept", {{"error", written.error().to_string()}});
  co_return written;
}

Task<LockReply> LockService::open(std::string host) {
  const std::uint64_t id = std::max<std::uint64_t>(system_rng().next(), 1);
  CO_CHECK_OK(sessions_.open(id, std::move(host), clock_.now()));
  // Before anything is locked: a master that starts again has to wait for it.
  const Status kept = co_await keep_sessions();
  if (!kept) {
    sessions_.close(id);
    co_return kept.error();
  }
  LockReply reply;
  reply.set_session(id);
  reply.set_lease_ms(static_cast<std::uint64_t>(options_.lease / std::chrono::milliseconds(1)));
  co_return reply;
}

LockReply LockService::reclaim(const LockRequest& request, const std::vector<FileLock>& locks) {
  const Status done = sessions_.reclaim(request.session(), request.host(), locks, clock_.now());
  log_info("lock_session_reclaims", {{"locks", locks.size()}, {"outcome", done ? "done" : done.error().message()}});
  LockReply reply = reply_of(done ? LockReply::DONE : LockReply::NO_SESSION);
  reply.set_lease_ms(static_cast<std::uint64_t>(options_.lease / std::chrono::milliseconds(1)));
  return reply;
}

LockReply LockService::find_conflict(std::uint64_t session, const FileLock& wanted) {
  if (sessions_.is_starting()) return reply_of(LockReply::STARTING);
  const auto found = sessions_.table().conflict(session, wanted);
  LockReply reply = reply_of(found ? LockReply::IN_THE_WAY : LockReply::DONE);
  if (!found) return reply;
  lock_to_wire(found->lock, *reply.mutable_in_the_way());
  reply.mutable_in_the_way()->set_pid(sessions_.pid_for(session, *found));
  return reply;
}

void LockService::wake_granted() {
  for (const LockTicket& ticket : sessions_.table().take_granted()) {
    const auto poll = polls_.find(ticket);
    if (poll != polls_.end()) poll->second->land(ok());
  }
}

Task<LockReply> LockService::lock(LockTicket ticket, FileLock wanted, Deadline until) {
  LockTable& table = sessions_.table();
  if (sessions_.is_starting()) co_return reply_of(LockReply::STARTING);
  if (!sessions_.has_room(ticket.session)) co_return reply_of(LockReply::TOO_MANY);
  const bool may_wait = !until.expired(clock_.now());
  const LockTable::Answer answer = may_wait ? table.lock_or_wait(ticket, wanted) : table.lock(ticket.session, wanted);
  wake_granted();
  switch (answer) {
    case LockTable::Answer::granted: co_return reply_of(LockReply::DONE);
    case LockTable::Answer::deadlock: co_return reply_of(LockReply::DEADLOCK);
    case LockTable::Answer::in_the_way: co_return find_conflict(ticket.session, wanted);
    case LockTable::Answer::waits: break;
  }
  const Waits poll = std::make_shared<Flight<>>(Moment{});
  polls_[ticket] = poll;
  const Status waited = co_await board_.wait(poll, until, "waiting for a lock");
  const auto mine = polls_.find(ticket);
  if (mine != polls_.end() && mine->second == poll) polls_.erase(mine);
  if (!waited || !poll->landed()) co_return reply_of(LockReply::WAITS);
  if (poll->outcome) co_return reply_of(LockReply::DONE);
  switch (poll->outcome.code()) {
    case Code::cancelled: co_return reply_of(LockReply::CANCELLED);
    case Code::stale: co_return reply_of(LockReply::NO_SESSION);
    default: co_return reply_of(LockReply::WAITS);
  }
}

LockReply LockService::act(const LockRequest& request, const std::vector<FileLock>& locks) {
  const std::uint64_t session = request.session();
  const LockTicket ticket{session, request.ticket()};
  switch (request.operation()) {
    case LockRequest::UNLOCK:
      for (const FileLock& lock : locks) sessions_.table().unlock(session, lock);
      wake_granted();
      break;
    case LockRequest::CANCEL:
      sessions_.table().cancel(ticket);
      // Granted a moment ago: its caller hears that.
      if (const auto poll = polls_.find(ticket); poll != polls_.end() && !poll->second->landed()) {
        poll->second->land(Error(Code::cancelled, "cancelled"));
      }
      break;
    case LockRequest::CLOSE:
      sessions_.close(session);
      end_waits_of(session);
      wake_granted();
      break;
    case LockRequest::CONFLICT: return find_conflict(session, locks.front());
    default: break;
  }
  return reply_of(LockReply::DONE);
}

Task<ServerReply> LockService::answer(std::shared_ptr<ServerCall> call) {
  CO_TRY(request, parse_body<LockRequest>(*call));
  std::vector<FileLock> locks;
  for (const proto::FileLock& wire : request.locks()) {
    CO_TRY(lock, lock_from_wire(wire));
    locks.push_back(std::move(lock));
  }
  const auto operation = request.operation();
  if (operation == LockRequest::OPEN) {
    CO_TRY(opened, co_await open(request.host()));
    co_return reply_with(opened);
  }
  const bool needs_lock = operation == LockRequest::LOCK || operation == LockRequest::CONFLICT;
  if (needs_lock && locks.size() != 1) co_return Error(Code::invalid_argument, "one lock is asked for at a time");
  if (operation == LockRequest::RECLAIM) co_return reply_with(reclaim(request, locks));
  switch (sessions_.heard(request.session(), clock_.now())) {
    case LockSessions::Standing::alive: break;
    case LockSessions::Standing::may_reclaim: co_return reply_with(reply_of(LockReply::MAY_RECLAIM));
    case LockSessions::Standing::ended: co_return reply_with(reply_of(LockReply::NO_SESSION));
  }
  if (operation != LockRequest::LOCK) {
    const LockReply done = act(request, locks);
    if (operation == LockRequest::CLOSE) (void)co_await keep_sessions();
    co_return reply_with(done);
  }
  const auto wait = std::min<Duration>(std::chrono::milliseconds(std::min<std::uint64_t>(request.wait_ms(), 60'000)), longest_wait);
  const Deadline latest = Deadline::at(bounded_deadline(*call, clock_).when() - answer_within);
  const Deadline until = Deadline::after(clock_, wait).sooner_of(latest);
  const LockTicket ticket{request.session(), request.ticket()};
  CO_TRY(reply, co_await lock(ticket, std::move(locks.front()), until));
  co_return reply_with(reply);
}

void LockService::end_waits_of(std::uint64_t session) {
  for (auto poll = polls_.lower_bound(LockTicket{session, 0}); poll != polls_.end() && poll->first.session == session; ++poll) {
    if (!poll->second->landed()) poll->second->land(Error(Code::stale, "the session ended"));
  }
}

void LockService::end_waits() {
  for (auto& [ticket, poll] : polls_) {
    if (!poll->landed()) poll->land(Error(Code::unavailable, "the master stops"));
  }
}

void LockService::expire(TaskGroup& tasks) {
  const bool was_starting = sessions_.is_starting();
  const std::vector<std::uint64_t> ended = sessions_.expire(clock_.now());
  for (const std::uint64_t id : ended) end_waits_of(id);
  if (ended.empty()) return;
  metrics().counter(lock_sessions_lost_total).add(ended.size());
  log_warn("lock_sessions_ended", {{"sessions", ended.size()}, {"reason", was_starting ? "they did not come back after the master's start" : "silent for a lease"}});
  wake_granted();
  const Status spawned = tasks.spawn(keep_sessions(), "keep_lock_sessions");
  if (!spawned) log_debug("lock_sessions_not_kept", {{"error", spawned.error().message()}});
}

}  // namespace hearth::master

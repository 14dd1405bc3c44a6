#include "client/src/lock_keeper.h"

#include "client/src/master_link.h"
#include "common/lock_wire.h"
#include "common/log.h"

#include <algorithm>
#include <fstream>
#include <utility>

namespace hearth::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t me = 0;
constexpr Duration pause_between = milliseconds(50);
constexpr Duration one_poll = seconds(5);
constexpr Duration answer_after_poll = seconds(2);
constexpr Duration patience_when_cancelled = seconds(2);
constexpr Duration goodbye_within = seconds(1);
constexpr int unlocks_at_once = 1000;

Error lost_lock() {
  return Error(Code::io_error, "the locks of this owner were lost while the master could not be reached; close the file and open it again")
      .with_error_number(EIO);
}
Error no_locks_now(const std::string& why) { return Error(Code::unavailable, why).with_error_number(ENOLCK); }
Error in_the_way() { return Error(Code::busy, "another one has a lock there").with_error_number(EAGAIN); }
Error interrupted() { return Error(Code::cancelled, "waiting for a lock was given up"); }

// The master will say the same again.
bool is_refusal(const Error& error) {
  return error.is_answer() && (error.code() == Code::permission_denied || error.code() == Code::invalid_argument ||
                               error.code() == Code::unsupported || error.code() == Code::unauthenticated);
}

// The same for all processes of this host, until it starts again.
std::string this_host() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

// Set when it goes, so that those who wait go on whatever happened.
struct SetOnExit {
  std::shared_ptr<Signal>& signal;
  const Executor& executor;
  ~SetOnExit() {
    const auto done = std::exchange(signal, nullptr);
    done->set(executor);
  }
};

}  // namespace

LockKeeper::LockKeeper(RpcContext context, TaskGroup& group, Address master)
    : clock_(context.clock), executor_(context.executor), group_(group),
      channel_(make_rpc_channel(context, std::move(master))), host_(this_host()), keep_alive_canceller_(executor_) {}

Deadline LockKeeper::attempt() const { return Deadline::after(clock_, std::min<Duration>(lease_ / 3, seconds(3))); }

// ---- what is known here

Status LockKeeper::check(const FileLock& which) const {
  const std::lock_guard lock(mutex_);
  if (lost_.contains(Owner{which.object, which.space, which.owner})) return lost_lock();
  if (clock_.now() < valid_until_) return ok();
  FileLock any = which;
  any.range = {};
  return held_.holds(me, any) ? Status(lost_lock()) : ok();
}

void LockKeeper::granted(const FileLock& lock) {
  const std::lock_guard guard(mutex_);
  held_.lock(me, lock);
}

void LockKeeper::renewed(TimePoint sent) {
  const std::lock_guard lock(mutex_);
  valid_until_ = valid_until_ == TimePoint::max() ? sent + lease_ : std::max(valid_until_, sent + lease_);
}

void LockKeeper::lose_session() {
  session_ = 0;
  unsent_.clear();
  std::size_t count = 0;
  {
    const std::lock_guard lock(mutex_);
    for (const FileLock& held : held_.locks_of(me)) {
      lost_.insert(Owner{held.object, held.space, held.owner});
      ++count;
    }
    held_.drop_session(me);
    valid_until_ = TimePoint::max();
  }
  log_warn("lock_session_lost", {{"locks", count}, {"reason", "the master did not hear of this client for a lease"}});
}

void LockKeeper::undo(std::uint64_t ticket, const FileLock& wanted) {
  Request cancel;
  cancel.set_operation(Request::CANCEL);
  cancel.set_ticket(ticket);
  Request unlock;
  unlock.set_operation(Request::UNLOCK);
  lock_to_wire(wanted, *unlock.add_locks());
  unsent_.push_back(std::move(cancel));
  unsent_.push_back(std::move(unlock));
  const std::lock_guard lock(mutex_);
  if (!held_.holds(me, wanted)) return;
  held_.unlock(me, wanted);
  lost_.insert(Owner{wanted.object, wanted.space, wanted.owner});
}

// ---- the session

Task<LockKeeper::Reply> LockKeeper::ask(Request request, Deadline deadline) {
  const std::uint64_t session = session_;
  const TimePoint sent = clock_.now();
  request.set_session(session);
  RpcCall call;
  call.method = Method::lock;
  call.body = request.SerializeAsString();
  Reply reply;
  // The channel lives as long as the keeper, and that until the last call ended.
  std::shared_ptr<RpcChannel> channel(channel_.get(), [](RpcChannel*) {});
  CO_CHECK_OK(co_await call_and_decode(std::move(channel), std::move(call), &reply, deadline));
  if (request.operation() == Request::OPEN) co_return reply;
  if (session != session_) reply.set_outcome(Reply::NO_SESSION);  // of a session that is no more
  const bool ended = reply.outcome() == Reply::NO_SESSION;
  if (ended && session == session_ && session_ != 0) lose_session();
  if (!ended && reply.outcome() != Reply::MAY_RECLAIM) renewed(sent);
  co_return reply;
}

Task<> LockKeeper::open_session() {
  opening_ = std::make_shared<Signal>();
  const SetOnExit done{opening_, executor_};
  const TimePoint sent = clock_.now();
  Request request;
  request.set_operation(Request::OPEN);
  request.set_host(host_);
  const Deadline deadline = attempt();
  CO_TRY(reply, co_await ask(std::move(request), deadline));
  session_ = reply.session();
  lease_ = milliseconds(reply.lease_ms());
  renewed(sent);
  if (keeping_alive_ || ending_) co_return ok();
  keeping_alive_ = true;
  auto spawned = group_.spawn_cancellable(keep_alive(), "keep_lock_session");
  if (!spawned) co_return std::move(spawned).error();
  keep_alive_canceller_ = std::move(*spawned);
  co_return ok();
}

Task<> LockKeeper::ensure_session() {
  while (opening_) {
    const std::shared_ptr<Signal> opening = opening_;
    co_await Signal::wait(opening);
  }
  if (session_ != 0) co_return ok();
  if (ending_) co_return Error(Code::cancelled, "the client goes away");
  co_return co_await open_session();
}

Task<> LockKeeper::reclaim() {
  while (reclaiming_) {
    const std::shared_ptr<Signal> reclaiming = reclaiming_;
    co_await Signal::wait(reclaiming);
    co_return ok();
  }
  reclaiming_ = std::make_shared<Signal>();
  const SetOnExit done{reclaiming_, executor_};
  Request request;
  request.set_operation(Request::RECLAIM);
  request.set_host(host_);
  {
    const std::lock_guard lock(mutex_);
    for (const FileLock& held : held_.locks_of(me)) lock_to_wire(held, *request.add_locks());
  }
  const int count = request.locks_size();
  const Deadline deadline = attempt();
  CO_TRY(reply, co_await ask(std::move(request), deadline));
  log_info("lock_session_reclaimed", {{"locks", count}, {"outcome", reply.outcome() == Reply::DONE ? "done" : "refused"}});
  co_return ok();
}

// Sends what was unlocked.
Task<> LockKeeper::settle() {
  while (settling_) {
    const std::shared_ptr<Signal> settling = settling_;
    co_await Signal::wait(settling);
  }
  if (unsent_.empty()) co_return ok();
  settling_ = std::make_shared<Signal>();
  const SetOnExit done{settling_, executor_};
  while (!unsent_.empty() && session_ != 0) {
    Request request = unsent_.front();
    std::size_t taken = 1;
    while (request.operation() == Request::UNLOCK && taken < unsent_.size() && request.locks_size() < unlocks_at_once &&
           unsent_[taken].operation() == Request::UNLOCK) {
      *request.add_locks() = unsent_[taken++].locks(0);
    }
    const Deadline deadline = attempt();
    CO_TRY(reply, co_await ask(std::move(request), deadline));
    if (reply.outcome() == Reply::MAY_RECLAIM) CO_CHECK_OK(co_await reclaim());
    if (reply.outcome() == Reply::DONE) unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(taken));
  }
  co_return ok();
}

Task<> LockKeeper::keep_alive() {
  Status last = ok();
  for (;;) {
    const Duration pause = last ? lease_ / 4 : std::min<Duration>(lease_ / 10, milliseconds(500));
    const Status slept = co_await clock_.sleep_for(pause);
    if (!slept || ending_) break;
    if (session_ == 0) {
      last = ok();
      continue;
    }
    last = co_await settle();
    if (!last || session_ == 0) continue;
    Request renew;
    renew.set_operation(Request::RENEW);
    const Deadline deadline = attempt();
    Result<Reply> reply = co_await ask(std::move(renew), deadline);
    last = reply ? ok() : Status(reply.error());
    if (reply && reply->outcome() == Reply::MAY_RECLAIM) last = co_await reclaim();
  }
  keeping_alive_ = false;
  co_return ok();
}

Task<> LockKeeper::end() {
  ending_ = true;
  keep_alive_canceller_.cancel();
  std::vector<std::uint64_t> tickets;
  for (const auto& [ticket, asking] : calls_) tickets.push_back(ticket);
  for (const std::uint64_t ticket : tickets) cancel(ticket);
  if (session_ == 0) co_return ok();
  Request goodbye;
  goodbye.set_operation(Request::CLOSE);
  const Deadline deadline = Deadline::after(clock_, goodbye_within);
  Result<Reply> reply = co_await ask(std::move(goodbye), deadline);
  if (!reply) log_info("lock_session_not_closed", {{"error", reply.error().message()}, {"action", "its locks are free when the lease is over"}});
  session_ = 0;
  co_return ok();
}

// ---- calls

Task<LockKeeper::Reply> LockKeeper::ask_for_lock(std::uint64_t ticket, std::shared_ptr<Asking> asking) {
  CO_CHECK_OK(co_await ensure_session());
  CO_CHECK_OK(co_await settle());
  if (asking->cancelled && asking->may_wait_there) {
    // Out of the queue; whether it was granted before is what the question below tells.
    Request cancel;
    cancel.set_operation(Request::CANCEL);
    cancel.set_ticket(ticket);
    const Deadline soon = attempt();
    CO_CHECK_OK(co_await ask(std::move(cancel), soon));
  }
  const bool waits = asking->wait == LockSession::Wait::until_granted && !asking->cancelled;
  Request request;
  request.set_operation(Request::LOCK);
  request.set_ticket(ticket);
  lock_to_wire(asking->wanted, *request.add_locks());
  if (waits) request.set_wait_ms(static_cast<std::uint64_t>(one_poll / milliseconds(1)));
  const Deadline deadline = waits ? Deadline::after(clock_, one_poll + answer_after_poll) : attempt();
  asking->may_wait_there = true;
  co_return co_await ask(std::move(request), deadline);
}

LockKeeper::Next LockKeeper::take_reply(const Reply& reply, Asking& asking, Status& outcome) {
  asking.give_up = clock_.now() + lease_;
  switch (reply.outcome()) {
    case Reply::DONE:
      granted(asking.wanted);
      outcome = ok();
      return Next::ended;
    case Reply::WAITS: return Next::ask_again;
    case Reply::STARTING:
    case Reply::MAY_RECLAIM: asking.may_wait_there = false; return Next::pause;
    case Reply::NO_SESSION:
      asking.may_wait_there = false;
      outcome = check(asking.wanted);
      return outcome ? Next::ask_again : Next::ended;
    case Reply::IN_THE_WAY: outcome = asking.cancelled ? interrupted() : in_the_way(); return Next::ended;
    case Reply::DEADLOCK:
      outcome = Error(Code::busy, "those who have it wait for this owner").with_error_number(EDEADLK);
      return Next::ended;
    case Reply::CANCELLED: outcome = interrupted(); return Next::ended;
    default: outcome = no_locks_now("this client has as many locks as the master keeps for one"); return Next::ended;
  }
}

Task<> LockKeeper::obtain(std::uint64_t ticket, std::shared_ptr<Asking> asking) {
  asking->give_up = clock_.now() + lease_;
  for (;;) {
    CO_CHECK_OK(check(asking->wanted));
    if (asking->cancelled && !asking->may_wait_there) co_return interrupted();
    Result<Reply> reply = co_await ask_for_lock(ticket, asking);
    Next next = Next::pause;
    if (reply) {
      Status outcome = ok();
      next = take_reply(*reply, *asking, outcome);
      if (next == Next::ended) co_return outcome;
      if (reply->outcome() == Reply::MAY_RECLAIM) (void)co_await reclaim();
    } else {
      const Error& why = reply.error();
      if (is_refusal(why)) co_return why;
      if (asking->cancelled) asking->give_up = std::min(asking->give_up, clock_.now() + patience_when_cancelled);
      if (ending_ || clock_.now() >= asking->give_up) {
        if (asking->may_wait_there) undo(ticket, asking->wanted);
        if (asking->cancelled) co_return interrupted();
        co_return no_locks_now("the master can not be asked for a lock: " + why.message());
      }
    }
    if (next == Next::pause) CO_CHECK_OK(co_await clock_.sleep_for(pause_between));
  }
}

Task<> LockKeeper::lock(std::uint64_t ticket, FileLock wanted, LockSession::Wait wait) {
  auto asking = std::make_shared<Asking>();
  asking->wanted = std::move(wanted);
  asking->wait = wait;
  calls_.emplace(ticket, asking);
  if (asking->wanted.space == LockSpace::whole_file) {
    // The master gives up the one of the other mode before it grants, or does not grant, this one.
    const std::lock_guard lock(mutex_);
    const auto locks = held_.locks_of(me);
    const bool other_mode = std::any_of(locks.begin(), locks.end(), [&](const FileLock& held) {
      return held.object == asking->wanted.object && held.owner == asking->wanted.owner &&
             held.space == LockSpace::whole_file && held.mode != asking->wanted.mode;
    });
    if (other_mode) held_.unlock(me, asking->wanted);
  }
  Status outcome = co_await obtain(ticket, asking);
  calls_.erase(ticket);
  co_return outcome;
}

Task<> LockKeeper::send_cancel(std::uint64_t ticket) {
  if (session_ == 0) co_return ok();
  Request cancel;
  cancel.set_operation(Request::CANCEL);
  cancel.set_ticket(ticket);
  const Deadline deadline = attempt();
  (void)co_await ask(std::move(cancel), deadline);
  co_return ok();
}

void LockKeeper::cancel(std::uint64_t ticket) {
  const auto call = calls_.find(ticket);
  if (call == calls_.end() || std::exchange(call->second->cancelled, true)) return;
  const Status spawned = group_.spawn(send_cancel(ticket), "cancel_lock");
  if (!spawned) log_debug("lock_not_cancelled", {{"error", spawned.error().message()}});
}

Task<> LockKeeper::unlock(FileLock which) {
  Status known = check(which);
  {
    const std::lock_guard lock(mutex_);
    if (!held_.holds(me, which)) co_return known;
    held_.unlock(me, which);
    // It was told once that it may not have it, and stays so.
    if (!known) lost_.insert(Owner{which.object, which.space, which.owner});
  }
  Request request;
  request.set_operation(Request::UNLOCK);
  lock_to_wire(which, *request.add_locks());
  unsent_.push_back(std::move(request));
  (void)co_await settle();  // or by keep_alive()
  co_return known;
}

Task<> LockKeeper::closed(FileLock which) {
  which.range = {};
  (void)co_await unlock(which);
  const std::lock_guard lock(mutex_);
  lost_.erase(Owner{which.object, which.space, which.owner});
  co_return ok();
}

Task<std::optional<FileLock>> LockKeeper::find_conflict(FileLock wanted) {
  CO_CHECK_OK(check(wanted));
  const TimePoint give_up = clock_.now() + lease_ * 2;
  for (;;) {
    Status ready = co_await ensure_session();
    if (ready) ready = co_await settle();
    Result<Reply> reply = Error(Code::unavailable, "not asked");
    if (!ready) reply = ready.error();
    if (ready) {
      Request request;
      request.set_operation(Request::CONFLICT);
      lock_to_wire(wanted, *request.add_locks());
      const Deadline deadline = attempt();
      reply = co_await ask(std::move(request), deadline);
    }
    if (reply && reply->outcome() == Reply::DONE) co_return std::optional<FileLock>();
    if (reply && reply->outcome() == Reply::IN_THE_WAY) {
      CO_TRY(found, lock_from_wire(reply->in_the_way()));
      co_return std::optional<FileLock>(std::move(found));
    }
    if (!reply && is_refusal(reply.error())) co_return std::move(reply).error();
    if (clock_.now() >= give_up || ending_) co_return no_locks_now("the master can not be asked who has a lock");
    if (reply && reply->outcome() == Reply::MAY_RECLAIM) (void)co_await reclaim();
    CO_CHECK_OK(co_await clock_.sleep_for(pause_between));
  }
}

}  // namespace hearth::client

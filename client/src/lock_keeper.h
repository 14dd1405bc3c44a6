// The lock session of this client: asks the master for locks, keeps the session alive, and knows what is held.
//
// What is held is written down here too: a master that started again is told of it, and when the session ended it is known
// whose locks were lost. An unlock is done here at once and sent until the master has it.
//
// Threads: check() and next_ticket() from any; everything else is confined to the io thread.
// Owns:    a connection of its own to the master: many calls that wait must not hold up others.
// Waits:   a call for a lock until it is granted or cancelled; without an answer of the master for a lease it gives up.
// Fails:   as hearth/locks.h.
#pragma once

#include <hearth/locks.h>

#include "client/src/signal.h"
#include "common/canceller.h"
#include "common/lock_table.h"
#include "common/net/rpc.h"
#include "common/task_group.h"
#include "proto/hearth.pb.h"

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>

namespace hearth::client {

class LockKeeper {
 public:
  LockKeeper(RpcContext context, TaskGroup& group, Address master);

  Task<> lock(std::uint64_t ticket, FileLock wanted, LockSession::Wait wait);
  void cancel(std::uint64_t ticket);
  Task<> unlock(FileLock which);
  Task<std::optional<FileLock>> find_conflict(FileLock wanted);
  Task<> closed(FileLock which);
  // The session ends, and every call with it.
  Task<> end();
  void close() { channel_->close(); }

  Status check(const FileLock& which) const;
  std::uint64_t next_ticket() { return next_ticket_.fetch_add(1, std::memory_order_relaxed); }

 private:
  using Request = proto::LockRequest;
  using Reply = proto::LockReply;
  using Owner = std::tuple<std::string, LockSpace, std::uint64_t>;  // object, space, owner
  // One call for a lock, as far as it got.
  struct Asking {
    FileLock wanted;
    LockSession::Wait wait = LockSession::Wait::no;
    bool cancelled = false;
    bool may_wait_there = false;  // the master may know of it
    TimePoint give_up{};          // unless the master answers before
  };
  enum class Next : std::uint8_t { ask_again, pause, ended };

  Task<Reply> ask(Request request, Deadline deadline);
  Task<> ensure_session();
  Task<> open_session();
  Task<> reclaim();
  Task<> settle();
  Task<> keep_alive();
  Task<> obtain(std::uint64_t ticket, std::shared_ptr<Asking> asking);
  Task<Reply> ask_for_lock(std::uint64_t ticket, std::shared_ptr<Asking> asking);
  Next take_reply(const Reply& reply, Asking& asking, Status& outcome);
  // Nobody can tell whether the master has granted it: it is given back when that can be said.
  void undo(std::uint64_t ticket, const FileLock& wanted);
  Task<> send_cancel(std::uint64_t ticket);
  void granted(const FileLock& lock);
  void lose_session();
  void renewed(TimePoint sent);
  Deadline attempt() const;

  // Set once
  Clock& clock_;
  Executor executor_;
  TaskGroup& group_;
  std::unique_ptr<RpcChannel> channel_;
  std::string host_;
  std::atomic<std::uint64_t> next_ticket_{1};

  // Io thread only
  std::uint64_t session_ = 0;  // 0: none
  Duration lease_ = std::chrono::seconds(10);
  bool ending_ = false;
  bool keeping_alive_ = false;
  Canceller keep_alive_canceller_;
  std::shared_ptr<Signal> opening_, reclaiming_, settling_;  // shared: those who wait keep theirs
  std::deque<Request> unsent_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Asking>> calls_;  // shared: the call that runs has it too

  mutable std::mutex mutex_;
  // Guarded by mutex_
  LockTable held_;  // of session 0: here is only one
  std::set<Owner> lost_;
  TimePoint valid_until_ = TimePoint::max();
};

}  // namespace hearth::client

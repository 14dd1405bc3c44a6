// The calls about locks (Method::lock), answered from the lock sessions.
//
// Threads: confined to the network executor.
// Owns:    the sessions, the calls that wait for a lock, the file that names the sessions for the next run of the master.
// Waits:   a call for a lock no longer than it asks for, and a minute; its place in the queue stays when it ends.
#pragma once

#include "common/blocking.h"
#include "common/net/rpc.h"
#include "common/task_group.h"
#include "master/flight.h"
#include "master/lock_sessions.h"

#include <map>
#include <memory>
#include <string>

namespace hearth::proto {
class LockReply;
class LockRequest;
}

namespace hearth::master {

struct LockOptions {
  Duration lease = std::chrono::seconds(10);
  std::string sessions_file;  // "": the next run knows of no session
};

class LockService {
 public:
  LockService(Executor executor, Clock& clock, LockOptions options);

  Task<ServerReply> answer(std::shared_ptr<ServerCall> call);
  // Ends the sessions that were silent for too long. Call it often.
  void expire(TaskGroup& tasks);
  // Calls that wait are answered now, to be asked again elsewhere or later.
  void end_waits();
  std::size_t session_count() const { return sessions_.size(); }
  std::size_t lock_count() { return sessions_.table().size(); }
  std::size_t wait_count() const { return polls_.size(); }  // calls that wait now

 private:
  using Reply = proto::LockReply;
  using Waits = std::shared_ptr<Flight<>>;  // shared: the call that waits and the map of them
  Task<Reply> open(std::string host);
  Task<Reply> lock(LockTicket ticket, FileLock wanted, Deadline until);
  Reply reclaim(const proto::LockRequest& request, const std::vector<FileLock>& locks);
  Reply find_conflict(std::uint64_t session, const FileLock& wanted);
  // Everything but OPEN, RECLAIM and LOCK, of a session that is alive.
  Reply act(const proto::LockRequest& request, const std::vector<FileLock>& locks);
  void wake_granted();
  void end_waits_of(std::uint64_t session);
  Task<> keep_sessions();  // until the ids of now are on stable storage

  Clock& clock_;
  const LockOptions options_;
  LockSessions sessions_;
  WaitBoard board_;
  std::map<LockTicket, Waits> polls_;
  BlockingPool writer_;  // one thread, so that the file is written in the order of the changes
};

}  // namespace hearth::master

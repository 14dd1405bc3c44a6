// Locks of this mount's files that hold between all mounts: which object a file is, who locked it through which handle, and
// what the kernel forgets before the holder of a fresh lock reads.
//
// Close:   closed() frees the ranges of a process (POSIX: any close of it), released() what belonged to the open file itself:
//          flock and locks of open file descriptions.
// Waits:   lock() never does; `done` comes on another thread. closed() waits for the master, no longer than the client does.
// Threads: any. One thread of its own makes the kernel drop pages, which may wait for reads that are being answered.
// Owns:    nothing of the kernel: the destructor ends what waits, and returns when each `done` has run.
#pragma once

#include "common/clock.h"
#include "fuse/node_table.h"

#include <hearth/locks.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <map>
#include <vector>

namespace hearth {

class FileSystem;

class ClusterLocks {
 public:
  ClusterLocks(FileSystem& files, std::shared_ptr<LockSession> session, std::function<void(NodeId)> drop_pages);
  ~ClusterLocks();

  struct Call {
    NodeId node = 0;
    std::uint64_t handle = 0;
    FileLock lock;  // its object is found here
  };
  std::uint64_t new_ticket() { return session_->new_ticket(); }
  void lock(std::uint64_t ticket, Call call, LockSession::Wait wait, LockSession::Done done);
  void cancel(std::uint64_t ticket) { session_->cancel(ticket); }
  void unlock(Call call, LockSession::Done done);
  void find_conflict(Call call, LockSession::Found done);

  void closed(NodeId node, std::uint64_t owner);
  void released(NodeId node, std::uint64_t handle);
  // io_error: a lock that was taken through this handle was lost, so nothing may be written through it.
  Status check(NodeId node, std::uint64_t handle) const;

 private:
  struct User {
    LockSpace space = LockSpace::ranges;
    std::uint64_t owner = 0;
    std::uint64_t handle = 0;
  };
  struct Locked {
    std::string key;
    std::vector<User> users;  // who may have locks on it
  };
  // The key of the node; the caller is one of its users from now on.
  Result<std::string> enter(const Call& call);
  std::vector<FileLock> take_users(NodeId node, const std::function<bool(const User&)>& which);
  void ask(std::uint64_t ticket, Call call, LockSession::Wait wait, int tries, LockSession::Done done);
  void answered(std::uint64_t ticket, Call call, Status outcome, int tries, LockSession::Done done);
  bool is_used_by_others(const Call& call) const;
  void do_later(TimePoint when, std::function<void()> work);
  void ended(std::uint64_t ticket);
  void run();

  FileSystem& files_;
  const std::shared_ptr<LockSession> session_;  // shared with nobody; the client hands it out so
  const std::function<void(NodeId)> drop_pages_;
  std::atomic<bool> any_{false};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_
  std::unordered_map<NodeId, Locked> locked_;
  std::set<std::uint64_t> calls_;  // tickets
  std::uint64_t others_ = 0;       // calls without a ticket
  std::multimap<TimePoint, std::function<void()>> later_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace hearth

// The lock sessions of clients: who has one, until when it lasts, and what becomes of it when the master starts again.
//
// Leases:  a session that was silent for a lease has ended; its locks are others' to have.
// Restart: locks are in memory only, but which sessions there were is known (`before`, kept by the caller). For one lease these
//          may reclaim what they had, and nobody gets a lock meanwhile; when all of them are back it is over sooner.
//
// Threads: confined to its owner; the time is passed in.
// Owns:    the lock table.
#pragma once

#include "common/clock.h"
#include "common/lock_table.h"

#include <hearth/result.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace hearth::master {

class LockSessions {
 public:
  // As many locks and waits as one session may have. A reclaim of them all fits into one message.
  static constexpr std::size_t max_locks = 20'000;
  static constexpr std::size_t max_sessions = 10'000;

  LockSessions(Duration lease, std::set<std::uint64_t> before, TimePoint now)
      : lease_(lease), before_(std::move(before)), started_(now) {}

  // overloaded: there are too many.
  Status open(std::uint64_t id, std::string host, TimePoint now);
  enum class Standing : std::uint8_t { alive, may_reclaim, ended };
  // Something came from the session: a live one lasts another lease.
  Standing heard(std::uint64_t id, TimePoint now);
  // A session of before with the locks it had. stale: it may not, and has none.
  Status reclaim(std::uint64_t id, std::string host, const std::vector<FileLock>& locks, TimePoint now);
  void close(std::uint64_t id);
  // Ends the sessions that were silent for too long, and names them.
  std::vector<std::uint64_t> expire(TimePoint now);

  // Whether locks are refused for the sake of those who may still reclaim theirs.
  bool is_starting() const { return !before_.empty(); }
  bool has_room(std::uint64_t id) const { return table_.count(id) < max_locks; }
  // The process of a lock's holder, as a process of `asking`'s host may know it: 0 on another host.
  std::uint32_t pid_for(std::uint64_t asking, const LockTable::Held& held) const;
  LockTable& table() { return table_; }
  Duration lease() const { return lease_; }
  std::size_t size() const { return sessions_.size(); }
  std::set<std::uint64_t> ids() const;  // of the live ones, and of those who may reclaim

 private:
  struct Session {
    std::string host;
    TimePoint heard;
  };
  Duration lease_;
  std::set<std::uint64_t> before_;  // those who may still reclaim
  TimePoint started_;
  std::map<std::uint64_t, Session> sessions_;
  LockTable table_;
};

// The sessions there were, in a file that is as a whole of before or after: one id in hex per line.
// Blocks. Fails: io_error.
Status write_lock_sessions(const std::string& path, const std::set<std::uint64_t>& ids);
// None without the file; one that can not be read has none, and says so in the log.
std::set<std::uint64_t> read_lock_sessions(const std::string& path);

}  // namespace hearth::master

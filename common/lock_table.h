// Who holds which lock on which object, and who waits for one.
//
// Ranges: as POSIX has them: an owner's new lock replaces what it had of those bytes, neighbours of one mode become one, and a
//         part can be unlocked. Whole files: one lock per owner; a change of its mode gives the old one up first, as flock(2)
//         does, so that two who share and both want it alone do not wait for each other.
// Waiting: in the order of their coming, each is granted when nothing held is in its way. Who waits is in nobody's way.
// Deadlock: a wait for a range whose holders wait, over any number of others, for the one who asks is refused.
//
// Threads: confined to its owner. Costs: linear in the locks of one object, and of one session where it says so.
#pragma once

#include <hearth/locks.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace hearth {

struct LockTicket {
  std::uint64_t session = 0;
  std::uint64_t number = 0;
  auto operator<=>(const LockTicket&) const = default;
};

class LockTable {
 public:
  enum class Answer : std::uint8_t { granted, in_the_way, waits, deadlock };

  // granted or in_the_way.
  Answer lock(std::uint64_t session, const FileLock& wanted);
  // granted, waits or deadlock. A ticket that waits already keeps its place.
  Answer lock_or_wait(LockTicket ticket, const FileLock& wanted);
  // False: it does not wait (any more).
  bool cancel(LockTicket ticket);
  bool waits(LockTicket ticket) const { return waiting_.contains(ticket); }
  void unlock(std::uint64_t session, const FileLock& which);
  // Its locks are free, and it waits for none. Looks at every object.
  void drop_session(std::uint64_t session);
  // Those whose waiting ended with a lock since the last call.
  std::vector<LockTicket> take_granted() { return std::exchange(granted_, {}); }

  struct Held {
    std::uint64_t session = 0;
    FileLock lock;
  };
  // The first lock of somebody else that is in the way, by offset.
  std::optional<Held> conflict(std::uint64_t session, const FileLock& wanted) const;
  // Whether the owner has any byte of the range.
  bool holds(std::uint64_t session, const FileLock& which) const;
  std::vector<FileLock> locks_of(std::uint64_t session) const;  // looks at every object
  std::size_t count(std::uint64_t session) const;               // of its locks and waits
  std::size_t size() const;                                     // of all locks

 private:
  struct Waiting {
    LockTicket ticket;
    FileLock wanted;
  };
  struct Object {
    std::vector<Held> held;  // by first byte
    std::deque<Waiting> queue;
  };

  void set(Object& object, std::uint64_t session, const FileLock& wanted);
  // What the owner has of the range is cut away.
  void cut(Object& object, std::uint64_t session, const FileLock& which);
  void add(Object& object, Held held);
  void grant_waiting(Object& object);
  void drop_if_empty(const std::string& name);
  bool would_deadlock(std::uint64_t session, const FileLock& wanted) const;

  std::unordered_map<std::string, Object> objects_;
  std::map<LockTicket, std::string> waiting_;  // the object that it waits for
  std::unordered_map<std::uint64_t, std::size_t> counts_;
  std::size_t size_ = 0;
  std::vector<LockTicket> granted_;
};

}  // namespace hearth

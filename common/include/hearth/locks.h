// Locks on files that hold in the whole cluster, as fcntl(2) and flock(2) know them: advisory, kept by the master.
#pragma once

#include <hearth/result.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace hearth {

// fcntl's byte ranges and flock's whole files do not see each other.
enum class LockSpace : std::uint8_t { ranges, whole_file };
enum class LockMode : std::uint8_t { shared, exclusive };

struct LockRange {
  std::uint64_t first = 0;  // offsets in bytes, both inside
  std::uint64_t last = UINT64_MAX;
  bool operator==(const LockRange&) const = default;
};

struct FileLock {
  std::string object;  // what is locked: any bytes, the same for all who mean the same file
  LockSpace space = LockSpace::ranges;
  LockMode mode = LockMode::shared;
  std::uint64_t owner = 0;  // within its session: locks of one owner replace each other
  LockRange range;          // whole_file: all of it
  std::uint32_t pid = 0;    // for who asks; 0: a process of another host
};

// The locks of one client. The master frees them when the client goes, and a lease after it was last heard of.
//
// Threads: any. `done` runs once for each call, on a thread of the library, and must not wait.
// Fails:   busy (EAGAIN: another owner has it; EDEADLK: waiting would be for ever), cancelled (EINTR), unavailable (ENOLCK: the
//          master can not be asked, or keeps no more locks), io_error (EIO: the owner's locks on this object were lost, so that
//          others may have them; closed() ends that).
class LockSession {
 public:
  using Done = std::function<void(Status)>;
  using Found = std::function<void(Result<std::optional<FileLock>>)>;
  enum class Wait : std::uint8_t { no, until_granted };

  virtual ~LockSession() = default;
  // Names one call of lock() for cancel(); never 0.
  virtual std::uint64_t new_ticket() = 0;
  virtual void lock(std::uint64_t ticket, FileLock wanted, Wait wait, Done done) = 0;
  // The call ends soon, with `cancelled` unless it ended by itself. Tickets of no call are let be.
  virtual void cancel(std::uint64_t ticket) = 0;
  // What the owner has of the range is free. The master learns of it when it can be asked again, if it can not be now.
  virtual void unlock(FileLock which, Done done) = 0;
  // A lock of somebody else that is in the way of `wanted`; none: it could be had.
  virtual void find_conflict(FileLock wanted, Found done) = 0;
  // The owner closed the object: its locks of that space are free, and what was lost is forgotten.
  virtual void closed(FileLock which, Done done) = 0;
  // ok, or io_error: the owner had locks on the object, and it is not certain any more that it has them.
  virtual Status check(const FileLock& which) const = 0;
};

}  // namespace hearth

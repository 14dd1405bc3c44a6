// One directory of one block device, as the NVMe tier uses it. The seam between tiers and machine: io_uring, a pool of
// blocking threads, and a simulation that forgets unsynced writes, tears them, fails and crawls.
//
// Threads: confined to one executor (the shard's); calls resume there.
// Owns:    its descriptors and, for the real ones, the ring or the threads. close() awaits what is in flight.
// Names:   relative to the directory, components of [a-zA-Z0-9._-], at most two ("ab/ab12..."). Never a user's path.
// Aligned: offset, length and memory of read() and write() are multiples of disk_alignment_bytes when the file is
//          DiskCaching::direct (use DiskBuffers); any for buffered.
// Fails:   not_found, already_exists, no_space (bytes or inodes), io_error (EIO), read_only (EROFS), unavailable (the directory
//          is gone or fenced), overloaded (more than max_in_flight waiting), corrupt (a read met the end of the file).
#pragma once

#include "common/async.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/ids.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

inline constexpr std::uint32_t disk_alignment_bytes = 4096;

using DiskFileId = StrongId<struct DiskFileTag>;

enum class DiskCaching : std::uint8_t { direct, buffered };
enum class DiskOpen : std::uint8_t { existing, create_new, create_or_open };

struct DiskSpace {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;   // for us (unprivileged)
  std::uint64_t free_inodes = 0;
};

struct DiskEntry {
  std::string name;  // as open() takes it
  std::uint64_t length_bytes = 0;
  std::uint64_t allocated_bytes = 0;
};

// What the machine let us have; shown by `hearth doctor`, the metrics and the log.
struct DiskTraits {
  std::string engine;           // "io_uring", "threads", "simulated"
  bool direct = false;          // O_DIRECT works here; otherwise direct files are buffered ones
  std::string fallback_reason;  // why not io_uring or not O_DIRECT; "" = nothing was given up
};

// Memory for direct I/O, aligned, registered with the ring where there is one. Returned to its pool when it goes.
class DiskBuffer {
 public:
  DiskBuffer() = default;
  DiskBuffer(std::span<std::byte> bytes, std::shared_ptr<const void> holder) : bytes_(bytes), holder_(std::move(holder)) {}
  explicit operator bool() const { return !bytes_.empty(); }
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  std::span<std::byte> bytes_;
  std::shared_ptr<const void> holder_;  // shared: views of the bytes may outlive the read that filled them
};

class Disk {
 public:
  virtual ~Disk() = default;
  virtual const DiskTraits& traits() const = 0;

  // At least `length` bytes, rounded up to the alignment, from the registered pool while it lasts. Never waits.
  virtual DiskBuffer buffer(std::uint64_t length_bytes) = 0;

  virtual Task<DiskFileId> open(std::string name, DiskOpen how, DiskCaching caching) = 0;
  virtual Task<> close(DiskFileId file) = 0;
  // Exactly into.size() bytes, or an error.
  virtual Task<> read(DiskFileId file, std::uint64_t offset, std::span<std::byte> into) = 0;
  // All of them, or an error; not durable before sync().
  virtual Task<> write(DiskFileId file, std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  virtual Task<> sync(DiskFileId file) = 0;
  // Reserves space without changing the length; `unsupported` where the file system can not.
  virtual Task<> allocate(DiskFileId file, std::uint64_t length_bytes) = 0;
  virtual Task<> truncate(DiskFileId file, std::uint64_t length_bytes) = 0;
  virtual Task<> punch(DiskFileId file, std::uint64_t offset, std::uint64_t length_bytes) = 0;
  virtual Task<std::uint64_t> length_bytes(DiskFileId file) = 0;
  // A read-only descriptor for a local client; `unsupported` in the simulation.
  virtual Result<UniqueFd> share(DiskFileId file) = 0;

  virtual Task<> remove(std::string name) = 0;
  // Replaces `to` atomically.
  virtual Task<> rename(std::string from, std::string to) = 0;
  // Makes entries created, renamed or removed so far durable.
  virtual Task<> sync_directory() = 0;
  // Everything below the directory, in no order; at most `limit` per call, `after` continues (a name of an earlier call).
  virtual Task<std::vector<DiskEntry>> list(std::string after, std::size_t limit) = 0;
  virtual Task<DiskSpace> space() = 0;
  // Whether the directory that was opened is the one that is found under its path now. unavailable: nothing is there, or the file
  // system that was mounted there is not any more. stale: another directory is there; only opening it afresh helps.
  virtual Task<> check_place() = 0;
  // Waits for what is in flight, then closes every file.
  virtual Task<> shut_down() = 0;
};

struct DiskOptions {
  std::string directory;                     // exists, writable by us
  std::uint32_t queue_depth = 256;           // submissions in flight; more wait in order
  std::size_t max_waiting = 65536;           // more are `overloaded`
  std::uint64_t registered_bytes = 64ULL << 20;
  std::size_t fallback_threads = 16;         // of the engine without io_uring
  enum class Engine : std::uint8_t { automatic, io_uring, threads } engine = Engine::automatic;
};

// Probes and opens. A forbidden io_uring or a refused O_DIRECT falls back and says so in traits() and the log.
// Fails: not_found, permission_denied (the directory), unsupported (engine io_uring was required and is not there).
Result<std::unique_ptr<Disk>> open_disk(const DiskOptions& options, Executor executor, Clock& clock);

}  // namespace hearth

// A disk in memory for tests: deterministic, scripted, and as bad as a real one.
//
//   auto medium = std::make_shared<SimDiskMedium>(SimDiskOptions{});
//   auto disk = open_sim_disk(medium, executor, clock);            // the process that uses it
//   medium->add_fault({.operation = SimOperation::read, .code = Code::io_error, .skip = 3});
//   medium->crash_after(k);  ...run...  medium->restart(SimCrash::power_loss, seed);   // then open it again
//
// Every crash point: run once, note operations_done() as N; then for k in 0..N a fresh medium, crash_after(k), run,
// restart, check.
//
// Layers: a change is *written* at once and *durable* after sync() of its file (bytes, length) or sync_directory() (names).
//         Syncing a file does not make its name durable.
// Threads: confined to the executor of its disks; a call without latency or hang ends without a suspension.
// Owns:    the state. It survives its disks; disks opened before a restart() answer `unavailable` for ever.
#pragma once

#include "tiering/disk/disk.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace hearth {

enum class SimOperation : std::uint8_t {
  open, close, read, write, sync, allocate, truncate, punch, length_bytes, remove, rename, sync_directory, list, space,
};
inline constexpr std::size_t sim_operation_count = 14;

enum class SimEffect : std::uint8_t {
  fail,          // answers `code`, changes nothing
  fail_partly,   // answers `code`; a seeded part of it happened (write: pages kept, lost or torn at 512 bytes)
  lose,          // answers ok, changes nothing: the lost write
  tear,          // answers ok, a seeded part of it happened: the torn write
  flip,          // read: answers ok with one seeded bit flipped; the medium is unharmed
  hang,          // until release_hung() or restart(), then goes on
};

struct SimDiskFault {
  SimOperation operation = SimOperation::read;
  SimEffect effect = SimEffect::fail;
  Code code = Code::io_error;
  std::string name{};               // of the file; "" = any. rename: either name
  std::uint64_t skip = 0;           // matching calls that pass first
  std::uint64_t count = UINT64_MAX; // then so many are hit
  double probability = 1.0;         // each of those, by the medium's seed
};

// missing: everything is `unavailable`. replaced: so it is, and check_place() finds another directory there.
enum class SimAccess : std::uint8_t { writable, read_only, missing, replaced };

enum class SimCrash : std::uint8_t {
  process_kill,  // completed changes stay; those in flight happened partly, by the seed
  power_loss,    // and what was not synced is kept, lost or torn, each change and page by itself
};

struct SimDiskOptions {
  std::uint64_t capacity_bytes = 1ULL << 40;
  std::uint64_t capacity_inodes = 1ULL << 20;
  std::uint64_t seed = 1;
  std::uint32_t queue_depth = 256;
  std::size_t max_waiting = 65536;
};

class SimDiskMedium {
 public:
  explicit SimDiskMedium(SimDiskOptions options);
  ~SimDiskMedium();
  SimDiskMedium(const SimDiskMedium&) = delete;
  SimDiskMedium& operator=(const SimDiskMedium&) = delete;

  // Faults. The first that matches a call decides.
  void add_fault(SimDiskFault fault);
  void clear_faults();
  void set_access(SimAccess access);
  void set_capacity(std::uint64_t bytes, std::uint64_t inodes);
  void set_latency(SimOperation operation, Duration each);
  void set_latency(Duration each);   // of every operation
  void set_slowdown(double factor);  // of every latency: 100 = a disk that crawls
  std::size_t hung() const;
  void release_hung();

  // Crash points. A boundary is a completed change: create, write, truncate, allocate, punch, remove, rename, sync,
  // sync_directory.
  std::uint64_t operations_done() const;
  void crash_after(std::uint64_t boundaries);  // total of operations_done(); what comes then is `unavailable`
  void crash_now();
  bool crashed() const;
  // Ends a crash (or an orderly run): disks opened before are dead, and the state is what `crash` left.
  void restart(SimCrash crash, std::uint64_t seed);
  void forget_unsynced(std::uint64_t seed) { restart(SimCrash::power_loss, seed); }

  // The medium seen from outside, past all faults.
  std::vector<std::string> names() const;
  std::optional<std::vector<std::byte>> content(const std::string& name) const;  // as written
  void plant(const std::string& name, std::span<const std::byte> bytes);         // durable at once, replaces
  bool erase(const std::string& name);
  // false when there is no such byte. The file is synced by it.
  bool flip_bit(const std::string& name, std::uint64_t offset, unsigned bit);
  struct Flip {
    std::string name;
    std::uint64_t offset = 0;
    unsigned bit = 0;
  };
  // Of a seeded byte of all files whose name starts with `prefix`; nothing when they are empty.
  std::optional<Flip> flip_random_bit(std::uint64_t seed, const std::string& prefix = "");
  std::uint64_t used_bytes() const;  // allocated pages, those of removed files that are still open included

  struct State;

 private:
  friend std::unique_ptr<Disk> open_sim_disk(std::shared_ptr<SimDiskMedium> medium, Executor executor, Clock& clock);

  std::unique_ptr<State> state_;
};

// `clock` gives the latencies their time. The disk shares the medium, so that a test may let go of it.
std::unique_ptr<Disk> open_sim_disk(std::shared_ptr<SimDiskMedium> medium, Executor executor, Clock& clock);

}  // namespace hearth

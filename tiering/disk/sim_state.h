// The state behind a SimDiskMedium: names in two layers, faults, and the crash in progress.
//
// Threads: confined to the executor of its disks.
#pragma once

#include "tiering/disk/completion.h"
#include "tiering/disk/sim_disk.h"
#include "tiering/disk/sim_image.h"

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace hearth {

using SimFilePointer = std::shared_ptr<disk::SimFile>;  // shared: a name, its past in the durable layer, and open files

// One change of the medium, as it is made, remembered until durable, or half made in a crash.
struct SimMutation {
  enum class Kind : std::uint8_t { create, change, sync, remove, rename, sync_directory } kind = Kind::change;
  SimFilePointer file{};        // create, change, sync
  disk::SimChange change{};     // change
  std::string name{};           // create, remove, rename
  std::string to{};             // rename
};

// A call that waits: for its latency, or until it is released. Shared by the disk, the medium and the alarm.
struct SimPause {
  Executor executor;
  disk::Completion<> done{};
  bool hangs = false;
};
void wake(const std::shared_ptr<SimPause>& pause);

// What becomes of one call.
struct SimVerdict {
  Status status;        // refused at once when not ok
  SimEffect effect = SimEffect::fail;
  bool is_hit = false;  // `effect` and `code` apply
  bool hangs = false;
  Code code = Code::io_error;
  Duration delay{0};
};

struct SimDiskMedium::State {
  explicit State(SimDiskOptions options_in) : options(options_in), dice(options_in.seed) {}

  struct FaultState {
    SimDiskFault fault;
    std::uint64_t seen = 0;
    std::uint64_t hits = 0;
  };

  SimVerdict judge(SimOperation operation, const std::string& name, const std::string& other);
  Status usable(std::uint64_t of_incarnation) const;
  // Makes it, unless the crash comes first (then it counts as in flight).
  Status make(const SimMutation& mutation);
  void make_partly(const SimMutation& mutation, Rng& by);
  std::uint64_t begin_flight(SimMutation mutation);
  void end_flight(std::uint64_t id) { in_flight.erase(id); }
  void restart(SimCrash crash, std::uint64_t seed);
  SimFilePointer find(const std::string& name) const;
  void release_if_unused(const SimFilePointer& file);
  enum class Wake : std::uint8_t { hung, all };
  void wake_paused(Wake which);

  // Set once
  SimDiskOptions options;
  // Executor only
  SeededRng dice;
  std::vector<FaultState> faults;
  SimAccess access = SimAccess::writable;
  std::array<Duration, sim_operation_count> latency{};
  double slowdown = 1;
  std::uint64_t incarnation = 1;  // of the process; a restart makes a new one
  std::uint64_t done = 0;
  std::uint64_t crash_at = UINT64_MAX;
  bool is_crashed = false;
  std::uint64_t used = 0;  // bytes
  std::map<std::string, SimFilePointer> names;
  std::map<std::string, SimFilePointer> durable_names;
  std::vector<SimMutation> unsynced_names;
  std::map<std::uint64_t, SimMutation> in_flight;
  std::uint64_t next_flight = 1;
  std::vector<std::shared_ptr<SimPause>> paused;

 private:
  Status apply(const SimMutation& mutation);
  Status apply_change(disk::SimFile& file, const disk::SimChange& change);
  void apply_name(const SimMutation& mutation, std::map<std::string, SimFilePointer>& to) const;
  void set_name(const std::string& name, SimFilePointer file);
  void recount();
};

}  // namespace hearth

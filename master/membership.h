// The workers: who is here, who is lost, and what each one says it holds.
//
// Reports of one registration (epoch) take effect in the order of their sequence numbers. A report older than
// the last one is ignored, so that an incremental report wins over an older full one; the last one may come again (its
// answer was lost) and changes nothing. A gap asks for a full report. During a full report the locations of
// before stay visible until its last page, then what it did not name is gone.
//
// Threads: confined to its owner; the time is passed in.
// Owns:    the worker table and the block map.
// Fails:   wrong_epoch when the sender was replaced or declared lost: it registers again.
#pragma once

#include "common/clock.h"
#include "common/ids.h"
#include "master/block_map.h"

#include <hearth/result.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace hearth::master {

enum class WorkerState : std::uint8_t { live, draining, lost };

// What a worker says about itself.
// What a worker says of one of its tiers; passed on as it is.
struct TierFigures {
  std::string name, directory, state, reason, engine, fallback_reason;
  std::uint64_t capacity_bytes = 0, used_bytes = 0, block_count = 0;
  std::uint64_t read_bytes = 0, written_bytes = 0, evicted_bytes = 0, corrupt_pages = 0, unverified_pages = 0;
};

struct WorkerFigures {
  std::string host;
  std::string address;
  std::string local_socket;
  std::string version;
  std::uint64_t capacity_bytes = 0;
  std::uint64_t used_bytes = 0;
  std::uint64_t leased_bytes = 0;
  std::uint64_t hit_bytes = 0;
  std::uint64_t miss_bytes = 0;
  std::uint64_t fetched_bytes = 0;
  std::uint64_t fetches = 0;
  std::uint64_t policy_version = 0;
  std::string policy_problem;
  std::vector<TierFigures> tiers;
  enum class Mode : std::uint8_t { serving, draining } mode = Mode::serving;
};

struct PresenceReport {
  WorkerId worker;
  std::uint64_t epoch = 0;
  std::uint64_t sequence = 0;
  enum class Part : std::uint8_t { middle, first, last, whole } part = Part::middle;  // of a full report; middle also: a delta
  std::vector<BlockId> added;
  std::vector<BlockId> removed;
};

enum class NextReport : std::uint8_t { delta, full };

struct WorkerRow {
  WorkerId id;
  WorkerFigures figures;
  WorkerState state = WorkerState::live;
  Duration since_heartbeat{};
  std::uint64_t block_count = 0;
};

class Membership {
 public:
  // Epochs begin above `epoch_base`: give each run of the master a higher one.
  Membership(Duration lost_after, std::uint64_t epoch_base) : lost_after_(lost_after), last_epoch_(epoch_base) {}

  // A worker id that registers again replaces its former self, locations included. Answers the epoch.
  std::uint64_t register_worker(WorkerId worker, WorkerFigures figures, TimePoint now);
  // What the worker should send next.
  Result<NextReport> heartbeat(const PresenceReport& report, std::optional<WorkerFigures> figures, TimePoint now);
  // Leaves the table; nothing of it is served from now on.
  Status deregister(WorkerId worker, std::uint64_t epoch);
  // Declares lost who was silent for `lost_after`; forgets who has been lost for `forget_after`.
  std::vector<WorkerId> expire(TimePoint now);

  // A client read from there and it was not there.
  void bad_location(const BlockId& block, WorkerId worker);
  std::vector<WorkerId> locations(const BlockId& block) const { return blocks_.locations(block); }

  std::vector<WorkerRow> rows(TimePoint now) const;
  std::optional<std::string> address(WorkerId worker) const;  // of a worker that is not lost
  std::uint64_t table_version() const { return table_version_; }
  std::size_t count(WorkerState state) const;
  BlockMap& blocks() { return blocks_; }
  const BlockMap& blocks() const { return blocks_; }

  static constexpr Duration forget_after = std::chrono::hours(1);

 private:
  struct Member {
    WorkerFigures figures;
    WorkerState state = WorkerState::live;
    std::uint64_t epoch = 0;
    std::uint64_t sequence = 0;       // of the last report that took effect
    bool has_full = false;            // a full report is complete and no gap came since
    std::optional<SlotIndex> slot;    // what is served; none while lost
    std::optional<SlotIndex> filling; // the full report in progress
    TimePoint heard;
  };

  void apply(Member& member, const PresenceReport& report);
  void begin_full(WorkerId worker, Member& member);
  void break_full(Member& member);
  void drop_slots(Member& member);

  // Set once
  Duration lost_after_;

  std::map<WorkerId, Member> members_;
  BlockMap blocks_;
  std::uint64_t last_epoch_;
  std::uint64_t table_version_ = 1;
};

}  // namespace hearth::master

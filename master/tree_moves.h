// Renames of directories in stores that can only copy and remove keys (understore/tree_mover.h): each is a job that is written
// down before it begins and goes on where it was after any end of the master. What is half done is never in the namespace.
//
//   copying   the namespace has the old name; nothing of the new one is seen; changes of either wait. Passes of copies until one
//             finds nothing to do: what somebody else changes meanwhile is copied again.
//   removing  one write moved the inodes and said so; the rename is answered. Nothing of the old name is seen, changes of it wait.
//   undoing   the store refused for good: the copies go, and the rename fails.
//
// Threads: confined to the namespace executor.
// Owns:    the rows "move:" of the journal, the jobs (tasks of the group it is given, which ends them by cancelling), and the
//          memory of what was renamed lately.
// Durable: begin() ends when the job is on stable storage; a job says that it has switched when that is.
// Fails:   see each call. A store that is away is asked again, for as long as it takes.
#pragma once

#include "common/task_group.h"
#include "master/flight.h"
#include "master/meta_store.h"
#include "master/namespace.h"
#include "master/store_set.h"
#include "master/sync_group.h"
#include "understore/tree_mover.h"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hearth::master {

// Whether `path` is `top` or lies below it; everything lies below "".
bool lies_in(std::string_view path, std::string_view top);

class TreeMoves {
 public:
  struct Parts {
    Clock& clock;
    MetaStore& store;
    Namespace& tree;
    StoreSet& stores;
    SyncGroup& sync;
    WaitBoard& board;
    TaskGroup& tasks;
    // A job switched while perhaps nobody waits for it.
    std::function<void(const MoveRow&)> switched;
  };
  // Reads the journal and starts what it names.
  static Result<std::unique_ptr<TreeMoves>> open(Parts parts);
  ~TreeMoves();

  // ---- what is seen meanwhile
  // Whether what a store says of `path` is part of a move that is not done: it counts as absent.
  bool hides(AttachmentId attachment, std::string_view path) const;
  // What was learned earlier than this of a path is not current any more: it, or what it lies in, was renamed then.
  Moment since(AttachmentId attachment, std::string_view path) const;
  // A directory was renamed, or its tree removed, at `at`.
  void changed(AttachmentId attachment, std::string path, Moment at, Duration metadata_ttl);
  bool any_of(AttachmentId attachment) const;

  // ---- changes
  enum class Takes : std::uint8_t { name, tree };  // tree: what lies below the name goes along
  // What a change of `path` has to wait for, and look again then; null: nothing.
  std::shared_ptr<FlightBase> in_the_way(AttachmentId attachment, std::string_view path, Takes takes) const;

  // From here on changes of both names wait. Nothing is written yet; end with begin() or drop(). The number is the row's, unless
  // that is 0 or taken.
  std::uint64_t reserve(MoveRow row);
  void drop(std::uint64_t id);
  // Ends when the job is durable; it goes on by itself, also after a failure, but io_error and the like of the write itself.
  Task<> begin(std::uint64_t id, MoveRow::Onto onto, Deadline deadline);
  // Until it switched: ok. deadline_exceeded: it goes on. Else why it was given up; not_found: nothing is known of the number.
  Task<> wait(std::uint64_t id, Deadline deadline);
  std::optional<MoveRow> find(std::uint64_t id) const;  // also of one that ended lately

 private:
  struct Job {
    MoveRow row;
    bool begun = false;
    std::shared_ptr<Flight<>> switched;  // shared with those who wait
    std::shared_ptr<Flight<>> ended;
    Status why = ok();                         // it is given up
    std::map<InodeId, std::string> versions;   // of copies, where they differ from what the namespace keeps attributes by
    std::uint64_t copied = 0;
  };
  using JobHandle = std::shared_ptr<Job>;  // shared with its task
  struct Renamed {
    AttachmentId attachment;
    std::string path;
    Moment at;
    TimePoint until;
  };

  explicit TreeMoves(Parts parts) : parts_(std::move(parts)) {}
  Status load();
  JobHandle add(MoveRow row);
  Status start(const JobHandle& job);
  Task<> run(JobHandle job);
  Task<> advance(JobHandle job);
  Task<std::shared_ptr<UnderStore>> store_of(const MoveRow& row);
  Task<> copy(JobHandle job);
  struct Pass {
    std::uint64_t changed = 0;
    std::int64_t at_ns = 0;
  };
  Task<Pass> copy_pass(JobHandle job, TreeMover* mover);
  void note_versions(Job& job, const TreeStretch& stretch);
  Status switch_over(Job& job, std::int64_t at_ns);
  Status write(const MoveRow& row);
  Task<> remove_source(JobHandle job);
  Task<> undo(JobHandle job);
  Task<> end(JobHandle job);
  Result<std::optional<Namespace::EntryPlace>> place_of(const MoveRow& row, const std::string& path);
  Result<std::optional<Inode>> inode_at(const MoveRow& row, const std::string& path);
  Duration ttl_of(AttachmentId attachment) const;

  // Set once
  Parts parts_;

  // Namespace thread only
  std::uint64_t next_ = 1;
  std::map<std::uint64_t, JobHandle> jobs_;
  std::deque<JobHandle> ended_;  // the last few, for whoever still asks
  std::deque<Renamed> renamed_;
};

}  // namespace hearth::master

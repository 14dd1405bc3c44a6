// Group commit: one synced write-ahead log for everyone who waits for durability.
//
// Threads: commit() on the namespace thread; MetaStore::sync() runs on the pool, once for all who came before it began.
// Owns:    nothing of the store.
// Fails:   as MetaStore::sync(); deadline_exceeded (the change may become durable all the same).
#pragma once

#include "common/blocking.h"
#include "common/task_group.h"
#include "master/flight.h"
#include "master/meta_store.h"

namespace hearth::master {

class SyncGroup {
 public:
  SyncGroup(MetaStore& store, BlockingPool& pool, TaskGroup& tasks, WaitBoard& board)
      : store_(store), pool_(pool), tasks_(tasks), board_(board) {}
  // Ends once every write made before this call is on stable storage.
  Task<> commit(Deadline deadline);

 private:
  Task<> run();

  MetaStore& store_;
  BlockingPool& pool_;
  TaskGroup& tasks_;
  WaitBoard& board_;
  std::shared_ptr<Flight<>> next_;  // of the sync that has not begun
  enum class State : std::uint8_t { idle, running } state_ = State::idle;
};

}  // namespace hearth::master

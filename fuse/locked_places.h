// Directories in which files are locked: who locks a file there wants to see the names beside it as they are, too (SQLite
// looks whether a journal was left). So names there are asked for anew each time.
//
// Threads: any. Bounds: a minute after its last lock a directory is as all others.
#pragma once

#include "common/clock.h"
#include "fuse/node_table.h"

#include <atomic>
#include <mutex>
#include <unordered_map>

namespace hearth {

class LockedPlaces {
 public:
  void note(NodeId directory);
  bool contains(NodeId directory) const;

 private:
  mutable std::mutex mutex_;
  std::atomic<bool> any_{false};
  std::unordered_map<NodeId, TimePoint> until_;  // Guarded by mutex_
};

}  // namespace hearth

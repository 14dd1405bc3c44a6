// Makes the kernel drop what a notice names, and says when it has.
//
// Attributes go first: without them the kernel asks about a name before it uses it, and a node that is another file now
// answers ESTALE, so it looks the name up again. Only where the node does not tell (it is open, or has several names) the name is
// expired, too, which takes the lock of its directory: another thread does that, and is waited for a moment at most,
// and not at all while a change of this mount is under way, which may hold that lock and wait, over the master, for us.
// For nodes that were made just before or after a notice it is carried out once more: an answer from before it may have been on its
// way into the kernel, which had no inode yet to remember the notice by. (Of one that it has, it drops such answers itself.)
//
// Threads: tell() from any, and it does not wait; stop() from the owner's.
// Owns:    two threads, until stop(). Notices after that are acted on by doing nothing.
// Bounds:  a client has one notice on its way; the notices to be repeated and the names to be expired are counted (.cc).
#pragma once

#include "common/clock.h"
#include "fuse/file_system.h"
#include "fuse/kernel_cache.h"
#include "fuse/source.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace hearth {

class ChangeNotices {
 public:
  ChangeNotices(FileSystem& files, KernelCache& kernel, const Source& source);
  ~ChangeNotices() { stop(); }
  ChangeNotices(const ChangeNotices&) = delete;
  ChangeNotices& operator=(const ChangeNotices&) = delete;

  void tell(const ChangeNotice& notice, std::function<void()> acted);
  void stop();

 private:
  struct Job {
    ChangeNotice notice;
    std::function<void()> acted;  // null: a repetition
    TimePoint since = TimePoint::min();
  };
  struct Names {
    std::vector<NodeTable::Name> names;
    bool expired = false;
  };
  struct Repeat {
    TimePoint when;
    ChangeNotice notice;
    TimePoint since;
  };
  using Lock = std::unique_lock<std::mutex>;

  void run();
  void run_names();
  bool next(Lock& lock, Job& job);
  void carry_out(const Job& job, Lock& lock);
  void expire(std::vector<NodeTable::Name> names, Lock& lock);

  FileSystem& files_;
  KernelCache& kernel_;
  const Source& source_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_
  std::deque<Job> jobs_;
  std::deque<Repeat> repeats_;
  std::deque<std::shared_ptr<Names>> names_;  // shared: who waits for them to be expired may give up
  bool stopped_ = false;
  // Last: they use all of the above
  std::thread thread_;
  std::thread names_thread_;
};

}  // namespace hearth

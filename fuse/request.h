// One request of the kernel from its arrival to its only answer, and the shapes that answers have.
//
// Threads: a Request lives on the stack of the thread that handles it; its caller may give up meanwhile, then
//          InterruptedRequests answers for it.
#pragma once

#include "fuse/cluster_locks.h"
#include "fuse/file_system.h"
#include "fuse/lowlevel.h"
#include "fuse/pending.h"

#include <sys/stat.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

namespace hearth {

// Failures that an operator should see, at most ten a second.
class MountErrorLog {
 public:
  void write(std::string_view operation, const std::string& path, const Error& error);

 private:
  std::mutex mutex_;
  // Guarded by mutex_
  TimePoint second_{};
  std::uint64_t lines_ = 0;
  std::uint64_t left_out_ = 0;
};

// The handles that the kernel knows, by their address, which is the kernel's fh. Shared, so that a read that was given
// up keeps its handle. A kernel that is cut off sends no RELEASE: what is left goes with the table.
class OpenHandles {
 public:
  template <class Handle>
  std::uint64_t add(std::shared_ptr<Handle> handle) {
    const auto fh = reinterpret_cast<std::uint64_t>(handle.get());
    const std::lock_guard lock(mutex_);
    handles_.emplace(fh, std::move(handle));
    return fh;
  }
  template <class Handle>
  std::shared_ptr<Handle> get(std::uint64_t fh) const {
    const std::lock_guard lock(mutex_);
    return std::static_pointer_cast<Handle>(handles_.at(fh));
  }
  // The same, and `fh` is not valid any more.
  template <class Handle>
  std::shared_ptr<Handle> take(std::uint64_t fh) {
    const std::lock_guard lock(mutex_);
    return std::static_pointer_cast<Handle>(std::move(handles_.extract(fh).mapped()));
  }

 private:
  mutable std::mutex mutex_;
  // Guarded by mutex_
  std::unordered_map<std::uint64_t, std::shared_ptr<void>> handles_;
};

// What every handler reaches through fuse_req_userdata().
struct MountContext {
  FileSystem* files = nullptr;
  InterruptedRequests* interrupts = nullptr;
  MountErrorLog errors;
  OpenHandles handles;
  std::unique_ptr<ClusterLocks> locks;  // null: the kernel's own
};

// One request from its arrival to its only answer.
class Request {
 public:
  Request(fuse_req_t req, FuseOp op, NodeId node);
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  fuse_req_t raw() const { return req_; }
  FileSystem& files() const { return *context_.files; }
  OpenHandles& handles() const { return context_.handles; }
  ClusterLocks* locks() const { return context_.locks.get(); }

  // From here the caller may give up: call before anything that can wait.
  void may_wait();
  // False: it was answered meanwhile, and `raw()` is gone. Must be asked once before every answer.
  bool take();

  void done() { count(MountCounters::Outcome::done); }
  void fail(const Error& error, int error_number);
  void fail(const Error& error) { fail(error, error.error_number()); }

 private:
  static void interrupted(fuse_req_t, void* data);
  void count(MountCounters::Outcome outcome) {
    files().counters().count(op_, outcome, std::chrono::steady_clock::now() - began_);
  }

  const fuse_req_t req_;
  const FuseOp op_;
  const NodeId node_;
  MountContext& context_;
  const TimePoint began_;
  std::shared_ptr<PendingRequest> pending_;  // shared with InterruptedRequests
};

// Seconds as libfuse takes them.
inline double to_seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }
struct stat to_stat(const FileStatus& status);
fuse_entry_param to_param(const NodeEntry& entry);

// Page-aligned memory of this thread for bytes on their way through the daemon; the next call may move it.
std::span<std::byte> thread_scratch(std::size_t size);

}  // namespace hearth

#include "fuse/lock_operations.h"

#include "fuse/request.h"

#include <fcntl.h>
#include <sys/file.h>

#include <atomic>
#include <utility>

namespace hearth {
namespace {

// A request that is answered by whoever learns the answer; no thread of the session waits for it. The caller may give up
// meanwhile: then the answer is EINTR soon, unless the lock was granted before.
class LockRequest : public std::enable_shared_from_this<LockRequest> {
 public:
  explicit LockRequest(fuse_req_t req)
      : req_(req), context_(*static_cast<MountContext*>(fuse_req_userdata(req))), ticket_(locks().new_ticket()),
        began_(std::chrono::steady_clock::now()) {}

  void lock(ClusterLocks::Call call, LockSession::Wait wait) {
    const auto self = shared_from_this();  // the answer may come before this ends
    fuse_req_interrupt_func(req_, &LockRequest::interrupted, this);
    locks().lock(ticket_, std::move(call), wait, [self](const Status& outcome) { self->answer(outcome); });
    if (given_up_) locks().cancel(ticket_);  // before there was anything to cancel
  }
  void unlock(ClusterLocks::Call call) {
    locks().unlock(std::move(call), [self = shared_from_this()](const Status& outcome) { self->answer(outcome); });
  }
  void find_conflict(ClusterLocks::Call call) {
    locks().find_conflict(std::move(call), [self = shared_from_this()](const Result<std::optional<FileLock>>& found) {
      self->tell(found);
    });
  }

 private:
  ClusterLocks& locks() { return *context_.locks; }

  static void interrupted(fuse_req_t, void* data) {
    auto* self = static_cast<LockRequest*>(data);
    self->given_up_ = true;
    self->locks().cancel(self->ticket_);
  }

  void answer(const Status& outcome) {
    fuse_req_interrupt_func(req_, nullptr, nullptr);  // waits for interrupted() if it runs now
    count(outcome ? MountCounters::Outcome::done : MountCounters::Outcome::failed);
    fuse_reply_err(req_, outcome ? 0 : outcome.error().error_number());
  }

  void tell(const Result<std::optional<FileLock>>& found) {
    if (!found) return answer(found.error());
    count(MountCounters::Outcome::done);
    struct flock held {};
    held.l_type = F_UNLCK;
    if (*found) {
      const LockRange range = (*found)->range;
      held.l_type = static_cast<short>((*found)->mode == LockMode::exclusive ? F_WRLCK : F_RDLCK);
      held.l_whence = SEEK_SET;
      held.l_start = static_cast<off_t>(range.first);
      held.l_len = range.last >= INT64_MAX ? 0 : static_cast<off_t>(range.last - range.first + 1);
      held.l_pid = static_cast<pid_t>((*found)->pid);
    }
    fuse_reply_lock(req_, &held);
  }

  void count(MountCounters::Outcome outcome) {
    context_.files->counters().count(FuseOp::lock, outcome, std::chrono::steady_clock::now() - began_);
  }

  const fuse_req_t req_;
  MountContext& context_;
  const std::uint64_t ticket_;
  const TimePoint began_;
  std::atomic<bool> given_up_{false};
};

// A range to the end of all files ends where a file's length does for the kernel, at INT64_MAX.
ClusterLocks::Call call_of(fuse_ino_t node, const fuse_file_info& info, const struct flock& lock) {
  ClusterLocks::Call call{.node = node, .handle = info.fh, .lock = {}};
  call.lock.mode = lock.l_type == F_WRLCK ? LockMode::exclusive : LockMode::shared;
  call.lock.owner = info.lock_owner;
  call.lock.range.first = static_cast<std::uint64_t>(lock.l_start);
  if (lock.l_len > 0) call.lock.range.last = static_cast<std::uint64_t>(lock.l_start + lock.l_len - 1);
  call.lock.pid = static_cast<std::uint32_t>(lock.l_pid);
  return call;
}

void on_getlk(fuse_req_t req, fuse_ino_t node, fuse_file_info* info, struct flock* lock) {
  std::make_shared<LockRequest>(req)->find_conflict(call_of(node, *info, *lock));
}

void on_setlk(fuse_req_t req, fuse_ino_t node, fuse_file_info* info, struct flock* lock, int waits) {
  const auto request = std::make_shared<LockRequest>(req);
  ClusterLocks::Call call = call_of(node, *info, *lock);
  if (lock->l_type == F_UNLCK) return request->unlock(std::move(call));
  request->lock(std::move(call), waits != 0 ? LockSession::Wait::until_granted : LockSession::Wait::no);
}

void on_flock(fuse_req_t req, fuse_ino_t node, fuse_file_info* info, int operation) {
  const auto request = std::make_shared<LockRequest>(req);
  ClusterLocks::Call call{.node = node, .handle = info->fh, .lock = {}};
  call.lock.space = LockSpace::whole_file;
  call.lock.owner = info->lock_owner;
  call.lock.pid = static_cast<std::uint32_t>(fuse_req_ctx(req)->pid);
  const int wanted = operation & ~LOCK_NB;
  if (wanted == LOCK_UN) return request->unlock(std::move(call));
  call.lock.mode = wanted == LOCK_EX ? LockMode::exclusive : LockMode::shared;
  request->lock(std::move(call), (operation & LOCK_NB) != 0 ? LockSession::Wait::no : LockSession::Wait::until_granted);
}

}  // namespace

void add_lock_operations(fuse_lowlevel_ops& table) {
  table.getlk = on_getlk;
  table.setlk = on_setlk;
  table.flock = on_flock;
}

}  // namespace hearth

#include "fuse/cluster_locks.h"

#include "fuse/file_system.h"

#include <algorithm>
#include <cerrno>
#include <semaphore>
#include <utility>

namespace hearth {
namespace {

// The kernel tells of a file's last close behind the closer's back: a flock that is refused because of a file of this mount is
// tried again, for what the last of these add up to.
constexpr std::chrono::milliseconds close_may_be_on_its_way[] = {std::chrono::milliseconds(1), std::chrono::milliseconds(4),
                                                                 std::chrono::milliseconds(16)};

}  // namespace

ClusterLocks::ClusterLocks(FileSystem& files, std::shared_ptr<LockSession> session, std::function<void(NodeId)> drop_pages)
    : files_(files), session_(std::move(session)), drop_pages_(std::move(drop_pages)), thread_([this] { run(); }) {}

ClusterLocks::~ClusterLocks() {
  {
    std::unique_lock lock(mutex_);
    const std::set<std::uint64_t> waiting = calls_;
    lock.unlock();
    for (const std::uint64_t ticket : waiting) session_->cancel(ticket);
    lock.lock();
    changed_.wait(lock, [this] { return calls_.empty() && others_ == 0; });
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Result<std::string> ClusterLocks::enter(const Call& call) {
  {
    const std::lock_guard lock(mutex_);
    const auto known = locked_.find(call.node);
    if (known != locked_.end()) {
      auto& users = known->second.users;
      const auto user = std::find_if(users.begin(), users.end(), [&](const User& one) {
        return one.space == call.lock.space && one.owner == call.lock.owner;
      });
      if (user != users.end()) {
        user->handle = call.handle;
      } else {
        users.push_back({call.lock.space, call.lock.owner, call.handle});
      }
      return known->second.key;
    }
  }
  TRY(key, files_.lock_key(call.node));
  any_.store(true, std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  Locked& locked = locked_.try_emplace(call.node, Locked{key, {}}).first->second;
  locked.users.push_back({call.lock.space, call.lock.owner, call.handle});
  return locked.key;
}

bool ClusterLocks::is_used_by_others(const Call& call) const {
  const std::lock_guard lock(mutex_);
  const auto known = locked_.find(call.node);
  if (known == locked_.end()) return false;
  return std::any_of(known->second.users.begin(), known->second.users.end(), [&](const User& one) {
    return one.space == call.lock.space && one.owner != call.lock.owner;
  });
}

// ---- calls

void ClusterLocks::lock(std::uint64_t ticket, Call call, LockSession::Wait wait, LockSession::Done done) {
  Status ready = files_.prepare_to_lock(call.node);
  if (ready) {
    auto key = enter(call);
    if (key) call.lock.object = std::move(*key);
    if (!key) ready = key.error();
  }
  if (!ready) return done(std::move(ready));
  {
    const std::lock_guard lock(mutex_);
    calls_.insert(ticket);
  }
  ask(ticket, std::move(call), wait, 0, std::move(done));
}

void ClusterLocks::ask(std::uint64_t ticket, Call call, LockSession::Wait wait, int tries, LockSession::Done done) {
  FileLock wanted = call.lock;
  const bool waits = wait == LockSession::Wait::until_granted;
  const int tries_left = waits || wanted.space == LockSpace::ranges ? static_cast<int>(std::size(close_may_be_on_its_way)) : tries;
  session_->lock(ticket, std::move(wanted), wait,
                 [this, ticket, call = std::move(call), tries_left, done = std::move(done)](Status outcome) mutable {
                   answered(ticket, std::move(call), std::move(outcome), tries_left, std::move(done));
                 });
}

void ClusterLocks::answered(std::uint64_t ticket, Call call, Status outcome, int tries, LockSession::Done done) {
  if (outcome) {
    // Not here, on the client's thread: dropping pages waits for reads of them, which need that thread.
    return do_later(TimePoint{}, [this, ticket, call = std::move(call), done = std::move(done)] {
      files_.forget_before_lock(call.node);
      drop_pages_(call.node);
      done(ok());
      ended(ticket);
    });
  }
  const bool again = outcome.error().error_number() == EAGAIN && tries < static_cast<int>(std::size(close_may_be_on_its_way)) &&
                     is_used_by_others(call);
  if (again) {
    const TimePoint when = real_clock().now() + close_may_be_on_its_way[tries];
    return do_later(when, [this, ticket, call = std::move(call), tries, done = std::move(done)] {
      ask(ticket, call, LockSession::Wait::no, tries + 1, done);
    });
  }
  done(std::move(outcome));
  ended(ticket);
}

void ClusterLocks::unlock(Call call, LockSession::Done done) {
  auto key = enter(call);
  if (!key) return done(key.error());
  call.lock.object = std::move(*key);
  {
    const std::lock_guard lock(mutex_);
    ++others_;
  }
  session_->unlock(std::move(call.lock), [this, done = std::move(done)](Status outcome) {
    done(std::move(outcome));
    ended(0);
  });
}

void ClusterLocks::find_conflict(Call call, LockSession::Found done) {
  auto key = files_.lock_key(call.node);
  {
    const std::lock_guard lock(mutex_);
    const auto known = locked_.find(call.node);
    if (known != locked_.end()) key = known->second.key;
    if (key) ++others_;
  }
  if (!key) return done(key.error());
  call.lock.object = std::move(*key);
  session_->find_conflict(std::move(call.lock), [this, done = std::move(done)](Result<std::optional<FileLock>> found) {
    done(std::move(found));
    ended(0);
  });
}

void ClusterLocks::ended(std::uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  if (ticket == 0) --others_;
  calls_.erase(ticket);
  changed_.notify_all();
}

// ---- close

std::vector<FileLock> ClusterLocks::take_users(NodeId node, const std::function<bool(const User&)>& which) {
  std::vector<FileLock> taken;
  if (!any_.load(std::memory_order_relaxed)) return taken;
  const std::lock_guard lock(mutex_);
  const auto known = locked_.find(node);
  if (known == locked_.end()) return taken;
  std::erase_if(known->second.users, [&](const User& user) {
    if (!which(user)) return false;
    FileLock one;
    one.object = known->second.key;
    one.space = user.space;
    one.owner = user.owner;
    taken.push_back(std::move(one));
    return true;
  });
  if (known->second.users.empty()) locked_.erase(known);
  return taken;
}

void ClusterLocks::closed(NodeId node, std::uint64_t owner) {
  const auto taken = take_users(node, [owner](const User& user) { return user.space == LockSpace::ranges && user.owner == owner; });
  for (const FileLock& one : taken) {
    auto free = std::make_shared<std::binary_semaphore>(0);  // shared with the answer
    session_->closed(one, [free](const Status&) { free->release(); });
    free->acquire();
  }
}

void ClusterLocks::released(NodeId node, std::uint64_t handle) {
  for (FileLock& one : take_users(node, [handle](const User& user) { return user.handle == handle; })) {
    session_->closed(std::move(one), [](const Status&) {});  // the kernel waits for nothing here
  }
}

Status ClusterLocks::check(NodeId node, std::uint64_t handle) const {
  if (!any_.load(std::memory_order_relaxed)) return ok();
  const std::lock_guard lock(mutex_);
  const auto known = locked_.find(node);
  if (known == locked_.end()) return ok();
  for (const User& user : known->second.users) {
    if (user.handle != handle) continue;
    FileLock one;
    one.object = known->second.key;
    one.space = user.space;
    one.owner = user.owner;
    CHECK_OK(session_->check(one));
  }
  return ok();
}

// ---- what is done later

void ClusterLocks::do_later(TimePoint when, std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    later_.emplace(when, std::move(work));
  }
  changed_.notify_all();
}

void ClusterLocks::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (later_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const auto next = later_.begin();
    const TimePoint when = next->first;
    if (when > real_clock().now()) {
      changed_.wait_until(lock, when);
      continue;
    }
    const auto work = std::move(next->second);
    later_.erase(next);
    lock.unlock();
    work();
    lock.lock();
  }
}

}  // namespace hearth

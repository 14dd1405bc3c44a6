#include "fuse/change_notices.h"

#include <signal.h>

#include <chrono>
#include <utility>

namespace hearth {
namespace {

constexpr Duration repeat_after = std::chrono::milliseconds(10);
constexpr Duration just_before = std::chrono::milliseconds(50);
constexpr std::size_t most_repeats = 256;
constexpr std::size_t most_name_batches = 256;  // more, and names are left to their ttl
constexpr Duration wait_for_names = std::chrono::milliseconds(50);
constexpr Duration look_every = std::chrono::milliseconds(1);

// Signals are for the program's own threads.
template <class Body>
std::thread quiet_thread(Body body) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(body));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

ChangeNotices::ChangeNotices(FileSystem& files, KernelCache& kernel, const Source& source)
    : files_(files), kernel_(kernel), source_(source), thread_(quiet_thread([this] { run(); })),
      names_thread_(quiet_thread([this] { run_names(); })) {}

void ChangeNotices::tell(const ChangeNotice& notice, std::function<void()> acted) {
  {
    const Lock lock(mutex_);
    if (!stopped_) {
      jobs_.push_back(Job{.notice = notice, .acted = std::move(acted), .since = TimePoint::min()});
      acted = nullptr;
    }
  }
  changed_.notify_all();
  if (acted) acted();
}

void ChangeNotices::stop() {
  std::deque<Job> left;
  {
    const Lock lock(mutex_);
    stopped_ = true;
    left.swap(jobs_);
  }
  changed_.notify_all();
  for (const Job& job : left) job.acted();
  if (thread_.joinable()) thread_.join();
  if (names_thread_.joinable()) names_thread_.join();
}

// False: stopped.
bool ChangeNotices::next(Lock& lock, Job& job) {
  while (!stopped_) {
    if (!jobs_.empty()) {
      job = std::move(jobs_.front());
      jobs_.pop_front();
      return true;
    }
    const bool due = !repeats_.empty() && (repeats_.size() > most_repeats || repeats_.front().when <= real_clock().now());
    if (due) {
      job = Job{.notice = std::move(repeats_.front().notice), .acted = nullptr, .since = repeats_.front().since};
      repeats_.pop_front();
      return true;
    }
    if (repeats_.empty()) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, repeats_.front().when);
    }
  }
  return false;
}

void ChangeNotices::run() {
  Lock lock(mutex_);
  Job job;
  while (next(lock, job)) {
    carry_out(job, lock);
    if (!job.acted) continue;
    const TimePoint now = real_clock().now();
    repeats_.push_back(Repeat{.when = now + repeat_after, .notice = std::move(job.notice), .since = now - just_before});
    lock.unlock();
    job.acted();
    lock.lock();
  }
}

void ChangeNotices::carry_out(const Job& job, Lock& lock) {
  lock.unlock();
  KernelWork work = job.acted ? files_.told(job.notice) : files_.told_again(job.notice, job.since);
  for (const auto& [node, what] : work.nodes) kernel_.drop(node, what);
  lock.lock();
  if (!work.names.empty()) expire(std::move(work.names), lock);
}

void ChangeNotices::expire(std::vector<NodeTable::Name> names, Lock& lock) {
  if (names_.size() >= most_name_batches) return;
  // Behind what is being expired, perhaps: that ends at once, unless a directory is locked, and then others are queued soon.
  const bool at_once = names_.empty();
  auto batch = std::make_shared<Names>();
  batch->names = std::move(names);
  names_.push_back(batch);
  changed_.notify_all();
  const TimePoint until = real_clock().now() + wait_for_names;
  while (at_once && !batch->expired && !stopped_ && source_.changes_under_way() == 0 && real_clock().now() < until) {
    changed_.wait_for(lock, look_every);
  }
}

void ChangeNotices::run_names() {
  Lock lock(mutex_);
  while (!stopped_) {
    if (names_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const std::shared_ptr<Names> batch = std::move(names_.front());
    names_.pop_front();
    lock.unlock();
    for (const NodeTable::Name& name : batch->names) kernel_.expire(name.parent, name.name);
    lock.lock();
    batch->expired = true;
    changed_.notify_all();
  }
}

}  // namespace hearth

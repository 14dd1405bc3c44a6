#include "fuse/pending.h"

namespace hearth {

InterruptedRequests::InterruptedRequests(Duration grace) : grace_(grace), thread_([this] { run(); }) {}

InterruptedRequests::~InterruptedRequests() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void InterruptedRequests::add(std::shared_ptr<PendingRequest> request) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({std::chrono::steady_clock::now() + grace_, std::move(request)});
  }
  changed_.notify_one();
}

void InterruptedRequests::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (waiting_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const TimePoint until = waiting_.front().until;
    if (std::chrono::steady_clock::now() < until) {
      changed_.wait_until(lock, until);
      continue;
    }
    const auto request = std::move(waiting_.front().request);
    waiting_.pop_front();
    lock.unlock();
    if (request->claim()) request->abandon();
    lock.lock();
  }
}

}  // namespace hearth

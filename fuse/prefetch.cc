#include "fuse/prefetch.h"

#include "common/log.h"

#include <algorithm>
#include <utility>

namespace hearth {

Prefetcher::Prefetcher() {
  constexpr int loaders = 2;
  for (int i = 0; i < loaders; ++i) threads_.emplace_back([this] { run(); });
}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Prefetcher::add(std::string key, std::shared_ptr<SourceFile> file) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= max_waiting || !known_.insert(key).second) return;
    waiting_.push_back({std::move(key), std::move(file)});
  }
  changed_.notify_all();
}

void Prefetcher::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return known_.empty() || stopping_; });
}

void Prefetcher::load(const Job& job) {
  started_.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t length = job.file->status().length_bytes;
  for (std::uint64_t offset = 0; offset < length && !stopping_; offset += step_bytes) {
    const auto loaded = job.file->load(offset, std::min(step_bytes, length - offset));
    if (loaded) continue;
    log_debug("fuse_prefetch_failed", {{"file", job.key}, {"error", loaded.error().to_string()}});
    return;
  }
}

void Prefetcher::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    load(job);
    job.file.reset();
    lock.lock();
    known_.erase(job.key);
    changed_.notify_all();
  }
}

}  // namespace hearth

#include "common/blocking.h"

#include <utility>

namespace hearth {

BlockingPool::BlockingPool(std::size_t threads, std::size_t max_queued) : pool_(threads), max_queued_(max_queued + threads) {}

BlockingPool::~BlockingPool() { pool_.join(); }

// Counts running jobs too, hence the `+ threads` above.
bool BlockingPool::admit() {
  if (queued_.fetch_add(1, std::memory_order_relaxed) < max_queued_) return true;
  left();
  return false;
}

bool BlockingPool::run_unwatched(std::function<void()> work) {
  if (!admit()) return false;
  post([this, work = std::move(work)] {
    work();
    left();
  });
  return true;
}

void BlockingPool::post(std::function<void()> job) { asio::post(pool_, std::move(job)); }

}  // namespace hearth

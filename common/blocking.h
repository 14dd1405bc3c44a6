// The one visible door to blocking calls (RocksDB, fsync, pread, getaddrinfo): a bounded pool.
#pragma once

#include "common/async.h"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/this_coro.hpp>

#include <atomic>
#include <cstddef>
#include <functional>

namespace hearth {

// Threads that may block. Bounded queue: when `max_queued` jobs wait, run() fails with `overloaded`.
class BlockingPool {
 public:
  BlockingPool(std::size_t threads, std::size_t max_queued);
  ~BlockingPool();  // waits for running jobs

  // Runs `work` on a pool thread; the task resumes on the caller's executor. Not cancelled
  // once started: what `work` refers to must live until it returned.
  template <class T>
  Task<T> run(std::function<Result<T>()> work);

  // Runs `work` on a pool thread some time; nobody hears of its end. False: the pool is full and did not take it.
  bool run_unwatched(std::function<void()> work);

 private:
  bool admit();
  void post(std::function<void()> job);
  void left() { queued_.fetch_sub(1, std::memory_order_relaxed); }

  asio::thread_pool pool_;
  std::size_t max_queued_;
  std::atomic<std::size_t> queued_{0};
};

template <class T>
Task<T> BlockingPool::run(std::function<Result<T>()> work) {
  if (!admit()) co_return Error(Code::overloaded, "the pool for blocking calls is full; try again later");
  Executor home = co_await asio::this_coro::executor;
  Result<T> result;
  auto job = [this, &result, &work, home](auto handler) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    post([this, &result, &work, home, shared] {
      result = work();
      left();
      asio::post(home, [shared] { (*shared)(); });
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(job, asio::use_awaitable);
  co_return std::move(result);
}

}  // namespace hearth

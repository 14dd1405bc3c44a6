// Waiting of several coroutines for one event.
//
// Threads: confined to the io thread.
// Waits:   without a deadline of its own: whoever sets it has one, and sets it on every way out.
#pragma once

#include "common/async.h"
#include "common/net/waiter.h"

#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace hearth::client {

// ok, or cancelled: whoever waits for this coroutine gave up. A cancellation that came between two waits disturbs neither.
inline Task<> still_wanted() {
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  const bool wanted = cancellation.cancelled() == asio::cancellation_type::none;
  if (!wanted) co_return Error(Code::cancelled, "cancelled by its caller");
  co_return ok();
}

class Signal {
 public:
  bool is_set() const { return set_; }

  // Returns when set() was called. `signal` is kept alive by the waiter.
  static asio::awaitable<void> wait(std::shared_ptr<Signal> signal) {
    if (signal->set_) co_return;
    auto park = [signal](auto handler) {
      auto shared = std::make_shared<decltype(handler)>(std::move(handler));
      signal->waiters_.push_back([shared] { (*shared)(); });
    };
    co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(park, asio::use_awaitable);
  }

  // Also returns when the waiting coroutine is cancelled: still_wanted() says so.
  static asio::awaitable<void> wait_or_cancelled(std::shared_ptr<Signal> signal) {
    if (signal->set_) co_return;
    auto waiter = std::make_shared<Waiter>();
    signal->waiters_.push_back([waiter] { waiter->wake(); });
    co_await waiter->wait();
  }

  void set(const Executor& executor) {
    set_ = true;
    for (auto& waiter : std::exchange(waiters_, {})) asio::post(executor, std::move(waiter));
  }

 private:
  bool set_ = false;
  std::vector<std::function<void()>> waiters_;
};

// Bytes that may be on their way at once.
//
// Threads: confined to the io thread. First come, first served.
// Waits:   no longer than the holders before it, each of which has a deadline.
class ByteBudget {
 public:
  ByteBudget(Executor executor, std::uint64_t limit_bytes) : executor_(std::move(executor)), limit_(limit_bytes) {}

  bool try_take(std::uint64_t bytes) {
    if (!queue_.empty() || (used_ != 0 && used_ + bytes > limit_)) return false;
    used_ += bytes;
    return true;
  }
  asio::awaitable<void> take(std::uint64_t bytes) {
    if (try_take(bytes)) co_return;
    auto turn = std::make_shared<Signal>();
    queue_.emplace_back(bytes, turn);
    co_await Signal::wait(turn);
  }
  void give_back(std::uint64_t bytes) {
    used_ -= bytes;
    std::size_t served = 0;
    // One request larger than the whole budget goes alone.
    while (served < queue_.size() && (used_ == 0 || used_ + queue_[served].first <= limit_)) {
      used_ += queue_[served].first;
      queue_[served++].second->set(executor_);
    }
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(served));
  }
  std::uint64_t used_bytes() const { return used_; }

 private:
  Executor executor_;
  std::uint64_t limit_;
  std::uint64_t used_ = 0;
  std::vector<std::pair<std::uint64_t, std::shared_ptr<Signal>>> queue_;  // shared: the waiter keeps its own
};

}  // namespace hearth::client

// The place where one coroutine waits until it is woken: a condition variable for one executor.
//
// Threads: confined to one executor; wake() never resumes inline.
// Fails:   never; a cancelled wait ends like a wake (or as `on_cancel` decides), and the waiting
//          coroutine looks at its own state.
#pragma once

#include "common/async.h"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cassert>
#include <functional>
#include <optional>
#include <utility>

namespace hearth {

class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // Ends at the next wake(), at once when one came before. `on_cancel` runs when the awaiting
  // coroutine is cancelled; it must lead to a wake(). Without it, cancelling wakes.
  asio::awaitable<void> wait() { return wait(nullptr); }
  asio::awaitable<void> wait(std::function<void()> on_cancel) {
    auto initiate = [this, on_cancel = std::move(on_cancel)](auto handler) mutable {
      park(std::move(handler), std::move(on_cancel));
    };
    return asio::async_initiate<const asio::use_awaitable_t<>, void()>(std::move(initiate), asio::use_awaitable);
  }

  void wake() {
    if (!parked_) {
      woken_ = true;
      return;
    }
    Handler handler = std::move(*parked_);
    parked_.reset();
    asio::get_associated_cancellation_slot(handler).clear();
    asio::post(std::move(handler));
  }

  bool is_waiting() const { return parked_.has_value(); }

 private:
  using Handler = asio::async_result<asio::use_awaitable_t<>, void()>::handler_type;

  void park(Handler handler, std::function<void()> on_cancel) {
    assert(!parked_ && "one coroutine waits");
    if (std::exchange(woken_, false)) {
      asio::post(std::move(handler));
      return;
    }
    auto slot = asio::get_associated_cancellation_slot(handler);
    parked_.emplace(std::move(handler));
    if (!slot.is_connected()) return;
    slot.assign([this, on_cancel = std::move(on_cancel)](asio::cancellation_type) {
      // wake() destroys this closure: nothing of it is touched afterwards.
      if (!on_cancel) return wake();
      auto hook = on_cancel;
      hook();
    });
  }

  std::optional<Handler> parked_;
  bool woken_ = false;
};

}  // namespace hearth

// Cancels one spawned coroutine, from anywhere on its executor's thread and at any time, also too late.
//
// Why not a bare cancellation_signal: co_spawn (Asio 1.26) does not emit inline when it is asked from
// outside a running handler; it posts a pointer into the signal, which must then still be there.
// A copy cancels the same coroutine.
//
// Threads: confined to the executor.
#pragma once

#include "common/async.h"

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/dispatch.hpp>

#include <memory>
#include <utility>

namespace hearth {

class Canceller {
 public:
  explicit Canceller(Executor executor) : executor_(std::move(executor)) {}

  // For bind_cancellation_slot of the next coroutine spawned under this.
  asio::cancellation_slot slot() { return signal_->slot(); }

  void cancel() {
    asio::dispatch(executor_, [signal = signal_] { signal->emit(asio::cancellation_type::terminal); });
  }

 private:
  Executor executor_;
  // Shared with cancellations on their way.
  std::shared_ptr<asio::cancellation_signal> signal_ = std::make_shared<asio::cancellation_signal>();
};

}  // namespace hearth

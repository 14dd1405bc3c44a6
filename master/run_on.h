// Runs a task on another executor and resumes the caller on its own: the message between threads.
//
// The caller's cancellation stays on its thread: what runs over there ends by its own deadline.
#pragma once

#include "common/async.h"

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <utility>

namespace hearth::master {

template <class T>
Task<T> run_on(Executor where, Task<T> task) {
  const asio::disable_cancellation none;
  co_await asio::this_coro::reset_cancellation_state(none);
  co_return co_await asio::co_spawn(where, std::move(task), asio::use_awaitable);
}

}  // namespace hearth::master

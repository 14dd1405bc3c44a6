// The place where one coroutine waits for others, of any thread, until it is rung or a point in time has come.
//
// Threads: wait() on the executor it was made with; ring() from any thread. Rung while nobody waits, the next wait()
//          ends at once.
// Owns:    nothing; held by shared_ptr, because a ring may be on its way when the waiting one has left.
#pragma once

#include "common/canceller.h"
#include "common/clock.h"

#include <boost/asio/steady_timer.hpp>

#include <memory>

namespace hearth {

class Doorbell : public std::enable_shared_from_this<Doorbell> {
 public:
  explicit Doorbell(Executor executor)
      : executor_(std::move(executor)), alarm_stop_(executor_), place_(executor_, TimePoint::max()) {}

  const Executor& executor() const { return executor_; }
  // The executor must still be there: whoever rings makes sure that the waiting one has not left yet.
  void ring();
  void ring_here();  // on the executor

  // Until rung, cancelled or `when`; look at your own state afterwards. One alarm per bell, for its whole life.
  void ring_at(Clock& clock, TimePoint when);
  bool alarm_rang() const { return alarm_rang_; }
  // Ends when the alarm no longer refers to the clock. To be awaited before the one who set it leaves.
  static asio::awaitable<void> silence(std::shared_ptr<Doorbell> bell);
  static asio::awaitable<void> wait(std::shared_ptr<Doorbell> bell);

 private:
  // Set once
  Executor executor_;
  Canceller alarm_stop_;

  // Executor only
  asio::steady_timer place_;  // never expires: a place to wait that goes away with its executor
  bool rung_ = false;
  bool alarm_runs_ = false;
  bool alarm_rang_ = false;
};

}  // namespace hearth

// One re-armable timer of a connection, on the injected clock.
//
// A connection has many points in time to look at (deadlines, pings, stalls) and one Alarm: it
// rings at the earliest one asked for, its owner looks at everything and asks again. Asking for
// a later point than the armed one costs a comparison, so the data path may ask on every frame.
//
// Threads: confined to its executor.
// Owns:    one sleeping coroutine at most; stop() ends it.
#pragma once

#include "common/async.h"
#include "common/canceller.h"
#include "common/clock.h"

#include <functional>
#include <memory>

namespace hearth {

// Shared: the sleeping coroutine keeps it while its owner goes.
class Alarm : public std::enable_shared_from_this<Alarm> {
 public:
  static std::shared_ptr<Alarm> make(Executor executor, Clock& clock, std::function<void()> ring);

  // Rings at `when` or before.
  void ring_by(TimePoint when);
  // Never rings again.
  void stop();

 private:
  Alarm(Executor executor, Clock& clock, std::function<void()> ring);
  void sleep();
  void woke();

  // Set once
  Executor executor_;
  Clock& clock_;
  std::function<void()> ring_;
  // Executor only
  TimePoint armed_for_ = TimePoint::max();
  bool sleeping_ = false;
  bool stopped_ = false;
  Canceller canceller_;
};

}  // namespace hearth

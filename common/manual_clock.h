// A clock that stands still until a test advances it.
//
// Threads: now() and advance() from any thread; a sleeper resumes on its own executor, which must run
//          one handler at a time (an io_context with one thread, or a strand).
// Owns:    nothing of the sleepers; it must outlive them.
#pragma once

#include "common/clock.h"

#include <cstddef>
#include <memory>

namespace hearth {

class ManualClock final : public Clock {
 public:
  ManualClock();
  ~ManualClock() override;

  TimePoint now() const override;
  WallTime wall_now() const override;
  Task<> sleep_until(TimePoint when) override;

  // Moves time forward and schedules every sleeper whose time has come, earliest first. They run when
  // their executor does: with an io_context, call poll() afterwards.
  void advance(Duration by);
  // How many coroutines sleep now; lets a test wait for a sequence point instead of for time.
  std::size_t sleepers() const;
  // When the first of them wakes up; TimePoint::max() when nobody sleeps.
  TimePoint next_wakeup() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with sleepers' frames, which may be destroyed late
};

}  // namespace hearth

// The clock of a real local store beside a master in virtual time.
#pragma once

#include "common/clock.h"

namespace hearth::master {

// Stands still, as the master's does, but for those who wait for a file to settle.
class StoreClock final : public Clock {
 public:
  explicit StoreClock(const Clock& master) : master_(master) {}
  TimePoint now() const override { return master_.now(); }
  WallTime wall_now() const override { return real_clock().wall_now(); }
  Task<> sleep_until(TimePoint when) override {
    const Duration left = when - now();
    co_return co_await real_clock().sleep_for(left);
  }

 private:
  const Clock& master_;
};

}  // namespace hearth::master

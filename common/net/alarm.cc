#include "common/net/alarm.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>

#include <exception>
#include <utility>

namespace hearth {

std::shared_ptr<Alarm> Alarm::make(Executor executor, Clock& clock, std::function<void()> ring) {
  return std::shared_ptr<Alarm>(new Alarm(std::move(executor), clock, std::move(ring)));
}

Alarm::Alarm(Executor executor, Clock& clock, std::function<void()> ring)
    : executor_(executor), clock_(clock), ring_(std::move(ring)), canceller_(std::move(executor)) {}

void Alarm::ring_by(TimePoint when) {
  if (stopped_ || when >= armed_for_) return;
  armed_for_ = when;
  if (sleeping_) {
    canceller_.cancel();  // woke() sleeps again, until the earlier point
  } else {
    sleep();
  }
}

void Alarm::stop() {
  stopped_ = true;
  ring_ = nullptr;
  if (sleeping_) canceller_.cancel();
}

void Alarm::sleep() {
  sleeping_ = true;
  // The exception of a sleep that was cancelled before it began says no more than its early end.
  auto done = [self = shared_from_this()](std::exception_ptr, Status) { self->woke(); };
  asio::co_spawn(executor_, clock_.sleep_until(armed_for_),
                 asio::bind_cancellation_slot(canceller_.slot(), std::move(done)));
}

void Alarm::woke() {
  sleeping_ = false;
  if (stopped_) return;
  if (clock_.now() < armed_for_) return sleep();
  armed_for_ = TimePoint::max();
  const auto ring = ring_;  // ringing may stop() this alarm
  ring();
}

}  // namespace hearth

#include "understore/guard/doorbell.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>

namespace hearth {

void Doorbell::ring() {
  asio::post(executor_, [self = shared_from_this()] { self->ring_here(); });
}

void Doorbell::ring_here() {
  rung_ = true;
  place_.cancel();
}

void Doorbell::ring_at(Clock& clock, TimePoint when) {
  if (when == TimePoint::max()) return;
  alarm_runs_ = true;
  // The exception of a sleep that was cancelled before it began says no more than its early end.
  auto woke = [self = shared_from_this()](const std::exception_ptr& thrown, const Status& slept) {
    self->alarm_runs_ = false;
    self->alarm_rang_ = !thrown && slept;
    self->ring_here();
  };
  asio::co_spawn(executor_, clock.sleep_until(when), asio::bind_cancellation_slot(alarm_stop_.slot(), std::move(woke)));
}

asio::awaitable<void> Doorbell::wait(std::shared_ptr<Doorbell> bell) {
  constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
  if (!bell->rung_) co_await bell->place_.async_wait(as_result);
  bell->rung_ = false;
}

asio::awaitable<void> Doorbell::silence(std::shared_ptr<Doorbell> bell) {
  if (!bell->alarm_runs_) co_return;
  bell->alarm_stop_.cancel();
  while (bell->alarm_runs_) co_await wait(bell);
}

}  // namespace hearth

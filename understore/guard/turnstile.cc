#include "understore/guard/turnstile.h"

#include "common/units.h"

#include <boost/asio/this_coro.hpp>

#include <algorithm>

namespace hearth {

std::optional<Turnstile::Turn> Turnstile::try_enter() {
  const std::lock_guard lock(mutex_);
  if (!waiting_.empty() || in_flight_ >= limit_.limit()) return std::nullopt;
  in_flight_ += 1;
  return Turn(this);
}

Task<Turnstile::Turn> Turnstile::enter(Deadline deadline) {
  if (std::optional<Turn> turn = try_enter()) co_return std::move(*turn);
  auto place = std::make_shared<Place>();
  const Executor executor = co_await asio::this_coro::executor;
  place->bell = std::make_shared<Doorbell>(executor);
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= max_waiting_) {
      co_return Error(Code::overloaded, store_ + " is slow and " + std::to_string(waiting_.size()) +
                                            " calls wait for it already; try again later");
    }
    waiting_.push_back(place);
    admit();  // a turn may have become free meanwhile
  }
  Result<Turn> turn = co_await wait(place, deadline);
  co_return std::move(turn);
}

// Takes the place out of the queue, also when the coroutine is destroyed: whoever rings must find the executor there.
struct Turnstile::InQueue {
  ~InQueue() {
    const std::lock_guard lock(gate.mutex_);
    std::erase(gate.waiting_, place);
  }
  Turnstile& gate;
  std::shared_ptr<Place> place;
};

Task<Turnstile::Turn> Turnstile::wait(std::shared_ptr<Place> place, Deadline deadline) {
  const InQueue queued{*this, place};
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  if (cancellation.cancelled() == asio::cancellation_type::none) {
    place->bell->ring_at(clock_, deadline.when());
    co_await Doorbell::wait(place->bell);
  }
  Result<Turn> turn = leave_queue(place, deadline);
  co_await Doorbell::silence(place->bell);
  co_await asio::this_coro::throw_if_cancelled(throws);
  co_return std::move(turn);
}

Result<Turnstile::Turn> Turnstile::leave_queue(const std::shared_ptr<Place>& place, Deadline deadline) {
  const std::lock_guard lock(mutex_);
  if (place->admitted) return Turn(this);
  std::erase(waiting_, place);
  if (place->refused) return *place->refused;
  if (!deadline.expired(clock_.now())) return Error(Code::cancelled, "waiting for " + store_ + " was cancelled");
  return Error(Code::deadline_exceeded, store_ + " is slow: " + std::to_string(in_flight_) + " calls are under way, " +
                                            std::to_string(waiting_.size()) +
                                            " wait, and this one's time was over before its turn came");
}

void Turnstile::leave() {
  const std::lock_guard lock(mutex_);
  in_flight_ -= 1;
  admit();
}

void Turnstile::admit() {
  while (!waiting_.empty() && in_flight_ < limit_.limit()) {
    const std::shared_ptr<Place> first = std::move(waiting_.front());
    waiting_.pop_front();
    in_flight_ += 1;
    first->admitted = true;
    first->bell->ring();  // with the mutex held, so that the one who waits is still there
  }
}

void Turnstile::give_up(const Error& why) {
  const std::lock_guard lock(mutex_);
  for (const std::shared_ptr<Place>& place : waiting_) {
    place->refused = why;
    place->bell->ring();
  }
  waiting_.clear();
}

void Turnstile::kept_up() {
  const std::lock_guard lock(mutex_);
  limit_.kept_up(in_flight_);
  admit();
}

void Turnstile::overloaded(TimePoint began) {
  const std::lock_guard lock(mutex_);
  limit_.overloaded(began, clock_.now());
}

std::size_t Turnstile::limit() const {
  const std::lock_guard lock(mutex_);
  return limit_.limit();
}

std::size_t Turnstile::in_flight() const {
  const std::lock_guard lock(mutex_);
  return in_flight_;
}

std::size_t Turnstile::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

}  // namespace hearth

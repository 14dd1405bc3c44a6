#include "worker/wait.h"

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <cassert>
#include <utility>

namespace hearth::worker {
namespace {

bool is_cancelled(const asio::cancellation_state& state) { return state.cancelled() != asio::cancellation_type::none; }
Error wait_cancelled() { return Error(Code::cancelled, "the wait was cancelled"); }

}  // namespace

Event::Event(const Executor& executor) : executor_(executor), timer_(executor, asio::steady_timer::time_point::max()) {}

void Event::set() {
  if (std::exchange(set_, true)) return;
  timer_.cancel();
}

// A cancellation that came before a wait began, or while its end was on the way, ends it too: a loop of waits would
// otherwise go on for ever.
Task<> Event::wait(std::shared_ptr<Event> event) {
  if (event->set_) co_return ok();
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  if (is_cancelled(cancellation)) co_return wait_cancelled();
  boost::system::error_code ignored;
  auto token = asio::redirect_error(asio::use_awaitable, ignored);
  co_await event->timer_.async_wait(token);
  if (event->set_) co_return ok();
  co_return wait_cancelled();
}

Task<> Event::wait_until(std::shared_ptr<Event> event, Clock& clock, Deadline deadline) {
  if (event->is_set()) co_return ok();
  if (deadline.is_never()) {
    Status status = co_await wait(event);
    co_return status;
  }
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  if (is_cancelled(cancellation)) co_return wait_cancelled();
  using asio::experimental::awaitable_operators::operator||;
  auto race = wait(event) || clock.sleep_until(deadline.when());
  auto outcome = co_await std::move(race);
  if (event->is_set()) co_return ok();
  if (is_cancelled(cancellation)) co_return wait_cancelled();
  if (outcome.index() == 0) co_return std::get<0>(std::move(outcome));
  if (!std::get<1>(outcome)) co_return std::get<1>(std::move(outcome));
  co_return Error(Code::deadline_exceeded, "the deadline passed while waiting");
}

struct Admission::State {
  struct Waiter {
    std::shared_ptr<Event> event;
    std::uint64_t amount;
    bool admitted = false;
    bool gone = false;  // its coroutine was cancelled
  };

  State(Executor executor, std::uint64_t capacity, std::size_t max_waiting)
      : executor(std::move(executor)), capacity(capacity), max_waiting(max_waiting) {}

  void release(std::uint64_t amount) {
    assert(used >= amount);
    used -= amount;
    admit();
  }
  void admit() {
    while (!waiting.empty()) {
      Waiter& first = *waiting.front();
      if (!first.gone) {
        if (used + first.amount > capacity) return;
        used += first.amount;
        first.admitted = true;
        first.event->set();
      }
      waiting.pop_front();
    }
  }

  Executor executor;
  std::uint64_t capacity;
  std::size_t max_waiting;
  std::uint64_t used = 0;
  bool closed = false;
  std::deque<std::shared_ptr<Waiter>> waiting;  // shared with the coroutine that waits
};

Admission::Ticket& Admission::Ticket::operator=(Ticket&& other) noexcept {
  Ticket old(std::move(*this));
  state_ = std::move(other.state_);
  amount_ = other.amount_;
  return *this;
}

Admission::Ticket::~Ticket() {
  if (state_) state_->release(amount_);
}

Admission::Admission(Executor executor, std::uint64_t capacity, std::size_t max_waiting)
    : state_(std::make_shared<State>(std::move(executor), std::max<std::uint64_t>(capacity, 1), max_waiting)) {}

Admission::~Admission() { close(); }

std::uint64_t Admission::idle() const { return state_->waiting.empty() ? state_->capacity - state_->used : 0; }

std::uint64_t Admission::used() const { return state_->used; }

void Admission::close() {
  state_->closed = true;
  for (auto& waiter : state_->waiting) waiter->event->set();
  state_->waiting.clear();
}

Task<Admission::Ticket> Admission::acquire(std::uint64_t amount) {
  return acquire_from(state_, std::min(amount, state_->capacity));
}

Task<Admission::Ticket> Admission::acquire_from(std::shared_ptr<State> state, std::uint64_t amount) {
  if (state->closed) co_return Error(Code::cancelled, "the worker is stopping; ask another worker");
  if (state->waiting.empty() && state->used + amount <= state->capacity) {
    state->used += amount;
    co_return Ticket(state, amount);
  }
  if (state->waiting.size() >= state->max_waiting) {
    co_return Error(Code::overloaded, "too many page fetches wait in this worker; try again later");
  }
  auto waiter = std::make_shared<State::Waiter>();
  waiter->event = std::make_shared<Event>(state->executor);
  waiter->amount = amount;
  state->waiting.push_back(waiter);
  Status waited = co_await Event::wait(waiter->event);
  if (waiter->admitted) co_return Ticket(state, amount);
  waiter->gone = true;
  state->admit();
  if (!waited) co_return std::move(waited).error();
  co_return Error(Code::cancelled, "the worker is stopping; ask another worker");
}

}  // namespace hearth::worker

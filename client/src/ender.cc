#include "client/src/ender.h"

#include <boost/asio/post.hpp>

#include <utility>

namespace hearth {

std::uint64_t Cancellation::State::listen(std::function<void()> hook) {
  std::lock_guard lock(mutex);
  if (cancelled.load()) {
    hook();
    return 0;
  }
  const std::uint64_t place = next_place++;
  hooks.emplace(place, std::move(hook));
  return place;
}

void Cancellation::State::leave(std::uint64_t place) {
  std::lock_guard lock(mutex);
  hooks.erase(place);
}

void Cancellation::State::cancel() {
  cancelled.store(true);
  if (fork.is_child()) return;  // nothing is on its way here, and the mutex may be locked for ever
  std::lock_guard lock(mutex);
  for (auto& [place, hook] : std::exchange(hooks, {})) hook();
}

Cancellation::Cancellation() : state_(std::make_shared<State>()) {}

void Cancellation::cancel() const { state_->cancel(); }

bool Cancellation::is_cancelled() const { return state_->cancelled.load(std::memory_order_relaxed); }

namespace client {

void Ender::begin(Canceller canceller) {
  if (ended_) return;
  canceller_ = std::move(canceller);
  const auto self = shared_from_this();
  if (options_.deadline.count() > 0) {
    timer_ = std::make_unique<asio::steady_timer>(executor_, options_.deadline);
    timer_->async_wait([self](const boost::system::error_code& stopped) {
      if (!stopped) self->cancel(Reason::time_is_over);
    });
  }
  if (!options_.cancellation) return;
  place_ = options_.cancellation->state_->listen(
      [self] { asio::post(self->executor_, [self] { self->cancel(Reason::cancelled); }); });
}

void Ender::end() {
  ended_ = true;
  canceller_.reset();
  timer_.reset();
  if (place_ != 0) options_.cancellation->state_->leave(std::exchange(place_, 0));
}

void Ender::cancel(Reason why) {
  if (ended_ || reason_ != Reason::none) return;
  reason_ = why;
  canceller_->cancel();
}

Error Ender::explain(Error seen) const {
  if (reason_ == Reason::none) return seen;
  if (reason_ == Reason::cancelled) return Error(Code::cancelled, "the call was cancelled by its caller");
  return Error(Code::deadline_exceeded, "the call did not end within the " + std::to_string(options_.deadline.count()) +
                                            " ms that its caller gave it; ask again, or give it more time");
}

}  // namespace client
}  // namespace hearth

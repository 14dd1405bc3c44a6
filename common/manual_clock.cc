#include "common/manual_clock.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <map>
#include <mutex>
#include <vector>

namespace hearth {
namespace {

// The timer never fires by itself: cancelling it is how the sleeper is woken.
struct Sleeper {
  explicit Sleeper(const Executor& executor) : timer(executor, TimePoint::max()) {}
  asio::steady_timer timer;
  bool due = false;  // on the executor only
};

}  // namespace

struct ManualClock::State {
  mutable std::mutex mutex;
  // Guarded by mutex.
  TimePoint now{std::chrono::hours(1)};
  std::multimap<TimePoint, std::shared_ptr<Sleeper>> sleepers;

  std::shared_ptr<Sleeper> add(TimePoint when, const Executor& executor) {
    const std::lock_guard lock(mutex);
    if (when <= now) return nullptr;
    auto sleeper = std::make_shared<Sleeper>(executor);
    sleepers.emplace(when, sleeper);
    return sleeper;
  }
  void remove(const std::shared_ptr<Sleeper>& sleeper) {
    const std::lock_guard lock(mutex);
    std::erase_if(sleepers, [&](const auto& entry) { return entry.second == sleeper; });
  }
};

ManualClock::ManualClock() : state_(std::make_shared<State>()) {}
ManualClock::~ManualClock() = default;

TimePoint ManualClock::now() const {
  const std::lock_guard lock(state_->mutex);
  return state_->now;
}

WallTime ManualClock::wall_now() const {
  // 2026-01-01T00:00:00Z when made, then in step.
  return WallTime(std::chrono::seconds(1767225600)) + (now() - TimePoint(std::chrono::hours(1)));
}

Task<> ManualClock::sleep_until(TimePoint when) {
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  if (cancellation.cancelled() != asio::cancellation_type::none) {
    co_return Error(Code::cancelled, "the sleep was cancelled");
  }
  const Executor executor = co_await asio::this_coro::executor;
  const std::shared_ptr<State> state = state_;
  const std::shared_ptr<Sleeper> sleeper = state->add(when, executor);
  if (!sleeper) co_return ok();
  constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
  co_await sleeper->timer.async_wait(as_result);
  if (sleeper->due) co_return ok();
  state->remove(sleeper);
  co_return Error(Code::cancelled, "the sleep was cancelled");
}

void ManualClock::advance(Duration by) {
  std::vector<std::shared_ptr<Sleeper>> due;
  {
    const std::lock_guard lock(state_->mutex);
    state_->now += by;
    const auto end = state_->sleepers.upper_bound(state_->now);
    for (auto it = state_->sleepers.begin(); it != end; ++it) due.push_back(it->second);
    state_->sleepers.erase(state_->sleepers.begin(), end);
  }
  for (const auto& sleeper : due) {
    asio::post(sleeper->timer.get_executor(), [sleeper] {
      sleeper->due = true;
      sleeper->timer.cancel();
    });
  }
}

std::size_t ManualClock::sleepers() const {
  const std::lock_guard lock(state_->mutex);
  return state_->sleepers.size();
}

TimePoint ManualClock::next_wakeup() const {
  const std::lock_guard lock(state_->mutex);
  return state_->sleepers.empty() ? TimePoint::max() : state_->sleepers.begin()->first;
}

}  // namespace hearth

#include "common/clock.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace hearth {
namespace {

class RealClock final : public Clock {
 public:
  TimePoint now() const override { return std::chrono::steady_clock::now(); }
  WallTime wall_now() const override { return std::chrono::system_clock::now(); }

  Task<> sleep_until(TimePoint when) override {
    // A cancellation that came before the timer started would otherwise be slept through.
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none) {
      co_return Error(Code::cancelled, "the sleep was cancelled");
    }
    const Executor executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor, when);
    constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
    const auto [error] = co_await timer.async_wait(as_result);
    if (error) co_return Error(Code::cancelled, "the sleep was cancelled");
    co_return ok();
  }
};

}  // namespace

Clock& real_clock() {
  // Never destroyed: threads of a client that was let go of late may outlive main().
  static RealClock& clock = *new RealClock;  // tidy-allow(raw-new): see above
  return clock;
}

}  // namespace hearth

#include "worker/wait.h"

#include "common/manual_clock.h"
#include "common/task_group.h"

#include <boost/asio/io_context.hpp>

#include <gtest/gtest.h>

namespace hearth::worker {
namespace {

using std::chrono::milliseconds;

Task<> wait_again_and_again(std::shared_ptr<Event> event, ManualClock* clock) {
  while (true) {
    const Deadline soon = Deadline::after(*clock, milliseconds(100));
    Status woken = co_await Event::wait_until(event, *clock, soon);
    if (woken.code() != Code::deadline_exceeded) co_return ok();
  }
}

// Found where a stopping worker met its mover at the one moment when the wait was over and the next not yet begun: it
// waited for the mover until its own deadline.
TEST(EventWait, ALoopOfWaitsEndsWheneverItIsCancelled) {
  for (int handlers_before = 0; handlers_before < 30; ++handlers_before) {
    ManualClock clock;
    asio::io_context context{1};
    const auto event = std::make_shared<Event>(context.get_executor());
    TaskGroup group(context.get_executor(), clock);
    ASSERT_TRUE(group.spawn(wait_again_and_again(event, &clock), "waits"));
    context.poll();
    clock.advance(milliseconds(100));
    for (int i = 0; i < handlers_before; ++i) {
      context.restart();
      context.poll_one();
    }
    group.cancel();
    for (int i = 0; i < 100; ++i) {
      context.restart();
      context.poll();
    }
    EXPECT_EQ(group.size(), 0U) << "cancelled after " << handlers_before << " handlers";
    event->set();
    group.cancel();
    for (int i = 0; i < 100; ++i) {
      context.restart();
      context.poll();
    }
  }
}

}  // namespace
}  // namespace hearth::worker

// Clocks, task groups and the blocking pool: what waits, and how waiting ends.
#include "common/blocking.h"
#include "common/clock.h"
#include "common/manual_clock.h"
#include "common/task_group.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <gtest/gtest.h>

#include <future>
#include <thread>
#include <vector>

namespace hearth {
namespace {

using namespace std::chrono_literals;

// Runs `task` to its end on `io` and answers what it ended with.
Status run(asio::io_context& io, Task<> task) {
  Status outcome;
  bool ended = false;
  asio::co_spawn(io, std::move(task), [&](const std::exception_ptr& thrown, Status status) {
    EXPECT_FALSE(thrown);
    outcome = std::move(status);
    ended = true;
  });
  io.restart();
  while (!ended && io.run_one() > 0) continue;
  return outcome;
}

void poll(asio::io_context& io) {
  io.restart();
  io.poll();
}

Task<> sleep_then_note(Clock& clock, Duration duration, std::vector<int>& notes, int note) {
  auto slept = co_await clock.sleep_for(duration);
  notes.push_back(slept ? note : -note);
  co_return slept;
}

Task<> fail_with(Code code) { co_return Error(code, "on purpose"); }

Task<> do_nothing() { co_return ok(); }

class Async : public ::testing::Test {
 protected:
  asio::io_context io{1};
  ManualClock clock;
  std::vector<int> notes;
};

// ---- clocks --------------------------------------------------------------------------------------

TEST_F(Async, ManualClockWakesExactlyThoseWhoseTimeHasComeInOrder) {
  TaskGroup group(io.get_executor(), clock);
  ASSERT_TRUE(group.spawn(sleep_then_note(clock, 30s, notes, 3)));
  ASSERT_TRUE(group.spawn(sleep_then_note(clock, 10s, notes, 1)));
  ASSERT_TRUE(group.spawn(sleep_then_note(clock, 20s, notes, 2)));
  poll(io);
  EXPECT_EQ(clock.sleepers(), 3U);
  EXPECT_EQ(clock.next_wakeup(), clock.now() + 10s);
  clock.advance(9999ms);
  poll(io);
  EXPECT_TRUE(notes.empty());
  clock.advance(1ms);
  poll(io);
  EXPECT_EQ(notes, std::vector<int>({1}));
  clock.advance(1h);
  poll(io);
  EXPECT_EQ(notes, std::vector<int>({1, 2, 3}));
  EXPECT_EQ(clock.sleepers(), 0U);
  EXPECT_EQ(clock.next_wakeup(), TimePoint::max());
}

TEST_F(Async, SleepingUntilThePastDoesNotWait) {
  EXPECT_TRUE(run(io, clock.sleep_until(clock.now())));
  EXPECT_TRUE(run(io, clock.sleep_until(clock.now() - 1s)));
  EXPECT_TRUE(run(io, real_clock().sleep_until(real_clock().now() - 1s)));
}

TEST_F(Async, ManualWallClockMovesInStep) {
  const WallTime before = clock.wall_now();
  clock.advance(90s);
  EXPECT_EQ(clock.wall_now() - before, 90s);
}

TEST_F(Async, RealClockSleepsAtLeastAsLongAsAsked) {
  const TimePoint begin = real_clock().now();
  EXPECT_TRUE(run(io, real_clock().sleep_for(2ms)));
  EXPECT_GE(real_clock().now() - begin, 2ms);
}

TEST_F(Async, CancellingEndsASleepOnBothClocks) {
  for (Clock* each : {static_cast<Clock*>(&clock), &real_clock()}) {
    notes.clear();
    TaskGroup group(io.get_executor(), clock);
    ASSERT_TRUE(group.spawn(sleep_then_note(*each, 1h, notes, 1)));
    poll(io);
    EXPECT_TRUE(notes.empty());
    group.cancel();
    EXPECT_TRUE(run(io, group.join()));
    EXPECT_EQ(notes, std::vector<int>({-1}));
    EXPECT_EQ(clock.sleepers(), 0U);
  }
}

TEST_F(Async, ASleepThatBeginsAfterCancellationEndsAtOnce) {
  const auto sleep_twice = [](Clock& by, std::vector<int>& out) -> Task<> {
    auto first = co_await by.sleep_for(1h);
    auto second = co_await by.sleep_for(1h);
    out.push_back(first ? 0 : 1);
    out.push_back(second ? 0 : 1);
    co_return ok();
  };
  for (Clock* each : {static_cast<Clock*>(&clock), &real_clock()}) {
    notes.clear();
    TaskGroup group(io.get_executor(), clock);
    ASSERT_TRUE(group.spawn(sleep_twice(*each, notes)));
    poll(io);
    group.cancel();
    EXPECT_TRUE(run(io, group.join()));
    EXPECT_EQ(notes, std::vector<int>({1, 1}));
  }
}

TEST_F(Async, ManualClockCanBeAdvancedFromAnotherThread) {
  TaskGroup group(io.get_executor(), clock);
  ASSERT_TRUE(group.spawn(sleep_then_note(clock, 10s, notes, 1)));
  poll(io);
  std::thread([&] { clock.advance(10s); }).join();
  poll(io);
  EXPECT_EQ(notes, std::vector<int>({1}));
}

TEST(Deadline, CountsDownAndCombines) {
  const ManualClock clock;
  const Deadline near = Deadline::after(clock, 1s);
  const Deadline far = Deadline::after(clock, 2s);
  EXPECT_EQ(near.sooner_of(far).when(), near.when());
  EXPECT_EQ(far.sooner_of(Deadline::never()).when(), far.when());
  EXPECT_FALSE(near.expired(clock.now()));
  EXPECT_TRUE(near.expired(clock.now() + 1s));
  EXPECT_EQ(near.remaining(clock.now() + 5s), 0s);
}

// ---- task group ----------------------------------------------------------------------------------

TEST_F(Async, DrainWaitsForTheLastTask) {
  TaskGroup group(io.get_executor(), clock);
  ASSERT_TRUE(group.spawn(sleep_then_note(clock, 1s, notes, 1)));
  ASSERT_TRUE(group.spawn(sleep_then_note(clock, 2s, notes, 2)));
  bool drained = false;
  asio::co_spawn(io, group.join(), [&](const std::exception_ptr&, const Status& status) { drained = status.has_value(); });
  poll(io);
  clock.advance(1s);
  poll(io);
  EXPECT_FALSE(drained);
  EXPECT_EQ(group.size(), 1U);
  clock.advance(1s);
  poll(io);
  EXPECT_TRUE(drained);
  EXPECT_EQ(group.size(), 0U);
}

TEST_F(Async, RefusesTasksOnceClosed) {
  TaskGroup group(io.get_executor(), clock);
  group.close();
  const Status status = group.spawn(do_nothing(), "late");
  EXPECT_EQ(status.code(), Code::cancelled);
  EXPECT_NE(status.error().message().find("late"), std::string::npos);
  EXPECT_TRUE(run(io, group.join()));
}

TEST_F(Async, DrainGivesUpAtItsDeadlineAndCanBeRepeated) {
  TaskGroup group(io.get_executor(), clock);
  ASSERT_TRUE(group.spawn(sleep_then_note(clock, 1h, notes, 1), "sleeper"));
  Status first;
  asio::co_spawn(io, group.drain(Deadline::after(clock, 5s)), [&](const std::exception_ptr&, Status status) { first = std::move(status); });
  poll(io);
  clock.advance(5s);
  poll(io);
  EXPECT_EQ(first.code(), Code::deadline_exceeded);
  EXPECT_NE(first.error().message().find("sleeper"), std::string::npos) << first.error().message();
  group.cancel();
  EXPECT_TRUE(run(io, group.drain(Deadline::after(clock, 5s))));
  EXPECT_EQ(clock.sleepers(), 0U) << "the alarm of a finished drain is gone";
}

TEST_F(Async, TwoDrainsBothEnd) {
  TaskGroup group(io.get_executor(), clock);
  ASSERT_TRUE(group.spawn(sleep_then_note(clock, 1s, notes, 1)));
  int ended = 0;
  const auto count = [&](const std::exception_ptr&, const Status& status) { ended += status ? 1 : 0; };
  asio::co_spawn(io, group.join(), count);
  asio::co_spawn(io, group.drain(Deadline::after(clock, 1h)), count);
  poll(io);
  clock.advance(1s);
  poll(io);
  EXPECT_EQ(ended, 2);
}

TEST_F(Async, ADrainThatIsCancelledSaysSo) {
  TaskGroup inner(io.get_executor(), clock);
  ASSERT_TRUE(inner.spawn(sleep_then_note(clock, 1h, notes, 1)));
  Code outcome = Code::ok;
  const auto drain_and_note = [](TaskGroup& group, Code& code) -> Task<> {
    auto status = co_await group.join();
    code = status.code();
    co_return ok();
  };
  {
    TaskGroup outer(io.get_executor(), clock);
    ASSERT_TRUE(outer.spawn(drain_and_note(inner, outcome)));
    poll(io);
    outer.cancel();
    EXPECT_TRUE(run(io, outer.join()));
  }
  EXPECT_EQ(outcome, Code::cancelled);
  inner.cancel();
  EXPECT_TRUE(run(io, inner.join()));
}

TEST_F(Async, FailedTasksDoNotHarmTheGroup) {
  TaskGroup group(io.get_executor(), clock);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(group.spawn(fail_with(Code::io_error), "failing"));
  EXPECT_TRUE(run(io, group.join()));
}

TEST_F(Async, TenThousandTasksLeaveNothing) {
  TaskGroup group(io.get_executor(), clock);
  for (int i = 0; i < 10000; ++i) ASSERT_TRUE(group.spawn(do_nothing()));
  EXPECT_TRUE(run(io, group.join()));
  EXPECT_EQ(group.size(), 0U);
}

Task<> end_in_the_next_turn(int& ended) {
  const Executor executor = co_await asio::this_coro::executor;
  co_await asio::post(executor, asio::use_awaitable);
  ++ended;
  co_return ok();
}

// The turn that ends each task is queued before the cancellation that is asked for outside of any handler. Many
// tasks: Asio keeps the memory of the first few signals, which would hide a use of them from a sanitizer.
TEST_F(Async, CancellationMayArriveAfterItsTaskEnded) {
  constexpr int tasks = 32;
  int ended = 0;
  TaskGroup group(io.get_executor(), clock);
  for (int i = 0; i < tasks; ++i) ASSERT_TRUE(group.spawn(end_in_the_next_turn(ended)));
  io.restart();
  for (int i = 0; i < tasks; ++i) ASSERT_EQ(io.run_one(), 1U);
  ASSERT_EQ(ended, 0);
  group.cancel();
  EXPECT_EQ(group.size(), static_cast<std::size_t>(tasks));
  poll(io);
  EXPECT_EQ(ended, tasks);
  EXPECT_EQ(group.size(), 0U);
}

TEST_F(Async, ATaskSpawnedInsideOfAHandlerRunsAtOnce) {
  TaskGroup group(io.get_executor(), clock);
  std::size_t left = 1;
  asio::post(io, [&] {
    for (int i = 0; i < 32; ++i) ASSERT_TRUE(group.spawn(sleep_then_note(clock, 0s, notes, i)));
    ASSERT_TRUE(group.spawn(sleep_then_note(clock, 1h, notes, 100)));
    left = notes.size();
    group.cancel();
    group.cancel();
  });
  poll(io);
  EXPECT_EQ(left, 32U);
  EXPECT_EQ(notes.back(), -100);
  EXPECT_TRUE(run(io, group.join()));
}

TEST_F(Async, DestroyingAGroupWithRunningTasksIsCaught) {
  EXPECT_DEATH(
      {
        TaskGroup group(io.get_executor(), clock);
        (void)group.spawn(sleep_then_note(clock, 1h, notes, 1));
      },
      "drain");
}

// ---- blocking pool -------------------------------------------------------------------------------

TEST_F(Async, BlockingWorkRunsElsewhereAndResumesHere) {
  BlockingPool pool(1, 4);
  const auto compare_threads = [](BlockingPool& on) -> Task<> {
    const auto before = std::this_thread::get_id();
    const std::function<Result<std::thread::id>()> work = [] { return std::this_thread::get_id(); };
    CO_TRY(there, co_await on.run<std::thread::id>(work));
    EXPECT_NE(there, before);
    EXPECT_EQ(std::this_thread::get_id(), before);
    co_return ok();
  };
  EXPECT_TRUE(run(io, compare_threads(pool)));
}

TEST_F(Async, AFullBlockingPoolRefusesAndRecovers) {
  BlockingPool pool(1, 1);
  std::promise<void> gate;
  const auto opened = gate.get_future().share();
  const std::function<Result<int>()> wait_for_gate = [opened] {
    opened.wait();
    return 1;
  };
  const auto run_one = [](BlockingPool& on, std::function<Result<int>()> work, std::vector<int>& out) -> Task<> {
    auto result = co_await on.run<int>(std::move(work));
    out.push_back(static_cast<int>(result.code()));
    co_return ok();
  };
  TaskGroup group(io.get_executor(), clock);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(group.spawn(run_one(pool, wait_for_gate, notes)));
  poll(io);  // one runs, one waits, the third is refused
  EXPECT_EQ(notes, std::vector<int>({static_cast<int>(Code::overloaded)}));
  gate.set_value();
  EXPECT_TRUE(run(io, group.join()));
  EXPECT_EQ(notes.size(), 3U);
  TaskGroup again(io.get_executor(), clock);
  ASSERT_TRUE(again.spawn(run_one(pool, wait_for_gate, notes)));
  EXPECT_TRUE(run(io, again.join()));
  EXPECT_EQ(notes.back(), 0);
}

}  // namespace
}  // namespace hearth

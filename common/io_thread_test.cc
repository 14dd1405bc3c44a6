#include "common/io_thread.h"

#include "common/clock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace hearth {
namespace {

Task<int> forty_two() { co_return 42; }

Task<> throws() {
  throw std::runtime_error("oops");
  co_return ok();
}

Task<> sleep_long(std::atomic<bool>* started) {
  *started = true;
  co_return co_await real_clock().sleep_for(std::chrono::hours(1));
}

TEST(IoThread, RunsATaskForAnotherThread) {
  IoThread io;
  io.start();
  EXPECT_EQ(*io.run_sync(forty_two()), 42);
}

TEST(IoThread, TurnsAnExceptionIntoAResult) {
  IoThread io;
  io.start();
  EXPECT_EQ(io.run_sync(throws()).code(), Code::internal);
}

TEST(IoThread, EndsAWaitWithCancelledWhenItStops) {
  IoThread io;
  io.start();
  std::atomic<bool> started = false;
  Code code = Code::ok;
  std::thread waiting([&] { code = io.run_sync(sleep_long(&started)).code(); });
  while (!started) std::this_thread::yield();
  io.stop();
  waiting.join();
  EXPECT_EQ(code, Code::cancelled);
}

}  // namespace
}  // namespace hearth

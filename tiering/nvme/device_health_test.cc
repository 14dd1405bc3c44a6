// Health by the clock: what makes a device suspect, what fences it, and that it comes back by itself.
#include "tiering/nvme/device_health.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

class Device : public ::testing::Test {
 protected:
  void read(Duration took, Code code = Code::ok, std::uint64_t bytes = 4096, std::uint64_t in_flight = 4096) {
    now += took;
    health.answered(DeviceCall::read, code, bytes, in_flight, took, now);
    health.tick(now);
  }
  void reads(int count, Duration took) {
    for (int i = 0; i < count; ++i) read(took);
  }
  // Probes it as its owner does, every second, until it is readmitted; the time that took.
  Duration probe_until_healthy(Code code = Code::ok, Duration took = microseconds(100)) {
    const TimePoint begin = now;
    while (health.state() != DeviceState::healthy && now - begin < std::chrono::minutes(10)) {
      now += seconds(1);
      if (health.probe_due(now)) health.probed(code, took, now);
    }
    return now - begin;
  }

  DeviceHealth health{DeviceHealthOptions{}};
  TimePoint now{seconds(1000)};
};

TEST_F(Device, OneErrorMakesItSuspectAndCalmMakesItHealthyAgain) {
  reads(100, microseconds(100));
  read(microseconds(100), Code::io_error);
  EXPECT_EQ(health.state(), DeviceState::suspect);
  EXPECT_TRUE(health.readable());
  EXPECT_FALSE(health.writable());
  now += seconds(11);
  read(microseconds(100));
  EXPECT_EQ(health.state(), DeviceState::healthy);
  EXPECT_EQ(health.reason(), "");
}

TEST_F(Device, ThreeErrorsWithinTheWindowFenceIt) {
  for (int i = 0; i < 3; ++i) read(milliseconds(1), Code::io_error);
  EXPECT_EQ(health.state(), DeviceState::fenced);
  EXPECT_FALSE(health.readable());
  EXPECT_NE(health.reason().find("3 I/O errors"), std::string::npos) << health.reason();
}

TEST_F(Device, ErrorsFarApartDoNotFenceIt) {
  for (int i = 0; i < 20; ++i) {
    read(milliseconds(1), Code::io_error);
    now += seconds(11);
  }
  EXPECT_NE(health.state(), DeviceState::fenced);
}

TEST_F(Device, AFullFileSystemIsNotAFault) {
  for (int i = 0; i < 100; ++i) read(milliseconds(1), Code::no_space);
  EXPECT_EQ(health.state(), DeviceState::healthy);
}

TEST_F(Device, AReadOnlyFileSystemFencesItAtOnce) {
  read(milliseconds(1), Code::read_only);
  EXPECT_EQ(health.state(), DeviceState::fenced);
  EXPECT_NE(health.reason().find("read-only"), std::string::npos);
}

TEST_F(Device, AHundredTimesSlowerIsFencedWithinSeconds) {
  reads(1000, microseconds(100));
  ASSERT_EQ(health.state(), DeviceState::healthy);
  const TimePoint slow_since = now;
  while (health.state() != DeviceState::fenced && now - slow_since < seconds(60)) read(milliseconds(10));
  EXPECT_EQ(health.state(), DeviceState::fenced);
  EXPECT_LE(now - slow_since, seconds(3));
  EXPECT_NE(health.reason().find("times its usual pace"), std::string::npos) << health.reason();
}

TEST_F(Device, OneCallThatTookForeverIsNotASlowDevice) {
  reads(1000, microseconds(100));
  for (int round = 0; round < 50; ++round) {
    read(seconds(2));
    reads(50, microseconds(100));
    EXPECT_NE(health.state(), DeviceState::fenced) << "round " << round;
  }
}

TEST_F(Device, ALongQueueIsNotTakenForASlowDevice) {
  reads(1000, microseconds(100));
  // 256 calls of 1 MiB at 2 GB/s: each waits for those before it.
  for (int i = 0; i < 5000; ++i) {
    now += microseconds(500);
    health.answered(DeviceCall::read, Code::ok, 1U << 20, 256ULL << 20, milliseconds(128), now);
    health.answered(DeviceCall::read, Code::ok, 4096, 256ULL << 20, milliseconds(128), now);
  }
  EXPECT_EQ(health.state(), DeviceState::healthy) << health.reason();
}

TEST_F(Device, ACallWithoutAnAnswerFencesIt) {
  reads(100, microseconds(100));
  const TimePoint began = now;
  health.oldest_in_flight(began, began + seconds(5));
  EXPECT_EQ(health.state(), DeviceState::healthy);
  health.oldest_in_flight(began, began + seconds(11));
  EXPECT_EQ(health.state(), DeviceState::fenced);
}

TEST_F(Device, ComesBackWithinThirtySecondsOfTheCausesEnd) {
  reads(1000, microseconds(100));
  health.lost("the directory is gone", now);
  ASSERT_EQ(health.state(), DeviceState::fenced);
  for (int i = 0; i < 60; ++i) {  // the cause lasts a minute
    now += seconds(1);
    if (health.probe_due(now)) health.probed(Code::unavailable, microseconds(100), now);
  }
  ASSERT_EQ(health.state(), DeviceState::fenced);
  EXPECT_LE(probe_until_healthy(), seconds(30));
  EXPECT_EQ(health.times_fenced(), 1U);
}

TEST_F(Device, StaysFencedWhileItsProbesAreSlow) {
  reads(1000, microseconds(100));
  health.lost("gone", now);
  EXPECT_GE(probe_until_healthy(Code::ok, milliseconds(50)), std::chrono::minutes(10));
  EXPECT_LE(probe_until_healthy(), seconds(30));
}

TEST_F(Device, IsMeasuredAgainstItsPaceOfBeforeTheFault) {
  reads(1000, microseconds(100));
  const auto make_slow = [this] {
    const TimePoint begin = now;
    while (health.state() != DeviceState::fenced && now - begin < seconds(60)) read(milliseconds(10));
    return health.state() == DeviceState::fenced;
  };
  ASSERT_TRUE(make_slow());
  probe_until_healthy();
  reads(100, microseconds(100));
  ASSERT_EQ(health.state(), DeviceState::healthy);
  EXPECT_TRUE(make_slow()) << "the slow time must not have become its usual pace";
}

}  // namespace
}  // namespace hearth

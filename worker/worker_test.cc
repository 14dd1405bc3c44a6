#include "worker/worker.h"

#include "common/rng.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

using namespace std::chrono_literals;

WorkerOptions options() {
  WorkerOptions made;
  made.master = "127.0.0.1:1";  // nobody there
  made.memory.capacity_bytes = 8ULL << 20;
  made.memory.huge_pages = HugePages::off;
  return made;
}

TEST(Worker, StartsAndStopsWithoutAMaster) {
  auto started = Worker::start(options());
  ASSERT_TRUE(started) << started.error().message();
  EXPECT_EQ((*started)->bound_addresses().size(), 1U);
  EXPECT_NE((*started)->bound_addresses().front().port, 0);
  EXPECT_FALSE((*started)->status().registered);
  EXPECT_EQ((*started)->status().tier.capacity_bytes, 8ULL << 20);
  EXPECT_TRUE((*started)->drain_and_stop(100ms));
  EXPECT_TRUE((*started)->drain_and_stop(100ms));
  EXPECT_EQ((*started)->status().tier.capacity_bytes, 8ULL << 20);
}

TEST(Worker, AnAddressInUseIsAnErrorAndLeavesNothingRunning) {
  auto first = Worker::start(options());
  ASSERT_TRUE(first);
  WorkerOptions second = options();
  second.listen = (*first)->bound_addresses().front().to_string();
  const auto refused = Worker::start(second);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.code(), Code::already_exists);
  EXPECT_NE(refused.error().message().find(second.listen), std::string::npos) << refused.error().message();
}

TEST(Worker, WrongOptionsAreRefusedWithASentence) {
  WorkerOptions without_memory = options();
  without_memory.memory.capacity_bytes = 0;
  EXPECT_EQ(Worker::start(without_memory).code(), Code::invalid_argument);
  WorkerOptions wrong_master = options();
  wrong_master.master = "nonsense";
  EXPECT_EQ(Worker::start(wrong_master).code(), Code::invalid_argument);
  WorkerOptions wrong_listen = options();
  wrong_listen.listen = "127.0.0.1:notaport";
  EXPECT_EQ(Worker::start(wrong_listen).code(), Code::invalid_argument);
}

}  // namespace
}  // namespace hearth

#include "understore/sim_store.h"

#include "common/manual_clock.h"
#include "understore/conformance.h"
#include "understore/oracle.h"
#include "understore/sim_world.h"
#include "understore/staged_conformance.h"

namespace hearth {
namespace {

std::unique_ptr<StoreWorld> make_sim_world() { return std::make_unique<SimWorld>(); }

INSTANTIATE_TEST_SUITE_P(Sim, StoreConformance, ::testing::Values(&make_sim_world));
INSTANTIATE_TEST_SUITE_P(Sim, StagedConformance, ::testing::Values(&make_sim_world));

class SimStoreTest : public ::testing::Test {
 protected:
  SimStoreTest() { EXPECT_TRUE(store_.put_file("f", 1000)); }

  std::string version() { return run_task(store_.stat("f", Deadline::never())).value().version; }
  Status read(const std::string& version, Deadline deadline = Deadline::never()) {
    const std::span<std::byte> into(bytes_);
    return run_task(store_.read("f", version, 0, into, deadline));
  }

  ManualClock clock_;
  SimStore store_{clock_};
  std::vector<std::byte> bytes_ = std::vector<std::byte>(1000);
};

TEST_F(SimStoreTest, ServesTheOracleOfTheVersion) {
  ASSERT_TRUE(read(version()));
  EXPECT_EQ(oracle_mismatch(bytes_, oracle_seed("f"), 1, 0), std::nullopt);
  ASSERT_TRUE(store_.replace_file("f"));
  ASSERT_TRUE(read(version()));
  EXPECT_EQ(oracle_mismatch(bytes_, oracle_seed("f"), 2, 0), std::nullopt);
  EXPECT_NE(oracle_mismatch(bytes_, oracle_seed("f"), 1, 0), std::nullopt);
}

TEST_F(SimStoreTest, CountsTheCallsOfEachOperation) {
  const std::string v = version();
  ASSERT_TRUE(read(v));
  ASSERT_TRUE(read(v));
  EXPECT_EQ(store_.calls(SimOp::stat), 1U);
  EXPECT_EQ(store_.calls(SimOp::read), 2U);
  EXPECT_EQ(store_.calls(SimOp::list), 0U);
  EXPECT_EQ(store_.bytes_read(), 2000U);
}

TEST_F(SimStoreTest, FailsExactlyTheScriptedCall) {
  const std::string v = version();
  store_.at_call(SimOp::read, 1, SimFault{.kind = SimFault::Kind::fail, .code = Code::overloaded});
  EXPECT_TRUE(read(v));
  EXPECT_EQ(read(v).code(), Code::overloaded);
  EXPECT_TRUE(read(v));
}

TEST_F(SimStoreTest, ASwitchedVersionIsStaleBeforeAndDuringTheRead) {
  for (const auto kind : {SimFault::Kind::switch_before, SimFault::Kind::switch_during}) {
    const std::string v = version();
    store_.at_next_call(SimOp::read, SimFault{.kind = kind});
    EXPECT_EQ(read(v).code(), Code::stale);
    EXPECT_NE(version(), v);
  }
}

TEST_F(SimStoreTest, CorruptsSilentlyAndCutsLoudly) {
  const std::string v = version();
  store_.at_next_call(SimOp::read, SimFault{.kind = SimFault::Kind::corrupt});
  EXPECT_TRUE(read(v));
  EXPECT_EQ(oracle_mismatch(bytes_, oracle_seed("f"), 1, 0), 500U);
  store_.at_next_call(SimOp::read, SimFault{.kind = SimFault::Kind::short_bytes});
  EXPECT_EQ(read(v).code(), Code::io_error);
}

TEST_F(SimStoreTest, DelaysAndHangsByTheClockUntilTheDeadline) {
  struct Case { SimFault fault; Code expected; Duration takes; };
  using namespace std::chrono_literals;
  const std::vector<Case> cases{{{.kind = SimFault::Kind::delay, .delay = 2s}, Code::ok, 2s},
                                {{.kind = SimFault::Kind::delay, .delay = 20s}, Code::deadline_exceeded, 5s},
                                {{.kind = SimFault::Kind::hang}, Code::deadline_exceeded, 5s}};
  for (const Case& scripted : cases) {
    store_.at_next_call(SimOp::stat, scripted.fault);
    asio::io_context context{1};
    std::optional<Code> answer;
    const Deadline deadline = Deadline::after(clock_, 5s);
    asio::co_spawn(context, store_.stat("f", deadline),
                   [&answer](const std::exception_ptr&, const Result<ObjectInfo>& result) { answer = result.code(); });
    context.poll();
    ASSERT_EQ(clock_.sleepers(), 1U);
    clock_.advance(scripted.takes - 1ns);
    context.restart();
    context.poll();
    EXPECT_FALSE(answer);
    clock_.advance(1ns);
    context.restart();
    context.poll();
    EXPECT_EQ(answer, scripted.expected);
  }
}

TEST_F(SimStoreTest, TheSeedDecidesTheFaults) {
  const auto outcomes = [this](std::uint64_t seed) {
    store_.random_faults({.fail = 0.2, .corrupt = 0.2, .switch_during = 0.2}, seed);
    std::vector<Code> codes;
    for (int i = 0; i < 100; ++i) {
      store_.put_file("f", 1000);
      const auto info = run_task(store_.stat("f", Deadline::never()));
      codes.push_back(info ? read(info->version).code() : info.code());
    }
    store_.no_more_faults();
    return codes;
  };
  const auto first = outcomes(7);
  EXPECT_EQ(outcomes(7), first);
  EXPECT_NE(outcomes(8), first);
  EXPECT_GT(std::count(first.begin(), first.end(), Code::unavailable), 10);
  EXPECT_GT(std::count(first.begin(), first.end(), Code::stale), 3);
  EXPECT_TRUE(read(version()));
}

}  // namespace
}  // namespace hearth

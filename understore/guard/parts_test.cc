#include "understore/guard/adaptive_limit.h"
#include "understore/guard/circuit_breaker.h"
#include "understore/guard/guard_options.h"
#include "understore/guard/hedge.h"
#include "understore/guard/retry_policy.h"
#include "understore/guard/testing.h"
#include "understore/guard/turnstile.h"

#include <boost/asio/bind_cancellation_slot.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace hearth {
namespace {

using namespace std::chrono_literals;
using guard_testing::SimulatedLoop;
const TimePoint start = TimePoint(std::chrono::hours(1));

TEST(AdaptiveLimit, GrowsByOnePerLimitOfGoodAnswersWhileItIsUsed) {
  AdaptiveLimit limit({.floor = 2, .initial = 8, .ceiling = 10});
  for (int i = 0; i < 9; ++i) limit.kept_up(8);
  EXPECT_EQ(limit.limit(), 9U);
  for (int i = 0; i < 100; ++i) limit.kept_up(8);
  EXPECT_EQ(limit.limit(), 10U) << "the ceiling";
  AdaptiveLimit idle({.floor = 2, .initial = 8, .ceiling = 10});
  for (int i = 0; i < 1000; ++i) idle.kept_up(1);
  EXPECT_EQ(idle.limit(), 8U) << "an unused limit proves nothing";
}

TEST(AdaptiveLimit, CutsOnceForTheCallsThatWereUnderWayTogether) {
  AdaptiveLimit limit({.floor = 2, .initial = 100, .ceiling = 100});
  for (int i = 0; i < 50; ++i) limit.overloaded(start, start + 10ms);
  EXPECT_EQ(limit.limit(), 70U);
  limit.overloaded(start + 20ms, start + 30ms);
  EXPECT_EQ(limit.limit(), 49U);
  for (int i = 1; i < 100; ++i) limit.overloaded(start + i * 1s, start + i * 1s + 1ms);
  EXPECT_EQ(limit.limit(), 2U) << "the floor";
}

TEST(RetryPolicy, RepeatsOnlyWhatTheCodeTableAllows) {
  for (const CodeInfo& row : code_table) {
    const bool reads = RetryPolicy::worth_retrying(row.code, Repeatable::always);
    EXPECT_TRUE(row.retry != Retry::never || !reads) << row.name;
    EXPECT_FALSE(RetryPolicy::worth_retrying(row.code, Repeatable::never)) << row.name;
    EXPECT_EQ(RetryPolicy::worth_retrying(row.code, Repeatable::when_refused), row.retry == Retry::later) << row.name;
  }
  EXPECT_TRUE(RetryPolicy::worth_retrying(Code::unavailable, Repeatable::always));
  EXPECT_TRUE(RetryPolicy::worth_retrying(Code::corrupt, Repeatable::always));
  EXPECT_FALSE(RetryPolicy::worth_retrying(Code::not_found, Repeatable::always));
  EXPECT_FALSE(RetryPolicy::worth_retrying(Code::stale, Repeatable::always));
  EXPECT_FALSE(RetryPolicy::worth_retrying(Code::no_space, Repeatable::always));
}

TEST(RetryPolicy, PausesDoubleWithJitterAndRespectTheStoresWord) {
  const RetryPolicy policy({.first_pause = 100ms, .longest_pause = 1s});
  SeededRng rng(1);
  const Error plain(Code::unavailable, "away");
  for (int i = 0; i < 100; ++i) {
    EXPECT_GE(policy.pause_before(2, plain, rng), 50ms);
    EXPECT_LE(policy.pause_before(2, plain, rng), 100ms);
    EXPECT_GE(policy.pause_before(4, plain, rng), 200ms);
    EXPECT_LE(policy.pause_before(4, plain, rng), 400ms);
    EXPECT_LE(policy.pause_before(60, plain, rng), 1s);
  }
  EXPECT_NE(policy.pause_before(2, plain, rng), policy.pause_before(2, plain, rng));
  const Error hint = Error(Code::overloaded, "slow down").with_retry_after_ms(3000);
  EXPECT_EQ(policy.pause_before(2, hint, rng), 3s);
}

TEST(TokenBudget, GivesItsShareAndSavesUpToItsMost) {
  TokenBudget budget({.share = 0.2, .initial = 1, .most = 3});
  EXPECT_TRUE(budget.take());
  EXPECT_FALSE(budget.take());
  for (int i = 0; i < 5; ++i) budget.called();
  EXPECT_TRUE(budget.take());
  EXPECT_FALSE(budget.take());
  for (int i = 0; i < 1000; ++i) budget.called();
  int taken = 0;
  while (budget.take()) ++taken;
  EXPECT_EQ(taken, 3);
}

TEST(LatencyWindow, KnowsTheQuantileOfRecentReadsOfThatSizeOnly) {
  LatencyWindow window(0.95);
  for (int i = 1; i <= 100; ++i) window.took(1 << 20, i * 1ms, start);
  ASSERT_TRUE(window.quantile(1 << 20, start));
  EXPECT_NEAR(static_cast<double>(window.quantile(1 << 20, start)->count()), 95e6, 1.1e6);
  EXPECT_FALSE(window.quantile(4096, start)) << "small reads have a window of their own";
  for (int i = 0; i < 19; ++i) window.took(4096, 1ms, start);
  EXPECT_FALSE(window.quantile(4096, start)) << "19 reads are too few";
  EXPECT_FALSE(window.quantile(1 << 20, start + 61s)) << "what happened a minute ago is forgotten";
  for (int i = 0; i < 1000; ++i) window.took(1 << 20, 7ms, start + 61s);
  EXPECT_EQ(window.quantile(1 << 20, start + 61s), 7ms);
}

TEST(Hedge, NeverSendsMoreThanItsShare) {
  Hedge hedge({.share = 0.05});
  for (int i = 0; i < 30; ++i) hedge.took(4096, 10ms, start);
  int sent = 0;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(hedge.straggles_after(4096, start), 10ms);
    if (hedge.take()) ++sent;
  }
  EXPECT_GE(sent, 49);
  EXPECT_LE(sent, 50);
  Hedge off({.share = 0});
  for (int i = 0; i < 30; ++i) off.took(4096, 10ms, start);
  EXPECT_FALSE(off.straggles_after(4096, start));
}

class CircuitBreakerTest : public ::testing::Test {
 protected:
  void fail(TimePoint began, TimePoint now) { breaker_.failed(Error(Code::unavailable, "connection refused"), began, now, wall_); }
  TimePoint open_at(TimePoint now) {
    for (int i = 0; i <= 4; ++i) fail(now + i * 250ms, now + i * 250ms);
    EXPECT_EQ(breaker_.state(), BreakerState::open);
    return now + 1s;
  }
  CircuitBreaker breaker_{"s3://bucket", {}};
  const WallTime wall_{std::chrono::seconds(1767225600)};
};

TEST_F(CircuitBreakerTest, StaysClosedWhileAnythingIsAnswered) {
  for (int i = 0; i < 1000; ++i) {
    fail(start + i * 1s, start + i * 1s + 900ms);
    if (i % 4 == 3) breaker_.answered(start + i * 1s + 950ms);
    EXPECT_EQ(breaker_.ask(start + i * 1s + 960ms), CircuitBreaker::Verdict::pass);
  }
}

TEST_F(CircuitBreakerTest, ABurstOfFailuresAtOnceDoesNotOpenIt) {
  breaker_.answered(start);
  for (int i = 0; i < 100; ++i) fail(start - 20ms, start + 10ms);
  EXPECT_EQ(breaker_.state(), BreakerState::closed);
}

TEST_F(CircuitBreakerTest, CallsThatHungTogetherOpenItAtOnce) {
  breaker_.answered(start);
  for (int i = 0; i < 5; ++i) fail(start, start + 15s);
  EXPECT_EQ(breaker_.state(), BreakerState::open);
}

TEST_F(CircuitBreakerTest, LetsOneProbeThroughAndPausesAtMostTwoSeconds) {
  TimePoint now = open_at(start);
  EXPECT_EQ(breaker_.ask(now), CircuitBreaker::Verdict::refuse);
  int probes = 0;
  TimePoint last = now;
  for (; now < start + 600s; now += 10ms) {
    if (breaker_.ask(now) != CircuitBreaker::Verdict::probe) continue;
    EXPECT_EQ(breaker_.ask(now), CircuitBreaker::Verdict::refuse) << "one at a time";
    EXPECT_LE(now - last, 2s + 10ms);
    last = now;
    ++probes;
    fail(now, now);
  }
  EXPECT_LE(probes, 305);
  while (breaker_.ask(now) != CircuitBreaker::Verdict::probe) now += 10ms;
  breaker_.answered(now);
  EXPECT_EQ(breaker_.ask(now), CircuitBreaker::Verdict::pass);
}

TEST_F(CircuitBreakerTest, AProbeWhoseCallerVanishedIsNotWaitedForForever) {
  TimePoint now = open_at(start) + 250ms;
  ASSERT_EQ(breaker_.ask(now), CircuitBreaker::Verdict::probe);
  EXPECT_EQ(breaker_.ask(now + 2s), CircuitBreaker::Verdict::refuse);
  EXPECT_EQ(breaker_.ask(now + 5s), CircuitBreaker::Verdict::probe);
}

TEST_F(CircuitBreakerTest, SaysSinceWhenAndWhy) {
  const TimePoint now = open_at(start);
  const Error refusal = breaker_.refusal(now);
  EXPECT_EQ(refusal.code(), Code::unavailable);
  EXPECT_NE(refusal.message().find("s3://bucket has not answered since 2026-01-01T00:00:00Z"), std::string::npos)
      << refusal.message();
  EXPECT_NE(refusal.message().find("connection refused"), std::string::npos) << refusal.message();
}

class TurnstileTest : public ::testing::Test {
 protected:
  Task<Turnstile::Turn> enter(Duration wait) { return gate_.enter(Deadline::after(clock_, wait)); }
  ManualClock clock_;
  SimulatedLoop loop_{clock_};
  Turnstile gate_{"s3://bucket", {.floor = 2, .initial = 2, .ceiling = 2}, 3, clock_};
};

TEST_F(TurnstileTest, LetsInAsManyAsTheLimitAndTheRestInOrder) {
  auto first = std::make_optional(loop_.run(enter(1s)));
  auto second = std::make_optional(loop_.run(enter(1s)));
  auto third = loop_.start(enter(1s));
  auto fourth = loop_.start(enter(1s));
  loop_.settle();
  EXPECT_EQ(gate_.waiting(), 2U);
  first.reset();
  loop_.settle();
  EXPECT_TRUE(third->has_value());
  EXPECT_FALSE(fourth->has_value()) << "first come, first served";
  second.reset();
  loop_.settle();
  ASSERT_TRUE(fourth->has_value());
  EXPECT_TRUE(**fourth);
  EXPECT_EQ(gate_.in_flight(), 2U);
  EXPECT_EQ(clock_.sleepers(), 0U) << "who got a turn leaves no alarm behind";
}

TEST_F(TurnstileTest, WaitsAreBoundedInNumberAndTime) {
  auto first = loop_.run(enter(1s));
  auto second = loop_.run(enter(1s));
  auto third = loop_.start(enter(1s));
  auto fourth = loop_.start(enter(2s));
  auto fifth = loop_.start(enter(3s));
  loop_.settle();
  EXPECT_EQ(loop_.run(enter(1s)).code(), Code::overloaded);
  ASSERT_TRUE(loop_.work_until([&] { return fifth->has_value(); }));
  EXPECT_EQ((*third)->code(), Code::deadline_exceeded);
  EXPECT_EQ((*fourth)->code(), Code::deadline_exceeded);
  EXPECT_EQ((*fifth)->code(), Code::deadline_exceeded);
  EXPECT_EQ(gate_.waiting(), 0U);
  EXPECT_EQ(gate_.in_flight(), 2U);
}

TEST_F(TurnstileTest, ACancelledWaitLeavesTheQueue) {
  auto first = std::make_optional(loop_.run(enter(1s)));
  auto second = loop_.run(enter(1s));
  asio::cancellation_signal cancel;
  std::optional<Code> outcome;
  asio::co_spawn(loop_.executor(), enter(1s),
                 asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr thrown, Result<Turnstile::Turn> turn) {
                   outcome = thrown ? Code::cancelled : turn.code();
                 }));
  loop_.settle();
  EXPECT_EQ(gate_.waiting(), 1U);
  cancel.emit(asio::cancellation_type::terminal);
  loop_.settle();
  EXPECT_EQ(outcome, Code::cancelled);
  EXPECT_EQ(gate_.waiting(), 0U);
  first.reset();
  EXPECT_EQ(gate_.in_flight(), 1U);
}

TEST_F(TurnstileTest, EveryoneWhoWaitsIsToldWhenTheStoreIsAway) {
  auto first = loop_.run(enter(1s));
  auto second = loop_.run(enter(1s));
  auto third = loop_.start(enter(1s));
  auto fourth = loop_.start(enter(1s));
  loop_.settle();
  gate_.give_up(Error(Code::unavailable, "away"));
  loop_.settle();
  EXPECT_EQ((*third)->code(), Code::unavailable);
  EXPECT_EQ((*fourth)->code(), Code::unavailable);
}

TEST_F(TurnstileTest, ADestroyedWaitLeavesTheQueueToo) {
  auto first = std::make_optional(loop_.run(enter(1s)));
  auto second = loop_.run(enter(1s));
  {
    SimulatedLoop other(clock_);
    auto third = other.start(gate_.enter(Deadline::never()));  // a ManualClock would keep the sleeper of a dead loop
    other.settle();
    EXPECT_EQ(gate_.waiting(), 1U);
  }
  EXPECT_EQ(gate_.waiting(), 0U);
  first.reset();
}

TEST(GuardOptions, TakesItsOwnAndLeavesTheStores) {
  std::map<std::string, std::string> options{{"region", "eu"}, {"guard.max_concurrency", "8"}, {"guard.hedge_percent", "0"},
                                             {"guard.fetch_bytes", "4MiB"}, {"guard.retry_percent", "30"}};
  const auto guard = take_guard_options(options);
  ASSERT_TRUE(guard) << guard.error().message();
  EXPECT_EQ(guard->limit.ceiling, 8U);
  EXPECT_EQ(guard->limit.initial, 8U);
  EXPECT_EQ(guard->hedge.share, 0);
  EXPECT_EQ(guard->fetch_bytes, 4U << 20);
  EXPECT_EQ(guard->retry_budget.share, 0.3);
  EXPECT_EQ(options, (std::map<std::string, std::string>{{"region", "eu"}}));
}

TEST(GuardOptions, NamesTheNearestNameAndTheRange) {
  std::map<std::string, std::string> typo{{"guard.max_concurency", "8"}};
  EXPECT_NE(take_guard_options(typo).error().message().find("did you mean guard.max_concurrency?"), std::string::npos);
  std::map<std::string, std::string> much{{"guard.max_concurrency", "0"}};
  EXPECT_NE(take_guard_options(much).error().message().find("from 1 to 4096"), std::string::npos);
}

}  // namespace
}  // namespace hearth

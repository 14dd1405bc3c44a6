#include "understore/guard/guarded_store.h"

#include "understore/conformance.h"
#include "understore/guard/testing.h"
#include "understore/local_world.h"
#include "understore/oracle.h"
#include "understore/sim_world.h"
#include "understore/staged_conformance.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

namespace hearth {
namespace {

using namespace std::chrono_literals;
using guard_testing::ScriptedReads;
using guard_testing::SimulatedLoop;

// Any store's world, seen through a guard. Its retries cost no time that matters.
template <class World>
class GuardedWorld final : public StoreWorld {
 public:
  GuardedWorld() {
    GuardOptions options;
    options.retries = {.max_attempts = 3, .first_pause = 1ms, .longest_pause = 1ms};
    std::shared_ptr<UnderStore> inner(std::shared_ptr<void>(), &world_.store());
    guarded_ = guard_store(inner, options, real_clock(), 1);
  }
  UnderStore& store() override { return *guarded_; }
  void put_text(const std::string& path, const std::string& content) override { world_.put_text(path, content); }
  void put_sparse(const std::string& path, std::uint64_t length_bytes, const std::string& tail) override {
    world_.put_sparse(path, length_bytes, tail);
  }
  void put_directory(const std::string& path) override { world_.put_directory(path); }
  void put_symlink(const std::string& path, const std::string& target) override { world_.put_symlink(path, target); }
  void put_special(const std::string& path) override { world_.put_special(path); }
  void replace_secretly(const std::string& path, const std::string& content) override {
    world_.replace_secretly(path, content);
  }
  void append(const std::string& path, const std::string& more) override { world_.append(path, more); }
  void take_away(const std::string& path) override { world_.take_away(path); }
  std::string outside() override { return world_.outside(); }
  bool decoy_untouched() override { return world_.decoy_untouched(); }
  void vanish() override { world_.vanish(); }

 private:
  World world_;
  std::shared_ptr<GuardedStore> guarded_;
};

std::unique_ptr<StoreWorld> make_guarded_local() { return std::make_unique<GuardedWorld<LocalWorld>>(); }
std::unique_ptr<StoreWorld> make_guarded_sim() { return std::make_unique<GuardedWorld<SimWorld>>(); }
INSTANTIATE_TEST_SUITE_P(GuardedLocal, StoreConformance, ::testing::Values(&make_guarded_local));
INSTANTIATE_TEST_SUITE_P(GuardedSim, StoreConformance, ::testing::Values(&make_guarded_sim));
INSTANTIATE_TEST_SUITE_P(GuardedSim, StagedConformance, ::testing::Values(&make_guarded_sim));

constexpr std::size_t file_bytes = 64U << 10;

class GuardedStoreTest : public ::testing::Test {
 protected:
  GuardedStoreTest() {
    EXPECT_TRUE(sim_->put_file("f", file_bytes));
    version_ = loop_.run(sim_->stat("f", Deadline::never()))->version;
  }
  void guard(GuardOptions options = {}) { guarded_ = guard_store(sim_, options, clock_, seed_); }
  Deadline in(Duration time) { return Deadline::after(clock_, time); }
  Status read(std::size_t offset = 0, std::size_t length = 4096, Duration time = 30s) {
    bytes_.assign(length, std::byte{0});
    const std::span<std::byte> into(bytes_);
    return loop_.run(guarded_->read("f", version_, offset, into, in(time)));
  }
  bool right(std::size_t offset = 0) const { return !oracle_mismatch(bytes_, oracle_seed("f"), 1, offset); }
  void warm_up(int reads = 40) {
    for (int i = 0; i < reads; ++i) ASSERT_TRUE(read());
  }

  const std::uint64_t seed_ = 20261121;
  ManualClock clock_;
  SimulatedLoop loop_{clock_};
  std::shared_ptr<SimStore> sim_ = std::make_shared<SimStore>(clock_, "sim://test");
  std::shared_ptr<GuardedStore> guarded_;
  std::string version_;
  std::vector<std::byte> bytes_;
};

// `count` reads, one after the other; adds up what went wrong.
Task<> read_many(UnderStore* store, Clock* clock, std::string version, int count, std::uint64_t seed, int* wrong) {
  SeededRng rng(seed);
  std::vector<std::byte> bytes(4096);
  const std::span<std::byte> into(bytes);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t offset = rng.below(file_bytes - bytes.size());
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
    const Deadline deadline = Deadline::after(*clock, 30s);
    const Status got = co_await store->read("f", version, offset, into, deadline);
    if (!got || oracle_mismatch(bytes, oracle_seed("f"), 1, offset)) *wrong += 1;
  }
  co_return ok();
}

class TenPercentFailing : public GuardedStoreTest, public ::testing::WithParamInterface<Code> {};

TEST_P(TenPercentFailing, EveryReadSucceedsForLessThanAThirdMoreRequests) {
  constexpr int readers = 16;
  constexpr int reads_each = 700;
  guard();
  sim_->random_faults({.fail = 0.1, .delay = 0.9, .fail_code = GetParam(), .max_delay = 20ms}, seed_);
  int wrong = 0;
  std::vector<std::shared_ptr<std::optional<Status>>> ends;
  for (int i = 0; i < readers; ++i) {
    ends.push_back(loop_.start(read_many(guarded_.get(), &clock_, version_, reads_each, seed_ + static_cast<std::uint64_t>(i), &wrong)));
  }
  const auto all = [&] { return std::all_of(ends.begin(), ends.end(), [](const auto& end) { return end->has_value(); }); };
  ASSERT_TRUE(loop_.work_until(all));
  EXPECT_EQ(wrong, 0) << "seed " << seed_;
  const double asked = static_cast<double>(sim_->calls(SimOp::read)) / (readers * reads_each);
  RecordProperty("amplification", std::to_string(asked));
  EXPECT_GT(asked, 1.05) << "the faults were there";
  EXPECT_LE(asked, 1.3) << "seed " << seed_;
  EXPECT_GT(guarded_->guard_state().hedges_sent, 0U);
  EXPECT_EQ(clock_.sleepers(), 0U);
}
INSTANTIATE_TEST_SUITE_P(By, TenPercentFailing, ::testing::Values(Code::unavailable, Code::overloaded, Code::io_error),
                         [](const auto& each) { return std::string(name(each.param)); });

TEST_F(GuardedStoreTest, AStoreInTroubleIsAskedAtMostAFifthMore) {
  GuardOptions options;
  options.breaker.failures_to_open = 1'000'000;
  guard(options);
  sim_->random_faults({.fail = 1.0, .fail_code = Code::overloaded}, seed_);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(read().code(), Code::overloaded);
  EXPECT_LE(sim_->calls(SimOp::read), 1000U + 200U + 10U);
}

TEST_F(GuardedStoreTest, WhatTheStoreSaysForGoodIsSaidAtOnce) {
  guard();
  EXPECT_EQ(loop_.run(guarded_->stat("missing", in(30s))).code(), Code::not_found);
  EXPECT_EQ(sim_->calls(SimOp::stat), 2U);
  ASSERT_TRUE(sim_->replace_file("f"));
  EXPECT_EQ(read().code(), Code::stale);
  EXPECT_EQ(sim_->calls(SimOp::read), 1U);
}

TEST_F(GuardedStoreTest, AWriteThatMayHaveHappenedIsNotRepeated) {
  guard();
  sim_->at_next_call(SimOp::write, {.kind = SimFault::Kind::fail, .code = Code::unavailable});
  EXPECT_EQ(loop_.run(guarded_->write("g", "x", in(30s))).code(), Code::unavailable);
  EXPECT_EQ(sim_->calls(SimOp::write), 1U);
  sim_->at_next_call(SimOp::write, {.kind = SimFault::Kind::fail, .code = Code::overloaded});
  EXPECT_TRUE(loop_.run(guarded_->write("g", "x", in(30s))));
  EXPECT_EQ(sim_->calls(SimOp::write), 3U);
}

TEST_F(GuardedStoreTest, AListingThatMayHaveLostEntriesIsNotAskedAgain) {
  guard();
  auto listing = loop_.run(guarded_->list("", in(30s)));
  ASSERT_TRUE(listing);
  sim_->at_next_call(SimOp::list_next, {.kind = SimFault::Kind::fail, .code = Code::unavailable});
  EXPECT_EQ(loop_.run((*listing)->next(10, in(30s))).code(), Code::unavailable);
  EXPECT_EQ(sim_->calls(SimOp::list_next), 1U);
  sim_->at_next_call(SimOp::list, {.kind = SimFault::Kind::fail, .code = Code::unavailable});
  EXPECT_TRUE(loop_.run(guarded_->list("", in(30s)))) << "beginning a listing loses nothing";
}

TEST_F(GuardedStoreTest, NeverWaitsBeyondTheDeadline) {
  guard();
  sim_->random_faults({.hang = 1.0}, seed_);
  const TimePoint began = clock_.now();
  EXPECT_EQ(read(0, 4096, 12s).code(), Code::deadline_exceeded);
  EXPECT_LE(clock_.now() - began, 12s);
  EXPECT_GE(sim_->calls(SimOp::read), 2U) << "an attempt that hangs leaves time for another";
}

TEST_F(GuardedStoreTest, AHangingAttemptIsGivenUpForOneThatAnswers) {
  guard();
  sim_->at_next_call(SimOp::read, {.kind = SimFault::Kind::hang});
  EXPECT_TRUE(read(0, 4096, 30s));
  EXPECT_TRUE(right());
}

TEST_F(GuardedStoreTest, AReadThatStragglesIsWonByTheSecondRequest) {
  guard();
  warm_up();
  sim_->at_next_call(SimOp::read, {.kind = SimFault::Kind::delay, .delay = 3s});
  const TimePoint began = clock_.now();
  ASSERT_TRUE(read());
  EXPECT_TRUE(right());
  EXPECT_EQ(clock_.now() - began, 2ms);
  EXPECT_EQ(guarded_->guard_state().hedges_won, 1U);
  EXPECT_EQ(guarded_->guard_state().in_flight, 0U);
  EXPECT_EQ(clock_.sleepers(), 0U) << "the loser and the alarm have ended";
}

TEST_F(GuardedStoreTest, ASlowStoreIsNotMadeSlowerByMoreThanOneReadInTwenty) {
  guard();
  warm_up();
  sim_->random_faults({.delay = 1.0, .max_delay = 500ms}, seed_);
  const std::uint64_t before = sim_->calls(SimOp::read);
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(read());
  EXPECT_LE(sim_->calls(SimOp::read) - before, 2000U + 100U + 3U);
}

TEST_F(GuardedStoreTest, TheFirstRequestStillWinsWhenTheSecondFails) {
  guard();
  warm_up();
  const std::uint64_t next = sim_->calls(SimOp::read);
  sim_->at_call(SimOp::read, next, {.kind = SimFault::Kind::delay, .delay = 1s});
  sim_->at_call(SimOp::read, next + 1, {.kind = SimFault::Kind::fail, .code = Code::io_error});
  ASSERT_TRUE(read());
  EXPECT_TRUE(right());
  EXPECT_EQ(guarded_->guard_state().hedges_won, 0U);
}

TEST_F(GuardedStoreTest, ACancelledReadEndsItsRequestsFirst) {
  guard();
  warm_up();
  sim_->random_faults({.hang = 1.0}, seed_);
  auto bytes = std::make_unique<std::byte[]>(4096);
  asio::cancellation_signal cancel;
  std::optional<Code> outcome;
  const std::span<std::byte> into(bytes.get(), 4096);
  asio::co_spawn(loop_.executor(), guarded_->read("f", version_, 0, into, in(30s)),
                 asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr thrown, Status status) {
                   outcome = thrown ? Code::cancelled : status.code();
                   bytes.reset();  // a request that went on would be caught by AddressSanitizer
                 }));
  loop_.work_until([&] { return guarded_->guard_state().in_flight == 2; });
  cancel.emit(asio::cancellation_type::terminal);
  loop_.settle();
  EXPECT_EQ(outcome, Code::cancelled);
  EXPECT_EQ(guarded_->guard_state().in_flight, 0U);
  EXPECT_EQ(clock_.sleepers(), 0U);
}

// The store below is a real one's worst day: a request that goes on writing after it was cancelled.
TEST_F(GuardedStoreTest, TheLoserNeverTouchesTheBufferAfterTheReadEnded) {
  bool slow = false;
  bool released = false;
  std::optional<std::span<std::byte>> loser;
  const auto script = [&](ScriptedReads::Read read) -> Task<> {  // tidy-allow(capturing-coroutine): outlived by the test
    std::fill(read.into.begin(), read.into.end(), std::byte{7});
    if (!std::exchange(slow, false)) co_return ok();
    loser = read.into;
    while (!released) {
      static_cast<void>(co_await clock_.sleep_for(10ms));
      co_await asio::this_coro::reset_cancellation_state();  // deaf to being cancelled
      std::fill(read.into.begin(), read.into.end(), std::byte{7});
    }
    co_return Error(Code::cancelled, "at last");
  };
  auto store = std::make_shared<ScriptedReads>(clock_, script);
  guarded_ = guard_store(store, {}, clock_, seed_);
  warm_up();
  slow = true;
  auto bytes = std::make_unique<std::vector<std::byte>>(4096);
  const std::span<std::byte> into(*bytes);
  auto end = loop_.start(guarded_->read("f", version_, 0, into, in(30s)));
  loop_.work_until([&] { return guarded_->guard_state().hedges_sent == 1 && guarded_->guard_state().in_flight == 2; }, 1s);
  loop_.work_until([] { return false; }, 100ms);
  EXPECT_FALSE(end->has_value()) << "the first request still writes to the buffer";
  released = true;
  ASSERT_TRUE(loop_.work_until([&] { return end->has_value(); }));
  EXPECT_TRUE(**end);
  EXPECT_EQ(guarded_->guard_state().hedges_won, 1U);
  EXPECT_EQ(loser->data(), into.data());
  bytes.reset();
  loop_.settle();
}

TEST_F(GuardedStoreTest, BytesThatWereHandedOutAreNeverWrittenAgain) {
  std::vector<std::uint64_t> offsets;
  std::vector<std::byte> bytes(4096);
  const auto script = [&](ScriptedReads::Read read) -> Task<> {  // tidy-allow(capturing-coroutine): outlived by the test
    offsets.push_back(read.offset);
    if (offsets.size() < 3) {
      std::fill_n(read.into.begin(), 1000, std::byte{1});
      if (read.progress) read.progress(1000);
      co_return Error(Code::unavailable, "cut off");
    }
    std::fill(read.into.begin(), read.into.end(), std::byte{2});
    co_return ok();
  };
  auto store = std::make_shared<ScriptedReads>(clock_, script);
  guarded_ = guard_store(store, {}, clock_, seed_);
  std::vector<std::uint64_t> told;
  ReadOptions options;
  options.progress = [&](std::uint64_t have) {
    told.push_back(have);
    std::fill(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(have), std::byte{9});  // the reader's own now
  };
  const std::span<std::byte> into(bytes);
  ASSERT_TRUE(loop_.run(guarded_->read_with("f", version_, 100, into, options, in(30s))));
  EXPECT_EQ(offsets, (std::vector<std::uint64_t>{100, 1100, 2100}));
  EXPECT_EQ(told, (std::vector<std::uint64_t>{1000, 2000}));
  EXPECT_EQ(std::count(bytes.begin(), bytes.begin() + 2000, std::byte{9}), 2000);
  EXPECT_EQ(std::count(bytes.begin() + 2000, bytes.end(), std::byte{2}), 2096);
}

TEST_F(GuardedStoreTest, ASecondRequestLeavesWhatTheFirstHandedOut) {
  bool slow = false;
  std::vector<std::byte> bytes(4096);
  const auto script = [&](ScriptedReads::Read read) -> Task<> {  // tidy-allow(capturing-coroutine): outlived by the test
    const bool straggles = std::exchange(slow, false);
    if (straggles) {
      std::fill_n(read.into.begin(), 1000, std::byte{1});
      read.progress(1000);
      CO_CHECK_OK(co_await clock_.sleep_for(10s));
    }
    std::fill(read.into.begin(), read.into.end(), std::byte{2});
    co_return ok();
  };
  auto store = std::make_shared<ScriptedReads>(clock_, script);
  guarded_ = guard_store(store, {}, clock_, seed_);
  warm_up();
  slow = true;
  ReadOptions options;
  options.progress = [](std::uint64_t) {};
  const std::span<std::byte> into(bytes);
  ASSERT_TRUE(loop_.run(guarded_->read_with("f", version_, 0, into, options, in(30s))));
  EXPECT_EQ(guarded_->guard_state().hedges_won, 1U);
  EXPECT_EQ(std::count(bytes.begin(), bytes.begin() + 1000, std::byte{1}), 1000);
  EXPECT_EQ(std::count(bytes.begin() + 1000, bytes.end(), std::byte{2}), 3096);
}

TEST_F(GuardedStoreTest, FewerCallsAtOnceWhileTheStoreSaysSlowDown) {
  guard();
  warm_up();
  const std::size_t before = guarded_->guard_state().limit;
  sim_->random_faults({.fail = 0.5, .delay = 0.5, .fail_code = Code::overloaded, .max_delay = 5ms}, seed_);
  int wrong = 0;
  auto end = loop_.start(read_many(guarded_.get(), &clock_, version_, 100, seed_, &wrong));
  ASSERT_TRUE(loop_.work_until([&] { return end->has_value(); }));
  EXPECT_LT(guarded_->guard_state().limit, before / 2);
}

class AwayForTenMinutes : public GuardedStoreTest, public ::testing::WithParamInterface<SimFault::Kind> {
 protected:
  void go_away() {
    if (GetParam() == SimFault::Kind::hang) sim_->random_faults({.hang = 1.0}, seed_);
    if (GetParam() == SimFault::Kind::fail) sim_->set_reachable(SimReachable::no);
  }
  void come_back() {
    sim_->no_more_faults();
    sim_->set_reachable(SimReachable::yes);
  }
};

// A reader every 100 ms.
Task<> keep_reading(UnderStore* store, Clock* clock, std::string version, const bool* stop, std::vector<TimePoint>* successes,
                    std::vector<Code>* failures, Duration* longest_while_open) {
  std::vector<std::byte> bytes(4096);
  const std::span<std::byte> into(bytes);
  while (!*stop) {
    const TimePoint began = clock->now();
    const Deadline deadline = Deadline::after(*clock, 30s);
    const Status got = co_await store->read("f", version, 0, into, deadline);
    if (got) successes->push_back(clock->now());
    if (!got) failures->push_back(got.code());
    if (!got && failures->size() > 10) *longest_while_open = std::max(*longest_while_open, clock->now() - began);
    CO_CHECK_OK(co_await clock->sleep_for(100ms));
  }
  co_return ok();
}

TEST_P(AwayForTenMinutes, IsAskedRarelyFailsFastAndIsBackWithinFiveSeconds) {
  guard();
  warm_up();
  bool stop = false;
  std::vector<TimePoint> successes;
  std::vector<Code> failures;
  Duration longest{};
  auto end = loop_.start(keep_reading(guarded_.get(), &clock_, version_, &stop, &successes, &failures, &longest));
  go_away();
  const std::uint64_t before = sim_->calls(SimOp::read) + sim_->calls(SimOp::stat);
  loop_.work_until([] { return false; }, 10min);
  EXPECT_EQ(guarded_->guard_state().breaker == BreakerState::closed, false);
  EXPECT_LE(sim_->calls(SimOp::read) + sim_->calls(SimOp::stat) - before, 340U) << "one probe in two seconds, not more";
  EXPECT_GT(failures.size(), 100U);
  EXPECT_EQ(std::count(failures.begin(), failures.end(), Code::not_found), 0) << "unreachable is not deleted";
  EXPECT_LE(longest, 2s + 100ms) << "no longer than a probe";
  const Status refused = read();
  EXPECT_EQ(refused.code(), Code::unavailable);
  EXPECT_NE(refused.error().message().find("sim://test has not answered since 20"), std::string::npos);
  const TimePoint back = clock_.now();
  come_back();
  successes.clear();
  ASSERT_TRUE(loop_.work_until([&] { return !successes.empty(); }));
  EXPECT_LE(successes.front() - back, 5s);
  stop = true;
  ASSERT_TRUE(loop_.work_until([&] { return end->has_value(); }));
}
INSTANTIATE_TEST_SUITE_P(By, AwayForTenMinutes, ::testing::Values(SimFault::Kind::fail, SimFault::Kind::hang),
                         [](const auto& each) { return each.param == SimFault::Kind::fail ? "Refusing" : "Hanging"; });

}  // namespace
}  // namespace hearth

// Block map and membership: what is known about where blocks are.
#include "common/rng.h"
#include "master/membership.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace hearth::master {
namespace {

BlockId random_block(Rng& rng) { return BlockId{rng.next(), rng.next()}; }
constexpr WorkerId w1{1};
constexpr WorkerId w2{2};

TimePoint at_second(int seconds) { return TimePoint(std::chrono::seconds(100 + seconds)); }

TEST(BlockMapTest, CostsAtMost64BytesPerLocation) {
  SeededRng rng(7);
  BlockMap map;
  const SlotIndex one = map.open_slot(w1);
  const SlotIndex two = map.open_slot(w2);
  constexpr std::uint64_t blocks = 1'000'000;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const BlockId block = random_block(rng);
    map.add(block, one);
    map.add(block, two);
  }
  EXPECT_EQ(map.location_count(), 2 * blocks);
  const double bytes_per_location = static_cast<double>(map.memory_bytes()) / (2.0 * blocks);
  std::printf("%.1f bytes per location with two replicas, %.1f with one\n", bytes_per_location, 2 * bytes_per_location);
  EXPECT_LE(2 * bytes_per_location, 64.0) << "even with a single replica each";
}

TEST(BlockMapTest, HidesADroppedSetAtOnceAndGivesItsMemoryBack) {
  SeededRng rng(8);
  BlockMap map;
  const SlotIndex one = map.open_slot(w1);
  std::vector<BlockId> blocks;
  for (int i = 0; i < 100'000; ++i) {
    blocks.push_back(random_block(rng));
    map.add(blocks.back(), one);
  }
  const std::uint64_t full = map.memory_bytes();
  map.drop_slot(one);
  EXPECT_EQ(map.location_count(), 0u);
  EXPECT_TRUE(map.locations(blocks[5]).empty());
  const SlotIndex next = map.open_slot(w2);
  EXPECT_NE(next, one) << "an index is not reused before it was swept";
  map.add(blocks[5], next);
  while (map.needs_sweep()) map.sweep_step();
  EXPECT_LT(map.memory_bytes() * 4, full);
  EXPECT_EQ(map.locations(blocks[5]), std::vector<WorkerId>{w2});
}

TEST(BlockMapTest, KeepsMoreCopiesThanFitIntoARow) {
  BlockMap map;
  const BlockId block{1, 2};
  std::vector<SlotIndex> slots;
  for (std::uint64_t worker = 1; worker <= 9; ++worker) {
    slots.push_back(map.open_slot(WorkerId{worker}));
    map.add(block, slots.back());
    map.add(block, slots.back());  // twice is once
  }
  EXPECT_EQ(map.locations(block).size(), 9u);
  EXPECT_EQ(map.location_count(), 9u);
  map.drop_slot(slots[8]);
  map.drop_slot(slots[0]);
  while (map.needs_sweep()) map.sweep_step();
  EXPECT_EQ(map.locations(block).size(), 7u);
  for (std::size_t i = 1; i < 8; ++i) map.remove(block, slots[i]);
  EXPECT_TRUE(map.locations(block).empty());
  EXPECT_EQ(map.location_count(), 0u);
}

// ---- membership

PresenceReport report(std::uint64_t epoch, std::uint64_t sequence, PresenceReport::Part part,
                      std::vector<BlockId> added, std::vector<BlockId> removed = {}) {
  PresenceReport out;
  out.worker = w1;
  out.epoch = epoch;
  out.sequence = sequence;
  out.part = part;
  out.added = std::move(added);
  out.removed = std::move(removed);
  return out;
}
using Part = PresenceReport::Part;
constexpr BlockId a{1, 1};
constexpr BlockId b{2, 2};
constexpr BlockId c{3, 3};

std::set<std::uint64_t> held(const Membership& members) {
  std::set<std::uint64_t> out;
  for (const BlockId& block : {a, b, c}) {
    if (!members.locations(block).empty()) out.insert(block.low);
  }
  return out;
}

TEST(MembershipTest, LosesASilentWorkerAtItsTimeAndTakesItBackWithAFullReport) {
  Membership members(std::chrono::seconds(5), 0);
  const std::uint64_t epoch = members.register_worker(w1, {}, at_second(0));
  EXPECT_EQ(*members.heartbeat(report(epoch, 1, Part::whole, {a}), std::nullopt, at_second(1)), NextReport::delta);
  const std::uint64_t version = members.table_version();
  EXPECT_TRUE(members.expire(at_second(5)).empty());
  EXPECT_EQ(members.expire(at_second(6)), std::vector<WorkerId>{w1});
  EXPECT_GT(members.table_version(), version);
  EXPECT_TRUE(members.locations(a).empty());
  EXPECT_EQ(members.heartbeat(report(epoch, 2, Part::middle, {b}), std::nullopt, at_second(7)).code(), Code::wrong_epoch);
  EXPECT_TRUE(members.locations(b).empty());
  const std::uint64_t again = members.register_worker(w1, {}, at_second(8));
  EXPECT_GT(again, epoch);
  EXPECT_EQ(*members.heartbeat(report(again, 1, Part::middle, {}), std::nullopt, at_second(8)), NextReport::full);
  EXPECT_EQ(*members.heartbeat(report(again, 2, Part::whole, {a}), std::nullopt, at_second(8)), NextReport::delta);
  EXPECT_EQ(members.locations(a), std::vector<WorkerId>{w1});
}

TEST(MembershipTest, ANewRegistrationReplacesTheFormerSelf) {
  Membership members(std::chrono::seconds(5), 0);
  const std::uint64_t first = members.register_worker(w1, {.address = "h:1"}, at_second(0));
  ASSERT_TRUE(members.heartbeat(report(first, 1, Part::whole, {a}), std::nullopt, at_second(0)));
  const std::uint64_t second = members.register_worker(w1, {.address = "h:2"}, at_second(1));
  EXPECT_TRUE(members.locations(a).empty());
  EXPECT_EQ(*members.address(w1), "h:2");
  EXPECT_EQ(members.heartbeat(report(first, 2, Part::middle, {b}), std::nullopt, at_second(1)).code(), Code::wrong_epoch);
  EXPECT_EQ(members.deregister(w1, first).code(), Code::wrong_epoch);
  EXPECT_TRUE(members.deregister(w1, second));
  EXPECT_TRUE(members.rows(at_second(1)).empty());
}

TEST(MembershipTest, ShowsTheOldLocationsUntilAFullReportEnds) {
  Membership members(std::chrono::seconds(5), 0);
  const std::uint64_t epoch = members.register_worker(w1, {}, at_second(0));
  ASSERT_TRUE(members.heartbeat(report(epoch, 1, Part::whole, {a, b}), std::nullopt, at_second(0)));
  ASSERT_TRUE(members.heartbeat(report(epoch, 2, Part::first, {c}), std::nullopt, at_second(0)));
  EXPECT_EQ(held(members), (std::set<std::uint64_t>{1, 2, 3}));
  ASSERT_TRUE(members.heartbeat(report(epoch, 3, Part::middle, {}, {c}), std::nullopt, at_second(0)));
  EXPECT_EQ(held(members), (std::set<std::uint64_t>{1, 2}));
  ASSERT_TRUE(members.heartbeat(report(epoch, 4, Part::last, {b}), std::nullopt, at_second(0)));
  EXPECT_EQ(held(members), (std::set<std::uint64_t>{2}));
}

TEST(MembershipTest, ADrainingWorkerStaysAndIsSeenAsDraining) {
  Membership members(std::chrono::seconds(5), 0);
  const std::uint64_t epoch = members.register_worker(w1, {}, at_second(0));
  WorkerFigures draining;
  draining.mode = WorkerFigures::Mode::draining;
  ASSERT_TRUE(members.heartbeat(report(epoch, 1, Part::whole, {a}), draining, at_second(0)));
  EXPECT_EQ(members.rows(at_second(0)).front().state, WorkerState::draining);
  EXPECT_EQ(members.locations(a).size(), 1u);
  EXPECT_EQ(members.count(WorkerState::draining), 1u);
}

TEST(MembershipTest, ForgetsABadLocationAtOnce) {
  Membership members(std::chrono::seconds(5), 0);
  const std::uint64_t epoch = members.register_worker(w1, {}, at_second(0));
  ASSERT_TRUE(members.heartbeat(report(epoch, 1, Part::whole, {a, b}), std::nullopt, at_second(0)));
  members.bad_location(a, w1);
  members.bad_location(b, w2);  // never heard of
  EXPECT_EQ(held(members), (std::set<std::uint64_t>{2}));
}

// What a worker does, one report per event; the network may deliver in any order, lose, or repeat.
struct Event {
  PresenceReport report;
  std::set<std::uint64_t> truth;  // what the worker holds as of this report, if it ends a state the master can know
};

// Every order in which up to five reports can arrive, each at most twice, some not at all. Rules that must hold:
// the reports that took effect are those not older than the newest before them; whenever a later full report is then delivered, the map
// equals the worker; an older report never undoes a newer one.
TEST(MembershipInterleavings, EveryOrderEndsAtTheTruthAfterTheNextFullReport) {
  const std::uint64_t epoch = 1;
  const std::vector<PresenceReport> reports{
      report(epoch, 1, Part::whole, {a, b}),
      report(epoch, 2, Part::middle, {c}, {a}),
      report(epoch, 3, Part::first, {b}),
      report(epoch, 4, Part::last, {c}, {b}),
      report(epoch, 5, Part::middle, {a}, {c}),
  };
  std::vector<int> order;
  std::uint64_t runs = 0;
  const std::function<void()> check = [&] {
    Membership members(std::chrono::seconds(5), 0);
    ASSERT_EQ(members.register_worker(w1, {}, at_second(0)), epoch);
    std::uint64_t newest = 0;
    bool gapless = true;  // every report so far came in order
    bool asked_for_full = false;
    for (const int index : order) {
      const PresenceReport& one = reports[static_cast<std::size_t>(index)];
      const std::set<std::uint64_t> before = held(members);
      const Result<NextReport> next = members.heartbeat(one, std::nullopt, at_second(0));
      ASSERT_TRUE(next);
      if (one.sequence < newest) {
        ASSERT_EQ(held(members), before) << "an older report took effect";
        continue;
      }
      gapless = gapless && one.sequence <= newest + 1;
      newest = one.sequence;
      asked_for_full = *next == NextReport::full;
      for (const BlockId& block : one.removed) ASSERT_FALSE(held(members).contains(block.low));
      for (const BlockId& block : one.added) ASSERT_TRUE(held(members).contains(block.low));
    }
    if (gapless && newest == 5) {
      ASSERT_EQ(held(members), (std::set<std::uint64_t>{1}));
      ASSERT_FALSE(asked_for_full);
    }
    if (newest == 5 && order.size() == 1) {
      ASSERT_TRUE(asked_for_full) << "a gap must ask for a full report";
    }
    ASSERT_TRUE(members.heartbeat(report(epoch, 6, Part::whole, {b}), std::nullopt, at_second(0)));
    ASSERT_EQ(held(members), (std::set<std::uint64_t>{2}));
    ++runs;
  };
  const std::function<void()> extend = [&] {
    check();
    if (order.size() == 5 || ::testing::Test::HasFatalFailure()) return;
    for (int next = 0; next < 5; ++next) {
      if (std::count(order.begin(), order.end(), next) == 2) continue;
      order.push_back(next);
      extend();
      order.pop_back();
    }
  };
  extend();
  EXPECT_GT(runs, 2000u);
}

}  // namespace
}  // namespace hearth::master

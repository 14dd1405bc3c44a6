// Room in under-stores, as statfs asks for it.
#include "master/testing/names_harness.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>

namespace hearth::master {
namespace {

using namespace std::chrono_literals;

StoreSpace room_of(std::uint64_t total, std::uint64_t free, const std::string& place) {
  return {.total_bytes = total, .free_bytes = free, .available_bytes = free - 1, .files = 10, .free_files = 4, .place = place};
}

class RoomInStores : public ::testing::Test {
 protected:
  SimStore& attach(const std::string& path, const std::string& uri, std::optional<StoreSpace> space) {
    SimStore& store = names_.store(uri);
    store.set_space(std::move(space));
    EXPECT_TRUE(names_.attach(path, uri));
    return store;
  }
  auto start(const std::string& path) { return names_.start(names_.service().space(names_.parse(path), names_.soon())); }
  SpaceView space(const std::string& path) {
    const Result<SpaceView> found = names_.finish(start(path));
    EXPECT_TRUE(found);
    return found ? *found : SpaceView();
  }

  NamesHarness names_;
};

TEST_F(RoomInStores, IsTheStoresOwnAndAskedAtMostEveryFiveSeconds) {
  SimStore& store = attach("/a", "sim://a", room_of(100, 40, "one"));
  const SpaceView first = space("/a/some/where");
  EXPECT_TRUE(first.known);
  EXPECT_FALSE(first.without_limit);
  EXPECT_EQ(first.total_bytes, 100U);
  EXPECT_EQ(first.free_bytes, 40U);
  EXPECT_EQ(first.available_bytes, 39U);
  EXPECT_EQ(first.files, 10U);
  EXPECT_EQ(first.free_files, 4U);
  store.set_space(room_of(100, 30, "one"));
  names_.advance(4s);
  EXPECT_EQ(space("/a").free_bytes, 40U);
  EXPECT_EQ(store.calls(SimOp::space), 1U);
  names_.advance(1s);
  EXPECT_EQ(space("/a").free_bytes, 30U);
}

TEST_F(RoomInStores, AboveAttachmentsItIsTheSumOfAllBelowEachPlaceOnce) {
  attach("/t/a", "sim://a", room_of(100, 40, "one"));
  attach("/t/b", "sim://b", room_of(100, 40, "one"));
  attach("/t/c", "sim://c", room_of(1000, 500, "two"));
  attach("/tt", "sim://d", room_of(7, 7, "three"));
  EXPECT_EQ(space("/t").total_bytes, 1100U);
  EXPECT_EQ(space("/t").free_bytes, 540U);
  EXPECT_EQ(space("/").total_bytes, 1107U);
  EXPECT_EQ(space("/t/c").total_bytes, 1000U);
  EXPECT_FALSE(space("/elsewhere").known);
}

TEST_F(RoomInStores, AStoreWithoutALimitSaysSo) {
  attach("/s", "sim://s", std::nullopt);
  EXPECT_TRUE(space("/s").without_limit);
  EXPECT_FALSE(space("/s").known);
}

TEST_F(RoomInStores, AStoreThatHangsIsWaitedForOnceAndCountsWithWhatItLastSaid) {
  SimStore& away = attach("/a", "sim://a", room_of(100, 40, "one"));
  attach("/b", "sim://b", room_of(1000, 500, "two"));
  EXPECT_EQ(space("/").total_bytes, 1100U);
  names_.advance(6s);
  away.at_next_call(SimOp::space, {.kind = SimFault::Kind::hang, .code = Code::io_error, .delay = {}});
  auto first = start("/");
  names_.settle();
  EXPECT_FALSE(first.done());
  names_.advance(1s);
  ASSERT_TRUE(first.done());
  EXPECT_EQ((**first.result)->total_bytes, 1100U);
  names_.advance(1s);
  auto second = start("/a");
  names_.settle();
  ASSERT_TRUE(second.done()) << "nobody waits for it again";
  EXPECT_EQ((**second.result)->free_bytes, 40U);
  EXPECT_EQ(away.calls(SimOp::space), 2U) << "and it is not asked again meanwhile";
  away.set_space(room_of(100, 20, "one"));
  names_.advance(10s);  // the question has ended
  EXPECT_EQ(space("/a").free_bytes, 20U);
  EXPECT_EQ(away.calls(SimOp::space), 3U);
}

TEST_F(RoomInStores, OfAStoreThatFailsNothingIsKnown) {
  SimStore& store = attach("/a", "sim://a", room_of(100, 40, "one"));
  store.at_next_call(SimOp::space, {.kind = SimFault::Kind::fail, .code = Code::unavailable, .delay = {}});
  EXPECT_FALSE(space("/a").known);
  names_.advance(6s);
  EXPECT_TRUE(space("/a").known);
  ASSERT_TRUE(names_.run(names_.service().detach(names_.parse("/a"), names_.soon())));
  EXPECT_FALSE(space("/a").known);
}

}  // namespace
}  // namespace hearth::master

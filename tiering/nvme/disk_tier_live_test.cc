// What the owner of a tier tells it while it runs (times to live, another class of eviction, other watermarks), and what it is told:
// that the device was replaced, that it hangs, that there is no room.
#include "tiering/nvme/nvme_test_support.h"

#include <algorithm>

namespace hearth {
namespace {

using namespace hearth::testing;  // NOLINT: a test
using std::chrono::seconds;

constexpr std::uint64_t page_64k = 64 * kib;

BlockRef block_of(std::uint64_t number, std::uint64_t length) { return make_block(number, length, 64 * 1024); }

class LiveTier : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(world.open(small_tier())); }
  void reopen(DiskTierOptions options = small_tier()) {
    world.close();
    const Status opened = world.open(std::move(options));
    ASSERT_TRUE(opened) << text(opened);
  }
  std::optional<BlockExpiry> expiry_of(const BlockRef& block) {
    for (const auto& [id, expiry] : world.tier().expiries()) {
      if (id == block.id) return expiry;
    }
    return std::nullopt;
  }
  DeviceState state() { return world.tier().stats().state; }
  Duration until_healthy() {
    const TimePoint begin = world.clock.now();
    while (state() != DeviceState::healthy && world.clock.now() - begin < std::chrono::minutes(5)) world.ticks(1);
    return world.clock.now() - begin;
  }
  int right_pages(const BlockRef& block) {
    int right = 0;
    for (std::uint32_t page = 0; page < block.page_count(); ++page) right += world.shows(block, page).has_value();
    return right;
  }
  World world;
};

// The youngest goes first: no class of the tree, so that it can not be mistaken for one.
class YoungestFirst final : public EvictionPolicy {
 public:
  explicit YoungestFirst(std::vector<EvictionSlot>* order) : order_(order) {}
  void inserted(EvictionSlot slot, std::uint64_t, std::uint64_t) override { order_->push_back(slot); }
  void touched(EvictionSlot) override {}
  void removed(EvictionSlot slot, Removal) override { std::erase(*order_, slot); }
  std::optional<EvictionSlot> victim(const Evictable& evictable) override {
    const auto found = std::find_if(order_->rbegin(), order_->rend(), [&](EvictionSlot slot) { return evictable(slot); });
    return found == order_->rend() ? std::nullopt : std::optional(*found);
  }
  std::size_t memory_bytes() const override { return 0; }

 private:
  std::vector<EvictionSlot>* order_;
};

TEST_F(LiveTier, KeepsATimeToLiveOverARestartAndAKill) {
  const BlockRef block = block_of(1, 3 * page_64k);
  const BlockRef other = block_of(2, page_64k);
  const BlockExpiry expiry{WallTime(seconds(2'000'000'000)), BlockExpiry::Then::expire};
  world.tier().set_expiry(block.id, expiry);
  ASSERT_TRUE(world.write_all(block));
  ASSERT_TRUE(world.write_all(other));
  reopen();
  EXPECT_EQ(expiry_of(block), expiry);
  EXPECT_FALSE(expiry_of(other));
  world.ticks(10);
  world.crash(SimCrash::process_kill, 1);
  ASSERT_TRUE(world.open());
  EXPECT_EQ(expiry_of(block), expiry);
}

TEST_F(LiveTier, ATimeToLiveGoesWithItsBlockAndChangesWithItsOwner) {
  const BlockRef block = block_of(1, 3 * page_64k);
  world.tier().set_expiry(block.id, BlockExpiry{WallTime(seconds(1000) + std::chrono::milliseconds(1)), BlockExpiry::Then::free});
  ASSERT_TRUE(world.write_all(block));
  EXPECT_EQ(expiry_of(block)->at, WallTime(seconds(1001))) << "never sooner than was said";
  world.tier().set_expiry(block.id, BlockExpiry{WallTime(seconds(500)), BlockExpiry::Then::expire});
  reopen();
  EXPECT_EQ(expiry_of(block), (BlockExpiry{WallTime(seconds(500)), BlockExpiry::Then::expire}));
  world.tier().set_expiry(block.id, std::nullopt);
  reopen();
  EXPECT_FALSE(expiry_of(block));
  world.tier().set_expiry(block.id, BlockExpiry{WallTime(seconds(500)), BlockExpiry::Then::free});
  world.in_context([&] { world.tier().free_block(block.id); });
  world.settle();
  EXPECT_TRUE(world.tier().expiries().empty());
  ASSERT_TRUE(world.write_all(block));
  reopen();
  EXPECT_FALSE(expiry_of(block)) << "that was of the bytes that were freed";
}

TEST_F(LiveTier, AnotherClassOfEvictionTakesOverInTheOrderOfLastAccess) {
  const BlockRef block = block_of(1, 40 * page_64k);
  const BlockRef pinned = block_of(2, 2 * page_64k);
  world.tier().pin(pinned.id, Pinned::yes);
  ASSERT_TRUE(world.write_all(pinned));
  for (std::uint32_t page = 0; page < 14; ++page) {
    ASSERT_TRUE(world.write(block, page));
    world.clock.advance(std::chrono::minutes(2));
  }
  ASSERT_TRUE(world.read(block, 3));
  std::vector<EvictionSlot> order;
  world.tier().set_eviction(std::make_unique<YoungestFirst>(&order));
  EXPECT_EQ(order.size(), 14U) << "the pinned ones are nobody's to choose";
  ASSERT_TRUE(world.write(block, 20));
  EXPECT_FALSE(world.tier().lookup(block, PageIndex{3})) << "the youngest of all";
  EXPECT_TRUE(world.tier().lookup(block, PageIndex{0}));
  ASSERT_TRUE(world.write(block, 21));
  EXPECT_FALSE(world.tier().lookup(block, PageIndex{20}));
  world.tier().set_eviction(make_lru_policy());
  ASSERT_TRUE(world.write(block, 22));
  EXPECT_FALSE(world.tier().lookup(block, PageIndex{0})) << "and back: the oldest";
  EXPECT_TRUE(world.tier().residency(pinned.id).complete);
  EXPECT_EQ(world.problems(), "");
}

TEST_F(LiveTier, NewWatermarksAreKeptToAtTheNextTick) {
  const BlockRef block = block_of(1, 40 * page_64k);
  for (std::uint32_t page = 0; page < 16; ++page) ASSERT_TRUE(world.write(block, page));
  world.ticks(2);
  EXPECT_EQ(world.tier().stats().resident_bytes, 16 * page_64k);
  world.tier().set_watermarks(0.25, 0.5);
  world.ticks(2);
  EXPECT_EQ(world.tier().stats().resident_bytes, 4 * page_64k);
  for (std::uint32_t page = 20; page < 40; ++page) {
    ASSERT_TRUE(world.write(block, page));
    world.ticks(1);
    EXPECT_LE(world.tier().stats().resident_bytes, 8 * page_64k);
  }
  EXPECT_EQ(world.tier().stats().foreground_evictions, 0U);
  EXPECT_EQ(world.problems(), "");
}

TEST_F(LiveTier, AReplacedDirectoryIsFencedAndSaidToBeReplaced) {
  const BlockRef block = block_of(1, 4 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  world.medium->set_access(SimAccess::replaced);
  world.ticks(100);
  EXPECT_EQ(state(), DeviceState::fenced);
  EXPECT_TRUE(world.tier().stats().replaced);
  EXPECT_NE(world.tier().stats().state_reason.find("another directory"), std::string::npos) << world.tier().stats().state_reason;
  world.medium->set_access(SimAccess::missing);
  world.ticks(100);
  EXPECT_FALSE(world.tier().stats().replaced) << "nothing is there to be opened";
  world.medium->set_access(SimAccess::writable);
  EXPECT_LE(until_healthy(), seconds(30));
  EXPECT_EQ(right_pages(block), 4);
}

// Found at a worker's stop: the last sync of the index was awaited for ever.
TEST_F(LiveTier, ShutDownWaitsForAHungDeviceNoLongerThanItsDeadline) {
  const BlockRef block = block_of(1, 4 * page_64k);
  ASSERT_TRUE(world.write_all(block));
  for (const SimOperation operation : {SimOperation::sync, SimOperation::write, SimOperation::close}) {
    ASSERT_TRUE(world.write(block_of(10 + static_cast<std::uint64_t>(operation), 10), 0)) << "something for the index";
    world.medium->add_fault({.operation = operation, .effect = SimEffect::hang});
    const TimePoint began = world.clock.now();
    const Status ended = world.run(world.tier().shut_down(Deadline::after(world.clock, seconds(3))));
    EXPECT_EQ(ended.code(), Code::deadline_exceeded) << static_cast<int>(operation);
    EXPECT_LE(world.clock.now() - began, seconds(4));
    world.medium->clear_faults();
    world.medium->release_hung();
    reopen();  // what had to wait comes to its end now
    EXPECT_EQ(right_pages(block), 4);
  }
  EXPECT_EQ(world.problems(), "");
}

// stuck bytes of files that could not be removed or trimmed left out what had been allocated for a load: writers waited in vain.
TEST_F(LiveTier, RoomThatCanNotBeGivenBackIsRefusedAndNotWaitedFor) {
  const BlockRef loading = block_of(1, 12 * page_64k);
  const BlockRef pinned = block_of(2, 4 * page_64k);
  const BlockRef wanted = block_of(3, page_64k);
  for (const SimOperation operation : {SimOperation::remove, SimOperation::punch}) {
    world.tier().pin(pinned.id, Pinned::yes);
    ASSERT_TRUE(world.run(world.tier().begin_whole(loading, world.soon())));
    ASSERT_TRUE(world.write(loading, 0));
    world.medium->add_fault({.operation = operation, .code = Code::permission_denied});  // which is no fault of the device
    world.in_context([&] {
      if (operation == SimOperation::remove) {
        world.tier().free_block(loading.id);
      } else {
        world.tier().end_whole(loading.id);
      }
    });
    ASSERT_TRUE(world.write_all(pinned));
    const TimePoint began = world.clock.now();
    Status refused = world.write(wanted, 0);
    if (operation == SimOperation::punch) refused = world.write(wanted, 0);  // the page that was written is evicted first, and stuck
    EXPECT_EQ(refused.code(), Code::no_space) << text(refused);
    EXPECT_LE(world.clock.now() - began, seconds(5)) << "and not at its deadline, in ten minutes";
    world.medium->clear_faults();
    world.ticks(60);
    EXPECT_TRUE(world.write(wanted, 0));
    EXPECT_EQ(world.problems(), "");
    for (const BlockRef& block : {loading, pinned, wanted}) world.in_context([&] { world.tier().free_block(block.id); });
    world.settle();
  }
}

}  // namespace
}  // namespace hearth

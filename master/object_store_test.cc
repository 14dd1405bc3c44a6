// What the master does for stores of objects: one listing instead of many single questions, and their upkeep.
#include "master/list_ahead.h"
#include "master/testing/names_harness.h"
#include "understore/guard/guarded_store.h"
#include "understore/store_upkeep.h"

#include <gtest/gtest.h>

namespace hearth::master {
namespace {

using namespace std::chrono_literals;

// A tree in memory that is asked as an object store is: directories are implied, a listing goes on after a failure.
class FlatStore final : public GuardedStore, public StoreUpkeep {
 public:
  explicit FlatStore(SimStore& tree) : tree_(tree) {}
  std::string_view uri() const override { return tree_.uri(); }
  GuardState guard_state() const override { return {}; }
  StoreCapabilities capabilities() const override {
    StoreCapabilities can = tree_.capabilities();
    can.has_directories = false;
    can.listing_resumes = true;
    return can;
  }
  Task<ObjectInfo> stat(std::string path, Deadline deadline) override { return tree_.stat(std::move(path), deadline); }
  Task<std::unique_ptr<Listing>> list(std::string path, Deadline deadline) override {
    return tree_.list(std::move(path), deadline);
  }
  Task<> read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
              Deadline deadline) override {
    return tree_.read(std::move(path), std::move(version), offset, into, deadline);
  }
  Task<ObjectInfo> write(std::string path, std::string content, Deadline deadline) override {
    return tree_.write(std::move(path), std::move(content), deadline);
  }
  Task<> remove(std::string path, Deadline deadline) override { return tree_.remove(std::move(path), deadline); }
  Task<> rename(std::string from, std::string to, Deadline deadline) override {
    return tree_.rename(std::move(from), std::move(to), deadline);
  }
  Task<ObjectInfo> make_directory(std::string path, std::uint32_t mode, Deadline deadline) override {
    return tree_.make_directory(std::move(path), mode, deadline);
  }
  Task<std::uint64_t> sweep(Deadline) override {
    ++sweeps;
    if (sweeps == 2) co_return Error(Code::permission_denied, "not today");
    co_return std::uint64_t{3};
  }

  int sweeps = 0;

 private:
  SimStore& tree_;
};

class ObjectStore : public ::testing::Test {
 protected:
  void fill(int entries) {
    tree_.put_directory("d");
    for (int i = 0; i < entries; ++i) tree_.put_file(file(i), 10);
    AttachmentSettings settings;
    settings.metadata_ttl = 10s;
    ASSERT_TRUE(names_.attach("/", "sim://s", settings));
    ASSERT_TRUE(names_.stat("/d"));
  }
  static std::string file(int i) { return "d/" + std::to_string(100'000 + i); }
  void stat_all(int from, int to) {
    for (int i = from; i < to; ++i) ASSERT_TRUE(names_.stat("/" + file(i))) << i;
  }
  std::uint64_t stats() const { return tree_.calls(SimOp::stat); }

  ManualClock clock_;
  SimStore tree_{clock_, "sim://s"};
  std::shared_ptr<FlatStore> store_ = std::make_shared<FlatStore>(tree_);
  NamesHarness names_{[this](const std::string&, const StoreOptions&) -> Result<std::shared_ptr<UnderStore>> {
    return std::shared_ptr<UnderStore>(store_);
  }};
};

TEST_F(ObjectStore, StoresInUseAreSweptOnceAnHourAlsoAfterAFailure) {
  fill(1);
  names_.advance(59min);
  EXPECT_EQ(store_->sweeps, 0);
  names_.advance(1min);
  EXPECT_EQ(store_->sweeps, 1);
  names_.advance(1h);
  EXPECT_EQ(store_->sweeps, 2);
  names_.advance(1h);
  EXPECT_EQ(store_->sweeps, 3);
  ASSERT_TRUE(names_.run(names_.service().detach(NamesHarness::parse("/"), names_.soon())));
  names_.advance(1h);
  EXPECT_EQ(store_->sweeps, 3);
}

TEST_F(ObjectStore, ManyQuestionsAboutOneDirectoryBecomeOneListing) {
  fill(1000);
  const std::uint64_t before = stats();
  stat_all(0, static_cast<int>(ListAhead::questions));
  names_.settle();
  EXPECT_EQ(tree_.calls(SimOp::list), 2U);  // the attachment's own check, and this
  stat_all(0, 1000);
  EXPECT_LE(stats() - before, ListAhead::questions + 1);  // and one for the directory itself
  EXPECT_EQ(names_.stat("/d/no").code(), Code::not_found);
  EXPECT_EQ(tree_.calls(SimOp::list), 2U);
}

TEST_F(ObjectStore, AnAnswerIsNoOlderThanTheTtl) {
  fill(100);
  stat_all(0, 20);
  names_.settle();
  const std::string listed = names_.stat("/" + file(50))->inode.version;
  tree_.replace_file(file(50));
  names_.advance(10'001ms);
  EXPECT_NE(names_.stat("/" + file(50))->inode.version, listed);
}

TEST_F(ObjectStore, FewQuestionsStaySingle) {
  fill(100);
  for (int round = 0; round < 5; ++round) {
    stat_all(0, static_cast<int>(ListAhead::questions) - 1);
    names_.advance(11s);
  }
  EXPECT_EQ(tree_.calls(SimOp::list), 1U);
}

TEST_F(ObjectStore, ALargeDirectoryIsBrokenOffAndLeftAloneForAWhile) {
  const int entries = static_cast<int>(ListAhead::max_entries) + 3000;
  fill(entries);
  stat_all(0, 16);
  names_.settle();
  const std::uint64_t pages = tree_.calls(SimOp::list_next);
  EXPECT_LE(pages, ListAhead::max_entries / 1000 + 4);
  // What came is known, what did not is asked for; nothing is believed absent.
  const std::uint64_t before = stats();
  stat_all(entries - 100, entries);
  EXPECT_EQ(stats() - before, 100U);
  EXPECT_EQ(tree_.calls(SimOp::list_next), pages);
  // Who lists it gets the whole of it.
  EXPECT_EQ(names_.names("/d", 4096).size(), static_cast<std::size_t>(entries));
}

TEST(ListAhead, ForgetsTheDirectoryAskedAboutLongestAgo) {
  ListAhead watched;
  TimePoint now = TimePoint(1s);
  for (std::uint64_t directory = 1; directory <= 10 * ListAhead::max_directories; ++directory) {
    now += 1ms;
    EXPECT_FALSE(watched.asked(InodeId{directory}, now, 10s));
  }
  const InodeId last{10 * ListAhead::max_directories};
  for (std::size_t i = 2; i < ListAhead::questions; ++i) EXPECT_FALSE(watched.asked(last, now, 10s));
  EXPECT_TRUE(watched.asked(last, now, 10s));
}

}  // namespace
}  // namespace hearth::master

// Renames of directories at a store of keys: the service in virtual time, the store a real S3Store at the strict double. A kill
// is a service that is made again over the same rows; what it had asked of the store may or may not have been done.
#include "master/metadata_check.h"
#include "master/testing/names_harness.h"
#include "understore/guard/guarded_store.h"
#include "understore/s3/s3_world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <set>
#include <string>
#include <utility>

namespace hearth::master::moves {
namespace {

using namespace std::chrono_literals;
using Names = std::vector<std::string>;
using Kind = s3::DoubleFault::Kind;

// The store's clock.
struct StoreClock final : Clock {
  TimePoint now() const override { return real_clock().now(); }
  WallTime wall_now() const override { return real_clock().wall_now() + ahead.load(); }
  Task<> sleep_until(TimePoint when) override { return real_clock().sleep_until(when); }
  std::atomic<std::chrono::seconds> ahead{std::chrono::seconds(0)};
};

s3::DoubleOptions small_pages(Clock& clock) {
  s3::DoubleOptions options;
  options.max_page = 4;
  options.clock = &clock;
  return options;
}

// A bucket with the directory "a" (files f00 to f09, sub/g0 to sub/g4), and a master with it at /s.
class World {
 public:
  StoreClock store_clock;

  World() {
    // Deadlines of virtual time are for a store in real time, too.
    names.clock.advance(real_clock().now() - names.clock.now());
    for (const std::string& name : below()) bucket_.server().put("a/" + name, "content of " + name);
    AttachmentSettings settings;
    settings.metadata_ttl = 1s;
    EXPECT_TRUE(names.attach("/s", "s3://bucket", settings));
    set("/s/a", 0750, 1);
    set("/s/a/f03", 0600, 1003);
    set("/s/a/sub", 0700, 1000);
    set("/s/a/sub/g2", 0640, 1002);
    bucket_.server().forgive();
  }
  static Names below() {
    Names all;
    for (int i = 0; i < 10; ++i) all.push_back("f0" + std::to_string(i));
    for (int i = 0; i < 5; ++i) all.push_back("sub/g" + std::to_string(i));
    return all;
  }
  void set(const std::string& path, std::uint32_t mode, std::uint32_t uid) {
    SetAttributes wanted;
    wanted.path = path;
    wanted.mode = mode;
    wanted.uid = uid;
    const auto done = change(wanted);
    ASSERT_TRUE(done) << done.error().to_string();
  }
  s3::S3Double& server() { return bucket_.server(); }

  Task<ChangedView> changing(Change wanted, Caller caller = {}) {
    return names.service().change(std::move(wanted), std::move(caller), Deadline::after(names.clock, 60s));
  }
  // A caller that waits, until it is told otherwise by a kill.
  template <class T>
  NamesHarness::Pending<T> start(Task<T> task) {
    NamesHarness::Pending<T> pending;
    EXPECT_TRUE(callers_->spawn(keep(std::move(task), pending.result), "caller"));
    return pending;
  }
  ~World() { end_callers(); }
  Result<ChangedView> change(Change wanted, Caller caller = {}) { return names.run(changing(std::move(wanted), std::move(caller))); }
  static Rename a_to_b() { return Rename{.from = "/s/a", .to = "/s/b", .target = Rename::Target::replace}; }

  // Handlers run, and virtual time goes on while only the store is waited for.
  template <class Condition>
  [[nodiscard]] bool run_until(Condition condition) {
    for (int i = 0; i < 20'000; ++i) {
      if (condition()) return true;
      if (names.context().run_one_for(1ms) == 0) names.clock.advance(10ms);
    }
    return false;
  }
  bool exists(const std::string& path) {
    const auto found = names.stat(path);
    EXPECT_TRUE(found || found.code() == Code::not_found) << path << ": " << found.error().to_string();
    return found.has_value();
  }
  Names tree(const std::string& top) {
    Names all;
    for (const std::string& name : names.names(top)) {
      if (name != "sub") all.push_back(name);
      if (name == "sub") {
        for (const std::string& inner : names.names(top + "/sub")) all.push_back("sub/" + inner);
      }
    }
    return all;
  }
  // The tree is under one of the two names, whole; which. What is looked at one after the other counts when nothing was
  // switched in between.
  std::string whole_under_one_name() {
    for (;;) {
      const std::string shown = only_name();
      const std::string other = shown == "a" ? "b" : "a";
      std::string wrong;
      for (const char* name : {"", "/f00", "/sub/g2"}) {
        if (names.stat("/s/" + other + name)) wrong += " " + other + name + " is there, too;";
      }
      if (names.list("/s/" + other).code() != Code::not_found) wrong += " " + other + " can be listed;";
      if (tree("/s/" + shown) != below()) wrong += " of " + shown + " only a part is seen;";
      if (only_name() != shown) continue;
      EXPECT_EQ(wrong, "");
      return shown;
    }
  }
  std::string only_name() {
    const Names top = names.names("/s");
    EXPECT_EQ(top.size(), 1U) << ::testing::PrintToString(top);
    return top.empty() ? "" : top.front();
  }
  bool settled() { return !names.service().under_way("/s"); }
  void expect_moved(const std::string& from, const std::string& to) {
    std::set<std::string> expected;
    for (const std::string& name : below()) expected.insert(to + "/" + name);
    for (const std::string& key : server().keys()) {
      if (!key.ends_with('/')) {
        EXPECT_TRUE(expected.erase(key) == 1) << "left in the bucket: " << key;
      }
    }
    EXPECT_TRUE(expected.empty()) << "missing: " << *expected.begin();
    for (const std::string& name : below()) EXPECT_EQ(server().content(to + "/" + name), "content of " + name);
    names.advance(2s);
    EXPECT_FALSE(exists("/s/" + from));
    expect_attributes("/s/" + to);
  }
  void expect_attributes(const std::string& top) {
    const auto mode = [this](const std::string& path) {
      const auto found = names.stat(path);
      return found ? found->inode.mode : 0U;
    };
    EXPECT_EQ(mode(top), 0750U);
    EXPECT_EQ(mode(top + "/f03"), 0600U);
    EXPECT_EQ(mode(top + "/sub"), 0700U);
    EXPECT_EQ(mode(top + "/sub/g2"), 0640U);
    EXPECT_EQ(mode(top + "/sub/g3"), 0644U);
    EXPECT_EQ(names.stat(top + "/sub/g2")->inode.uid, 1002U);
  }
  // As a kill of the process; what it left is a consistent store.
  void kill() {
    end_callers();
    names.close();
    const auto checked = check_metadata(rows_);
    EXPECT_TRUE(checked) << checked.error().to_string();
  }

 private:
  template <class T>
  static Task<> keep(Task<T> task, std::shared_ptr<std::optional<Result<T>>> result) {
    Result<T> ended = co_await std::move(task);
    *result = std::move(ended);
    co_return ok();
  }
  void end_callers() {
    callers_->cancel();
    EXPECT_TRUE(names.run(callers_->join()));
    callers_ = std::make_unique<TaskGroup>(names.context().get_executor());
  }

  s3::DoubleStore bucket_{small_pages(store_clock)};
  MemoryMetaStore rows_;

 public:
  MemoryMetaStore& rows() { return rows_; }
  NamesHarness names{rows_, [this](const std::string&, const StoreOptions&) -> Result<std::shared_ptr<UnderStore>> {
                       std::shared_ptr<UnderStore> store = bucket_.store().shared_from_this();
                       return std::shared_ptr<UnderStore>(guard_store(std::move(store), GuardOptions(), real_clock(), 1));
                     }};

 private:
  std::unique_ptr<TaskGroup> callers_ = std::make_unique<TaskGroup>(names.context().get_executor());
};

TEST(Moves, ADirectoryMovesWithAllThatTheMasterKeepsBelow) {
  World world;
  const auto done = world.change(World::a_to_b());
  ASSERT_TRUE(done) << done.error().to_string();
  ASSERT_TRUE(done->file) << "a small one is done at once";
  EXPECT_EQ(done->file->inode.mode, 0750U);
  EXPECT_EQ(world.whole_under_one_name(), "b");
  ASSERT_TRUE(world.run_until([&] { return world.settled(); }));
  world.expect_moved("a", "b");
  world.names.reopen();
  world.expect_attributes("/s/b");
}

TEST(Moves, NothingOfACopyIsSeenAndTheSourceWaits) {
  World world;
  world.server().always("CopyObject", {.kind = Kind::delay, .delay = 500ms});
  auto rename = world.start(world.changing(World::a_to_b()));
  ASSERT_TRUE(world.run_until([&] { return world.server().count("CopyObject") >= 5; }));
  EXPECT_EQ(world.whole_under_one_name(), "a");
  EXPECT_TRUE(world.server().content("b/f00")) << "the copies are there, and not seen";
  auto made = world.start(world.changing(MakeDirectory{.path = "/s/a/new", .mode = 0755}));
  auto taken = world.start(world.changing(MakeDirectory{.path = "/s/b", .mode = 0755}));
  auto looked = world.change(LookAgain{.path = "/s/a/f03"});
  EXPECT_TRUE(looked) << "looking changes nothing";
  EXPECT_EQ(world.names.run(world.names.service().detach(NamesHarness::parse("/s"), world.names.soon())).code(), Code::busy);
  EXPECT_FALSE(made.done());
  EXPECT_FALSE(taken.done());
  world.server().forgive();
  ASSERT_TRUE(world.run_until([&] { return world.settled() && rename.done() && made.done() && taken.done(); }));
  EXPECT_EQ((*made.result)->code(), Code::not_found) << "it was renamed";
  EXPECT_EQ((*taken.result)->code(), Code::already_exists);
  world.expect_moved("a", "b");
}

TEST(Moves, TheOldNameIsFreeWhenNothingOfItIsLeft) {
  World world;
  world.server().always("DeleteObjects", {.kind = Kind::refuse, .status = 500, .text = "InternalError"});
  auto rename = world.start(world.changing(World::a_to_b()));
  ASSERT_TRUE(world.run_until([&] { return rename.done() && world.server().count("DeleteObjects") > 0; }));
  ASSERT_TRUE(**rename.result) << "it is renamed, whatever is still to be removed";
  EXPECT_TRUE(world.server().content("a/f00"));
  EXPECT_EQ(world.whole_under_one_name(), "b");
  world.set("/s/b/f04", 0604, 7);
  auto again = world.start(world.changing(MakeDirectory{.path = "/s/a", .mode = 0755}));
  world.names.settle();
  EXPECT_FALSE(again.done());
  world.server().forgive();
  ASSERT_TRUE(world.run_until([&] { return again.done(); }));
  EXPECT_TRUE(**again.result) << (**again.result).error().to_string();
  EXPECT_TRUE(world.names.names("/s/a").empty());
  EXPECT_EQ(world.names.stat("/s/b/f04")->inode.mode, 0604U);
  EXPECT_FALSE(world.server().content("a/f00"));
}

TEST(Moves, GoOnAfterAKillAtAnyRequestAndAreNeverSeenInPart) {
  std::set<std::string> seen;
  std::uint64_t kills = 0;
  for (std::uint64_t request = 0;; ++request) {
    SCOPED_TRACE("killed after request " + std::to_string(request));
    World world;
    auto rename = world.start(world.changing(World::a_to_b()));
    ASSERT_TRUE(world.run_until([&] { return world.server().count("") >= request || (rename.done() && world.settled()); }));
    if (rename.done() && world.settled()) break;
    world.kill();
    ++kills;
    world.names.open();
    const bool pending = !world.settled();
    const std::string shown = world.whole_under_one_name();
    seen.insert(shown);
    if (rename.done() && *rename.result && **rename.result && (**rename.result)->file) {
      EXPECT_EQ(shown, "b") << "it was answered";
    }
    const bool begun = pending || shown == "b";
    ASSERT_TRUE(world.run_until([&] { return world.settled(); }));
    const std::string now = world.whole_under_one_name();
    EXPECT_EQ(now, begun ? "b" : "a");
    world.expect_moved(now == "b" ? "a" : "b", now);
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(kills, 20U);
  EXPECT_EQ(seen, (std::set<std::string>{"a", "b"})) << "kills before and after the switch";
}

TEST(Moves, GoOnAfterThePowerFailed) {
  for (std::uint64_t request = 0; request < 60; request += 3) {
    SCOPED_TRACE("power lost after request " + std::to_string(request));
    World world;
    ASSERT_TRUE(world.rows().sync());
    auto rename = world.start(world.changing(World::a_to_b()));
    ASSERT_TRUE(world.run_until([&] { return world.server().count("") >= request || (rename.done() && world.settled()); }));
    const bool answered = rename.done() && *rename.result && **rename.result && (**rename.result)->file;
    world.kill();
    world.rows().lose_unsynced();
    world.names.open();
    const std::string shown = world.whole_under_one_name();
    if (answered) {
      EXPECT_EQ(shown, "b");
    }
    ASSERT_TRUE(world.run_until([&] { return world.settled(); }));
    const std::string now = world.whole_under_one_name();
    world.expect_moved(now == "b" ? "a" : "b", now);
  }
}

TEST(Moves, WhatTheStoreRefusesIsUndone) {
  World world;
  world.server().put("empty/", "");
  world.server().at_request("CopyObject", 9, {.kind = Kind::refuse, .status = 403, .text = "AccessDenied"});
  auto rename = world.start(world.changing(World::a_to_b()));
  ASSERT_TRUE(world.run_until([&] { return rename.done() && world.settled(); }));
  EXPECT_EQ((*rename.result)->code(), Code::permission_denied);
  EXPECT_EQ(world.tree("/s/a"), World::below());
  for (const std::string& key : world.server().keys()) EXPECT_FALSE(key.starts_with("b/")) << key;
  // Onto an empty directory, which stays.
  world.server().forgive();
  world.server().at_request("CopyObject", 9, {.kind = Kind::refuse, .status = 403, .text = "AccessDenied"});
  auto onto = world.start(world.changing(Rename{.from = "/s/a", .to = "/s/empty", .target = Rename::Target::replace}));
  ASSERT_TRUE(world.run_until([&] { return onto.done() && world.settled(); }));
  EXPECT_EQ((*onto.result)->code(), Code::permission_denied);
  EXPECT_TRUE(world.names.names("/s/empty").empty());
  EXPECT_TRUE(world.exists("/s/empty"));
  world.expect_attributes("/s/a");
}

TEST(Moves, WhatOthersChangeInTheSourceMeanwhileIsCopiedAgain) {
  World world;
  world.server().always("CopyObject", {.kind = Kind::delay, .delay = 5ms});
  auto rename = world.start(world.changing(World::a_to_b()));
  ASSERT_TRUE(world.run_until([&] { return world.server().count("CopyObject") >= 6; }));
  world.server().put("a/f01", "by somebody else");
  world.server().put("a/sub/more", "more");
  world.server().forgive();
  ASSERT_TRUE(world.run_until([&] { return rename.done() && world.settled(); }));
  EXPECT_EQ(world.server().content("b/f01"), "by somebody else");
  EXPECT_EQ(world.server().content("b/sub/more"), "more");
  EXPECT_FALSE(world.server().content("a/f01"));
}

TEST(Moves, WhatOthersWriteUnderTheOldNameAfterwardsStays) {
  World world;
  world.server().always("DeleteObjects", {.kind = Kind::refuse, .status = 500, .text = "InternalError"});
  auto rename = world.start(world.changing(World::a_to_b()));
  ASSERT_TRUE(world.run_until([&] { return rename.done() && world.server().count("DeleteObjects") > 0; }));
  world.store_clock.ahead = 10s;
  world.server().put("a/late", "by somebody else");
  world.server().forgive();
  ASSERT_TRUE(world.run_until([&] { return world.settled(); }));
  EXPECT_TRUE(world.server().content("a/late"));
  EXPECT_FALSE(world.server().content("a/f00"));
  world.names.advance(2s);
  EXPECT_EQ(world.names.names("/s"), (Names{"a", "b"}));
  EXPECT_EQ(world.names.names("/s/a"), Names{"late"});
}

TEST(Moves, AStoreThatGoesAwayIsWaitedFor) {
  World world;
  auto rename = world.start(world.changing(World::a_to_b()));
  ASSERT_TRUE(world.run_until([&] { return world.server().count("CopyObject") >= 5; }));
  world.server().go_away();
  ASSERT_TRUE(world.run_until([&] { return rename.done(); }));
  ASSERT_TRUE(**rename.result);
  const std::uint64_t move = (**rename.result)->move;
  ASSERT_NE(move, 0U) << "it goes on, and the caller is told to ask again";
  EXPECT_EQ(world.names.run(world.names.service().moved(move + 1, world.names.soon())).code(), Code::unavailable) << "not one of ours";
  world.server().come_back();
  auto asked = world.start(world.names.service().moved(move, Deadline::never()));
  ASSERT_TRUE(world.run_until([&] { return asked.done() && world.settled(); }));
  ASSERT_TRUE(**asked.result) << (**asked.result).error().to_string();
  EXPECT_TRUE((**asked.result)->file);
  world.expect_moved("a", "b");
}

TEST(Moves, RefuseWhatARenameRefuses) {
  World world;
  const auto errno_of = [&](Rename wanted, Caller caller = {}) {
    const auto done = world.change(std::move(wanted), std::move(caller));
    return done ? 0 : done.error().error_number();
  };
  world.server().put("file", "x");
  world.server().put("full/x", "x");
  EXPECT_EQ(errno_of({.from = "/s/a", .to = "/s/file", .target = Rename::Target::replace}), ENOTDIR);
  EXPECT_EQ(errno_of({.from = "/s/a", .to = "/s/full", .target = Rename::Target::replace}), ENOTEMPTY);
  EXPECT_EQ(errno_of({.from = "/s/a", .to = "/s/full", .target = Rename::Target::must_be_absent}), EEXIST);
  EXPECT_EQ(errno_of({.from = "/s/a", .to = "/s/a/in", .target = Rename::Target::replace}), EINVAL);
  EXPECT_EQ(errno_of({.from = "/s/none", .to = "/s/b", .target = Rename::Target::replace}), ENOENT);
  EXPECT_EQ(errno_of({.from = "/s/a", .to = "/s/none/b", .target = Rename::Target::replace}), ENOENT);
  EXPECT_EQ(errno_of({.from = "/s/a", .to = "/s/b", .target = Rename::Target::replace}, Caller{.uid = 5, .gid = 5, .groups = {}, .umask = 0}), EACCES);
  EXPECT_TRUE(world.settled());
  EXPECT_EQ(world.server().count("CopyObject"), 0U);
  EXPECT_EQ(world.tree("/s/a"), World::below());
}

TEST(Moves, TreesAreRemovedInBatchesByRootAlone) {
  World world;
  const auto remove = [&](const std::string& path, std::uint32_t uid) {
    return world.names.run(world.names.service().remove_tree(NamesHarness::parse(path), Caller{.uid = uid, .gid = 0, .groups = {}, .umask = 0}, world.names.soon()));
  };
  EXPECT_EQ(remove("/s/a", 1000).code(), Code::unsupported) << "who is not root goes name by name";
  EXPECT_EQ(remove("/s/a/f00", 0).code(), Code::unsupported);
  EXPECT_EQ(remove("/s", 0).code(), Code::busy) << "a mount point";
  EXPECT_EQ(remove("/s/none", 0).code(), Code::not_found);
  const auto removed = remove("/s/a/sub", 0);
  ASSERT_TRUE(removed) << removed.error().to_string();
  EXPECT_EQ(removed->objects, 5U);
  EXPECT_EQ(removed->rest, RemovedView::Rest::none);
  EXPECT_EQ(world.server().count("DeleteObjects"), 2U) << "two pages of 4";
  EXPECT_FALSE(world.exists("/s/a/sub"));
  EXPECT_EQ(world.names.names("/s/a").size(), 10U);
  const auto rest = remove("/s/a", 0);
  ASSERT_TRUE(rest);
  EXPECT_TRUE(world.names.names("/s").empty());
  EXPECT_TRUE(world.server().keys().empty());
}

}  // namespace
}  // namespace hearth::master::moves

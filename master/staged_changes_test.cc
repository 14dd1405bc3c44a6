// Changes in a store that takes objects whole and keeps neither users nor modes (S3): what the master keeps itself, and whom
// it refuses in the store's place.
#include "master/testing/names_harness.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <utility>

namespace hearth::master::staged_changes {
namespace {

using namespace std::chrono_literals;

class StagedChanges : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(store().put_directory("team"));
    ASSERT_TRUE(store().put_file("team/f", 100));
    AttachmentSettings settings;
    settings.metadata_ttl = 1s;
    const auto attached = names_.attach("/s", "sim://one", settings);
    ASSERT_TRUE(attached) << attached.error().to_string();
  }
  SimStore& store() { return names_.store("sim://one"); }
  Result<ChangedView> change(Change wanted, Caller caller = {}) {
    return names_.run(names_.service().change(std::move(wanted), std::move(caller), names_.soon()));
  }
  int errno_of(Change wanted, Caller caller) {
    const auto done = change(std::move(wanted), std::move(caller));
    return done ? 0 : done.error().error_number();
  }
  Inode inode(const std::string& path) {
    const auto found = names_.stat(path);
    EXPECT_TRUE(found) << path << ": " << found.error().to_string();
    return found ? found->inode : Inode();
  }
  void set(const std::string& path, std::uint32_t mode, std::uint32_t uid, std::uint32_t gid) {
    SetAttributes wanted;
    wanted.path = path;
    wanted.mode = mode;
    wanted.uid = uid;
    wanted.gid = gid;
    const auto done = change(wanted);
    ASSERT_TRUE(done) << done.error().to_string();
  }

  NamesHarness names_;
  const Caller alice_{.uid = 1000, .gid = 100, .groups = {}, .umask = 022};
  const Caller bob_{.uid = 2000, .gid = 200, .groups = {}, .umask = 022};
};

TEST_F(StagedChanges, WhatAFileIsGivenHoldsForAsLongAsItsContent) {
  SetAttributes wanted;
  wanted.path = "/s/team/f";
  wanted.mode = 0640;
  wanted.uid = 1000;
  wanted.gid = 100;
  wanted.mtime = SetAttributes::Time{.now = false, .ns = 12'345'678'901};
  const auto given = change(wanted);
  ASSERT_TRUE(given) << given.error().to_string();
  EXPECT_EQ(given->file->inode.mode, 0640U);
  for (const char* when : {"at once", "after the TTL", "after a listing", "after a restart"}) {
    SCOPED_TRACE(when);
    const Inode now = inode("/s/team/f");
    EXPECT_EQ(now.mode, 0640U);
    EXPECT_EQ(now.uid, 1000U);
    EXPECT_EQ(now.gid, 100U);
    EXPECT_EQ(now.mtime_ns, 12'345'678'901);
    names_.advance(2s);
    if (std::string(when) == "after the TTL") {
      ASSERT_FALSE(names_.names("/s/team").empty());
    }
    if (std::string(when) == "after a listing") names_.reopen();
  }
  ASSERT_TRUE(store().replace_file("team/f"));  // by somebody else
  names_.advance(2s);
  EXPECT_EQ(inode("/s/team/f").mode, 0644U) << "of what somebody else put there nothing is known";
  EXPECT_NE(inode("/s/team/f").uid, 1000U);
}

TEST_F(StagedChanges, ADirectoryKeepsWhatItIsGivenAndANewOneIsItsMakers) {
  set("/s", 0777, 0, 0);
  names_.advance(2s);
  EXPECT_EQ(inode("/s").mode, 0777U) << "the root of the attachment, too";
  ASSERT_TRUE(change(MakeDirectory{.path = "/s/new", .mode = 0777}, alice_));
  names_.advance(2s);
  EXPECT_EQ(inode("/s/new").mode, 0755U) << "the umask";
  EXPECT_EQ(inode("/s/new").uid, 1000U);
  EXPECT_EQ(inode("/s/new").gid, 100U);
  set("/s/new", 02775, 1000, 300);
  ASSERT_TRUE(store().put_file("new/object", 5));
  names_.advance(2s);
  EXPECT_EQ(inode("/s/new").mode, 02775U) << "whatever is put into it";
  ASSERT_TRUE(change(MakeDirectory{.path = "/s/new/below", .mode = 0700}, alice_));
  EXPECT_EQ(inode("/s/new/below").gid, 300U) << "set-group-id";
  EXPECT_EQ(inode("/s/new/below").mode, 02700U);
}

TEST_F(StagedChanges, ARenamedFileKeepsWhatItWasGiven) {
  set("/s/team/f", 0600, 1000, 100);
  ASSERT_TRUE(change(Rename{.from = "/s/team/f", .to = "/s/g", .target = Rename::Target::replace}));
  names_.advance(2s);
  EXPECT_EQ(inode("/s/g").mode, 0600U);
  EXPECT_EQ(inode("/s/g").uid, 1000U);
  EXPECT_EQ(names_.stat("/s/team/f").code(), Code::not_found);
}

TEST_F(StagedChanges, WhatLiesBelowARenamedDirectoryKeepsWhatItWasGiven) {
  ASSERT_TRUE(store().put_directory("team/sub"));
  ASSERT_TRUE(store().put_file("team/sub/g", 5));
  set("/s/team", 0750, 1000, 100);
  set("/s/team/f", 0600, 1001, 101);
  set("/s/team/sub", 0700, 1002, 102);
  set("/s/team/sub/g", 0604, 1003, 103);
  ASSERT_TRUE(change(Rename{.from = "/s/team", .to = "/s/other", .target = Rename::Target::replace}));
  for (const char* when : {"at once", "after the TTL and a listing", "after a restart"}) {
    SCOPED_TRACE(when);
    EXPECT_EQ(inode("/s/other").mode, 0750U);
    EXPECT_EQ(inode("/s/other/f").mode, 0600U);
    EXPECT_EQ(inode("/s/other/f").uid, 1001U);
    EXPECT_EQ(inode("/s/other/sub").gid, 102U);
    EXPECT_EQ(inode("/s/other/sub/g").mode, 0604U);
    EXPECT_EQ(names_.stat("/s/team/f").code(), Code::not_found);
    names_.advance(2s);
    EXPECT_EQ(names_.names("/s/other"), (std::vector<std::string>{"f", "sub"}));
    if (std::string(when) == "after the TTL and a listing") names_.reopen();
  }
}

TEST_F(StagedChanges, GivingAFileAwayTakesItsSetUserIdBit) {
  set("/s/team/f", 06755, 1000, 100);
  SetAttributes owner;
  owner.path = "/s/team/f";
  owner.uid = 2000;
  ASSERT_TRUE(change(owner));
  EXPECT_EQ(inode("/s/team/f").mode, 0755U);
}

TEST_F(StagedChanges, NamesAreChangedByThoseWhoMayWriteTheDirectory) {
  set("/s/team", 0775, 1000, 500);
  const Caller member{.uid = 3000, .gid = 1, .groups = {500}, .umask = 0};
  EXPECT_EQ(errno_of(MakeDirectory{.path = "/s/team/of-bob", .mode = 0755}, bob_), EACCES);
  EXPECT_EQ(errno_of(RemoveFile{.path = "/s/team/f"}, bob_), EACCES);
  EXPECT_EQ(errno_of(Rename{.from = "/s/team/f", .to = "/s/f", .target = Rename::Target::replace}, alice_), EACCES)
      << "not into the root, which is root's";
  EXPECT_EQ(errno_of(MakeDirectory{.path = "/s/team/of-alice", .mode = 0755}, alice_), 0);
  EXPECT_EQ(errno_of(MakeDirectory{.path = "/s/team/of-member", .mode = 0755}, member), 0);
  EXPECT_EQ(errno_of(RemoveFile{.path = "/s/team/f"}, member), 0) << "without the sticky bit, that of anybody";
  EXPECT_TRUE(names_.stat("/s/team/of-alice"));
  EXPECT_EQ(names_.stat("/s/team/of-bob").code(), Code::not_found);
}

TEST_F(StagedChanges, InAStickyDirectoryOnlyTheOwnerTakesANameAway) {
  set("/s/team", 01777, 0, 0);
  set("/s/team/f", 0666, 1000, 100);
  EXPECT_EQ(errno_of(RemoveFile{.path = "/s/team/f"}, bob_), EPERM);
  EXPECT_EQ(errno_of(Rename{.from = "/s/team/f", .to = "/s/team/g", .target = Rename::Target::replace}, bob_), EPERM);
  EXPECT_EQ(errno_of(RemoveFile{.path = "/s/team/f"}, alice_), 0);
}

TEST_F(StagedChanges, AttributesAreChangedByTheOwner) {
  set("/s/team/f", 0666, 1000, 100);
  SetAttributes mode;
  mode.path = "/s/team/f";
  mode.mode = 0600;
  EXPECT_EQ(errno_of(mode, bob_), EPERM);
  EXPECT_EQ(errno_of(mode, alice_), 0);
  SetAttributes away;
  away.path = "/s/team/f";
  away.uid = 2000;
  EXPECT_EQ(errno_of(away, alice_), EPERM) << "only root gives files away";
  SetAttributes group;
  group.path = "/s/team/f";
  group.gid = 200;
  EXPECT_EQ(errno_of(group, alice_), EPERM) << "not one of hers";
  EXPECT_EQ(inode("/s/team/f").uid, 1000U);
  EXPECT_EQ(inode("/s/team/f").gid, 100U);
  EXPECT_EQ(inode("/s/team/f").mode, 0600U);
}

}  // namespace
}  // namespace hearth::master::staged_changes

// Changes of the tree over a real local directory: what the master answers right after each, within the metadata TTL.
#include "common/object_identity.h"
#include "master/testing/names_harness.h"
#include "master/testing/store_clock.h"
#include "master/testing/temporary_directory.h"
#include "understore/local_store.h"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace hearth::master {
namespace {

using namespace std::chrono_literals;
using Names = std::vector<std::string>;

// The clock of the master stands still: nothing that it knew before a change would ever be asked again.
class Changes : public ::testing::Test {
 protected:
  void SetUp() override {
    attach("/data", "one");
    ASSERT_EQ(names_.names("/data"), Names{});
    ASSERT_EQ(names_.stat("/data/f").code(), Code::not_found) << "its absence is known";
  }

  void attach(const std::string& path, const std::string& folder, AttachmentSettings settings = {}) {
    std::filesystem::create_directory(disk_ / folder);
    settings.metadata_ttl = 1h;
    const auto attached = names_.attach(path, "file://" + (disk_ / folder).string(), settings);
    ASSERT_TRUE(attached) << attached.error().to_string();
  }
  Result<ChangedView> change(Change change) {
    Caller self{.uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .umask = 022};
    return names_.run(names_.service().change(std::move(change), std::move(self), names_.soon()));
  }
  void make_file(const std::string& path) {
    const auto made = change(MakeNode{.path = path, .mode = S_IFREG | 0644, .device = 0});
    ASSERT_TRUE(made) << path << ": " << made.error().to_string();
  }
  void make_directory(const std::string& path) {
    const auto made = change(MakeDirectory{.path = path, .mode = 0777});
    ASSERT_TRUE(made) << path << ": " << made.error().to_string();
  }
  int errno_of(Change wanted) {
    const Result<ChangedView> done = change(std::move(wanted));
    return done ? 0 : done.error().error_number();
  }
  Code code_of(Change wanted) {
    const Result<ChangedView> done = change(std::move(wanted));
    return done ? Code::ok : done.code();
  }
  std::filesystem::path on_disk(const std::string& name) const { return disk_ / "one" / name; }
  // Just after a change each look has a nonce of its own.
  std::string version_of(const std::string& path) { return std::string(without_nonce(names_.stat(path)->inode.version)); }
  std::uint64_t number_of(const std::string& path) { return object_number(names_.stat(path)->inode.version); }

  TemporaryDirectory disk_;
  BlockingPool pool_{4, 64};
  StoreClock store_clock_{names_.clock};
  NamesHarness names_{[this](const std::string& uri, const StoreOptions&) { return open_local_store(uri, pool_, store_clock_); }};
};

TEST_F(Changes, NewNamesAreThereAtOnce) {
  make_directory("/data/d");
  const auto made = change(MakeNode{.path = "/data/f", .mode = S_IFREG | 0666, .device = 0});
  ASSERT_TRUE(made) << made.error().to_string();
  EXPECT_EQ(made->version_before, "");
  ASSERT_TRUE(made->file);
  EXPECT_EQ(made->file->inode.mode, 0644U) << "the caller's umask";
  const auto seen = names_.stat("/data/f");
  ASSERT_TRUE(seen) << seen.error().to_string();
  EXPECT_EQ(seen->inode.id, made->file->inode.id);
  EXPECT_EQ(seen->inode.version, made->file->inode.version);
  EXPECT_EQ(names_.stat("/data/d")->inode.type, FileType::directory);

  ASSERT_TRUE(change(MakeSymlink{.path = "/data/d/s", .target = "../f"}));
  EXPECT_EQ(names_.stat("/data/d/s")->inode.symlink_target, "../f");
  ASSERT_TRUE(change(MakeNode{.path = "/data/d/p", .mode = S_IFIFO | 0600, .device = 0}));
  EXPECT_EQ(names_.stat("/data/d/p")->inode.special, static_cast<std::uint32_t>(S_IFIFO));
  ASSERT_TRUE(change(MakeLink{.path = "/data/d/l", .existing = "/data/f"}));
  EXPECT_EQ(names_.stat("/data/d/l")->inode.link_count, 2U);
  EXPECT_EQ(names_.stat("/data/f")->inode.link_count, 2U) << "the other name of the file is recorded, too";
  EXPECT_EQ(version_of("/data/d/l"), version_of("/data/f"));
  EXPECT_EQ(names_.names("/data"), (Names{"d", "f"}));
  EXPECT_EQ(names_.names("/data/d"), (Names{"l", "p", "s"}));
}

TEST_F(Changes, AChangeBelowADirectoryThatTheMasterNeverSawTellsWhatItMade) {
  std::filesystem::create_directories(on_disk("unseen/deep"));
  const auto made = change(MakeNode{.path = "/data/unseen/f", .mode = S_IFREG | 0644, .device = 0});
  ASSERT_TRUE(made) << made.error().to_string();
  ASSERT_TRUE(made->file) << "its directory is recorded before it";
  EXPECT_EQ(names_.stat("/data/unseen/f")->inode.id, made->file->inode.id);
  const auto below = change(MakeNode{.path = "/data/unseen/deep/f", .mode = S_IFREG | 0644, .device = 0});
  ASSERT_TRUE(below) << below.error().to_string();
  EXPECT_TRUE(below->file);
  EXPECT_EQ(names_.names("/data/unseen"), (Names{"deep", "f"}));
  EXPECT_EQ(names_.names("/data/unseen/deep"), Names{"f"});
}

TEST_F(Changes, RemovedNamesAreGoneAtOnce) {
  make_directory("/data/d");
  make_file("/data/f");
  ASSERT_TRUE(change(MakeLink{.path = "/data/l", .existing = "/data/f"}));
  ASSERT_EQ(names_.names("/data"), (Names{"d", "f", "l"}));
  const std::string before = version_of("/data/f");
  const auto removed = change(RemoveFile{.path = "/data/f"});
  ASSERT_TRUE(removed) << removed.error().to_string();
  EXPECT_EQ(without_nonce(removed->version_before), before);
  EXPECT_FALSE(removed->file);
  EXPECT_EQ(names_.stat("/data/f").code(), Code::not_found);
  ASSERT_TRUE(change(RemoveDirectory{.path = "/data/d"}));
  EXPECT_EQ(names_.stat("/data/d").code(), Code::not_found);
  EXPECT_EQ(names_.names("/data"), Names{"l"});
  EXPECT_EQ(names_.stat("/data/l")->inode.link_count, 2U) << "of another name of it the master learns when it asks again";
  EXPECT_EQ(names_.stat("/data/l", Freshness::revalidate)->inode.link_count, 1U);
}

TEST_F(Changes, ARenamedTreeIsUnderItsNewNameOnly) {
  make_directory("/data/d");
  make_directory("/data/d/sub");
  make_file("/data/d/sub/f");
  make_directory("/data/e");
  ASSERT_EQ(names_.names("/data/d/sub"), Names{"f"});
  const auto moved = change(Rename{.from = "/data/d", .to = "/data/e/moved", .target = Rename::Target::replace});
  ASSERT_TRUE(moved) << moved.error().to_string();
  ASSERT_TRUE(moved->file) << "what it is under its new name";
  EXPECT_EQ(names_.stat("/data/d").code(), Code::not_found);
  EXPECT_EQ(names_.stat("/data/d/sub/f").code(), Code::not_found);
  EXPECT_EQ(names_.names("/data"), Names{"e"});
  EXPECT_EQ(names_.names("/data/e"), Names{"moved"});
  EXPECT_EQ(names_.names("/data/e/moved/sub"), Names{"f"});
  EXPECT_TRUE(names_.stat("/data/e/moved/sub/f"));
  // The old name is used anew: nothing of the tree that was there comes back.
  make_directory("/data/d");
  EXPECT_EQ(names_.names("/data/d"), Names{});
}

TEST_F(Changes, RenamesReplaceRefuseOrExchange) {
  make_file("/data/a");
  make_file("/data/b");
  const std::uint64_t a = number_of("/data/a");
  const std::uint64_t b = number_of("/data/b");
  EXPECT_EQ(errno_of(Rename{.from = "/data/a", .to = "/data/b", .target = Rename::Target::must_be_absent}), EEXIST);
  EXPECT_EQ(number_of("/data/b"), b);
  ASSERT_TRUE(change(Rename{.from = "/data/a", .to = "/data/b", .target = Rename::Target::exchange}));
  EXPECT_EQ(number_of("/data/a"), b);
  EXPECT_EQ(number_of("/data/b"), a);
  ASSERT_TRUE(change(Rename{.from = "/data/a", .to = "/data/b", .target = Rename::Target::replace}));
  EXPECT_EQ(number_of("/data/b"), b);
  EXPECT_EQ(names_.names("/data"), Names{"b"});
}

TEST_F(Changes, NewAttributesAreThereAtOnce) {
  make_file("/data/f");
  ASSERT_TRUE(names_.stat("/data/f"));
  ASSERT_TRUE(change(SetAttributes{.path = "/data/f", .mode = 0600, .uid = {}, .gid = {}, .atime = SetAttributes::Time{.now = false, .ns = 7},
                                   .mtime = SetAttributes::Time{.now = false, .ns = 9}}));
  const auto now = names_.stat("/data/f");
  EXPECT_EQ(now->inode.mode, 0600U);
  EXPECT_EQ(now->inode.atime_ns, 7);
  EXPECT_EQ(now->inode.mtime_ns, 9);
  const std::string before = version_of("/data/f");
  const auto set = change(SetXattr{.path = "/data/f", .name = "user.a", .value = "v", .presence = SetXattr::Presence::any});
  if (!set && set.error().error_number() == EOPNOTSUPP) GTEST_SKIP() << "this file system has no user attributes";
  ASSERT_TRUE(set) << set.error().to_string();
  EXPECT_EQ(without_nonce(set->version_before), before);
  EXPECT_NE(version_of("/data/f"), before) << "it changed its ctime";
}

TEST_F(Changes, WhatAWriterDidIsSeenOnceTheMasterLooksAgain) {
  make_file("/data/f");
  ASSERT_EQ(names_.stat("/data/f")->inode.length_bytes, 0U);
  std::ofstream(on_disk("f")) << "12345";
  EXPECT_EQ(names_.stat("/data/f")->inode.length_bytes, 0U) << "within the TTL";
  const auto looked = change(LookAgain{.path = "/data/f"});
  ASSERT_TRUE(looked) << looked.error().to_string();
  ASSERT_TRUE(looked->file);
  EXPECT_EQ(looked->file->inode.length_bytes, 5U);
  EXPECT_EQ(names_.stat("/data/f")->inode.length_bytes, 5U);
  std::filesystem::remove(on_disk("f"));
  const auto gone = change(LookAgain{.path = "/data/f"});
  ASSERT_TRUE(gone) << gone.error().to_string();
  EXPECT_FALSE(gone->file);
  EXPECT_EQ(names_.stat("/data/f").code(), Code::not_found);
}

// What the store did last is recorded last, however the answers overtake each other.
TEST_F(Changes, ManyAtOnceOfOneNameEndWithWhatTheStoreHas) {
  for (int round = 0; round < 10; ++round) {
    std::vector<NamesHarness::Pending<ChangedView>> pending;
    for (int i = 0; i < 24; ++i) {
      Change wanted = MakeNode{.path = "/data/f", .mode = S_IFREG | 0644, .device = 0};
      if (i % 4 == 1) wanted = RemoveFile{.path = "/data/f"};
      if (i % 4 == 2) wanted = Rename{.from = "/data/f", .to = "/data/g", .target = Rename::Target::replace};
      if (i % 4 == 3) wanted = Rename{.from = "/data/g", .to = "/data/f", .target = Rename::Target::replace};
      Caller self{.uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .umask = 022};
      pending.push_back(names_.start(names_.service().change(std::move(wanted), std::move(self), names_.soon())));
    }
    for (const auto& one : pending) {
      const Result<ChangedView> done = names_.finish(one);
      if (!done) {
        EXPECT_TRUE(done.code() == Code::not_found || done.code() == Code::already_exists) << done.error().to_string();
      }
    }
    for (const std::string name : {"f", "g"}) {
      struct stat status {};
      const bool there = ::lstat(on_disk(name).c_str(), &status) == 0;
      const auto known = names_.stat("/data/" + name);
      ASSERT_EQ(known.has_value(), there) << name << " in round " << round;
      if (there) {
        EXPECT_EQ(object_number(known->inode.version), status.st_ino) << name << " in round " << round;
      }
    }
  }
}

TEST_F(Changes, WhatTheStoreRefusesCarriesItsErrnoAndChangesNothing) {
  make_directory("/data/d");
  make_file("/data/d/f");
  EXPECT_EQ(errno_of(RemoveDirectory{.path = "/data/d"}), ENOTEMPTY);
  EXPECT_EQ(errno_of(RemoveFile{.path = "/data/d"}), EISDIR);
  EXPECT_EQ(errno_of(RemoveDirectory{.path = "/data/d/f"}), ENOTDIR);
  EXPECT_EQ(errno_of(RemoveFile{.path = "/data/none"}), ENOENT);
  EXPECT_EQ(errno_of(MakeDirectory{.path = "/data/d", .mode = 0755}), EEXIST);
  EXPECT_EQ(errno_of(MakeDirectory{.path = "/data/none/d", .mode = 0755}), ENOENT);
  EXPECT_EQ(errno_of(MakeLink{.path = "/data/l", .existing = "/data/d"}), EPERM);
  EXPECT_EQ(errno_of(Rename{.from = "/data/d", .to = "/data/d/f/x", .target = Rename::Target::replace}), ENOTDIR);
  EXPECT_EQ(errno_of(Rename{.from = "/data/d", .to = "/data/d/x", .target = Rename::Target::replace}), EINVAL);
  EXPECT_EQ(names_.names("/data"), Names{"d"});
  EXPECT_EQ(names_.names("/data/d"), Names{"f"});
}

TEST_F(Changes, NothingChangesInAReadOnlyAttachmentOrAboveAllAttachments) {
  AttachmentSettings refused;
  refused.writing = AttachmentSettings::Writing::refused;
  attach("/deep/er/frozen", "two", refused);
  std::ofstream(disk_ / "two" / "f") << "x";
  EXPECT_EQ(errno_of(RemoveFile{.path = "/deep/er/frozen/f"}), EROFS);
  EXPECT_EQ(errno_of(MakeDirectory{.path = "/deep/er/frozen/d", .mode = 0755}), EROFS);
  EXPECT_EQ(errno_of(MakeDirectory{.path = "/deep/er/new", .mode = 0755}), EROFS) << "a directory that only leads to attachments";
  EXPECT_EQ(errno_of(RemoveDirectory{.path = "/deep/er"}), EROFS);
  make_file("/data/f");
  EXPECT_EQ(errno_of(Rename{.from = "/data/f", .to = "/deep/er/frozen/g", .target = Rename::Target::replace}), EROFS);
  EXPECT_TRUE(std::filesystem::exists(disk_ / "two" / "f"));
  EXPECT_TRUE(names_.stat("/data/f"));
}

TEST_F(Changes, MountPointsAndWhatLeadsToThemAreBusy) {
  make_directory("/data/d");
  attach("/data/d/in/nested", "two");
  for (const std::string path : {"/data", "/data/d", "/data/d/in", "/data/d/in/nested"}) {
    EXPECT_EQ(code_of(RemoveDirectory{.path = path}), Code::busy) << path;
    EXPECT_EQ(code_of(Rename{.from = path, .to = "/data/away", .target = Rename::Target::replace}), Code::busy) << path;
  }
  make_directory("/data/e");
  EXPECT_EQ(code_of(Rename{.from = "/data/e", .to = "/data/d", .target = Rename::Target::exchange}), Code::busy);
  EXPECT_EQ(code_of(Rename{.from = "/data/e", .to = "/data/d/in", .target = Rename::Target::replace}), Code::busy);
  EXPECT_EQ(errno_of(RemoveDirectory{.path = "/data/d"}), EBUSY);
  EXPECT_TRUE(std::filesystem::exists(on_disk("d")));
  EXPECT_TRUE(std::filesystem::exists(on_disk("e")));
  make_file("/data/d/in/nested/f");
  EXPECT_TRUE(std::filesystem::exists(disk_ / "two" / "f")) << "inside of it changes go to its own store";
}

TEST_F(Changes, NamesOfTwoAttachmentsAreOnTwoFileSystems) {
  attach("/other", "two");
  attach("/data/nested", "three");
  make_file("/data/f");
  for (const std::string to : {"/other/f", "/data/nested/f"}) {
    EXPECT_EQ(errno_of(Rename{.from = "/data/f", .to = to, .target = Rename::Target::replace}), EXDEV) << to;
    EXPECT_EQ(errno_of(MakeLink{.path = to, .existing = "/data/f"}), EXDEV) << to;
  }
  EXPECT_TRUE(std::filesystem::exists(on_disk("f")));
}

}  // namespace
}  // namespace hearth::master

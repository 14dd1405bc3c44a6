// Changes of the local store in the name of a caller: each kind with what it touches, and the errno of each refusal.
#include "understore/as_caller.h"
#include "understore/local_posix_support.h"

#include <sys/sysmacros.h>

namespace hearth {
namespace {

using Paths = std::vector<std::string>;

TEST_F(LocalPosix, ADirectoryIsMadeForItsCaller) {
  directory("d", 0777);
  const auto made = change(MakeDirectory{.path = "d/new", .mode = 0777}, alice);
  EXPECT_EQ(paths(made), (Paths{"d", "d/new"}));
  EXPECT_EQ(made->version_before, "");
  const struct stat status = of("d/new");
  EXPECT_EQ(status.st_mode, S_IFDIR | 0755U);
  EXPECT_EQ(status.st_uid, 12345U);
  EXPECT_EQ(status.st_gid, 12345U);
  EXPECT_EQ(state(*made, "d/new")->type, FileType::directory);
  EXPECT_EQ(state(*made, "d/new")->uid, 12345U);
  EXPECT_EQ(state(*made, "d")->link_count, 3U);
}

TEST_F(LocalPosix, WhatIsMadeInTheRootTouchesTheRoot) {
  give("", 0777, 0, 0);
  EXPECT_EQ(paths(change(MakeDirectory{.path = "new", .mode = 0700}, alice)), (Paths{"", "new"}));
}

TEST_F(LocalPosix, NodesHaveTheirTypeAndDeviceNumber) {
  directory("d", 0777);
  EXPECT_EQ(paths(change(MakeNode{.path = "d/file", .mode = S_IFREG | 0666}, alice)), (Paths{"d", "d/file"}));
  EXPECT_EQ(of("d/file").st_mode, S_IFREG | 0644U);
  for (const mode_t type : {S_IFIFO, S_IFSOCK}) {
    const std::string path = "d/" + std::to_string(type);
    const auto made = change(MakeNode{.path = path, .mode = type | 0600U}, alice);
    ASSERT_TRUE(made) << made.error().to_string();
    EXPECT_EQ(state(*made, path)->special, type);
    EXPECT_EQ(stat(path)->special, type);
    EXPECT_EQ(of(path).st_mode, type | 0600U);
    EXPECT_EQ(of(path).st_uid, 12345U);
  }
  for (const mode_t type : {S_IFCHR, S_IFBLK}) {
    const MakeNode node{.path = "d/" + std::to_string(type), .mode = type | 0600U, .device = makedev(7, 300)};
    EXPECT_EQ(refusal(node, alice), EPERM) << "devices are made by root only";
    const auto made = change(node, root_user);
    ASSERT_TRUE(made) << made.error().to_string();
    EXPECT_EQ(state(*made, node.path)->special, type);
    EXPECT_EQ(state(*made, node.path)->device, makedev(7, 300));
    EXPECT_EQ(of(node.path).st_rdev, makedev(7, 300));
  }
}

TEST_F(LocalPosix, ASymlinkKeepsItsTargetWhateverItIs) {
  directory("d", 0777);
  const auto made = change(MakeSymlink{.path = "d/link", .target = "/no/such place"}, alice);
  EXPECT_EQ(paths(made), (Paths{"d", "d/link"}));
  EXPECT_EQ(state(*made, "d/link")->symlink_target, "/no/such place");
  EXPECT_EQ(of("d/link").st_uid, 12345U);
  EXPECT_EQ(refusal(MakeSymlink{.path = "d/nul", .target = std::string("a\0b", 3)}, alice), EINVAL);
}

TEST_F(LocalPosix, ALinkIsOfTheNameItselfAndTouchesTheOldOne) {
  directory("d", 0777);
  directory("e", 0777);
  file("d/f", 0644, 12345);
  const std::string before = stat("d/f")->version;
  const auto made = change(MakeLink{.path = "e/g", .existing = "d/f"}, alice);
  EXPECT_EQ(paths(made), (Paths{"d/f", "e", "e/g"}));
  EXPECT_EQ(made->version_before, before);
  EXPECT_EQ(state(*made, "d/f")->link_count, 2U);
  EXPECT_EQ(of("d/f").st_ino, of("e/g").st_ino);
  world.put_symlink("d/s", "f");
  ASSERT_TRUE(change(MakeLink{.path = "e/s", .existing = "d/s"}, root_user));
  EXPECT_TRUE(S_ISLNK(of("e/s").st_mode));
  EXPECT_EQ(refusal(MakeLink{.path = "e/h", .existing = "d"}, root_user), EPERM) << "a directory has one name";
}

TEST_F(LocalPosix, RemovalTellsWhatWasThere) {
  directory("d", 0777);
  file("d/f", 0600, 12345);
  directory("d/sub", 0755);
  const std::string before = stat("d/f")->version;
  EXPECT_EQ(refusal(RemoveDirectory{"d/f"}, alice), ENOTDIR);
  EXPECT_EQ(refusal(RemoveFile{"d/sub"}, alice), EISDIR);
  const auto removed = change(RemoveFile{"d/f"}, alice);
  EXPECT_EQ(paths(removed), (Paths{"!d/f", "d"}));
  EXPECT_EQ(removed->version_before, before);
  EXPECT_EQ(refusal(RemoveFile{"d/f"}, alice), ENOENT);
  EXPECT_EQ(paths(change(RemoveDirectory{"d/sub"}, alice)), (Paths{"!d/sub", "d"}));
}

TEST_F(LocalPosix, RenameTouchesBothNamesAndBothDirectories) {
  directory("d", 0777);
  directory("e", 0777);
  file("d/f", 0644, 12345);
  file("e/g", 0644, 12345);
  const std::string before = stat("d/f")->version;
  EXPECT_EQ(refusal(Rename{.from = "d/f", .to = "e/g", .target = Rename::Target::must_be_absent}, alice), EEXIST);
  const auto moved = change(Rename{.from = "d/f", .to = "e/g"}, alice);
  EXPECT_EQ(paths(moved), (Paths{"!d/f", "d", "e", "e/g"}));
  EXPECT_EQ(moved->version_before, before);
  EXPECT_EQ(paths(change(Rename{.from = "e/g", .to = "e/h"}, alice)), (Paths{"!e/g", "e", "e/h"}));
  EXPECT_EQ(paths(change(Rename{.from = "e/h", .to = "e/h"}, alice)), (Paths{"e", "e/h"}));
}

TEST_F(LocalPosix, AnExchangeLeavesBothNames) {
  directory("d", 0777);
  file("d/f", 0644, 12345);
  directory("d/sub", 0755, 12345);
  EXPECT_EQ(refusal(Rename{.from = "d/f", .to = "d/none", .target = Rename::Target::exchange}, alice), ENOENT);
  const auto swapped = change(Rename{.from = "d/f", .to = "d/sub", .target = Rename::Target::exchange}, alice);
  EXPECT_EQ(paths(swapped), (Paths{"d", "d/f", "d/sub"}));
  EXPECT_EQ(state(*swapped, "d/f")->type, FileType::directory);
  EXPECT_EQ(state(*swapped, "d/sub")->type, FileType::regular);
}

TEST_F(LocalPosix, RenameRefusesAsTheKernelDoes) {
  directory("d", 0777, 12345);
  directory("d/full", 0755, 12345);
  file("d/full/f", 0644, 12345);
  directory("d/empty", 0755, 12345);
  EXPECT_EQ(refusal(Rename{.from = "d/empty", .to = "d/full"}, alice), ENOTEMPTY);
  EXPECT_EQ(refusal(Rename{.from = "d/full", .to = "d/full/inside"}, alice), EINVAL);
  EXPECT_EQ(refusal(Rename{.from = "d/full/f", .to = "d/empty"}, alice), EISDIR);
  EXPECT_EQ(refusal(Rename{.from = "d/empty", .to = "d/full/f"}, alice), ENOTDIR);
  EXPECT_EQ(refusal(RemoveDirectory{"d/full"}, alice), ENOTEMPTY);
  EXPECT_EQ(refusal(MakeDirectory{.path = "d/full", .mode = 0755}, alice), EEXIST);
  EXPECT_EQ(refusal(MakeDirectory{.path = "d/full/f/x", .mode = 0755}, alice), ENOTDIR);
  EXPECT_EQ(refusal(MakeDirectory{.path = "d/" + std::string(300, 'x'), .mode = 0755}, alice), ENAMETOOLONG);
  EXPECT_EQ(change(Rename{.from = "d/empty", .to = "d/full"}, alice).code(), Code::not_empty);
}

TEST_F(LocalPosix, AttributesAreSetTogether) {
  file("f", 0644, 12345);
  const std::string before = stat("f")->version;
  const auto set = change(SetAttributes{.path = "f",
                                        .mode = 04750,
                                        .uid = 12346,
                                        .gid = 12347,
                                        .atime = SetAttributes::Time{.ns = -1},
                                        .mtime = SetAttributes::Time{.ns = 1'500'000'000'123'456'789}},
                          root_user);
  EXPECT_EQ(paths(set), (Paths{"f"}));
  EXPECT_EQ(set->version_before, before);
  const ObjectInfo* now = state(*set, "f");
  ASSERT_NE(now, nullptr);
  EXPECT_EQ(now->mode, 04750U) << "the owner is changed first: that clears set-user-id";
  EXPECT_EQ(now->uid, 12346U);
  EXPECT_EQ(now->gid, 12347U);
  EXPECT_EQ(now->atime_ns, -1);
  EXPECT_EQ(now->mtime_ns, 1'500'000'000'123'456'789);
  EXPECT_EQ(of("f").st_mtim.tv_nsec, 123'456'789);
  EXPECT_NE(now->version, before);
}

TEST_F(LocalPosix, OnlyTheAttributesThatAreNamedChange) {
  file("f", 0640, 12345, 12345);
  const auto old = stat("f");
  ASSERT_TRUE(change(SetAttributes{.path = "f", .atime = SetAttributes::Time{.ns = 5}}, alice));
  auto now = stat("f");
  EXPECT_EQ(now->atime_ns, 5);
  EXPECT_EQ(now->mtime_ns, old->mtime_ns);
  EXPECT_EQ(now->mode, 0640U);
  ASSERT_TRUE(change(SetAttributes{.path = "f", .mtime = SetAttributes::Time{.now = true}}, alice));
  now = stat("f");
  EXPECT_EQ(now->atime_ns, 5);
  EXPECT_GT(now->mtime_ns, old->mtime_ns);
  EXPECT_EQ(now->uid, 12345U);
}

TEST_F(LocalPosix, WhatCanNotBeSetStopsWhatComesAfter) {
  file("f", 0644, 12345, 12345);
  const SetAttributes::Time old{.ns = 7};
  EXPECT_EQ(refusal(SetAttributes{.path = "f", .mode = 0600, .uid = 12346, .mtime = old}, alice), EPERM);
  EXPECT_EQ(of("f").st_mode & 07777, 0644U);
  EXPECT_NE(stat("f")->mtime_ns, 7);
}

TEST_F(LocalPosix, ASymlinkHasAnOwnerAndTimesButNoMode) {
  file("f", 0644);
  world.put_symlink("s", "f");
  EXPECT_EQ(refusal(SetAttributes{.path = "s", .mode = 0600, .uid = 12345}, root_user), EOPNOTSUPP);
  EXPECT_EQ(of("s").st_uid, 0U) << "known before anything is set";
  EXPECT_EQ(of("f").st_mode & 07777, 0644U);
  const auto set = change(SetAttributes{.path = "s", .uid = 12345, .mtime = SetAttributes::Time{.ns = 9}}, root_user);
  ASSERT_TRUE(set) << set.error().to_string();
  EXPECT_EQ(of("s").st_uid, 12345U);
  EXPECT_EQ(stat("s")->mtime_ns, 9);
  EXPECT_EQ(of("f").st_uid, 0U);
  EXPECT_NE(stat("f")->mtime_ns, 9);
}

TEST_F(LocalPosix, TheRootHasAttributesButCanNotGo) {
  give("", 0700, 12345, 12345);
  EXPECT_EQ(paths(change(SetAttributes{.path = "", .mode = 0}, alice)), (Paths{""}));
  EXPECT_EQ(of("").st_mode & 07777, 0U);
  EXPECT_EQ(refusal(MakeDirectory{.path = "d", .mode = 0755}, alice), EACCES);
  ASSERT_TRUE(change(SetAttributes{.path = "", .mode = 0755}, alice)) << "its owner may, although he may not search it";
  ASSERT_TRUE(change(SetXattr{.path = "", .name = "user.x", .value = "1"}, alice));
  EXPECT_EQ(xattr("", "user.x", bob).value_or("none"), "1");
  EXPECT_EQ(paths(change(SyncDirectory{""}, bob)), (Paths{""}));
  for (const Change& forbidden : std::initializer_list<Change>{
           RemoveDirectory{""}, RemoveFile{""}, MakeDirectory{.path = ""}, Rename{.from = "", .to = "x"},
           Rename{.from = "x", .to = ""}, MakeLink{.path = "x", .existing = ""}}) {
    const auto result = change(forbidden, root_user);
    EXPECT_EQ(result.code(), Code::invalid_argument) << forbidden.index();
    EXPECT_EQ(result.error().error_number(), EBUSY);
  }
}

TEST_F(LocalPosix, NamesOfUnfinishedWritesAreRefused) {
  give("", 0777, 0, 0);
  file("f", 0666);
  const std::string hidden = ".hearth-tmp-0123456789abcdef";
  for (const Change& forbidden : std::initializer_list<Change>{
           MakeDirectory{.path = hidden}, MakeSymlink{.path = "sub/" + hidden}, Rename{.from = "f", .to = hidden},
           Rename{.from = hidden, .to = "f"}, MakeLink{.path = hidden, .existing = "f"}, RemoveFile{hidden},
           SetXattr{.path = hidden, .name = "user.x"}, SetAttributes{.path = hidden, .mode = 0}}) {
    EXPECT_EQ(change(forbidden, alice).code(), Code::invalid_argument) << forbidden.index();
  }
  EXPECT_EQ(open({.path = hidden, .create = true, .mode = 0644}, alice).code(), Code::invalid_argument);
}

TEST_F(LocalPosix, ChangesOfOneTickAreDifferentVersions) {
  file("f", 0666);
  std::vector<std::string> versions;
  for (int i = 0; i < 5; ++i) {
    const auto set = change(SetAttributes{.path = "f", .mtime = SetAttributes::Time{.ns = i}}, root_user);
    ASSERT_TRUE(set);
    versions.push_back(state(*set, "f")->version);
    EXPECT_NE(versions.back().find("-n"), std::string::npos) << "nobody waited for it to settle";
  }
  std::sort(versions.begin(), versions.end());
  EXPECT_EQ(std::adjacent_find(versions.begin(), versions.end()), versions.end());
}

TEST_F(LocalPosix, ADirectoryIsSyncedForWhoeverMaySearchTheWayToIt) {
  directory("d", 0700, 12345);
  directory("closed", 0700);
  directory("closed/d", 0777);
  file("f", 0644);
  EXPECT_EQ(paths(change(SyncDirectory{"d"}, alice)), (Paths{"d"}));
  EXPECT_EQ(refusal(SyncDirectory{"closed/d"}, alice), EACCES);
  EXPECT_EQ(refusal(SyncDirectory{"f"}, alice), ENOTDIR);
  EXPECT_EQ(refusal(SyncDirectory{"missing"}, alice), ENOENT);
}

TEST_F(LocalPosix, ExtendedAttributesGoInAndOut) {
  file("f", 0644, 12345);
  using Presence = SetXattr::Presence;
  EXPECT_EQ(paths(change(SetXattr{.path = "f", .name = "user.a", .value = std::string("x\0y", 3)}, alice)), (Paths{"f"}));
  EXPECT_EQ(xattr("f", "user.a", bob).value_or("none"), std::string("x\0y", 3));
  EXPECT_EQ(refusal(SetXattr{.path = "f", .name = "user.a", .value = "z", .presence = Presence::must_be_absent}, alice), EEXIST);
  const auto absent = change(SetXattr{.path = "f", .name = "user.b", .value = "z", .presence = Presence::must_be_present}, alice);
  EXPECT_EQ(absent.code(), Code::not_found);
  EXPECT_EQ(absent.error().error_number(), ENODATA);
  ASSERT_TRUE(change(SetXattr{.path = "f", .name = "user.a", .value = "", .presence = Presence::must_be_present}, alice));
  ASSERT_TRUE(change(SetXattr{.path = "f", .name = "user.b", .value = "2", .presence = Presence::must_be_absent}, alice));
  EXPECT_EQ(xattr("f", "user.a", bob).value_or("none"), "");
  auto names = run_task(world.store().xattr_names("f", bob, soon()));
  ASSERT_TRUE(names);
  std::sort(names->begin(), names->end());
  EXPECT_EQ(*names, (Paths{"user.a", "user.b"}));
  ASSERT_TRUE(change(RemoveXattr{.path = "f", .name = "user.a"}, alice));
  EXPECT_EQ(refusal(RemoveXattr{.path = "f", .name = "user.a"}, alice), ENODATA);
  const auto missing = xattr("f", "user.a", alice);
  EXPECT_EQ(missing.code(), Code::not_found);
  EXPECT_EQ(missing.error().error_number(), ENODATA);
  EXPECT_EQ(xattr_refusal("missing", "user.a", alice), ENOENT);
}

TEST_F(LocalPosix, ExtendedAttributesAreGrantedAsToTheirCaller) {
  file("f", 0640, 12345);
  ASSERT_TRUE(change(SetXattr{.path = "f", .name = "user.a", .value = "1"}, alice));
  EXPECT_EQ(xattr_refusal("f", "user.a", bob), EACCES);
  EXPECT_EQ(refusal(SetXattr{.path = "f", .name = "user.a", .value = "2"}, bob), EACCES);
  // What only the capabilities of root grant, also those that the kernel keeps after setfsuid(2).
  std::string all_of_them(20, '\xff');  // struct vfs_cap_data, version 2
  all_of_them.replace(0, 4, std::string("\0\0\0\x02", 4));
  for (const char* name : {"trusted.x", "security.capability", "security.x"}) {
    EXPECT_EQ(refusal(SetXattr{.path = "f", .name = name, .value = all_of_them}, alice), EPERM) << name;
  }
  ASSERT_TRUE(change(SetXattr{.path = "f", .name = "trusted.x", .value = "2"}, root_user));
  EXPECT_EQ(xattr_refusal("f", "trusted.x", alice), ENODATA);
  EXPECT_EQ(xattr("f", "trusted.x", root_user).value_or("none"), "2");
  const auto names = run_task(world.store().xattr_names("f", alice, soon()));
  ASSERT_TRUE(names);
  EXPECT_EQ(*names, (Paths{"user.a"}));
  world.put_symlink("s", "f");
  EXPECT_EQ(refusal(SetXattr{.path = "s", .name = "user.a", .value = "2"}, root_user), EPERM) << "not through the symlink";
  EXPECT_EQ(xattr("f", "user.a", alice).value_or("none"), "1");
}

TEST_F(LocalPosix, AnExtendedAttributeMayHave64KiB) {
  const std::filesystem::path memory = "/dev/shm";
  HEARTH_NEEDS(::access(memory.c_str(), W_OK) == 0, "a writable /dev/shm");
  LocalWorld large(real_clock(), memory);
  large.put_text("f", "x");
  std::string value(65536, 'v');
  auto set = run_task(large.store().change(SetXattr{.path = "f", .name = "trusted.large", .value = value}, root_user, soon()));
  ASSERT_TRUE(set) << set.error().to_string();
  EXPECT_EQ(run_task(large.store().xattr("f", "trusted.large", root_user, soon())).value_or("none"), value);
  set = run_task(large.store().change(SetXattr{.path = "f", .name = "trusted.large", .value = value + "v"}, root_user, soon()));
  EXPECT_EQ(set.error().error_number(), E2BIG);
}

TEST_F(LocalPosix, NoWayLeadsOutOfTheRoot) {
  world.put_symlink("out", world.outside());
  world.put_symlink("up", "../outside");
  directory("real", 0777);
  world.put_symlink("in", "real");
  for (const std::string door : {"out", "up"}) {
    for (const Change& escape : std::initializer_list<Change>{
             MakeDirectory{.path = door + "/new", .mode = 0755}, MakeNode{.path = door + "/new", .mode = S_IFREG | 0644},
             RemoveFile{door + "/decoy"}, Rename{.from = door + "/decoy", .to = "mine"},
             Rename{.from = "real", .to = door + "/mine"}, MakeLink{.path = "mine", .existing = door + "/decoy"},
             SetAttributes{.path = door + "/decoy", .mode = 0}, SetXattr{.path = door + "/decoy", .name = "user.x"},
             SyncDirectory{door + "/."}}) {
      const auto result = change(escape, root_user);
      EXPECT_TRUE(result.code() == Code::permission_denied || result.code() == Code::invalid_argument) << escape.index();
      EXPECT_NE(result.error().error_number(), EXDEV) << "mv would copy";
    }
    EXPECT_EQ(open({.path = door + "/decoy", .truncate = true}, root_user).code(), Code::permission_denied);
    EXPECT_EQ(open({.path = door + "/new", .create = true, .mode = 0644}, root_user).code(), Code::permission_denied);
    EXPECT_EQ(xattr(door + "/decoy", "user.x", root_user).code(), Code::permission_denied);
  }
  EXPECT_TRUE(world.decoy_untouched());
  for (const std::string path : {"../outside/new", "real/../../outside/new", "/etc/x", "real//x", "real/.."}) {
    EXPECT_EQ(refusal(MakeDirectory{.path = path, .mode = 0755}, root_user), EINVAL) << path;
  }
  const auto inside = change(MakeDirectory{.path = "in/new", .mode = 0755}, alice);
  EXPECT_EQ(paths(inside), (Paths{"in/new"})) << "the directory behind the symlink has another path, and `in` was not touched";
  EXPECT_TRUE(exists("real/new"));
}

TEST_F(LocalPosix, ARootThatIsGoneIsNotAMissingPath) {
  directory("d", 0777);
  world.vanish();
  EXPECT_EQ(change(MakeDirectory{.path = "d/new", .mode = 0755}, alice).code(), Code::unavailable);
  EXPECT_EQ(open({.path = "d/f"}, alice).code(), Code::unavailable);
  EXPECT_NE(refusal(RemoveFile{"d/f"}, alice), ENOENT);
}

TEST_F(LocalPosix, ARootThatGoesDuringAChangeIsNotAMissingPathEither) {
  const auto root = ConfinedRoot::open(world.at(""));
  ASSERT_TRUE(root);
  const Status failed = AsCaller(*root, root_user).run("d/f", [&](const ActingAs&) {
    world.vanish();
    UniqueFd object;
    return find_object(*root, "d/f", object);
  });
  EXPECT_EQ(failed.code(), Code::unavailable);
  EXPECT_NE(failed.error().error_number(), ENOENT);
}

// A small file system of its own beneath the root.
class LocalPosixMount : public LocalPosix {
 protected:
  void SetUp() override {
    LocalPosix::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    world.put_directory("other");
    mounted_ = ::mount("none", world.at("other").c_str(), "tmpfs", 0, "size=65536,nr_inodes=3,mode=0777") == 0;
    HEARTH_NEEDS(mounted_, "the right to mount a tmpfs");
  }
  void TearDown() override {
    if (mounted_) ::umount2(world.at("other").c_str(), MNT_DETACH);
  }
  bool mounted_ = false;
};

TEST_F(LocalPosixMount, BetweenFileSystemsNothingIsMovedOrLinked) {
  directory("d", 0777);
  file("d/f", 0644, 12345);
  EXPECT_EQ(refusal(Rename{.from = "d/f", .to = "other/f"}, alice), EXDEV);
  EXPECT_EQ(refusal(MakeLink{.path = "other/f", .existing = "d/f"}, alice), EXDEV);
  EXPECT_EQ(refusal(RemoveDirectory{"other"}, root_user), EBUSY);
}

TEST_F(LocalPosixMount, AFullOrReadOnlyFileSystemSaysSo) {
  int number = 0;
  for (int i = 0; i < 4 && number == 0; ++i) number = refusal(MakeDirectory{.path = "other/" + std::to_string(i), .mode = 0755}, alice);
  EXPECT_EQ(number, ENOSPC);
  EXPECT_EQ(open({.path = "other/f", .create = true, .mode = 0644}, alice).code(), Code::no_space);
  EXPECT_EQ(refusal(RemoveDirectory{"other/0"}, alice), 0);
  ASSERT_TRUE(open({.path = "other/f", .create = true, .mode = 0644}, alice));
  ASSERT_EQ(::mount("none", world.at("other").c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  EXPECT_EQ(refusal(RemoveFile{"other/f"}, alice), EROFS);
  EXPECT_EQ(open_refusal({.path = "other/f"}, alice), EROFS);
  EXPECT_TRUE(open({.path = "other/f", .read_only = true, .create = true}, alice));
  const auto read_only = open_local_store("file://" + world.at("other"), world.pool(), real_clock());
  ASSERT_TRUE(read_only);
  EXPECT_EQ((*read_only)->capabilities().writing, StoreCapabilities::Writing::refused);
  EXPECT_EQ(world.store().capabilities().writing, StoreCapabilities::Writing::in_place);
}

}  // namespace
}  // namespace hearth

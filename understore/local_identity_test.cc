// In whose name the local store changes things: exactly what the kernel grants that user, and the thread is itself again.
#include "understore/acting_as.h"
#include "understore/local_posix_support.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <set>
#include <thread>

namespace hearth {
namespace {

TEST_F(LocalPosix, ActsAsTheCallerAndIsItselfAgain) {
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_FS), 0);  // its umask is not that of the process
    ::umask(027);
    const std::string before = identity();
    for (const Caller& caller : {alice, user(12346, {4000, 4001}), Caller{.uid = 0, .gid = 5, .groups = {4000}, .umask = 07}, root_user}) {
      {
        const auto acting = ActingAs::become(caller);
        ASSERT_TRUE(acting) << acting.error().to_string();
        const std::string now = identity();
        EXPECT_NE(now.find("Uid:\t0\t0\t0\t" + std::to_string(caller.uid) + "\n"), std::string::npos) << now;
        EXPECT_NE(now.find("Gid:\t0\t0\t0\t" + std::to_string(caller.gid) + "\n"), std::string::npos) << now;
        EXPECT_EQ(now.find("CapEff:\t0000000000000000\n") != std::string::npos, caller.uid != 0) << now;
        const mode_t umask_now = ::umask(0);
        ::umask(umask_now);
        EXPECT_EQ(umask_now, caller.umask);
      }
      EXPECT_EQ(identity(), before) << caller.uid;
    }
  }).join();
}

TEST_F(LocalPosix, OtherThreadsAreNotTouched) {
  const std::string before = identity();
  std::string meanwhile;
  std::thread([&] {
    auto acting = ActingAs::become(user(12345, {4000}));
    ASSERT_TRUE(acting);
    std::function<Result<std::string>()> ask = [] { return Result<std::string>(identity()); };
    auto answer = run_task(world.pool().run<std::string>(ask));
    meanwhile = std::move(answer).value_or("");
  }).join();
  EXPECT_EQ(meanwhile, before);
  EXPECT_EQ(identity(), before);
}

TEST_F(LocalPosix, NobodyIsNoUserToActAs) {
  const std::string before = identity();
  constexpr std::uint32_t none = ~0U;
  for (const Caller& caller : {Caller{.uid = none, .gid = 5}, Caller{.uid = 5, .gid = none}, Caller{.uid = 5, .gid = 5, .groups = {none}}}) {
    const auto acting = ActingAs::become(caller);
    EXPECT_EQ(acting.code(), Code::permission_denied);
    EXPECT_EQ(acting ? 0 : acting.error().error_number(), EPERM);
  }
  EXPECT_EQ(identity(), before);
  EXPECT_EQ(refusal(MakeDirectory{.path = "d", .mode = 0755}, Caller{.uid = none, .gid = 5}), EPERM);
  EXPECT_FALSE(exists("d")) << "never as root";
}

TEST_F(LocalPosix, TheThreadsOfThePoolAreThemselvesAgainAlsoAfterFailures) {
  const auto identities = [&] {
    std::set<std::string> all;
    std::function<Result<std::string>()> ask = [] { return Result<std::string>(identity()); };
    for (int i = 0; i < 50; ++i) all.insert(run_task(world.pool().run<std::string>(ask)).value_or("none"));
    return all;
  };
  const auto before = identities();
  ASSERT_EQ(before.size(), 1U);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(refusal(MakeDirectory{.path = "denied", .mode = 0755}, user(12345, {4000})), EACCES);
    EXPECT_EQ(refusal(RemoveFile{"missing"}, bob), ENOENT);
    EXPECT_EQ(refusal(SetAttributes{.path = "", .uid = 12345}, bob), EPERM);
  }
  EXPECT_EQ(identities(), before);
}

TEST_F(LocalPosix, ModeBitsDecide) {
  directory("d", 0755, 12345);
  file("d/f", 0644, 12345);
  EXPECT_EQ(refusal(MakeDirectory{.path = "d/x", .mode = 0755}, bob), EACCES);
  EXPECT_EQ(refusal(RemoveFile{"d/f"}, bob), EACCES);
  EXPECT_EQ(open_refusal({.path = "d/f"}, bob), EACCES);
  EXPECT_TRUE(open({.path = "d/f", .read_only = true}, bob));
  const auto denied = change(RemoveFile{"d/f"}, bob);
  EXPECT_NE(denied.error().message().find("user 12346"), std::string::npos) << denied.error().message();
  EXPECT_NE(denied.error().message().find("d/f"), std::string::npos);
  EXPECT_TRUE(open({.path = "d/f"}, alice));
  EXPECT_EQ(refusal(MakeDirectory{.path = "d/x", .mode = 0755}, alice), 0);
  give("d", 0700, 12345, 0);
  EXPECT_EQ(open_refusal({.path = "d/f", .read_only = true}, bob), EACCES) << "no search permission on the way";
  EXPECT_EQ(refusal(SetAttributes{.path = "d/f", .mode = 0600}, bob), EACCES);
  EXPECT_EQ(refusal(RemoveFile{"d/f"}, root_user), 0);
}

TEST_F(LocalPosix, SearchPermissionIsEnoughOnTheWay) {
  directory("drop", 0711);
  directory("drop/box", 0733);  // may be written and searched, not listed
  EXPECT_TRUE(open({.path = "drop/box/f", .create = true, .mode = 0600}, alice));
  EXPECT_EQ(of("drop/box/f").st_uid, 12345U);
  EXPECT_EQ(refusal(Rename{.from = "drop/box/f", .to = "drop/box/g"}, alice), 0);
}

TEST_F(LocalPosix, AStickyDirectoryProtectsTheFilesOfOthers) {
  directory("tmp", 01777);
  ASSERT_TRUE(open({.path = "tmp/f", .create = true, .mode = 0666}, alice));
  EXPECT_EQ(refusal(RemoveFile{"tmp/f"}, bob), EPERM);
  EXPECT_EQ(refusal(Rename{.from = "tmp/f", .to = "tmp/g"}, bob), EPERM);
  EXPECT_EQ(refusal(RemoveFile{"tmp/f"}, alice), 0);
}

TEST_F(LocalPosix, SupplementaryGroupsGrant) {
  directory("team", 0770, 0, 4000);
  EXPECT_EQ(refusal(MakeDirectory{.path = "team/a", .mode = 0755}, alice), EACCES);
  EXPECT_EQ(refusal(MakeDirectory{.path = "team/a", .mode = 0755}, user(12345, {3999})), EACCES);
  EXPECT_EQ(refusal(MakeDirectory{.path = "team/a", .mode = 0755}, user(12345, {3999, 4000})), 0);
  EXPECT_EQ(of("team/a").st_gid, 12345U);
}

TEST_F(LocalPosix, ASetGroupIdDirectoryPassesItsGroupOn) {
  directory("team", 02777, 0, 4000);
  ASSERT_TRUE(change(MakeDirectory{.path = "team/d", .mode = 0777}, alice));
  EXPECT_EQ(of("team/d").st_gid, 4000U);
  EXPECT_EQ(of("team/d").st_mode & 07777, 02755U);
  ASSERT_TRUE(open({.path = "team/f", .create = true, .mode = 0666}, alice));
  EXPECT_EQ(of("team/f").st_gid, 4000U);
}

TEST_F(LocalPosix, TheUmaskIsTheCallersUnlessADefaultAclStandsAbove) {
  directory("d", 0777);
  Caller careful = alice;
  careful.umask = 077;
  Caller open_handed = alice;
  open_handed.umask = 0;
  ASSERT_TRUE(change(MakeDirectory{.path = "d/careful", .mode = 0777}, careful));
  ASSERT_TRUE(change(MakeDirectory{.path = "d/open", .mode = 0777}, open_handed));
  EXPECT_EQ(of("d/careful").st_mode & 07777, 0700U);
  EXPECT_EQ(of("d/open").st_mode & 07777, 0777U);

  // user::rwx group::rwx other::r-x, as setfacl -d writes it: version 2, then (tag, permissions, id) little-endian.
  const unsigned char acl[] = {2,    0, 0, 0, 0x01, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, 0x04, 0,
                               7,    0, 0xff, 0xff, 0xff, 0xff, 0x20, 0, 5,    0,    0xff, 0xff, 0xff, 0xff};
  const bool has_acls = ::setxattr(world.at("d").c_str(), "system.posix_acl_default", acl, sizeof acl, 0) == 0;
  HEARTH_NEEDS(has_acls, "a temporary directory with POSIX ACLs");
  ASSERT_TRUE(change(MakeDirectory{.path = "d/by-acl", .mode = 0777}, careful));
  EXPECT_EQ(of("d/by-acl").st_mode & 07777, 0775U);
  ASSERT_TRUE(open({.path = "d/f", .create = true, .mode = 0666}, careful));
  EXPECT_EQ(of("d/f").st_mode & 07777, 0664U);
}

TEST_F(LocalPosix, TheMaskOfAnAclDecidesForItsUser) {
  directory("d", 0700);
  // user::rwx user:12345:rwx group::--- mask::rwx other::---
  const unsigned char acl[] = {2, 0, 0, 0, 0x01, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 7, 0, 0x39, 0x30, 0, 0,
                               0x04, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 7, 0, 0xff, 0xff, 0xff, 0xff,
                               0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
  const auto set = change(SetXattr{.path = "d", .name = "system.posix_acl_access",
                                   .value = std::string(reinterpret_cast<const char*>(acl), sizeof acl)}, root_user);
  HEARTH_NEEDS(set, "a temporary directory with POSIX ACLs");
  EXPECT_EQ(refusal(MakeDirectory{.path = "d/a", .mode = 0755}, alice), 0);
  EXPECT_EQ(refusal(MakeDirectory{.path = "d/b", .mode = 0755}, bob), EACCES);
}

TEST_F(LocalPosix, OwnersMayChangeModesAndGroupsAndRootMayAll) {
  directory("d", 0755);
  file("d/f", 0644, 12345, 12345);
  EXPECT_EQ(refusal(SetAttributes{.path = "d/f", .mode = 0600}, bob), EPERM);
  EXPECT_EQ(refusal(SetAttributes{.path = "d/f", .mode = 0604}, alice), 0);
  EXPECT_EQ(refusal(SetAttributes{.path = "d/f", .uid = 12346}, alice), EPERM);
  EXPECT_EQ(refusal(SetAttributes{.path = "d/f", .gid = 4000}, alice), EPERM);
  EXPECT_EQ(refusal(SetAttributes{.path = "d/f", .gid = 4000}, user(12345, {4000})), 0);
  EXPECT_EQ(of("d/f").st_gid, 4000U);
  EXPECT_EQ(refusal(SetAttributes{.path = "d/f", .uid = 12346, .gid = 0}, root_user), 0);
  EXPECT_EQ(of("d/f").st_uid, 12346U);
  give("d", 0700, 0, 0);
  EXPECT_EQ(refusal(SetAttributes{.path = "d/f", .mode = 0600}, bob), EACCES) << "the owner, but he can not get there";
  const auto denied = change(SetAttributes{.path = "d/f", .mode = 0600}, bob);
  EXPECT_EQ(denied.code(), Code::permission_denied);
}

TEST_F(LocalPosix, TimesMayBeSetToNowByWhoeverMayWriteAndElseByTheOwner) {
  file("f", 0666, 12345);
  const SetAttributes::Time now{.now = true};
  const SetAttributes::Time old{.ns = 1};
  EXPECT_EQ(refusal(SetAttributes{.path = "f", .atime = now, .mtime = now}, bob), 0);
  EXPECT_EQ(refusal(SetAttributes{.path = "f", .atime = old, .mtime = old}, bob), EPERM);
  EXPECT_EQ(refusal(SetAttributes{.path = "f", .atime = old, .mtime = old}, alice), 0);
  give("f", 0644, 12345, 0);
  EXPECT_EQ(refusal(SetAttributes{.path = "f", .atime = now, .mtime = now}, bob), EACCES);
}

TEST_F(LocalPosix, ManyUsersAtOnceOwnWhatTheyMade) {
  directory("d", 0777);
  constexpr int threads = 8;
  constexpr int files = 100;
  std::atomic<int> failed{0};
  std::vector<std::thread> users;
  for (int i = 0; i < threads; ++i) {
    users.emplace_back([&, i] {
      const auto uid = static_cast<std::uint32_t>(20000 + i);
      const Caller caller{.uid = uid, .gid = uid + 100, .groups = {uid + 200}, .umask = i % 2 == 0 ? 022U : 077U};
      for (int n = 0; n < files; ++n) {
        const std::string path = "d/" + std::to_string(i) + "-" + std::to_string(n);
        if (!open({.path = path, .create = true, .exclusive = true, .mode = 0666}, caller)) ++failed;
        if (!change(MakeDirectory{.path = path + "d", .mode = 0777}, caller)) ++failed;
        if (refusal(SetAttributes{.path = "d", .mode = 0}, caller) != EPERM) ++failed;
      }
    });
  }
  for (std::thread& one : users) one.join();
  EXPECT_EQ(failed.load(), 0);
  for (int i = 0; i < threads; ++i) {
    for (int n = 0; n < files; ++n) {
      const std::string path = "d/" + std::to_string(i) + "-" + std::to_string(n);
      const struct stat made = of(path);
      const struct stat made_directory = of(path + "d");
      ASSERT_EQ(made.st_uid, 20000U + static_cast<unsigned>(i)) << path;
      ASSERT_EQ(made.st_gid, made.st_uid + 100) << path;
      ASSERT_EQ(made.st_mode & 0777, i % 2 == 0 ? 0644U : 0600U) << path;
      ASSERT_EQ(made_directory.st_uid, made.st_uid) << path;
      ASSERT_EQ(made_directory.st_mode & 0777, i % 2 == 0 ? 0755U : 0700U) << path;
    }
  }
}

// CI runs these optimised as well.
#ifdef __SANITIZE_ADDRESS__
constexpr bool can_be_forked = false;
#else
constexpr bool can_be_forked = true;
#endif

// What `work` returned: 0, or the number of the step that failed; 128 and the signal that ended it.
int exit_status_of_child(const std::function<int()>& work) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// In a child: a process can not become root again.
TEST_F(LocalPosix, AProcessThatIsNotRootActsForItsOwnUserOnly) {
  if (!can_be_forked) GTEST_SKIP() << "the allocator of AddressSanitizer can not be forked while other threads use it";
  give("", 0777, 0, 0);
  EXPECT_EQ(0, exit_status_of_child([&] {
    if (::setgid(12345) != 0 || ::setuid(12345) != 0) return 9;
    BlockingPool pool(1, 10);
    auto store = open_local_store("file://" + world.at(""), pool, real_clock());
    if (!store) return 1;
    Caller self = alice;
    self.umask = 077;
    if (!run_task((*store)->change(MakeDirectory{.path = "mine", .mode = 0777}, self, soon()))) return 2;
    const auto other = run_task((*store)->change(MakeDirectory{.path = "other", .mode = 0777}, bob, soon()));
    if (other.code() != Code::permission_denied || other.error().error_number() != EPERM) return 3;
    if (run_task((*store)->change(MakeDirectory{.path = "other", .mode = 0777}, root_user, soon()))) return 4;
    const auto file = run_task((*store)->open_for_writing({.path = "w", .create = true, .mode = 0200}, self, soon()));
    if (!file || !file->created) return 5;
    const auto again = run_task((*store)->open_for_writing({.path = "w"}, self, soon()));
    return again && ::write(again->fd.get(), "x", 1) == 1 ? 0 : 6;
  }));
  EXPECT_EQ(of("mine").st_mode & 0777, 0700U);
  EXPECT_EQ(of("mine").st_uid, 12345U);
  EXPECT_FALSE(exists("other"));
}

// Makes `number` fail with EPERM in this process from now on.
bool forbid_system_call(unsigned number) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{.len = 4, .filter = program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST_F(LocalPosix, TheUmaskHoldsWhereThreadsCanNotHaveTheirOwn) {
  if (!can_be_forked) GTEST_SKIP() << "the allocator of AddressSanitizer can not be forked while other threads use it";
  directory("d", 0777);
  EXPECT_EQ(0, exit_status_of_child([&] {
    if (!forbid_system_call(SYS_unshare)) return 9;
    BlockingPool pool(1, 10);
    auto store = open_local_store("file://" + world.at(""), pool, real_clock());
    if (!store) return 1;
    Caller careful = alice;
    careful.umask = 077;
    if (!run_task((*store)->change(MakeDirectory{.path = "d/d", .mode = 0777}, careful, soon()))) return 2;
    if (!run_task((*store)->change(MakeNode{.path = "d/n", .mode = S_IFREG | 0666}, careful, soon()))) return 3;
    return run_task((*store)->open_for_writing({.path = "d/f", .create = true, .mode = 0666}, careful, soon())) ? 0 : 4;
  }));
  EXPECT_EQ(of("d/d").st_mode, S_IFDIR | 0700U);
  EXPECT_EQ(of("d/n").st_mode, S_IFREG | 0600U);
  EXPECT_EQ(of("d/f").st_mode, S_IFREG | 0600U);
}

TEST_F(LocalPosix, WhatCanNotBeSwitchedNeverActsAsRoot) {
  if (!can_be_forked) GTEST_SKIP() << "the allocator of AddressSanitizer can not be forked while other threads use it";
  directory("d", 0777);
  for (const unsigned refused : {SYS_setgroups, SYS_setfsgid, SYS_setfsuid, SYS_capset}) {
    EXPECT_EQ(0, exit_status_of_child([&] {
      if (!forbid_system_call(refused)) return 9;
      BlockingPool pool(1, 10);
      auto store = open_local_store("file://" + world.at(""), pool, real_clock());
      if (!store) return 1;
      const auto made = run_task((*store)->change(MakeDirectory{.path = "d/x", .mode = 0777}, user(12345, {4000}), soon()));
      return made.code() == Code::permission_denied && made.error().error_number() == EPERM ? 0 : 2;
    })) << refused;
    EXPECT_FALSE(exists("d/x")) << refused;
  }
}

TEST_F(LocalPosix, AThreadThatCanNotBeSwitchedBackEndsTheProcess) {
  if (!can_be_forked) GTEST_SKIP() << "the allocator of AddressSanitizer can not be forked while other threads use it";
  for (const unsigned refused : {SYS_setgroups, SYS_setfsgid, SYS_setfsuid, SYS_capset}) {
    EXPECT_EQ(128 + SIGABRT, exit_status_of_child([&] {
      const auto acting = ActingAs::become(user(12345, {4000}));
      return acting && forbid_system_call(refused) ? 0 : 9;
    })) << refused;
  }
}

}  // namespace
}  // namespace hearth

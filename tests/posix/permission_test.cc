// Who may do what: owner, group, supplementary group, others, root; on the file and on the way to it.
#include "tests/posix/suite.h"

#include <grp.h>
#include <unistd.h>

namespace hearth::posix {
namespace {

using Permission = Posix;
using Search = Posix;
using Access = Posix;

// alice's file, in the common group. bob is of the group by a supplementary one; carol is neither.
const User carol{61003, 61003, {}};
const User member{61004, common_group, {}};  // of the group by his own

struct Class {
  const char* name;
  const User& user;
  int shift;  // of its three bits
};
const Class classes[] = {
    {"owner", alice, 6}, {"group", member, 3}, {"supplementary group", bob, 3}, {"other", carol, 0}};

void check_each_mode(const char* name, const std::function<void(mode_t bits)>& check) {
  for (const auto& [who, user, shift] : classes) {
    for (mode_t bits = 0; bits < 8; ++bits) {
      // The other classes have what this one has not: only its own bits may count.
      const mode_t mode = (bits << shift) | ((~bits & 7U) * 0111U & ~(7U << shift));
      ASSERT_EQ(::chmod(name, mode), 0);
      SCOPED_TRACE(std::string(who) + ", bits " + std::to_string(bits));
      as(user, [&] { check(bits); });
    }
  }
}

TEST_F(Permission, OfAFileAreThoseOfTheClass) {
  make_file("file", "bytes");
  ASSERT_EQ(::chown("file", alice.uid, common_group), 0);
  check_each_mode("file", [](mode_t bits) {
    const bool r = (bits & 4U) != 0, w = (bits & 2U) != 0, x = (bits & 1U) != 0;
    EXPECT_EQ(errno_of_open("file", O_RDONLY), r ? 0 : EACCES);
    EXPECT_EQ(errno_of_open("file", O_WRONLY), w ? 0 : EACCES);
    EXPECT_EQ(errno_of_open("file", O_RDWR), r && w ? 0 : EACCES);
    EXPECT_EQ(errno_of(::truncate("file", 5)), w ? 0 : EACCES);
    EXPECT_EQ(errno_of(::access("file", R_OK)), r ? 0 : EACCES);
    EXPECT_EQ(errno_of(::access("file", W_OK)), w ? 0 : EACCES);
    EXPECT_EQ(errno_of(::access("file", X_OK)), x ? 0 : EACCES);
    EXPECT_EQ(errno_of(::access("file", F_OK)), 0);
  });
}

TEST_F(Permission, OfADirectoryAreThoseOfTheClass) {
  make_directory("directory");
  make_file("directory/file", "bytes");
  ASSERT_EQ(::chown("directory", alice.uid, common_group), 0);
  check_each_mode("directory", [](mode_t bits) {
    const bool r = (bits & 4U) != 0, w = (bits & 2U) != 0, x = (bits & 1U) != 0;
    struct stat s;
    EXPECT_EQ(errno_of_open("directory", O_RDONLY | O_DIRECTORY), r ? 0 : EACCES);
    EXPECT_EQ(errno_of(::stat("directory/file", &s)), x ? 0 : EACCES);
    EXPECT_EQ(errno_of_open("directory/file", O_RDONLY), x ? 0 : EACCES);
    EXPECT_EQ(errno_of(::stat("directory/absent", &s)), x ? ENOENT : EACCES);
    const int change = w && x ? 0 : EACCES;
    EXPECT_EQ(errno_of_open("directory/new", O_CREAT | O_EXCL | O_RDWR), change);
    const char* changed = change == 0 ? "directory/new" : "directory/file";
    EXPECT_EQ(errno_of(::rename(changed, "directory/newer")), change);
    EXPECT_EQ(errno_of(::unlink(change == 0 ? "directory/newer" : changed)), change);
    const UniqueFd back = opened(".", O_PATH | O_DIRECTORY);
    EXPECT_EQ(errno_of(::chdir("directory")), x ? 0 : EACCES);
    EXPECT_EQ(errno_of(::fchdir(back.get())), 0);
  });
}

TEST_F(Permission, OfTheOwnerCountAlsoWhereTheGroupHasMore) {
  make_file("file", "bytes", 0077);
  give("file", alice);
  as(alice, [] { EXPECT_EQ(errno_of_open("file", O_RDONLY), EACCES); });
  as(bob, [] { EXPECT_EQ(errno_of_open("file", O_RDWR), 0); });
}

TEST_F(Permission, RootMayAllButExecuteWhatNobodyMay) {
  make_file("file", "bytes", 0000);
  make_directory("directory", 0000);
  give("file", alice);
  EXPECT_EQ(errno_of_open("file", O_RDWR), 0);
  EXPECT_EQ(errno_of_open("directory/new", O_CREAT | O_RDWR), 0);
  EXPECT_EQ(errno_of(::access("file", R_OK | W_OK)), 0);
  EXPECT_EQ(errno_of(::access("file", X_OK)), EACCES);
  ASSERT_EQ(::chmod("file", 0001), 0);
  EXPECT_EQ(errno_of(::access("file", X_OK)), 0);
}

int run_program(const char* name, const User& user) {
  return in_child(
      [name] {
        ::execl(name, name, static_cast<char*>(nullptr));
        return errno;
      },
      user);
}

TEST_F(Permission, ToExecuteNeedsTheBit) {
  make_file("program", contents("/bin/true"), 0644);
  EXPECT_EQ(run_program("./program", alice), EACCES);
  EXPECT_EQ(run_program("./program", root), EACCES);
  ASSERT_EQ(::chmod("program", 0755), 0);
  EXPECT_EQ(run_program("./program", alice), 0);
  ASSERT_EQ(::chmod("program", 0711), 0);
  EXPECT_EQ(run_program("./program", alice), 0) << "executable without being readable";
}

TEST_F(Permission, ScriptsAreRun) {
  make_file("script", "#!/bin/sh\nexit 7\n", 0755);
  EXPECT_EQ(run_program("./script", alice), 7);
}

TEST_F(Search, IsNeededOnEveryComponent) {
  make_directory("a");
  make_directory("a/b");
  make_directory("a/b/c");
  make_file("a/b/c/file");
  struct stat s;
  for (const char* locked : {"a", "a/b", "a/b/c"}) {
    ASSERT_EQ(::chmod(locked, 0766), 0);
    as(alice, [&] {
      EXPECT_EQ(errno_of(::stat("a/b/c/file", &s)), EACCES) << locked;
      EXPECT_EQ(errno_of_open("a/b/c/file", O_RDONLY), EACCES) << locked;
      EXPECT_EQ(errno_of(::unlink("a/b/c/file")), EACCES) << locked;
      EXPECT_EQ(errno_of(::mkdir("a/b/c/new", 0755)), EACCES) << locked;
      EXPECT_EQ(errno_of(::chmod("a/b/c/file", 0644)), EACCES) << locked;
      EXPECT_EQ(errno_of(::symlink("x", "a/b/c/link")), EACCES) << locked;
      EXPECT_EQ(errno_of(::rename("a/b/c/file", "a/b/c/new")), EACCES) << locked;
    });
    ASSERT_EQ(::chmod(locked, 0755), 0);
  }
  as(alice, [&] { EXPECT_EQ(errno_of(::stat("a/b/c/file", &s)), 0); });
}

TEST_F(Search, AloneReachesWhatOneKnows) {
  make_directory("private", 0711);
  make_file("private/file", "bytes");
  as(alice, [] {
    EXPECT_TRUE(same(contents("private/file"), "bytes"));
    EXPECT_EQ(errno_of_open("private", O_RDONLY | O_DIRECTORY), EACCES);
  });
}

TEST_F(Search, ReadAloneShowsNamesOnly) {
  make_directory("names", 0744);
  make_file("names/file");
  as(alice, [] {
    EXPECT_EQ(names_in("names"), std::vector<std::string>{"file"});
    EXPECT_EQ(errno_of_open("names/file", O_RDONLY), EACCES);
  });
}

TEST_F(Search, AnOpenFileDoesNotNeedItAnyMore) {
  make_directory("d", 0755);
  make_file("d/file", "bytes");
  UniqueFd fd;
  as(alice, [&] { fd = opened("d/file", O_RDONLY); });
  ASSERT_EQ(::chmod("d", 0700), 0);
  as(alice, [&] {
    EXPECT_TRUE(same(contents(fd.get()), "bytes"));
    EXPECT_EQ(status(fd.get()).st_size, 5);
  });
}

TEST_F(Access, SpeaksOfTheRealUserAndOpenOfTheEffective) {
  make_file("file", "", 0600);
  give("file", alice);
  EXPECT_EQ(in_child([] {
              if (::setgroups(0, nullptr) != 0 || ::setresgid(bob.gid, alice.gid, 0) != 0 ||
                  ::setresuid(bob.uid, alice.uid, 0) != 0)
                return 1;
              if (errno_of_open("file", O_RDWR).value != 0) return 2;
              if (errno_of(::access("file", R_OK)).value != EACCES) return 3;
              if (errno_of(::faccessat(AT_FDCWD, "file", R_OK, AT_EACCESS)).value != 0) return 4;
              return 0;
            }),
            0);
}

TEST_F(Access, OfMissingAndWrongPaths) {
  make_file("file");
  EXPECT_EQ(errno_of(::access("absent", F_OK)), ENOENT);
  EXPECT_EQ(errno_of(::access("file/below", F_OK)), ENOTDIR);
  EXPECT_EQ(errno_of(::access("file", 64)), EINVAL);
}

TEST_F(Permission, ASupplementaryGroupThatIsLeftCountsNoMore) {
  make_file("file", "", 0060);
  ASSERT_EQ(::chown("file", 0, common_group), 0);
  as(bob, [] { EXPECT_EQ(errno_of_open("file", O_RDWR), 0); });
  as(User{bob.uid, bob.gid, {}}, [] { EXPECT_EQ(errno_of_open("file", O_RDWR), EACCES); });
  as(bob, [] { EXPECT_EQ(errno_of_open("file", O_RDWR), 0); });
}

TEST_F(Permission, ManySupplementaryGroupsCount) {
  make_file("file", "", 0060);
  ASSERT_EQ(::chown("file", 0, common_group), 0);
  User many{bob.uid, bob.gid, {}};
  for (gid_t i = 0; i < 60; ++i) many.groups.push_back(62'000 + i);
  many.groups.push_back(common_group);
  as(many, [] { EXPECT_EQ(errno_of_open("file", O_RDWR), 0); });
}

}  // namespace
}  // namespace hearth::posix

// chmod, chown, and when setuid and setgid go away.
#include "tests/posix/suite.h"

#include <unistd.h>

namespace hearth::posix {
namespace {

using Chmod = Posix;
using Chown = Posix;
using SetidBits = Posix;
using SetgidDirectory = Posix;

constexpr uid_t no_uid = static_cast<uid_t>(-1);
constexpr gid_t no_gid = static_cast<gid_t>(-1);

TEST_F(Chmod, SetsAllTwelveBits) {
  make_file("file");
  make_directory("directory");
  for (const char* name : {"file", "directory"}) {
    for (const mode_t mode : {0000U, 0777U, 01000U, 02755U, 04755U, 07777U, 0644U}) {
      EXPECT_EQ(errno_of(::chmod(name, mode)), 0);
      EXPECT_EQ(permissions(name), mode) << name;
    }
  }
}

TEST_F(Chmod, IsForTheOwnerAndRoot) {
  make_file("file", "", 0666);
  give("file", alice);
  as(bob, [] { EXPECT_EQ(errno_of(::chmod("file", 0777)), EPERM); });
  as(alice, [] { EXPECT_EQ(errno_of(::chmod("file", 0600)), 0); });
  EXPECT_EQ(permissions("file"), 0600U);
}

TEST_F(Chmod, OfAnOpenFileActsOnTheFile) {
  make_file("file", "bytes", 0644);
  give("file", alice);
  as(alice, [] {
    const UniqueFd fd = opened("file", O_RDWR);
    EXPECT_EQ(errno_of(::fchmod(fd.get(), 0000)), 0);
    EXPECT_EQ(permissions("file"), 0000U);
    EXPECT_EQ(::pwrite(fd.get(), "B", 1, 0), 1) << "permissions are asked at the open";
    EXPECT_EQ(errno_of_open("file", O_RDONLY), EACCES);
  });
}

TEST_F(Chmod, FollowsSymlinks) {
  make_file("file", "", 0644);
  ASSERT_EQ(::symlink("file", "link"), 0);
  EXPECT_EQ(errno_of(::chmod("link", 0600)), 0);
  EXPECT_EQ(permissions("file"), 0600U);
  EXPECT_EQ(errno_of(::chmod("absent", 0600)), ENOENT);
  EXPECT_EQ(errno_of(::chmod("file/below", 0600)), ENOTDIR);
}

TEST_F(Chmod, SetgidForANonMemberIsDropped) {
  make_file("file");
  ASSERT_EQ(::chown("file", alice.uid, foreign_group), 0);
  as(alice, [] { EXPECT_EQ(errno_of(::chmod("file", 02755)), 0); });
  EXPECT_EQ(permissions("file"), 0755U);
}

TEST_F(Chmod, SetgidForAMemberStays) {
  make_file("file");
  ASSERT_EQ(::chown("file", alice.uid, common_group), 0);
  as(alice, [] { EXPECT_EQ(errno_of(::chmod("file", 02755)), 0); });
  EXPECT_EQ(permissions("file"), 02755U);
}

TEST_F(Chmod, TakesEffectAtOnce) {
  make_file("file", "bytes", 0644);
  make_directory("directory", 0755);
  make_file("directory/file", "below");
  as(alice, [] { EXPECT_EQ(errno_of_open("file", O_RDONLY), 0); });
  ASSERT_EQ(::chmod("file", 0600), 0);
  ASSERT_EQ(::chmod("directory", 0700), 0);
  as(alice, [] {
    EXPECT_EQ(errno_of_open("file", O_RDONLY), EACCES);
    EXPECT_EQ(errno_of_open("directory/file", O_RDONLY), EACCES);
  });
}

TEST_F(Chown, RootGivesFilesAway) {
  make_file("file");
  make_directory("directory");
  for (const char* name : {"file", "directory"}) {
    EXPECT_EQ(errno_of(::chown(name, alice.uid, bob.gid)), 0);
    EXPECT_EQ(status(name).st_uid, alice.uid);
    EXPECT_EQ(status(name).st_gid, bob.gid);
  }
}

TEST_F(Chown, MinusOneLeavesAsItIs) {
  make_file("file");
  ASSERT_EQ(::chown("file", alice.uid, alice.gid), 0);
  EXPECT_EQ(errno_of(::chown("file", no_uid, bob.gid)), 0);
  EXPECT_EQ(status("file").st_uid, alice.uid);
  EXPECT_EQ(errno_of(::chown("file", bob.uid, no_gid)), 0);
  EXPECT_EQ(status("file").st_gid, bob.gid);
  EXPECT_EQ(errno_of(::chown("file", no_uid, no_gid)), 0);
  EXPECT_EQ(status("file").st_uid, bob.uid);
  EXPECT_EQ(status("file").st_gid, bob.gid);
}

TEST_F(Chown, UsersGiveNothingAway) {
  make_file("file", "", 0666);
  give("file", alice);
  as(alice, [] {
    EXPECT_EQ(errno_of(::chown("file", bob.uid, no_gid)), EPERM);
    EXPECT_EQ(errno_of(::chown("file", 0, no_gid)), EPERM);
    EXPECT_EQ(errno_of(::chown("file", alice.uid, no_gid)), 0) << "to oneself is no change";
  });
  as(bob, [] {
    EXPECT_EQ(errno_of(::chown("file", bob.uid, no_gid)), EPERM);
    EXPECT_EQ(errno_of(::chown("file", no_uid, common_group)), EPERM);
  });
}

TEST_F(Chown, OwnersChangeTheGroupToOneOfTheirs) {
  make_file("file");
  give("file", alice);
  as(alice, [] {
    EXPECT_EQ(errno_of(::chown("file", no_uid, common_group)), 0);
    EXPECT_EQ(errno_of(::chown("file", no_uid, foreign_group)), EPERM);
    EXPECT_EQ(errno_of(::chown("file", no_uid, bob.gid)), EPERM);
  });
  EXPECT_EQ(status("file").st_gid, common_group);
}

TEST_F(Chown, OfAnOpenFileActsOnTheFile) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDONLY);
  EXPECT_EQ(errno_of(::fchown(fd.get(), alice.uid, alice.gid)), 0);
  EXPECT_EQ(status("file").st_uid, alice.uid);
}

TEST_F(Chown, TakesEffectAtOnce) {
  make_file("file", "", 0600);
  as(alice, [] { EXPECT_EQ(errno_of_open("file", O_RDONLY), EACCES); });
  ASSERT_EQ(::chown("file", alice.uid, alice.gid), 0);
  as(alice, [] { EXPECT_EQ(errno_of_open("file", O_RDWR), 0); });
}

TEST_F(Chown, TakesLargeIds) {
  make_file("file");
  EXPECT_EQ(errno_of(::chown("file", 4'000'000'000U, 3'000'000'000U)), 0);
  EXPECT_EQ(status("file").st_uid, 4'000'000'000U);
  EXPECT_EQ(status("file").st_gid, 3'000'000'000U);
}

TEST_F(SetidBits, GoAwayWhenAnotherUserWrites) {
  make_file("file", "bytes", 06777);
  as(alice, [] {
    const UniqueFd fd = opened("file", O_WRONLY);
    EXPECT_EQ(::pwrite(fd.get(), "B", 1, 0), 1);
  });
  EXPECT_EQ(permissions("file"), 0777U);
}

TEST_F(SetidBits, GoAwayWhenTheOwnerWrites) {
  make_file("file", "bytes");
  give("file", alice);
  ASSERT_EQ(::chmod("file", 06755), 0);
  as(alice, [] {
    const UniqueFd fd = opened("file", O_WRONLY);
    EXPECT_EQ(::pwrite(fd.get(), "B", 1, 0), 1);
  });
  EXPECT_EQ(permissions("file"), 0755U);
}

TEST_F(SetidBits, StayWhenRootWrites) {
  make_file("file", "bytes", 06755);
  const UniqueFd fd = opened("file", O_WRONLY);
  ASSERT_EQ(::pwrite(fd.get(), "B", 1, 0), 1);
  EXPECT_EQ(permissions("file"), 06755U);
}

TEST_F(SetidBits, GoAwayWhenAUserTruncates) {
  for (const char* name : {"truncate", "ftruncate", "open"}) {
    make_file(name, "bytes");
    ASSERT_EQ(::chmod(name, 06777), 0);
  }
  as(alice, [] {
    EXPECT_EQ(errno_of(::truncate("truncate", 1)), 0);
    const UniqueFd fd = opened("ftruncate", O_RDWR);
    EXPECT_EQ(errno_of(::ftruncate(fd.get(), 1)), 0);
    EXPECT_EQ(errno_of_open("open", O_WRONLY | O_TRUNC), 0);
  });
  for (const char* name : {"truncate", "ftruncate", "open"}) EXPECT_EQ(permissions(name), 0777U) << name;
}

TEST_F(SetidBits, GoAwayWhenAUserChangesTheGroup) {
  make_file("file");
  give("file", alice);
  ASSERT_EQ(::chmod("file", 06755), 0);
  as(alice, [] { EXPECT_EQ(errno_of(::chown("file", no_uid, common_group)), 0); });
  EXPECT_EQ(permissions("file"), 0755U);
}

TEST_F(SetidBits, GoAwayWhenTheOwnerChanges) {
  make_file("file", "", 06755);
  ASSERT_EQ(::chown("file", alice.uid, alice.gid), 0);
  EXPECT_EQ(permissions("file"), 0755U);
}

TEST_F(SetidBits, SetgidWithoutGroupExecuteSurvivesAChangeOfOwner) {
  make_file("file", "", 02644);  // an old mark of mandatory locking, not of setgid
  ASSERT_EQ(::chown("file", 0, 0), 0);
  EXPECT_EQ(permissions("file"), 02644U);
}

TEST_F(SetidBits, OfDirectoriesStay) {
  make_directory("directory", 06755);
  ASSERT_EQ(::chown("directory", alice.uid, alice.gid), 0);
  EXPECT_EQ(permissions("directory"), 06755U);
}

TEST_F(SetgidDirectory, GivesItsGroupToNewEntries) {
  make_directory("shared", 0777);
  ASSERT_EQ(::chown("shared", 0, common_group), 0);
  ASSERT_EQ(::chmod("shared", 02777), 0);
  as(alice, [] {
    EXPECT_EQ(errno_of_open("shared/file", O_CREAT | O_RDWR, 0644), 0);
    EXPECT_EQ(errno_of(::mkdir("shared/directory", 0755)), 0);
    EXPECT_EQ(errno_of(::symlink("x", "shared/link")), 0);
  });
  for (const char* name : {"shared/file", "shared/directory", "shared/link"}) {
    EXPECT_EQ(status(name).st_gid, common_group) << name;
    EXPECT_EQ(status(name).st_uid, alice.uid) << name;
  }
  EXPECT_EQ(permissions("shared/directory"), 02755U) << "a directory inherits the bit too";
  EXPECT_EQ(permissions("shared/file"), 0644U);
}

TEST_F(SetgidDirectory, GivesNoSetgidFileToANonMember) {
  make_directory("shared", 0777);
  ASSERT_EQ(::chown("shared", 0, foreign_group), 0);
  ASSERT_EQ(::chmod("shared", 02777), 0);
  ::umask(0);
  as(alice, [] { EXPECT_EQ(errno_of_open("shared/file", O_CREAT | O_RDWR, 02775), 0); });
  EXPECT_EQ(status("shared/file").st_gid, foreign_group);
  EXPECT_EQ(permissions("shared/file"), 0775U);
}

TEST_F(SetgidDirectory, IsNotInheritedByWhatIsMovedIn) {
  make_directory("shared", 0777);
  ASSERT_EQ(::chown("shared", 0, common_group), 0);
  ASSERT_EQ(::chmod("shared", 02777), 0);
  as(alice, [] {
    make_file("file");
    ASSERT_EQ(::rename("file", "shared/file"), 0);
  });
  EXPECT_EQ(status("shared/file").st_gid, alice.gid);
}

}  // namespace
}  // namespace hearth::posix

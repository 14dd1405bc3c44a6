// mkdir, rmdir, and directories that are removed while they are used.
#include "tests/posix/suite.h"

#include <dirent.h>
#include <unistd.h>

#include <climits>
#include <cstring>

namespace hearth::posix {
namespace {

using Directory = Posix;

TEST_F(Directory, IsMadeWithTheModeLessTheUmask) {
  for (const mode_t mask : {0U, 022U, 077U}) {
    ::umask(mask);
    const std::string name = "directory" + std::to_string(mask);
    ASSERT_EQ(errno_of(::mkdir(name.c_str(), 01777)), 0);
    EXPECT_EQ(permissions(name), 01777U & ~mask);
    EXPECT_TRUE(S_ISDIR(status(name).st_mode));
  }
}

TEST_F(Directory, BelongsToTheOneWhoMadeIt) {
  as(alice, [] { ASSERT_EQ(errno_of(::mkdir("directory", 0755)), 0); });
  EXPECT_EQ(status("directory").st_uid, alice.uid);
  EXPECT_EQ(status("directory").st_gid, alice.gid);
}

TEST_F(Directory, IsNotMadeOverAnythingThatExists) {
  make_file("file", "bytes");
  make_directory("directory");
  ASSERT_EQ(::symlink("absent", "dangling"), 0);
  ASSERT_EQ(::symlink("directory", "link"), 0);
  for (const char* name : {"file", "directory", "dangling", "link", ".", "..", "directory/.", "/"}) {
    EXPECT_EQ(errno_of(::mkdir(name, 0755)), EEXIST) << name;
  }
  EXPECT_TRUE(same(contents("file"), "bytes"));
}

TEST_F(Directory, NeedsItsParent) {
  make_file("file");
  EXPECT_EQ(errno_of(::mkdir("absent/directory", 0755)), ENOENT);
  EXPECT_EQ(errno_of(::mkdir("file/directory", 0755)), ENOTDIR);
  EXPECT_EQ(errno_of(::mkdir("", 0755)), ENOENT);
}

TEST_F(Directory, IsMadeAndRemovedWithATrailingSlash) {
  EXPECT_EQ(errno_of(::mkdir("directory/", 0755)), 0);
  EXPECT_EQ(errno_of(::rmdir("directory/")), 0);
  EXPECT_FALSE(exists("directory"));
}

TEST_F(Directory, IsNotMadeWhereTheUserMayNotWrite) {
  make_directory("locked", 0755);
  as(alice, [] { EXPECT_EQ(errno_of(::mkdir("locked/directory", 0755)), EACCES); });
  EXPECT_FALSE(exists("locked/directory"));
}

TEST_F(Directory, IsRemovedWhenItIsEmptyOnly) {
  make_directory("directory");
  for (const char* name : {"directory/file", "directory/.hidden"}) {
    make_file(name);
    EXPECT_EQ(errno_of(::rmdir("directory")), ENOTEMPTY) << name;
    ASSERT_EQ(::unlink(name), 0);
  }
  make_directory("directory/below");
  EXPECT_EQ(errno_of(::rmdir("directory")), ENOTEMPTY);
  ASSERT_EQ(::rmdir("directory/below"), 0);
  EXPECT_EQ(errno_of(::rmdir("directory")), 0);
  EXPECT_FALSE(exists("directory"));
}

TEST_F(Directory, IsEmptyWhenItsFilesWereUnlinkedThoughTheyAreOpen) {
  make_directory("directory");
  make_file("directory/file", "bytes");
  const UniqueFd fd = opened("directory/file", O_RDWR);
  ASSERT_EQ(::unlink("directory/file"), 0);
  EXPECT_TRUE(names_in("directory").empty());
  EXPECT_EQ(errno_of(::rmdir("directory")), 0);
  EXPECT_TRUE(same(contents(fd.get()), "bytes"));
}

TEST_F(Directory, RmdirRefusesWhatIsNone) {
  make_file("file");
  make_directory("directory");
  ASSERT_EQ(::symlink("directory", "link"), 0);
  EXPECT_EQ(errno_of(::rmdir("file")), ENOTDIR);
  EXPECT_EQ(errno_of(::rmdir("link")), ENOTDIR);
  EXPECT_EQ(errno_of(::rmdir("absent")), ENOENT);
  EXPECT_EQ(errno_of(::rmdir("file/below")), ENOTDIR);
  EXPECT_EQ(errno_of(::unlinkat(AT_FDCWD, "file", AT_REMOVEDIR)), ENOTDIR);
}

TEST_F(Directory, RmdirRefusesDotAndDotDot) {
  make_directory("directory");
  make_directory("directory/below");
  EXPECT_EQ(errno_of(::rmdir("directory/.")), EINVAL);
  EXPECT_EQ(errno_of(::rmdir("directory/below/..")), ENOTEMPTY);
  EXPECT_TRUE(exists("directory/below"));
}

TEST_F(Directory, RmdirNeedsWritePermissionOnTheParent) {
  make_directory("locked", 0755);
  make_directory("locked/directory", 0777);
  as(alice, [] { EXPECT_EQ(errno_of(::rmdir("locked/directory")), EACCES); });
  EXPECT_TRUE(exists("locked/directory"));
}

TEST_F(Directory, OfAnotherInAStickyDirectoryStays) {
  make_directory("sticky", 01777);
  make_directory("sticky/directory", 0777);
  give("sticky/directory", bob);
  as(alice, [] { EXPECT_EQ(errno_of(::rmdir("sticky/directory")), EPERM); });
  as(bob, [] { EXPECT_EQ(errno_of(::rmdir("sticky/directory")), 0); });
}

TEST_F(Directory, ThatWasRemovedTakesNoNames) {
  make_directory("directory");
  const UniqueFd fd = opened("directory", O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::rmdir("directory"), 0);
  EXPECT_EQ(errno_of(::openat(fd.get(), "file", O_CREAT | O_RDWR | O_CLOEXEC, 0644)), ENOENT);
  EXPECT_EQ(errno_of(::mkdirat(fd.get(), "below", 0755)), ENOENT);
  EXPECT_EQ(errno_of(::symlinkat("x", fd.get(), "link")), ENOENT);
  make_file("file");
  EXPECT_EQ(errno_of(::renameat(AT_FDCWD, "file", fd.get(), "file")), ENOENT);
  EXPECT_TRUE(exists("file"));
}

TEST_F(Directory, ThatWasRemovedIsEmptyAndHasNoLinks) {
  make_directory("directory");
  UniqueFd fd = opened("directory", O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::rmdir("directory"), 0);
  EXPECT_EQ(status(fd.get()).st_nlink, 0U);
  DIR* scan = ::fdopendir(fd.release());
  ASSERT_NE(scan, nullptr);
  while (const dirent* entry = ::readdir(scan)) {
    EXPECT_TRUE(std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) << entry->d_name;
  }
  ::closedir(scan);
}

TEST_F(Directory, ThatWasMadeAgainIsAnotherAndEmpty) {
  make_directory("directory");
  const UniqueFd old = opened("directory", O_RDONLY | O_DIRECTORY);
  make_file("directory/file");
  ASSERT_EQ(::unlink("directory/file"), 0);
  ASSERT_EQ(::rmdir("directory"), 0);
  make_directory("directory", 0700);
  EXPECT_TRUE(names_in("directory").empty());
  EXPECT_EQ(permissions("directory"), 0700U);
  EXPECT_NE(status("directory").st_ino, status(old.get()).st_ino);
  EXPECT_FALSE(exists("directory/file"));
}

TEST_F(Directory, DotDotIsTheParentAlsoAfterAMove) {
  make_directory("one");
  make_directory("two");
  make_directory("one/child");
  EXPECT_EQ(status("one/child/..").st_ino, status("one").st_ino);
  ASSERT_EQ(::rename("one/child", "two/child"), 0);
  EXPECT_EQ(status("two/child/..").st_ino, status("two").st_ino);
}

TEST_F(Directory, NestsDeeply) {
  std::string path = "0";
  for (int depth = 1; depth < 100; ++depth) {
    ASSERT_EQ(errno_of(::mkdir(path.c_str(), 0755)), 0);
    path += "/" + std::to_string(depth);
  }
  make_file(path, "deep");
  EXPECT_TRUE(same(contents(path), "deep"));
}

TEST_F(Directory, LinksCountTheDirectoriesBelow) {
  make_directory("directory");
  const auto links = [] { return status("directory").st_nlink; };
  if (links() == 1) {  // "not counted" is a legitimate answer (btrfs), but then always
    make_directory("directory/one");
    EXPECT_EQ(links(), 1U);
    return;
  }
  EXPECT_EQ(links(), 2U);
  make_directory("directory/one");
  make_directory("directory/two");
  make_file("directory/file");
  EXPECT_EQ(links(), 4U);
  make_directory("other");
  ASSERT_EQ(::rename("directory/one", "other/one"), 0);
  EXPECT_EQ(links(), 3U);
  EXPECT_EQ(status("other").st_nlink, 3U);
  ASSERT_EQ(::rmdir("directory/two"), 0);
  EXPECT_EQ(links(), 2U);
}

TEST_F(Directory, CurrentDirectoryFollowsARename) {
  make_directory("directory");
  EXPECT_EQ(in_child([] {
              char where[PATH_MAX];
              if (::chdir("directory") != 0 || ::rename("../directory", "../moved") != 0) return 1;
              if (::getcwd(where, sizeof(where)) == nullptr) return 2;
              return std::string_view(where).ends_with("/moved") ? 0 : 3;
            }),
            0);
}

}  // namespace
}  // namespace hearth::posix

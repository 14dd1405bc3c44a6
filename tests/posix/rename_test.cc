// rename and renameat2.
#include "tests/posix/suite.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

namespace hearth::posix {
namespace {

using Rename = Posix;
using RenameExchange = Needs<Feature::rename_exchange>;
using RenameOfLinks = Needs<Feature::link>;

Errno renamed(const char* from, const char* to, unsigned flags = 0) {
  return errno_of(flags == 0 ? ::rename(from, to) : ::renameat2(AT_FDCWD, from, AT_FDCWD, to, flags));
}

TEST_F(Rename, MovesAFileWithAllItHas) {
  make_file("from", "bytes", 0640);
  give("from", alice);
  const struct stat before = status("from");
  EXPECT_EQ(renamed("from", "to"), 0);
  EXPECT_FALSE(exists("from"));
  const struct stat after = status("to");
  EXPECT_TRUE(same(contents("to"), "bytes"));
  EXPECT_EQ(after.st_ino, before.st_ino);
  EXPECT_EQ(after.st_mode, before.st_mode);
  EXPECT_EQ(after.st_uid, alice.uid);
  EXPECT_EQ(mtime(after), mtime(before));
  EXPECT_EQ(names_in("."), std::vector<std::string>{"to"});
}

TEST_F(Rename, ReplacesAFile) {
  make_file("from", "new");
  make_file("to", "old and longer");
  const ino_t number = status("from").st_ino;
  EXPECT_EQ(renamed("from", "to"), 0);
  EXPECT_TRUE(same(contents("to"), "new"));
  EXPECT_EQ(status("to").st_ino, number);
  EXPECT_EQ(status("to").st_size, 3);
  EXPECT_FALSE(exists("from"));
}

TEST_F(Rename, AReplacedOpenFileKeepsItsBytesAndHasNoLinks) {
  make_file("from", "new");
  make_file("to", "old");
  const UniqueFd old = opened("to", O_RDWR);
  ASSERT_EQ(renamed("from", "to"), 0);
  EXPECT_TRUE(same(contents(old.get()), "old"));
  EXPECT_EQ(status(old.get()).st_nlink, 0U);
  ASSERT_EQ(::pwrite(old.get(), "OLD", 3, 0), 3);
  EXPECT_TRUE(same(contents("to"), "new"));
  EXPECT_EQ(names_in("."), std::vector<std::string>{"to"});
}

TEST_F(Rename, AnOpenFileGoesOnUnderItsNewName) {
  make_file("from", "bytes");
  make_directory("directory");
  const UniqueFd fd = opened("from", O_RDWR);
  ASSERT_EQ(renamed("from", "directory/to"), 0);
  ASSERT_EQ(::pwrite(fd.get(), "BYTES and more", 14, 0), 14);
  EXPECT_TRUE(same(contents("directory/to"), "BYTES and more"));
  EXPECT_EQ(status(fd.get()).st_size, status("directory/to").st_size);
  ASSERT_EQ(::unlink("directory/to"), 0);
  EXPECT_TRUE(same(contents(fd.get()), "BYTES and more"));
}

TEST_F(Rename, ToItselfChangesNothing) {
  make_file("file", "bytes");
  make_directory("directory");
  EXPECT_EQ(renamed("file", "file"), 0);
  EXPECT_EQ(renamed("directory", "directory"), 0);
  EXPECT_TRUE(same(contents("file"), "bytes"));
}

TEST_F(Rename, MovesADirectoryWithItsTree) {
  make_directory("from");
  make_directory("from/below");
  make_file("from/below/file", "bytes");
  make_directory("other");
  const ino_t number = status("from").st_ino;
  EXPECT_EQ(renamed("from", "other/to"), 0);
  EXPECT_FALSE(exists("from"));
  EXPECT_TRUE(same(contents("other/to/below/file"), "bytes"));
  EXPECT_EQ(status("other/to").st_ino, number);
}

TEST_F(Rename, ReplacesAnEmptyDirectoryOnly) {
  make_directory("from");
  make_file("from/file");
  make_directory("empty");
  make_directory("full");
  make_file("full/file", "kept");
  EXPECT_TRUE(one_of(renamed("from", "full"), {ENOTEMPTY, EEXIST}));
  EXPECT_TRUE(same(contents("full/file"), "kept"));
  EXPECT_EQ(renamed("from", "empty"), 0);
  EXPECT_TRUE(exists("empty/file"));
}

TEST_F(Rename, RefusesMixedTypes) {
  make_file("file", "bytes");
  make_directory("directory");
  ASSERT_EQ(::symlink("directory", "link"), 0);
  EXPECT_EQ(renamed("file", "directory"), EISDIR);
  EXPECT_EQ(renamed("directory", "file"), ENOTDIR);
  EXPECT_EQ(renamed("directory", "link"), ENOTDIR);
  EXPECT_TRUE(same(contents("file"), "bytes"));
}

TEST_F(Rename, RefusesToMoveADirectoryBelowItself) {
  make_directory("directory");
  make_directory("directory/below");
  EXPECT_EQ(renamed("directory", "directory/new"), EINVAL);
  EXPECT_EQ(renamed("directory", "directory/below/new"), EINVAL);
  EXPECT_EQ(renamed("directory", "directory/below"), EINVAL);
  EXPECT_TRUE(one_of(renamed("directory/below", "directory"), {ENOTEMPTY, EEXIST})) << "over its own parent";
  EXPECT_TRUE(exists("directory/below"));
}

TEST_F(Rename, RefusesDotAndDotDot) {
  make_directory("directory");
  make_directory("directory/below");
  for (const char* name : {"directory/.", "directory/below/.."}) {
    EXPECT_TRUE(one_of(renamed(name, "to"), {EBUSY, EINVAL})) << name;
    EXPECT_TRUE(one_of(renamed("directory/below", name), {EBUSY, EINVAL, ENOTEMPTY})) << name;
  }
}

TEST_F(Rename, OfMissingNamesIsRefused) {
  make_file("file");
  EXPECT_EQ(renamed("absent", "to"), ENOENT);
  EXPECT_EQ(renamed("file", "absent/to"), ENOENT);
  EXPECT_EQ(renamed("absent/file", "to"), ENOENT);
  EXPECT_EQ(renamed("file/below", "to"), ENOTDIR);
  EXPECT_EQ(renamed("file", "file/to"), ENOTDIR);
  EXPECT_EQ(renamed("file", ""), ENOENT);
}

TEST_F(Rename, TrailingSlashIsForDirectories) {
  make_file("file");
  make_directory("directory");
  EXPECT_EQ(renamed("file/", "to"), ENOTDIR);
  EXPECT_EQ(renamed("file", "to/"), ENOTDIR);
  EXPECT_EQ(renamed("directory/", "moved/"), 0);
  EXPECT_TRUE(exists("moved"));
}

TEST_F(Rename, MovesASymlinkAndNotItsTarget) {
  make_file("target", "bytes");
  ASSERT_EQ(::symlink("target", "link"), 0);
  EXPECT_EQ(renamed("link", "moved"), 0);
  EXPECT_TRUE(S_ISLNK(status("moved").st_mode));
  EXPECT_TRUE(same(contents("moved"), "bytes"));
  make_file("file", "new");
  EXPECT_EQ(renamed("file", "moved"), 0) << "a symlink is replaced, not followed";
  EXPECT_TRUE(same(contents("target"), "bytes"));
  EXPECT_TRUE(S_ISREG(status("moved").st_mode));
}

TEST_F(Rename, ToAnotherFileSystemIsRefused) {
  make_file("file");
  EXPECT_EQ(renamed("file", elsewhere().c_str()), EXDEV);
  EXPECT_TRUE(exists("file"));
}

TEST_F(Rename, NeedsWritePermissionOnBothDirectories) {
  make_directory("locked", 0755);
  make_directory("open", 0777);
  make_file("locked/file", "", 0666);
  make_file("open/file", "", 0666);
  as(alice, [] {
    EXPECT_EQ(renamed("locked/file", "open/new"), EACCES);
    EXPECT_EQ(renamed("open/file", "locked/new"), EACCES);
    EXPECT_EQ(renamed("open/file", "open/new"), 0);
  });
}

TEST_F(Rename, OfADirectoryOfAnotherToAnotherParentNeedsPermissionOnIt) {
  make_directory("one", 0777);
  make_directory("two", 0777);
  make_directory("one/directory", 0755);  // .. would change
  as(alice, [] {
    EXPECT_EQ(renamed("one/directory", "two/directory"), EACCES);
    EXPECT_EQ(renamed("one/directory", "one/renamed"), 0);
  });
}

TEST_F(Rename, KeepsTheStickyRuleAtBothEnds) {
  make_directory("sticky", 01777);
  make_file("sticky/bobs", "bob", 0666);
  give("sticky/bobs", bob);
  make_file("alices", "alice");
  give("alices", alice);
  as(alice, [] {
    EXPECT_EQ(renamed("sticky/bobs", "taken"), EPERM);
    EXPECT_EQ(renamed("alices", "sticky/bobs"), EPERM);
  });
  EXPECT_TRUE(same(contents("sticky/bobs"), "bob"));
  as(bob, [] { EXPECT_EQ(renamed("sticky/bobs", "sticky/moved"), 0); });
}

TEST_F(Rename, NoReplaceRefusesAnExistingName) {
  make_file("from", "from");
  make_file("to", "to");
  make_directory("directory");
  ASSERT_EQ(::symlink("absent", "dangling"), 0);
  for (const char* name : {"to", "directory", "dangling", "from"})
    EXPECT_EQ(renamed("from", name, RENAME_NOREPLACE), EEXIST) << name;
  EXPECT_TRUE(same(contents("to"), "to"));
  EXPECT_EQ(renamed("from", "new", RENAME_NOREPLACE), 0);
  EXPECT_TRUE(same(contents("new"), "from"));
  EXPECT_FALSE(exists("from"));
}

TEST_F(Rename, UnknownFlagsAreRefused) {
  make_file("from");
  EXPECT_EQ(renamed("from", "to", 1U << 30), EINVAL);
  EXPECT_EQ(renamed("from", "to", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
}

TEST_F(Rename, OneNameIsAlwaysThere) {
  make_file("file", "0");
  const pid_t writer = ::fork();
  if (writer == 0) {
    for (int i = 0; i < 300; ++i) {
      const UniqueFd fd(::open("new", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644));
      if (::write(fd.get(), "1", 1) != 1 || ::rename("new", "file") != 0) ::_exit(1);
    }
    ::_exit(0);
  }
  int status = -1;
  while (::waitpid(writer, &status, WNOHANG) == 0) {
    const UniqueFd fd = opened("file", O_RDONLY);
    char byte = 'x';
    ASSERT_TRUE(fd);
    EXPECT_EQ(::read(fd.get(), &byte, 1), 1);
  }
  EXPECT_EQ(status, 0);
}

TEST_F(Rename, OfALargeDirectoryKeepsAllNames) {
  make_directory("from");
  for (int i = 0; i < 500; ++i) make_file("from/" + std::to_string(i));
  ASSERT_EQ(renamed("from", "to"), 0);
  EXPECT_EQ(names_in("to").size(), 500U);
  EXPECT_EQ(errno_of_open("from/7", O_RDONLY), ENOENT);
  EXPECT_EQ(errno_of_open("to/7", O_RDONLY), 0);
}

TEST_F(RenameExchange, SwapsTwoFiles) {
  make_file("one", "1");
  make_file("two", "22");
  const ino_t one = status("one").st_ino, two = status("two").st_ino;
  ASSERT_EQ(renamed("one", "two", RENAME_EXCHANGE), 0);
  EXPECT_TRUE(same(contents("one"), "22"));
  EXPECT_TRUE(same(contents("two"), "1"));
  EXPECT_EQ(status("one").st_ino, two);
  EXPECT_EQ(status("two").st_ino, one);
}

TEST_F(RenameExchange, SwapsAFileAndADirectoryThatIsNotEmpty) {
  make_file("file", "bytes");
  make_directory("directory");
  make_file("directory/below", "below");
  ASSERT_EQ(renamed("file", "directory", RENAME_EXCHANGE), 0);
  EXPECT_TRUE(same(contents("directory"), "bytes"));
  EXPECT_TRUE(same(contents("file/below"), "below"));
}

TEST_F(RenameExchange, NeedsBothNames) {
  make_file("one", "1");
  EXPECT_EQ(renamed("one", "absent", RENAME_EXCHANGE), ENOENT);
  EXPECT_EQ(renamed("absent", "one", RENAME_EXCHANGE), ENOENT);
  EXPECT_TRUE(same(contents("one"), "1"));
}

TEST_F(RenameExchange, RefusesADirectoryAndItsOwnChild) {
  make_directory("directory");
  make_directory("directory/below");
  EXPECT_EQ(renamed("directory", "directory/below", RENAME_EXCHANGE), EINVAL);
  EXPECT_EQ(renamed("directory/below", "directory", RENAME_EXCHANGE), EINVAL);
}

TEST_F(RenameOfLinks, BetweenTwoNamesOfOneFileDoesNothing) {
  make_file("one", "bytes");
  ASSERT_EQ(::link("one", "two"), 0);
  EXPECT_EQ(renamed("one", "two"), 0);
  EXPECT_TRUE(exists("one"));
  EXPECT_TRUE(exists("two"));
  EXPECT_EQ(status("one").st_nlink, 2U);
}

TEST_F(RenameOfLinks, OverOneNameOfAFileLeavesItsOther) {
  make_file("one", "bytes");
  ASSERT_EQ(::link("one", "two"), 0);
  make_file("new", "new");
  EXPECT_EQ(renamed("new", "two"), 0);
  EXPECT_TRUE(same(contents("one"), "bytes"));
  EXPECT_EQ(status("one").st_nlink, 1U);
}

}  // namespace
}  // namespace hearth::posix

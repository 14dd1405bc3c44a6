// unlink, and files that are used after it.
#include "tests/posix/suite.h"

#include <unistd.h>

namespace hearth::posix {
namespace {

using Unlink = Posix;
using UnlinkOfLinks = Needs<Feature::link>;

TEST_F(Unlink, TakesTheName) {
  make_file("file");
  EXPECT_EQ(errno_of(::unlink("file")), 0);
  EXPECT_FALSE(exists("file"));
  EXPECT_TRUE(names_in(".").empty());
  EXPECT_EQ(errno_of(::unlink("file")), ENOENT);
}

TEST_F(Unlink, RefusesWhatIsNoFile) {
  make_file("file");
  make_directory("directory");
  EXPECT_EQ(errno_of(::unlink("directory")), EISDIR);
  EXPECT_EQ(errno_of(::unlink("absent")), ENOENT);
  EXPECT_EQ(errno_of(::unlink("absent/file")), ENOENT);
  EXPECT_EQ(errno_of(::unlink("file/below")), ENOTDIR);
  EXPECT_EQ(errno_of(::unlink("file/")), ENOTDIR);
  EXPECT_EQ(errno_of(::unlink("")), ENOENT);
  EXPECT_TRUE(exists("file"));
}

TEST_F(Unlink, OfASymlinkLeavesTheTarget) {
  make_file("file", "bytes");
  ASSERT_EQ(::symlink("file", "link"), 0);
  EXPECT_EQ(errno_of(::unlink("link")), 0);
  EXPECT_FALSE(exists("link"));
  EXPECT_TRUE(same(contents("file"), "bytes"));
}

TEST_F(Unlink, NeedsPermissionOnTheDirectoryNotOnTheFile) {
  make_directory("locked", 0755);
  make_file("locked/file", "", 0666);
  make_file("mine", "", 0000);
  as(alice, [] {
    EXPECT_EQ(errno_of(::unlink("locked/file")), EACCES);
    EXPECT_EQ(errno_of(::unlink("mine")), 0);
  });
  EXPECT_TRUE(exists("locked/file"));
}

TEST_F(Unlink, InAStickyDirectoryIsForTheOwnerOfTheFileOrTheDirectory) {
  make_directory("sticky", 01777);
  for (const char* name : {"sticky/roots", "sticky/alices", "sticky/bobs"}) make_file(name, "", 0666);
  give("sticky", bob);
  give("sticky/alices", alice);
  give("sticky/bobs", bob);
  as(alice, [] {
    EXPECT_EQ(errno_of(::unlink("sticky/roots")), EPERM);
    EXPECT_EQ(errno_of(::unlink("sticky/bobs")), EPERM);
    EXPECT_EQ(errno_of(::unlink("sticky/alices")), 0);
  });
  as(bob, [] { EXPECT_EQ(errno_of(::unlink("sticky/roots")), 0) << "bob owns the directory"; });
}

TEST_F(Unlink, AnOpenFileKeepsReadingAndWriting) {
  make_file("file", pattern(100'000));
  const UniqueFd fd = opened("file", O_RDWR), second = opened("file", O_RDONLY);
  ASSERT_EQ(::unlink("file"), 0);
  EXPECT_TRUE(same(contents(fd.get()), pattern(100'000)));
  ASSERT_EQ(::pwrite(fd.get(), "new", 3, 100'000), 3);
  EXPECT_EQ(status(fd.get()).st_size, 100'003);
  EXPECT_TRUE(same(contents(second.get()), pattern(100'000) + "new"));
  ASSERT_EQ(errno_of(::ftruncate(fd.get(), 5)), 0);
  EXPECT_TRUE(same(contents(second.get()), pattern(100'000).substr(0, 5)));
  EXPECT_EQ(errno_of(::fsync(fd.get())), 0);
}

TEST_F(Unlink, AnOpenFileHasNoLinksAndKeepsItsAttributes) {
  make_file("file", "bytes", 0640);
  give("file", alice);
  const UniqueFd fd = opened("file", O_RDWR);
  const ino_t number = status(fd.get()).st_ino;
  ASSERT_EQ(::unlink("file"), 0);
  struct stat s = status(fd.get());
  EXPECT_EQ(s.st_nlink, 0U);
  EXPECT_EQ(s.st_ino, number);
  EXPECT_EQ(s.st_uid, alice.uid);
  EXPECT_EQ(s.st_size, 5);
  EXPECT_EQ(errno_of(::fchmod(fd.get(), 0600)), 0);
  EXPECT_EQ(errno_of(::fchown(fd.get(), bob.uid, bob.gid)), 0);
  const timespec times[2] = {{1000, 0}, {2000, 0}};
  EXPECT_EQ(errno_of(::futimens(fd.get(), times)), 0);
  s = status(fd.get());
  EXPECT_EQ(s.st_mode & 07777U, 0600U);
  EXPECT_EQ(s.st_uid, bob.uid);
  EXPECT_EQ(s.st_mtim.tv_sec, 2000);
}

TEST_F(Unlink, TheNameIsFreeForAnotherFile) {
  make_file("file", "old");
  const UniqueFd old = opened("file", O_RDWR);
  ASSERT_EQ(::unlink("file"), 0);
  make_file("file", "new bytes");
  EXPECT_NE(status("file").st_ino, status(old.get()).st_ino);
  ASSERT_EQ(::pwrite(old.get(), "OLD", 3, 0), 3);
  EXPECT_TRUE(same(contents("file"), "new bytes"));
  EXPECT_TRUE(same(contents(old.get()), "OLD"));
}

TEST_F(Unlink, NothingOfAnOpenFileStaysInTheDirectory) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(::unlink("file"), 0);
  EXPECT_TRUE(names_in(".").empty());
  ASSERT_EQ(::write(fd.get(), "x", 1), 1);
  EXPECT_TRUE(names_in(".").empty());
}

TEST_F(Unlink, AFileWithoutANameIsReopenedThroughProc) {
  make_file("file", "bytes");
  const UniqueFd fd = opened("file", O_RDONLY);
  ASSERT_EQ(::unlink("file"), 0);
  const UniqueFd again = opened("/proc/self/fd/" + std::to_string(fd.get()), O_RDWR);
  ASSERT_TRUE(again);
  ASSERT_EQ(::pwrite(again.get(), "BY", 2, 0), 2);
  EXPECT_TRUE(same(contents(fd.get()), "BYtes"));
}

TEST_F(Unlink, AMappedFileKeepsItsBytes) {
  make_file("file", pattern(8192));
  UniqueFd fd = opened("file", O_RDONLY);
  void* map = ::mmap(nullptr, 8192, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  ASSERT_EQ(errno_of(map), 0);
  ASSERT_EQ(::unlink("file"), 0);
  fd.reset();
  EXPECT_EQ(std::string(static_cast<const char*>(map), 8192), pattern(8192));
  ::munmap(map, 8192);
}

TEST_F(Unlink, AFileThatWasNeverReadIsReadAfterIt) {
  make_file("file", pattern(300'000));
  const UniqueFd fd = opened("file", O_RDONLY);
  ASSERT_EQ(errno_of(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED)), 0);
  ASSERT_EQ(::unlink("file"), 0);
  EXPECT_TRUE(same(contents(fd.get()), pattern(300'000)));
}

TEST_F(Unlink, ManyOpenFilesWithoutNamesKeepTheirOwnBytes) {
  std::vector<UniqueFd> files;
  for (unsigned i = 0; i < 50; ++i) {
    files.push_back(opened("file", O_CREAT | O_EXCL | O_RDWR));
    const std::string bytes = pattern(5000, i);
    ASSERT_EQ(::write(files.back().get(), bytes.data(), bytes.size()), 5000);
    ASSERT_EQ(::unlink("file"), 0);
  }
  for (unsigned i = 0; i < 50; ++i) EXPECT_TRUE(same(contents(files[i].get()), pattern(5000, i)));
}

TEST_F(UnlinkOfLinks, OneNameOfTwoLeavesTheOther) {
  make_file("file", "bytes");
  ASSERT_EQ(::link("file", "other"), 0);
  const UniqueFd fd = opened("file", O_RDWR);
  let_the_clock_move();
  const auto before = ctime(status("other"));
  ASSERT_EQ(::unlink("file"), 0);
  EXPECT_EQ(status("other").st_nlink, 1U);
  EXPECT_EQ(status(fd.get()).st_nlink, 1U);
  EXPECT_GT(ctime(status("other")), before);
  ASSERT_EQ(::pwrite(fd.get(), "BY", 2, 0), 2);
  EXPECT_TRUE(same(contents("other"), "BYtes"));
}

TEST_F(UnlinkOfLinks, AFileWithoutANameGetsNoneBack) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(::unlink("file"), 0);
  const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
  EXPECT_EQ(errno_of(::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, "again", AT_SYMLINK_FOLLOW)), ENOENT);
}

}  // namespace
}  // namespace hearth::posix

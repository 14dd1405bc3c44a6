// utimensat, and which operation moves which time of a file and of its directory.
#include "tests/posix/suite.h"

#include <sys/xattr.h>
#include <unistd.h>

namespace hearth::posix {
namespace {

using Utimens = Posix;
using Times = Posix;
using TimesOfLinks = Needs<Feature::link>;
using TimesOfXattrs = Needs<Feature::user_xattr>;

Errno set_times(const char* name, timespec access, timespec modification, int flags = 0) {
  const timespec times[2] = {access, modification};
  return errno_of(::utimensat(AT_FDCWD, name, times, flags));
}
constexpr timespec now{0, UTIME_NOW}, omit{0, UTIME_OMIT};

// What moved between two looks: any of "m", "c"; the access time is not of interest.
std::string moved(const struct stat& before, const struct stat& after) {
  std::string letters;
  if (mtime(after) > mtime(before)) letters += "m";
  if (ctime(after) > ctime(before)) letters += "c";
  if (mtime(after) < mtime(before)) letters += " mtime went back";
  if (ctime(after) < ctime(before)) letters += " ctime went back";
  return letters;
}

// What `change` moves of `name`.
std::string moves(const std::string& name, const std::function<void()>& change) {
  const struct stat before = status(name);
  let_the_clock_move();
  change();
  return moved(before, status(name));
}

TEST_F(Utimens, SetsNanoseconds) {
  make_file("file");
  ASSERT_EQ(set_times("file", {1'234'567'890, 123'456'789}, {987'654'321, 999'999'999}), 0);
  const struct stat s = status("file");
  EXPECT_EQ(atime(s), 1'234'567'890'123'456'789);
  EXPECT_EQ(mtime(s), 987'654'321'999'999'999);
}

TEST_F(Utimens, TakesTimesFarAwayAndBefore1970) {
  make_file("file");
  for (const time_t seconds : {time_t{0}, time_t{-1}, time_t{-1'000'000'000}, time_t{2'147'483'648},
                               time_t{4'294'967'296}, time_t{9'000'000'000}}) {
    ASSERT_EQ(set_times("file", {seconds, 5}, {seconds, 7}), 0);
    EXPECT_EQ(status("file").st_mtim.tv_sec, seconds);
    EXPECT_EQ(status("file").st_mtim.tv_nsec, 7);
    EXPECT_EQ(status("file").st_atim.tv_sec, seconds);
  }
}

TEST_F(Utimens, OmitLeavesATime) {
  make_file("file");
  ASSERT_EQ(set_times("file", {1000, 1}, {2000, 2}), 0);
  ASSERT_EQ(set_times("file", {3000, 3}, omit), 0);
  EXPECT_EQ(status("file").st_mtim.tv_sec, 2000);
  EXPECT_EQ(status("file").st_atim.tv_sec, 3000);
  ASSERT_EQ(set_times("file", omit, {4000, 4}), 0);
  EXPECT_EQ(status("file").st_mtim.tv_sec, 4000);
  EXPECT_EQ(status("file").st_atim.tv_sec, 3000);
  const struct stat before = status("file");
  let_the_clock_move();
  ASSERT_EQ(set_times("file", omit, omit), 0);
  EXPECT_EQ(ctime(status("file")), ctime(before));
}

TEST_F(Utimens, NowIsTheClockOfChanges) {
  make_file("file");
  ASSERT_EQ(set_times("file", {1000, 1}, {2000, 2}), 0);
  let_the_clock_move();
  make_file("earlier");
  let_the_clock_move();
  ASSERT_EQ(set_times("file", now, now), 0);
  let_the_clock_move();
  make_file("later");
  EXPECT_GT(mtime(status("file")), mtime(status("earlier")));
  EXPECT_LT(mtime(status("file")), mtime(status("later")));
  EXPECT_GT(atime(status("file")), mtime(status("earlier")));
}

TEST_F(Utimens, MovesTheChangeTime) {
  make_file("file");
  EXPECT_EQ(moves("file", [] { ASSERT_EQ(set_times("file", {1000, 1}, omit), 0); }), "c");
}

TEST_F(Utimens, OfAnyTimeIsForTheOwner) {
  make_file("file", "", 0666);
  give("file", alice);
  as(alice, [] { EXPECT_EQ(set_times("file", {1, 1}, {2, 2}), 0); });
  as(bob, [] {
    EXPECT_EQ(set_times("file", {1, 1}, {2, 2}), EPERM);
    EXPECT_EQ(set_times("file", now, omit), EPERM) << "only both at once are a touch";
  });
}

TEST_F(Utimens, NowIsForThoseWhoMayWrite) {
  make_file("writable", "", 0666);
  make_file("readable", "", 0644);
  as(bob, [] {
    EXPECT_EQ(set_times("writable", now, now), 0);
    EXPECT_EQ(errno_of(::utimensat(AT_FDCWD, "writable", nullptr, 0)), 0);
    EXPECT_EQ(set_times("readable", now, now), EACCES);
    EXPECT_EQ(errno_of(::utimensat(AT_FDCWD, "readable", nullptr, 0)), EACCES);
  });
}

TEST_F(Utimens, OfASymlinkItself) {
  make_file("file");
  ASSERT_EQ(::symlink("file", "link"), 0);
  ASSERT_EQ(set_times("file", {1000, 0}, {1000, 0}), 0);
  ASSERT_EQ(set_times("link", {2000, 0}, {2000, 0}, AT_SYMLINK_NOFOLLOW), 0);
  EXPECT_EQ(status("file").st_mtim.tv_sec, 1000);
  EXPECT_EQ(status("link").st_mtim.tv_sec, 2000);
  ASSERT_EQ(set_times("link", {3000, 0}, {3000, 0}), 0);
  EXPECT_EQ(status("file").st_mtim.tv_sec, 3000);
}

TEST_F(Utimens, RefusesNonsense) {
  make_file("file");
  EXPECT_EQ(set_times("file", {1, 1'000'000'000}, {1, 1}), EINVAL);
  EXPECT_EQ(set_times("absent", now, now), ENOENT);
}

TEST_F(Utimens, OfAnOpenFileThatIsWrittenAfterwardsIsLost) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(set_times("file", {1000, 0}, {1000, 0}), 0);
  ASSERT_EQ(::pwrite(fd.get(), "x", 1, 0), 1);
  EXPECT_GT(status("file").st_mtim.tv_sec, 1000);
}

TEST_F(Utimens, AfterAWriteStaysAfterTheClose) {
  {
    const UniqueFd fd = opened("file", O_CREAT | O_EXCL | O_RDWR);
    ASSERT_EQ(::pwrite(fd.get(), "bytes", 5, 0), 5);
    const timespec times[2] = {{1000, 1}, {2000, 2}};  // as tar, rsync and cp -p do
    ASSERT_EQ(errno_of(::futimens(fd.get(), times)), 0);
  }
  EXPECT_EQ(mtime(status("file")), 2'000'000'000'002);
  EXPECT_TRUE(same(contents("file"), "bytes"));
  EXPECT_EQ(mtime(status("file")), 2'000'000'000'002);
}

TEST_F(Times, OfANewFileAreNow) {
  make_file("earlier");
  let_the_clock_move();
  make_file("file");
  make_directory("directory");
  ASSERT_EQ(::symlink("x", "link"), 0);
  const long long limit = mtime(status("earlier"));
  for (const char* name : {"file", "directory", "link"}) {
    const struct stat s = status(name);
    EXPECT_GT(mtime(s), limit) << name;
    EXPECT_GT(ctime(s), limit) << name;
    EXPECT_GT(atime(s), limit) << name;
  }
}

TEST_F(Times, CreatingAndRemovingNamesMovesTheDirectorys) {
  make_directory("d");
  EXPECT_EQ(moves("d", [] { make_file("d/file"); }), "mc");
  EXPECT_EQ(moves("d", [] { make_directory("d/directory"); }), "mc");
  EXPECT_EQ(moves("d", [] { ASSERT_EQ(::symlink("x", "d/link"), 0); }), "mc");
  EXPECT_EQ(moves("d", [] { ASSERT_EQ(::rename("d/file", "d/moved"), 0); }), "mc");
  EXPECT_EQ(moves("d", [] { ASSERT_EQ(::unlink("d/moved"), 0); }), "mc");
  EXPECT_EQ(moves("d", [] { ASSERT_EQ(::rmdir("d/directory"), 0); }), "mc");
}

TEST_F(Times, RenameMovesThoseOfBothDirectories) {
  make_directory("one");
  make_directory("two");
  make_file("one/file");
  const struct stat one = status("one"), two = status("two");
  let_the_clock_move();
  ASSERT_EQ(::rename("one/file", "two/file"), 0);
  EXPECT_EQ(moved(one, status("one")), "mc");
  EXPECT_EQ(moved(two, status("two")), "mc");
}

TEST_F(Times, RenameDoesNotMoveTheModificationTime) {
  make_file("file");
  const struct stat before = status("file");
  let_the_clock_move();
  ASSERT_EQ(::rename("file", "moved"), 0);
  EXPECT_EQ(mtime(status("moved")), mtime(before));
}

TEST_F(Times, WritingMovesTheFilesAndNotTheDirectorys) {
  make_directory("d");
  make_file("d/file", "bytes");
  const struct stat directory = status("d");
  EXPECT_EQ(moves("d/file",
                  [] {
                    const UniqueFd fd = opened("d/file", O_WRONLY);
                    ASSERT_EQ(::pwrite(fd.get(), "B", 1, 0), 1);
                  }),
            "mc");
  EXPECT_EQ(moved(directory, status("d")), "");
}

TEST_F(Times, WritingIsSeenByFstatBeforeTheClose) {
  make_file("file", "bytes");
  const UniqueFd fd = opened("file", O_WRONLY);
  EXPECT_EQ(moves("file", [&] { ASSERT_EQ(::pwrite(fd.get(), "B", 1, 0), 1); }), "mc");
  EXPECT_EQ(mtime(status(fd.get())), mtime(status("file")));
}

TEST_F(Times, DoNotMoveAtTheCloseOrAtASync) {
  make_file("file", "bytes");
  UniqueFd fd = opened("file", O_WRONLY);
  ASSERT_EQ(::pwrite(fd.get(), "B", 1, 0), 1);
  const struct stat before = status("file");
  let_the_clock_move();
  ASSERT_EQ(::fsync(fd.get()), 0);
  EXPECT_EQ(mtime(status("file")), mtime(before));
  fd.reset();
  EXPECT_EQ(mtime(status("file")), mtime(before));
}

TEST_F(Times, WritingNothingMovesNone) {
  make_file("file", "bytes");
  EXPECT_EQ(moves("file",
                  [] {
                    const UniqueFd fd = opened("file", O_WRONLY);
                    ASSERT_EQ(::pwrite(fd.get(), "", 0, 0), 0);
                  }),
            "");
}

TEST_F(Times, ReadingMovesNeitherModificationNorChange) {
  make_file("file", "bytes");
  EXPECT_EQ(moves("file", [] { EXPECT_TRUE(same(contents("file"), "bytes")); }), "");
}

TEST_F(Times, TruncatingMovesBothAlsoOfAnEmptyFile) {
  make_file("file", "bytes");
  EXPECT_EQ(moves("file", [] { ASSERT_EQ(::truncate("file", 3), 0); }), "mc");
  EXPECT_EQ(moves("file", [] { ASSERT_EQ(::truncate("file", 10), 0); }), "mc");
  EXPECT_EQ(moves("file", [] { EXPECT_EQ(errno_of_open("file", O_WRONLY | O_TRUNC), 0); }), "mc");
  EXPECT_EQ(moves("file", [] { EXPECT_EQ(errno_of_open("file", O_WRONLY | O_TRUNC), 0); }), "mc")
      << "of an empty file too";
}

TEST_F(Times, ChmodAndChownMoveTheChangeTimeOnly) {
  make_file("file");
  make_directory("directory");
  for (const std::string name : {"file", "directory"}) {
    EXPECT_EQ(moves(name, [&] { ASSERT_EQ(::chmod(name.c_str(), 0700), 0); }), "c") << name;
    EXPECT_EQ(moves(name, [&] { ASSERT_EQ(::chown(name.c_str(), alice.uid, alice.gid), 0); }), "c") << name;
  }
}

TEST_F(Times, AFailedChangeMovesNone) {
  make_directory("d");
  make_file("d/file", "bytes", 0644);
  const struct stat directory = status("d");
  EXPECT_EQ(moves("d/file",
                  [] {
                    as(alice, [] {
                      EXPECT_EQ(errno_of(::chmod("d/file", 0777)), EPERM);
                      EXPECT_EQ(errno_of(::truncate("d/file", 0)), EACCES);
                      EXPECT_EQ(errno_of(::unlink("d/file")), EACCES);
                      EXPECT_EQ(errno_of_open("d/new", O_CREAT | O_RDWR), EACCES);
                    });
                  }),
            "");
  EXPECT_EQ(moved(directory, status("d")), "");
}

TEST_F(Times, OpeningMovesNone) {
  make_file("file");
  EXPECT_EQ(moves("file", [] { EXPECT_EQ(errno_of_open("file", O_RDWR | O_CREAT), 0); }), "");
}

TEST_F(Times, ReadingNeverMovesTheAccessTimeBack) {
  make_file("file", "bytes");
  const long long before = atime(status("file"));
  let_the_clock_move();
  EXPECT_TRUE(same(contents("file"), "bytes"));
  EXPECT_GE(atime(status("file")), before);
}

TEST_F(Times, NoAtimeIsForTheOwner) {
  make_file("file", "bytes", 0666);
  give("file", alice);
  as(alice, [] {
    const UniqueFd fd = opened("file", O_RDONLY | O_NOATIME);
    const long long before = atime(status("file"));
    let_the_clock_move();
    EXPECT_TRUE(same(contents(fd.get()), "bytes"));
    EXPECT_EQ(atime(status("file")), before);
  });
  as(bob, [] { EXPECT_EQ(errno_of_open("file", O_RDONLY | O_NOATIME), EPERM); });
}

TEST_F(TimesOfLinks, LinkMovesTheChangeTimeOfTheFileAndTheDirectorys) {
  make_directory("d");
  make_file("file");
  const struct stat directory = status("d");
  EXPECT_EQ(moves("file", [] { ASSERT_EQ(::link("file", "d/link"), 0); }), "c");
  EXPECT_EQ(moved(directory, status("d")), "mc");
}

TEST_F(TimesOfXattrs, SettingAndRemovingMoveTheChangeTimeOnly) {
  make_file("file");
  EXPECT_EQ(moves("file", [] { ASSERT_EQ(errno_of(::setxattr("file", "user.a", "1", 1, 0)), 0); }), "c");
  EXPECT_EQ(moves("file", [] { ASSERT_EQ(errno_of(::removexattr("file", "user.a")), 0); }), "c");
}

}  // namespace
}  // namespace hearth::posix

// Names and paths: lengths, bytes, slashes; and what stat says about a file over its life.
#include "tests/posix/suite.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

namespace hearth::posix {
namespace {

using Name = Posix;
using Identity = Posix;
using Statfs = Posix;

TEST_F(Name, Of255BytesIsTheLongest) {
  const std::string longest(255, 'n'), longer(256, 'n');
  make_file(longest, "bytes");
  EXPECT_TRUE(same(contents(longest), "bytes"));
  EXPECT_EQ(names_in("."), std::vector<std::string>{longest});
  ASSERT_EQ(::unlink(longest.c_str()), 0);
  struct stat s;
  make_file("file");
  EXPECT_EQ(errno_of_open(longer, O_CREAT | O_RDWR), ENAMETOOLONG);
  EXPECT_EQ(errno_of(::mkdir(longer.c_str(), 0755)), ENAMETOOLONG);
  EXPECT_EQ(errno_of(::symlink("x", longer.c_str())), ENAMETOOLONG);
  EXPECT_EQ(errno_of(::rename("file", longer.c_str())), ENAMETOOLONG);
  EXPECT_EQ(errno_of(::rename(longer.c_str(), "file")), ENAMETOOLONG);
  EXPECT_EQ(errno_of(::stat(longer.c_str(), &s)), ENAMETOOLONG);
  EXPECT_EQ(errno_of(::unlink(longer.c_str())), ENAMETOOLONG);
  EXPECT_EQ(errno_of(::stat((longer + "/file").c_str(), &s)), ENAMETOOLONG);
  EXPECT_EQ(names_in("."), std::vector<std::string>{"file"});
}

TEST_F(Name, LongDirectoriesAndSymlinks) {
  const std::string longest(255, 'd');
  make_directory(longest);
  make_file(longest + "/" + longest, "deep");
  EXPECT_TRUE(same(contents(longest + "/" + longest), "deep"));
  ASSERT_EQ(::rename(longest.c_str(), std::string(255, 'e').c_str()), 0);
  EXPECT_TRUE(same(contents(std::string(255, 'e') + "/" + longest), "deep"));
}

TEST_F(Name, PathsEndAtPathMax) {
  make_file("file", "bytes");
  std::string path = "file";
  while (path.size() + 2 < PATH_MAX) path = "./" + path;
  EXPECT_TRUE(same(contents(path), "bytes")) << path.size() << " bytes";
  struct stat s;
  EXPECT_EQ(errno_of(::stat(("././" + path).c_str(), &s)), ENAMETOOLONG);
}

TEST_F(Name, IsAnyByteButSlashAndZero) {
  std::vector<std::string> expected;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/' || byte == '.') continue;
    expected.emplace_back(1, static_cast<char>(byte));
    make_file(expected.back(), expected.back());
  }
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(names_in("."), expected);
  for (const std::string& name : expected) EXPECT_TRUE(same(contents(name), name));
}

TEST_F(Name, ThatIsNoUtf8IsKept) {
  for (const std::string name : {"\xff\xfe", "caf\xe9", "\xc0\x80", "\xed\xa0\x80", "a\x80z"}) {
    make_directory(name);
    make_file(name + "/" + name, "bytes");
    EXPECT_TRUE(same(contents(name + "/" + name), "bytes"));
    EXPECT_EQ(names_in(name), std::vector<std::string>{name});
    ASSERT_EQ(::rename((name + "/" + name).c_str(), "moved"), 0);
    ASSERT_EQ(::rename("moved", (name + "/again" + name).c_str()), 0);
    EXPECT_EQ(names_in(name), std::vector<std::string>{"again" + name});
  }
}

TEST_F(Name, CaseAndUnicodeFormsAreDifferentNames) {
  const std::vector<std::string> names = {"a", "A", "\xc3\xa9", "e\xcc\x81", " ", "  ", "a ", ".a", "..a", "a.", "..."};
  for (const std::string& name : names) make_file(name, name);
  for (const std::string& name : names) EXPECT_TRUE(same(contents(name), name));
  EXPECT_EQ(names_in(".").size(), names.size());
}

TEST_F(Name, SlashesMayRepeatAndDotIsHere) {
  make_directory("d");
  make_file("d/file", "bytes");
  for (const char* path : {"d//file", ".//d/./file", "d/../d/file", "./././d////file"})
    EXPECT_TRUE(same(contents(path), "bytes")) << path;
}

TEST_F(Name, TrailingSlashOfAFileIsRefused) {
  make_file("file");
  make_directory("d");
  ASSERT_EQ(::symlink("d", "link"), 0);
  struct stat s;
  EXPECT_EQ(errno_of(::stat("file/", &s)), ENOTDIR);
  EXPECT_EQ(errno_of(::stat("file/.", &s)), ENOTDIR);
  EXPECT_EQ(errno_of(::lstat("d/", &s)), 0);
  EXPECT_EQ(errno_of(::lstat("link/", &s)), 0);
  EXPECT_TRUE(S_ISDIR(s.st_mode)) << "a slash follows the symlink";
  EXPECT_EQ(errno_of(::truncate("file/", 0)), ENOTDIR);
  EXPECT_EQ(errno_of(::chmod("file/", 0644)), ENOTDIR);
}

TEST_F(Name, IsLookedUpAnewAfterEachChange) {
  for (int round = 0; round < 50; ++round) {
    EXPECT_FALSE(exists("name"));
    make_file("name", std::to_string(round));
    EXPECT_TRUE(same(contents("name"), std::to_string(round)));
    ASSERT_EQ(::unlink("name"), 0);
    EXPECT_FALSE(exists("name"));
    make_directory("name");
    EXPECT_TRUE(S_ISDIR(status("name").st_mode));
    ASSERT_EQ(::rmdir("name"), 0);
  }
}

TEST_F(Identity, StaysOverAllThatDoesNotReplaceTheFile) {
  make_file("file", "bytes");
  make_directory("d");
  const ino_t number = status("file").st_ino;
  const dev_t device = status("file").st_dev;
  const UniqueFd fd = opened("file", O_RDWR);
  const auto same = [&](const char* name) {
    return status(name).st_ino == number && status(name).st_dev == device && status(fd.get()).st_ino == number;
  };
  ASSERT_EQ(::pwrite(fd.get(), "more", 4, 5'000'000), 4);
  EXPECT_TRUE(same("file"));
  ASSERT_EQ(::chmod("file", 0600), 0);
  EXPECT_TRUE(same("file"));
  ASSERT_EQ(::chown("file", alice.uid, alice.gid), 0);
  EXPECT_TRUE(same("file"));
  ASSERT_EQ(::truncate("file", 1), 0);
  EXPECT_TRUE(same("file"));
  ASSERT_EQ(::fsync(fd.get()), 0);
  EXPECT_TRUE(same("file"));
  ASSERT_EQ(::rename("file", "d/moved"), 0);
  EXPECT_TRUE(same("d/moved"));
  ASSERT_EQ(::rename("d", "e"), 0);
  EXPECT_TRUE(same("e/moved"));
}

TEST_F(Identity, OfFilesThatLiveTogetherDiffers) {
  std::vector<ino_t> numbers;
  for (int i = 0; i < 300; ++i) {
    make_file(std::to_string(i));
    numbers.push_back(status(std::to_string(i)).st_ino);
  }
  std::sort(numbers.begin(), numbers.end());
  EXPECT_EQ(std::adjacent_find(numbers.begin(), numbers.end()), numbers.end());
  EXPECT_NE(numbers.front(), 0U);
}

TEST_F(Identity, SizesAndBlocksOfAFileMakeSense) {
  make_file("empty");
  make_file("file", pattern(1'000'000));
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(::fsync(fd.get()), 0);
  EXPECT_EQ(status("empty").st_size, 0);
  EXPECT_EQ(status("file").st_size, 1'000'000);
  EXPECT_GT(status("file").st_blocks, 0);
  EXPECT_LE(status("file").st_blocks, 2 * 1'000'000 / 512);
  EXPECT_GE(status("file").st_blksize, 512);
}

TEST_F(Statfs, SaysWhatCanBe) {
  make_file("file");
  struct statvfs s;
  ASSERT_EQ(errno_of(::statvfs("file", &s)), 0);
  EXPECT_GT(s.f_bsize, 0U);
  EXPECT_GT(s.f_frsize, 0U);
  EXPECT_GT(s.f_blocks, 0U);
  EXPECT_LE(s.f_bfree, s.f_blocks);
  EXPECT_LE(s.f_bavail, s.f_blocks);
  EXPECT_LE(s.f_ffree, s.f_files);
  EXPECT_EQ(s.f_namemax, 255U);
  EXPECT_EQ(s.f_flag & ST_RDONLY, 0U);
  const UniqueFd fd = opened("file", O_RDONLY);
  struct statvfs by_handle;
  ASSERT_EQ(errno_of(::fstatvfs(fd.get(), &by_handle)), 0);
  EXPECT_EQ(by_handle.f_blocks, s.f_blocks);
  EXPECT_EQ(errno_of(::statvfs("absent", &s)), ENOENT);
}

}  // namespace
}  // namespace hearth::posix

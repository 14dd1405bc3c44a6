// open, creat, umask, descriptors and their modes.
#include "tests/posix/suite.h"

#include <sys/wait.h>
#include <unistd.h>

namespace hearth::posix {
namespace {

using Open = Posix;
using OpenUnnamed = Needs<Feature::tmpfile>;

TEST_F(Open, OfAMissingNameIsRefused) {
  EXPECT_EQ(errno_of_open("absent", O_RDONLY), ENOENT);
  EXPECT_EQ(errno_of_open("absent", O_RDWR), ENOENT);
  EXPECT_EQ(errno_of_open("absent/file", O_CREAT | O_RDWR), ENOENT);
}

TEST_F(Open, BelowAFileIsRefused) {
  make_file("file");
  EXPECT_EQ(errno_of_open("file/below", O_RDONLY), ENOTDIR);
  EXPECT_EQ(errno_of_open("file/below", O_CREAT | O_RDWR), ENOTDIR);
}

TEST_F(Open, CreatesAnEmptyRegularFileOfTheCaller) {
  as(alice, [] { EXPECT_EQ(errno_of_open("file", O_CREAT | O_WRONLY, 0640), 0); });
  const struct stat s = status("file");
  EXPECT_TRUE(S_ISREG(s.st_mode));
  EXPECT_EQ(s.st_mode & 07777U, 0640U);
  EXPECT_EQ(s.st_uid, alice.uid);
  EXPECT_EQ(s.st_gid, alice.gid);
  EXPECT_EQ(s.st_size, 0);
  EXPECT_EQ(s.st_nlink, 1U);
}

TEST_F(Open, UmaskTakesBitsOfTheMode) {
  for (const mode_t mask : {0U, 022U, 077U, 0777U, 0123U}) {
    ::umask(mask);
    const std::string name = "file" + std::to_string(mask);
    EXPECT_EQ(errno_of_open(name, O_CREAT | O_WRONLY, 0777), 0);
    EXPECT_EQ(permissions(name), 0777U & ~mask) << "umask " << mask;
  }
}

TEST_F(Open, CreatesWithSetuidSetgidAndStickyBits) {
  ::umask(0);
  EXPECT_EQ(errno_of_open("file", O_CREAT | O_WRONLY, 07755), 0);
  EXPECT_EQ(permissions("file"), 07755U);
}

TEST_F(Open, CreateLeavesAnExistingFileAsItIs) {
  make_file("file", "bytes", 0600);
  EXPECT_EQ(errno_of_open("file", O_CREAT | O_RDWR, 0777), 0);
  EXPECT_EQ(permissions("file"), 0600U);
  EXPECT_TRUE(same(contents("file"), "bytes"));
}

TEST_F(Open, AHandleOfTheCreatorMayWriteWhateverTheMode) {
  as(alice, [] {
    for (const mode_t mode : {0000U, 0400U, 0200U}) {
      const std::string name = "file" + std::to_string(mode);
      const UniqueFd fd = opened(name, O_CREAT | O_EXCL | O_RDWR, mode);
      EXPECT_EQ(::pwrite(fd.get(), "bytes", 5, 0), 5) << mode;
      EXPECT_TRUE(same(contents(fd.get()), "bytes"));
      EXPECT_EQ(errno_of_open(name, O_RDWR), EACCES);
    }
  });
}

TEST_F(Open, ExclusiveRefusesAnyExistingName) {
  make_file("file");
  make_directory("directory");
  ASSERT_EQ(::symlink("absent", "dangling"), 0);
  ASSERT_EQ(::symlink("file", "link"), 0);
  for (const char* name : {"file", "directory", "dangling", "link"}) {
    EXPECT_EQ(errno_of_open(name, O_CREAT | O_EXCL | O_RDWR), EEXIST) << name;
  }
  EXPECT_FALSE(exists("absent"));
}

TEST_F(Open, ExclusiveHasOneWinner) {
  for (int round = 0; round < 20; ++round) {
    const std::string name = "file" + std::to_string(round);
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    std::vector<pid_t> children;
    for (int i = 0; i < 4; ++i) {
      const pid_t child = ::fork();
      if (child == 0) {
        char byte;
        ::close(ready[1]);
        if (::read(ready[0], &byte, 1) != 0) ::_exit(3);  // the start is the end of the pipe
        ::_exit(errno_of_open(name, O_CREAT | O_EXCL | O_RDWR).value == 0 ? 1 : 0);
      }
      children.push_back(child);
    }
    ::close(ready[0]);
    ::close(ready[1]);
    int winners = 0;
    for (const pid_t child : children) {
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      winners += WEXITSTATUS(status);
    }
    EXPECT_EQ(winners, 1);
  }
}

TEST_F(Open, CreateGoesThroughADanglingSymlink) {
  ASSERT_EQ(::symlink("target", "link"), 0);
  EXPECT_EQ(errno_of_open("link", O_CREAT | O_RDWR), 0);
  EXPECT_TRUE(S_ISREG(status("target").st_mode));
  EXPECT_TRUE(S_ISLNK(status("link").st_mode));
}

TEST_F(Open, TruncateEmptiesTheFile) {
  make_file("file", pattern(100'000));
  EXPECT_EQ(errno_of_open("file", O_WRONLY | O_TRUNC), 0);
  EXPECT_EQ(status("file").st_size, 0);
  EXPECT_TRUE(same(contents("file"), ""));
}

TEST_F(Open, TruncateIsSeenByHandlesThatAreOpen) {
  make_file("file", pattern(100'000));
  const UniqueFd fd = opened("file", O_RDWR);
  char byte;
  ASSERT_EQ(::pread(fd.get(), &byte, 1, 50'000), 1);
  EXPECT_EQ(errno_of_open("file", O_WRONLY | O_TRUNC), 0);
  EXPECT_EQ(::pread(fd.get(), &byte, 1, 0), 0);
  ASSERT_EQ(::pwrite(fd.get(), "x", 1, 10), 1);
  EXPECT_TRUE(same(contents("file"), std::string(10, '\0') + "x")) << "old bytes must not come back";
}

TEST_F(Open, TruncateNeedsWritePermission) {
  make_file("file", "bytes", 0644);
  as(alice, [] {
    EXPECT_EQ(errno_of_open("file", O_WRONLY | O_TRUNC), EACCES);
    EXPECT_EQ(errno_of_open("file", O_RDONLY | O_TRUNC), EACCES);
  });
  EXPECT_TRUE(same(contents("file"), "bytes"));
}

TEST_F(Open, NoFollowRefusesASymlinkAtTheEndOnly) {
  make_directory("directory");
  make_file("directory/file");
  ASSERT_EQ(::symlink("directory", "link"), 0);
  ASSERT_EQ(::symlink("directory/file", "filelink"), 0);
  EXPECT_EQ(errno_of_open("filelink", O_RDONLY | O_NOFOLLOW), ELOOP);
  EXPECT_EQ(errno_of_open("filelink", O_RDWR | O_CREAT | O_NOFOLLOW), ELOOP);
  EXPECT_EQ(errno_of_open("link/file", O_RDONLY | O_NOFOLLOW), 0);
}

TEST_F(Open, DirectoryFlagDemandsOne) {
  make_file("file");
  make_directory("directory");
  ASSERT_EQ(::symlink("directory", "link"), 0);
  EXPECT_EQ(errno_of_open("file", O_RDONLY | O_DIRECTORY), ENOTDIR);
  EXPECT_EQ(errno_of_open("directory", O_RDONLY | O_DIRECTORY), 0);
  EXPECT_EQ(errno_of_open("link", O_RDONLY | O_DIRECTORY), 0);
  EXPECT_EQ(errno_of_open("link", O_RDONLY | O_DIRECTORY | O_NOFOLLOW), ENOTDIR);
}

TEST_F(Open, ADirectoryIsNotOpenedForWriting) {
  make_directory("directory");
  EXPECT_EQ(errno_of_open("directory", O_WRONLY), EISDIR);
  EXPECT_EQ(errno_of_open("directory", O_RDWR), EISDIR);
  EXPECT_EQ(errno_of_open("directory", O_RDONLY | O_CREAT), EISDIR);
  EXPECT_EQ(errno_of_open("directory", O_RDONLY | O_TRUNC), EISDIR);
  EXPECT_EQ(errno_of_open("directory", O_RDONLY), 0);
}

TEST_F(Open, ADirectoryIsNotReadAsAFile) {
  make_directory("directory");
  const UniqueFd fd = opened("directory", O_RDONLY);
  char byte;
  EXPECT_EQ(errno_of(::read(fd.get(), &byte, 1)), EISDIR);
  EXPECT_EQ(errno_of(::pread(fd.get(), &byte, 1, 0)), EISDIR);
  EXPECT_EQ(errno_of(::write(fd.get(), "x", 1)), EBADF);
}

TEST_F(Open, TrailingSlashDemandsADirectory) {
  make_file("file");
  EXPECT_EQ(errno_of_open("file/", O_RDONLY), ENOTDIR);
  EXPECT_EQ(errno_of_open("new/", O_CREAT | O_RDWR), EISDIR);
  EXPECT_FALSE(exists("new"));
}

TEST_F(Open, AReadOnlyDescriptorDoesNotWrite) {
  make_file("file", "bytes");
  const UniqueFd fd = opened("file", O_RDONLY);
  EXPECT_EQ(errno_of(::write(fd.get(), "x", 1)), EBADF);
  EXPECT_EQ(errno_of(::pwrite(fd.get(), "x", 1, 0)), EBADF);
  EXPECT_EQ(errno_of(::ftruncate(fd.get(), 0)), EINVAL);
  EXPECT_TRUE(same(contents("file"), "bytes"));
}

TEST_F(Open, AWriteOnlyDescriptorDoesNotRead) {
  make_file("file", "bytes");
  const UniqueFd fd = opened("file", O_WRONLY);
  char byte;
  EXPECT_EQ(errno_of(::read(fd.get(), &byte, 1)), EBADF);
  EXPECT_EQ(errno_of(::pread(fd.get(), &byte, 1, 0)), EBADF);
}

TEST_F(Open, AClosedDescriptorDoesNothing) {
  make_file("file");
  UniqueFd fd = opened("file", O_RDWR);
  const int number = fd.get();
  fd.reset();
  char byte;
  EXPECT_EQ(errno_of(::read(number, &byte, 1)), EBADF);
  EXPECT_EQ(errno_of(::fsync(number)), EBADF);
}

TEST_F(Open, APathDescriptorNamesAndDoesNotRead) {
  make_file("file", "bytes", 0000);
  as(alice, [] {
    const UniqueFd fd = opened("file", O_PATH);
    char byte;
    EXPECT_EQ(errno_of(::read(fd.get(), &byte, 1)), EBADF);
    EXPECT_EQ(errno_of(::fchmod(fd.get(), 0777)), EBADF);
    EXPECT_EQ(status(fd.get()).st_ino, status("file").st_ino);
  });
}

TEST_F(Open, AppendWritesAtTheEndWhateverTheOffset) {
  make_file("file", "12345");
  const UniqueFd fd = opened("file", O_RDWR | O_APPEND);
  ASSERT_EQ(::lseek(fd.get(), 0, SEEK_SET), 0);
  ASSERT_EQ(::write(fd.get(), "ab", 2), 2);
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_CUR), 7);
  EXPECT_TRUE(same(contents("file"), "12345ab"));
}

TEST_F(Open, AppendSeesWhatOthersAppended) {
  make_file("file", "0");
  const UniqueFd one = opened("file", O_WRONLY | O_APPEND), two = opened("file", O_WRONLY | O_APPEND);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(::write(one.get(), "a", 1), 1);
    ASSERT_EQ(::write(two.get(), "bb", 2), 2);
  }
  EXPECT_TRUE(same(contents("file"), "0abbabbabb"));
}

TEST_F(Open, AppendOfProcessesLosesNothing) {
  make_file("file");
  std::vector<pid_t> children;
  constexpr int each = 200;
  for (const char letter : {'a', 'b', 'c'}) {
    const pid_t child = ::fork();
    if (child == 0) {
      const UniqueFd fd(::open("file", O_WRONLY | O_APPEND | O_CLOEXEC));
      const std::string record(17, letter);
      for (int i = 0; i < each; ++i) {
        if (::write(fd.get(), record.data(), record.size()) != 17) ::_exit(1);
      }
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  const std::string all = contents("file");
  ASSERT_EQ(all.size(), 3U * each * 17);
  for (std::size_t at = 0; at < all.size(); at += 17) EXPECT_EQ(all.substr(at, 17), std::string(17, all[at]));
}

TEST_F(Open, AppendIsSwitchedOnByFcntl) {
  make_file("file", "12345");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(::fcntl(fd.get(), F_SETFL, O_APPEND), 0);
  ASSERT_EQ(::write(fd.get(), "ab", 2), 2);
  ASSERT_EQ(::fcntl(fd.get(), F_SETFL, 0), 0);
  ASSERT_EQ(::pwrite(fd.get(), "X", 1, 0), 1);
  EXPECT_TRUE(same(contents("file"), "X2345ab"));
}

TEST_F(Open, SeeksRelativeToStartCurrentAndEnd) {
  make_file("file", pattern(1000));
  const UniqueFd fd = opened("file", O_RDONLY);
  EXPECT_EQ(::lseek(fd.get(), 10, SEEK_SET), 10);
  EXPECT_EQ(::lseek(fd.get(), 5, SEEK_CUR), 15);
  EXPECT_EQ(::lseek(fd.get(), -1, SEEK_END), 999);
  EXPECT_EQ(::lseek(fd.get(), 10, SEEK_END), 1010);
  char byte;
  EXPECT_EQ(::read(fd.get(), &byte, 1), 0);
  EXPECT_EQ(errno_of(::lseek(fd.get(), -1, SEEK_SET)), EINVAL);
  EXPECT_EQ(errno_of(::lseek(fd.get(), 0, 99)), EINVAL);
}

TEST_F(Open, ADuplicateSharesTheOffsetAndTwoOpensDoNot) {
  make_file("file", "0123456789");
  const UniqueFd one = opened("file", O_RDONLY), other = opened("file", O_RDONLY), same(::dup(one.get()));
  ASSERT_EQ(::lseek(one.get(), 5, SEEK_SET), 5);
  EXPECT_EQ(::lseek(same.get(), 0, SEEK_CUR), 5);
  EXPECT_EQ(::lseek(other.get(), 0, SEEK_CUR), 0);
}

TEST_F(Open, TwoOpensSeeEachOthersWritesAtOnce) {
  make_file("file", pattern(10'000));
  const UniqueFd writer = opened("file", O_RDWR), reader = opened("file", O_RDONLY);
  ASSERT_EQ(contents(reader.get()), pattern(10'000));
  for (int i = 0; i < 50; ++i) {
    const std::string bytes = pattern(100, static_cast<unsigned>(i + 7));
    const off_t at = i * 397;
    ASSERT_EQ(::pwrite(writer.get(), bytes.data(), bytes.size(), at), 100);
    std::string seen(100, '\0');
    ASSERT_EQ(::pread(reader.get(), seen.data(), seen.size(), at), 100);
    EXPECT_EQ(seen, bytes);
    EXPECT_EQ(status("file").st_size, status(writer.get()).st_size);
  }
}

TEST_F(Open, AProcessSeesWritesOfAnotherAtOnce) {
  make_file("file", "before");
  const UniqueFd fd = opened("file", O_RDWR);
  EXPECT_EQ(in_child([] { return contents("file") == "before" ? 0 : 1; }), 0);
  ASSERT_EQ(::pwrite(fd.get(), "AFTER!!", 7, 0), 7);
  EXPECT_EQ(in_child([] { return contents("file") == "AFTER!!" ? 0 : 1; }), 0);
}

TEST_F(Open, AnInheritedDescriptorGoesOnAfterItsOpenerIsGone) {
  make_file("file", "0123456789");
  const UniqueFd fd = opened("file", O_RDWR);
  EXPECT_EQ(in_child([&] { return ::write(fd.get(), "abc", 3) == 3 ? 0 : 1; }), 0);
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_CUR), 3) << "one offset for both";
  ASSERT_EQ(::write(fd.get(), "def", 3), 3);
  EXPECT_TRUE(same(contents("file"), "abcdef6789"));
}

TEST_F(Open, ManyFilesAreOpenAtOnce) {
  std::vector<UniqueFd> files;
  for (int i = 0; i < 500; ++i) {
    files.push_back(opened("file" + std::to_string(i), O_CREAT | O_EXCL | O_RDWR));
    ASSERT_TRUE(files.back());
    const std::string text = std::to_string(i);
    ASSERT_EQ(::pwrite(files.back().get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  for (std::size_t i = 0; i < files.size(); ++i) EXPECT_TRUE(same(contents(files[i].get()), std::to_string(i)));
}

TEST_F(Open, FilesAreOpenedRelativeToADirectoryThatMoved) {
  make_directory("directory");
  make_file("directory/file", "bytes");
  const UniqueFd directory = opened("directory", O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::rename("directory", "moved"), 0);
  const UniqueFd fd(::openat(directory.get(), "file", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(same(contents(fd.get()), "bytes"));
}

TEST_F(OpenUnnamed, AFileWithoutANameWorks) {
  const UniqueFd fd = opened(".", O_TMPFILE | O_RDWR, 0640);
  ASSERT_TRUE(fd);
  EXPECT_TRUE(names_in(".").empty());
  const std::string bytes = pattern(10'000);
  ASSERT_EQ(::write(fd.get(), bytes.data(), bytes.size()), 10'000);
  EXPECT_TRUE(same(contents(fd.get()), bytes));
  EXPECT_EQ(status(fd.get()).st_nlink, 0U);
  EXPECT_EQ(status(fd.get()).st_mode, S_IFREG | 0640U);
}

TEST_F(OpenUnnamed, AFileWithoutANameIsGivenOne) {
  const UniqueFd fd = opened(".", O_TMPFILE | O_RDWR);
  ASSERT_TRUE(fd);
  ASSERT_EQ(::write(fd.get(), "bytes", 5), 5);
  const std::string link = "/proc/self/fd/" + std::to_string(fd.get());
  ASSERT_EQ(errno_of(::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, "named", AT_SYMLINK_FOLLOW)), 0);
  EXPECT_TRUE(same(contents("named"), "bytes"));
  EXPECT_EQ(status(fd.get()).st_nlink, 1U);
}

TEST_F(OpenUnnamed, AnExclusiveFileWithoutANameIsGivenNone) {
  const UniqueFd fd = opened(".", O_TMPFILE | O_EXCL | O_RDWR);
  ASSERT_TRUE(fd);
  const std::string link = "/proc/self/fd/" + std::to_string(fd.get());
  EXPECT_EQ(errno_of(::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, "named", AT_SYMLINK_FOLLOW)), ENOENT);
}

}  // namespace
}  // namespace hearth::posix

// link, symlink, readlink, mknod and bind.
#include "tests/posix/suite.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <climits>
#include <cstring>

namespace hearth::posix {
namespace {

using Link = Needs<Feature::link>;
using Symlink = Posix;
using SpecialFile = Needs<Feature::mknod>;

std::string target_of(const std::string& name) {
  char bytes[PATH_MAX + 1];
  const ssize_t n = ::readlink(name.c_str(), bytes, sizeof(bytes));
  if (n < 0) ADD_FAILURE() << "readlink " << name << ": " << Errno{errno};
  return std::string(bytes, n < 0 ? 0 : static_cast<std::size_t>(n));
}

TEST_F(Link, IsASecondNameOfTheSameFile) {
  make_file("one", "bytes", 0640);
  EXPECT_EQ(errno_of(::link("one", "two")), 0);
  const struct stat one = status("one"), two = status("two");
  EXPECT_EQ(one.st_ino, two.st_ino);
  EXPECT_EQ(one.st_nlink, 2U);
  EXPECT_EQ(two.st_nlink, 2U);
  EXPECT_EQ(two.st_mode, one.st_mode);
}

TEST_F(Link, ChangesByOneNameAreSeenByTheOther) {
  make_file("one", "bytes");
  make_directory("directory");
  ASSERT_EQ(::link("one", "directory/two"), 0);
  {
    const UniqueFd fd = opened("directory/two", O_RDWR | O_APPEND);
    ASSERT_EQ(::write(fd.get(), " and more", 9), 9);
  }
  EXPECT_TRUE(same(contents("one"), "bytes and more"));
  EXPECT_EQ(status("one").st_size, 14);
  ASSERT_EQ(::chmod("one", 0600), 0);
  EXPECT_EQ(permissions("directory/two"), 0600U);
  ASSERT_EQ(::truncate("one", 2), 0);
  EXPECT_TRUE(same(contents("directory/two"), "by"));
}

TEST_F(Link, SurvivesTheFirstName) {
  make_file("one", "bytes");
  ASSERT_EQ(::link("one", "two"), 0);
  ASSERT_EQ(::unlink("one"), 0);
  EXPECT_TRUE(same(contents("two"), "bytes"));
  EXPECT_EQ(status("two").st_nlink, 1U);
}

TEST_F(Link, CountsAHundredNames) {
  make_file("file");
  for (int i = 0; i < 100; ++i) ASSERT_EQ(errno_of(::link("file", ("name" + std::to_string(i)).c_str())), 0);
  EXPECT_EQ(status("file").st_nlink, 101U);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(errno_of(::unlink(("name" + std::to_string(i)).c_str())), 0);
  EXPECT_EQ(status("file").st_nlink, 1U);
}

TEST_F(Link, RefusesWhatItShould) {
  make_file("file");
  make_file("taken", "taken");
  make_directory("directory");
  EXPECT_EQ(errno_of(::link("directory", "new")), EPERM);
  EXPECT_EQ(errno_of(::link("file", "taken")), EEXIST);
  EXPECT_EQ(errno_of(::link("file", "directory")), EEXIST);
  EXPECT_EQ(errno_of(::link("file", "file")), EEXIST);
  EXPECT_EQ(errno_of(::link("absent", "new")), ENOENT);
  EXPECT_EQ(errno_of(::link("file", "absent/new")), ENOENT);
  EXPECT_EQ(errno_of(::link("file", "taken/new")), ENOTDIR);
  EXPECT_EQ(errno_of(::link("file/", "new")), ENOTDIR);
  EXPECT_EQ(errno_of(::link("file", elsewhere().c_str())), EXDEV);
  EXPECT_TRUE(same(contents("taken"), "taken"));
  EXPECT_EQ(status("file").st_nlink, 1U);
}

TEST_F(Link, NeedsWritePermissionOnTheDirectory) {
  make_directory("locked", 0755);
  as(alice, [] {
    make_file("file");
    EXPECT_EQ(errno_of(::link("file", "locked/new")), EACCES);
  });
}

TEST_F(Link, OfASymlinkIsTheSymlinkUnlessItIsToBeFollowed) {
  make_file("file");
  ASSERT_EQ(::symlink("file", "link"), 0);
  ASSERT_EQ(errno_of(::link("link", "same")), 0);
  EXPECT_EQ(status("same").st_ino, status("link").st_ino);
  ASSERT_EQ(errno_of(::linkat(AT_FDCWD, "link", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW)), 0);
  EXPECT_EQ(status("followed").st_ino, status("file").st_ino);
}

TEST_F(Symlink, KeepsItsTargetByteForByte) {
  for (const std::string target :
       {"file", "/absolute/target", "../..//x/./y/", "with space\nand newline", "\xff\xfe", "a"}) {
    ASSERT_EQ(errno_of(::symlink(target.c_str(), "link")), 0);
    EXPECT_EQ(target_of("link"), target);
    EXPECT_EQ(status("link").st_size, static_cast<off_t>(target.size()));
    EXPECT_TRUE(S_ISLNK(status("link").st_mode));
    ASSERT_EQ(::unlink("link"), 0);
  }
}

TEST_F(Symlink, TakesLongTargets) {
  for (const std::size_t length : {59U, 60U, 255U, 1000U, 4000U}) {
    const std::string target(length, 'x');
    ASSERT_EQ(errno_of(::symlink(target.c_str(), "link")), 0) << length;
    EXPECT_EQ(target_of("link"), target);
    ASSERT_EQ(::unlink("link"), 0);
  }
  EXPECT_EQ(errno_of(::symlink(std::string(PATH_MAX, 'x').c_str(), "link")), ENAMETOOLONG);
  EXPECT_EQ(errno_of(::symlink("", "link")), ENOENT);
}

TEST_F(Symlink, ReadlinkCutsAndRefuses) {
  ASSERT_EQ(::symlink("target", "link"), 0);
  make_file("file");
  char bytes[8] = "zzzzzzz";
  EXPECT_EQ(::readlink("link", bytes, 3), 3);
  EXPECT_EQ(std::string(bytes, 4), "tarz") << "cut, without a terminating zero";
  EXPECT_EQ(errno_of(::readlink("file", bytes, 8)), EINVAL);
  EXPECT_EQ(errno_of(::readlink(".", bytes, 8)), EINVAL);
  EXPECT_EQ(errno_of(::readlink("absent", bytes, 8)), ENOENT);
  EXPECT_EQ(errno_of(::readlink("file/x", bytes, 8)), ENOTDIR);
}

TEST_F(Symlink, IsFollowedInAnyComponent) {
  make_directory("directory");
  make_file("directory/file", "bytes");
  ASSERT_EQ(::symlink("directory", "link"), 0);
  ASSERT_EQ(::symlink("../directory/file", "directory/up"), 0);
  ASSERT_EQ(::symlink("link/up", "chain"), 0);
  EXPECT_TRUE(same(contents("link/file"), "bytes"));
  EXPECT_TRUE(same(contents("chain"), "bytes"));
  EXPECT_EQ(names_in("link"), (std::vector<std::string>{"file", "up"}));
  struct stat s;
  ASSERT_EQ(::stat("chain", &s), 0);
  EXPECT_EQ(s.st_ino, status("directory/file").st_ino);
}

TEST_F(Symlink, DanglingIsAbsentWhenFollowed) {
  ASSERT_EQ(::symlink("absent", "link"), 0);
  struct stat s;
  EXPECT_EQ(errno_of(::stat("link", &s)), ENOENT);
  EXPECT_EQ(errno_of(::lstat("link", &s)), 0);
  EXPECT_EQ(errno_of_open("link", O_RDONLY), ENOENT);
  EXPECT_EQ(errno_of(::truncate("link", 0)), ENOENT);
}

TEST_F(Symlink, LoopsAreRefused) {
  ASSERT_EQ(::symlink("two", "one"), 0);
  ASSERT_EQ(::symlink("one", "two"), 0);
  ASSERT_EQ(::symlink("self", "self"), 0);
  struct stat s;
  EXPECT_EQ(errno_of(::stat("one", &s)), ELOOP);
  EXPECT_EQ(errno_of_open("one", O_RDONLY), ELOOP);
  EXPECT_EQ(errno_of(::mkdir("self/directory", 0755)), ELOOP);
  EXPECT_EQ(errno_of(::unlink("self/file")), ELOOP);
  EXPECT_EQ(errno_of(::rename("one/file", "new")), ELOOP);
  EXPECT_EQ(errno_of(::unlink("self")), 0);
}

TEST_F(Symlink, ChainsOfFortyAreTheLimit) {
  make_file("link0", "bytes");
  for (int i = 1; i <= 41; ++i) {
    ASSERT_EQ(::symlink(("link" + std::to_string(i - 1)).c_str(), ("link" + std::to_string(i)).c_str()), 0);
  }
  EXPECT_TRUE(same(contents("link40"), "bytes"));
  EXPECT_EQ(errno_of_open("link41", O_RDONLY), ELOOP);
}

TEST_F(Symlink, IsNotMadeOverAName) {
  make_file("file", "bytes");
  ASSERT_EQ(::symlink("absent", "dangling"), 0);
  EXPECT_EQ(errno_of(::symlink("x", "file")), EEXIST);
  EXPECT_EQ(errno_of(::symlink("x", "dangling")), EEXIST);
  EXPECT_EQ(errno_of(::symlink("x", "absent/link")), ENOENT);
  EXPECT_EQ(errno_of(::symlink("x", "file/link")), ENOTDIR);
}

TEST_F(Symlink, BelongsToItsMakerAndIsGivenByLchown) {
  make_file("file");
  as(alice, [] { ASSERT_EQ(::symlink("file", "link"), 0); });
  EXPECT_EQ(status("link").st_uid, alice.uid);
  ASSERT_EQ(errno_of(::lchown("link", bob.uid, bob.gid)), 0);
  EXPECT_EQ(status("link").st_uid, bob.uid);
  EXPECT_EQ(status("file").st_uid, 0U);
  ASSERT_EQ(errno_of(::chown("link", alice.uid, alice.gid)), 0);
  EXPECT_EQ(status("link").st_uid, bob.uid);
  EXPECT_EQ(status("file").st_uid, alice.uid);
}

TEST_F(SpecialFile, FifoCarriesBytes) {
  ::umask(0);
  ASSERT_EQ(errno_of(::mkfifo("fifo", 0640)), 0);
  ::umask(022);
  EXPECT_EQ(status("fifo").st_mode, S_IFIFO | 0640U);
  EXPECT_EQ(errno_of_open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
  const UniqueFd reader = opened("fifo", O_RDONLY | O_NONBLOCK), writer = opened("fifo", O_WRONLY | O_NONBLOCK);
  ASSERT_EQ(::write(writer.get(), "bytes", 5), 5);
  char bytes[16];
  EXPECT_EQ(::read(reader.get(), bytes, sizeof(bytes)), 5);
  EXPECT_EQ(errno_of(::lseek(reader.get(), 0, SEEK_SET)), ESPIPE);
  EXPECT_EQ(errno_of(::mkfifo("fifo", 0640)), EEXIST);
  EXPECT_EQ(errno_of(::unlink("fifo")), 0);
}

TEST_F(SpecialFile, SocketIsBoundAndReached) {
  sockaddr_un address = {.sun_family = AF_UNIX};
  std::strcpy(address.sun_path, "socket");
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  const UniqueFd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(errno_of(::bind(server.get(), generic, sizeof(address))), 0);
  EXPECT_TRUE(S_ISSOCK(status("socket").st_mode));
  ASSERT_EQ(errno_of(::listen(server.get(), 1)), 0);
  EXPECT_EQ(errno_of(::connect(client.get(), generic, sizeof(address))), 0);
  EXPECT_EQ(errno_of_open("socket", O_RDONLY), ENXIO);
  const UniqueFd second(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(errno_of(::bind(second.get(), generic, sizeof(address))), EADDRINUSE);
}

TEST_F(SpecialFile, MknodMakesRegularFilesAndFifosForAll) {
  as(alice, [] {
    EXPECT_EQ(errno_of(::mknod("file", S_IFREG | 0640, 0)), 0);
    EXPECT_EQ(errno_of(::mknod("fifo", S_IFIFO | 0600, 0)), 0);
    EXPECT_EQ(errno_of(::mknod("device", S_IFCHR | 0600, ::makedev(1, 3))), EPERM);
    EXPECT_EQ(errno_of(::mknod("file", S_IFREG | 0640, 0)), EEXIST);
  });
  EXPECT_EQ(status("file").st_mode, S_IFREG | 0640U);
  EXPECT_EQ(status("file").st_uid, alice.uid);
}

TEST_F(SpecialFile, RootMakesDevices) {
  ASSERT_EQ(errno_of(::mknod("device", S_IFCHR | 0600, ::makedev(1, 3))), 0);
  EXPECT_TRUE(S_ISCHR(status("device").st_mode));
  EXPECT_EQ(status("device").st_rdev, ::makedev(1, 3));
}

}  // namespace
}  // namespace hearth::posix

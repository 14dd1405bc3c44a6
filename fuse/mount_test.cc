// What programs see of a mount: bytes, names, attributes, errors.
#include "fuse/testing/mount_fixture.h"

#include "common/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <set>

namespace hearth {
namespace {

using testing::FakeSource;
using testing::oracle_bytes;

class MountTest : public testing::MountFixture {};

TEST_F(MountTest, ReadsColdAndResidentFilesByteIdentical) {
  const std::vector<std::uint64_t> lengths{0, 1, 4095, 4096, 4097, 131072, (1U << 20) - 1, (1U << 20) + 1, 5'000'011};
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> files;
  for (const auto length : lengths) {
    for (const auto resident : {FakeSource::Resident::no, FakeSource::Resident::yes}) {
      if (length == 0 && resident == FakeSource::Resident::yes) continue;
      const std::string name = "/" + std::to_string(length) + (resident == FakeSource::Resident::yes ? "r" : "c");
      files[name] = {source_->put_file(name, length, resident), length};
    }
  }
  mount();
  for (int round = 0; round < 2; ++round) {
    for (const auto& [name, file] : files) {
      const std::string bytes = read_all(at(name));
      ASSERT_EQ(bytes.size(), file.second) << name;
      ASSERT_TRUE(bytes == oracle_bytes(file.first, 0, file.second)) << name;
    }
  }
}

TEST_F(MountTest, ReadsAtAnyOffsetAndThroughMappings) {
  constexpr std::uint64_t length = 3'000'001;
  const auto version = source_->put_file("/f", length);
  mount();
  const UniqueFd fd(::open(at("/f").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd);
  std::string buffer(10'000, '\0');
  for (const off_t offset : {2'999'000L, 17L, 1'048'570L, 0L}) {
    const ssize_t count = ::pread(fd.get(), buffer.data(), buffer.size(), offset);
    ASSERT_EQ(count, std::min<ssize_t>(10'000, static_cast<ssize_t>(length) - offset));
    ASSERT_EQ(buffer.substr(0, count), oracle_bytes(version, offset, count));
  }
  EXPECT_EQ(::pread(fd.get(), buffer.data(), 1, length), 0);
  void* mapped = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  EXPECT_EQ(std::memcmp(mapped, oracle_bytes(version, 0, length).data(), length), 0);
  ::munmap(mapped, length);
}

TEST_F(MountTest, ListsAHundredThousandEntriesEachOnce) {
  constexpr int count = 100'000;
  for (int i = 0; i < count; ++i) source_->put_file("/entry-" + std::to_string(i), 0);
  mount();
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(point_)) {
    ASSERT_TRUE(names.insert(entry.path().filename()).second) << entry.path();
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(count));
}

TEST_F(MountTest, GoesBackToARememberedPlaceOfADirectory) {
  for (int i = 0; i < 3000; ++i) source_->put_file("/entry-" + std::to_string(i), 0);
  mount();
  DIR* directory = ::opendir(point_.c_str());
  ASSERT_NE(directory, nullptr);
  for (int i = 0; i < 500; ++i) ASSERT_NE(::readdir(directory), nullptr);
  const long place = ::telldir(directory);
  const std::string next = ::readdir(directory)->d_name;
  while (::readdir(directory) != nullptr) {
  }
  ::seekdir(directory, place);
  EXPECT_EQ(::readdir(directory)->d_name, next);
  ::closedir(directory);
}

TEST_F(MountTest, ShowsNamesOfAnyBytes) {
  const std::vector<std::string> names{"new\nline", "\xff\xfe\x80", " ", "-rf", "a\\,b", "\"'`$(x)", std::string(255, 'x'), "...",
                                       "\xe2\x80\xae" "txt"};
  for (const auto& name : names) source_->put_file("/" + name, 100);
  mount();
  std::set<std::string> seen;
  for (const auto& entry : std::filesystem::directory_iterator(point_)) seen.insert(entry.path().filename());
  EXPECT_EQ(seen, std::set<std::string>(names.begin(), names.end()));
  for (const auto& name : names) EXPECT_EQ(read_all(at("/" + name)).size(), 100U) << name;
  EXPECT_EQ(open_errno(at("/" + std::string(256, 'x'))), ENAMETOOLONG);
}

TEST_F(MountTest, ShowsAttributesOfTheNamespace) {
  source_->add_directory("/d");
  source_->put_file("/d/f", 12345);
  source_->put_symlink("/d/s", "f");
  mount();
  struct stat info {};
  ASSERT_EQ(::stat(at("/d/f").c_str(), &info), 0);
  const auto status = *source_->stat("/d/f");
  EXPECT_EQ(info.st_ino, status.inode);
  EXPECT_EQ(info.st_size, 12345);
  EXPECT_EQ(info.st_mode, S_IFREG | 0644U);
  EXPECT_EQ(info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec, status.mtime_ns);
  ASSERT_EQ(::lstat(at("/d/s").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 1);
  EXPECT_EQ(std::filesystem::read_symlink(at("/d/s")), "f");
  EXPECT_EQ(read_all(at("/d/s")).size(), 12345U);
  source_->put_symlink("/d/s", "nowhere");
  EXPECT_EQ(std::filesystem::read_symlink(at("/d/s")), "nowhere");
}

TEST_F(MountTest, TellsVersionAndLocationsAsExtendedAttributes) {
  const auto version = source_->put_file("/f", 10);
  mount();
  char text[256];
  const ssize_t length = ::getxattr(at("/f").c_str(), "user.hearth.version", text, sizeof text);
  ASSERT_GT(length, 0);
  EXPECT_EQ(std::string(text, length), "v" + std::to_string(version));
  EXPECT_GT(::getxattr(at("/f").c_str(), "user.hearth.locations", text, sizeof text), 0);
  EXPECT_EQ(::getxattr(at("/f").c_str(), "user.hearth.version", text, 1), -1);
  EXPECT_EQ(errno, ERANGE);
  EXPECT_EQ(::getxattr(at("/f").c_str(), "user.other", text, sizeof text), -1);
  EXPECT_EQ(errno, ENODATA);
  EXPECT_EQ(::listxattr(at("/f").c_str(), text, sizeof text), static_cast<ssize_t>(sizeof "user.hearth.version" + sizeof "user.hearth.locations"));
}

TEST_F(MountTest, RefusesEveryWrite) {
  source_->put_file("/f", 10);
  mount();
  EXPECT_EQ(::open(at("/f").c_str(), O_WRONLY), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(::open(at("/new").c_str(), O_CREAT | O_RDWR, 0644), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(::unlink(at("/f").c_str()), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(::mkdir(at("/d").c_str(), 0755), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(::access(at("/f").c_str(), W_OK), -1);
  EXPECT_EQ(errno, EROFS);
}

TEST_F(MountTest, AnswersStatfsWithTheRoomOfTheStores) {
  mount();
  struct statvfs info {};
  ASSERT_EQ(::statvfs(point_.c_str(), &info), 0);
  EXPECT_EQ(info.f_blocks * info.f_frsize, 1U << 30);
  EXPECT_EQ((info.f_blocks - info.f_bfree) * info.f_frsize, 1U << 28);
  EXPECT_EQ(info.f_bavail * info.f_frsize, 1U << 29);
  EXPECT_EQ(info.f_files, 7U);
  EXPECT_EQ(info.f_ffree, 3U);
  EXPECT_NE(info.f_flag & ST_RDONLY, 0U);
  EXPECT_NE(info.f_flag & ST_NOSUID, 0U);
}

TEST_F(MountTest, ServesOnlyTheMountedSubtree) {
  source_->add_directory("/a");
  source_->add_directory("/a/b");
  const auto version = source_->put_file("/a/b/f", 1000);
  source_->put_file("/outside", 1);
  auto with = options();
  with.subtree = "/a/b";
  mount(with);
  EXPECT_EQ(read_all(at("/f")), oracle_bytes(version, 0, 1000));
  EXPECT_EQ(open_errno(at("/outside")), ENOENT);
}

TEST_F(MountTest, AnswersErrorsWithTheErrnoOfTheirCodeAndRecovers) {
  const auto version = source_->put_file("/f", 8192);
  mount();
  const UniqueFd fd(::open(at("/f").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd);
  const std::vector<std::pair<Code, int>> table{
      {Code::permission_denied, EACCES}, {Code::deadline_exceeded, ETIMEDOUT}, {Code::stale, ESTALE}, {Code::corrupt, EIO}};
  char byte = 0;
  for (const auto& [code, error_number] : table) {
    source_->fail("/f", Error(code, "injected"));
    EXPECT_EQ(::pread(fd.get(), &byte, 1, 0), -1);
    EXPECT_EQ(errno, error_number) << name(code);
    EXPECT_EQ(open_errno(at("/f")), error_number == EIO ? EIO : error_number) << name(code);
  }
  source_->fail("/f", std::nullopt);
  EXPECT_EQ(read_all(at("/f")), oracle_bytes(version, 0, 8192));
}

TEST_F(MountTest, SeesANameThatAppearsAndOneThatVanishes) {
  mount();
  EXPECT_EQ(open_errno(at("/late")), ENOENT);
  source_->put_file("/late", 5);
  EXPECT_EQ(read_all(at("/late")).size(), 5U);
  source_->remove("/late");
  EXPECT_EQ(open_errno(at("/late")), ENOENT);
}

}  // namespace
}  // namespace hearth

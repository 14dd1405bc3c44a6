#include "fuse/live_files.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace hearth {
namespace {

using Access = LiveFile::Access;
using Place = LiveFile::Place;
constexpr std::uint32_t nobody = 65534;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

class LiveFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "hearth-live-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string at(const std::string& name) const { return directory_ + "/" + name; }
  UniqueFd open(const std::string& name, int flags = O_RDWR | O_CREAT) const {
    UniqueFd fd(::open(at(name).c_str(), flags | O_CLOEXEC, 0644));
    EXPECT_TRUE(fd) << name;
    return fd;
  }
  std::uint32_t mode(const std::string& name) const {
    struct stat info {};
    EXPECT_EQ(::stat(at(name).c_str(), &info), 0);
    return info.st_mode & 07777;
  }
  static std::string content(const LiveFile& file, std::uint64_t offset = 0, const UniqueFd* quiet = nullptr) {
    std::string into(100, '?');
    const auto count = file.read(std::as_writable_bytes(std::span(into)), offset, quiet);
    if (!count) return count.error().to_string();
    into.resize(*count);
    return into;
  }

  std::string directory_;
};

TEST_F(LiveFilesTest, RemembersWhatWasAnnouncedAndReadsTheFilesOwnAttributes) {
  LiveFile file(open("f"), Access::write);
  EXPECT_FALSE(file.announced());
  FileStatus told;
  told.length_bytes = 17;
  file.note_announced(told);
  ASSERT_TRUE(file.announced());
  EXPECT_EQ(file.announced()->length_bytes, 17U);
  EXPECT_EQ(file.xattr("security.capability").error().error_number(), ENODATA);
  ASSERT_EQ(::setxattr(at("f").c_str(), "user.x", "value", 5, 0), 0);
  EXPECT_EQ(*file.xattr("user.x"), "value");
}

TEST(MovedPath, FollowsWhatTheTwoHaveInCommon) {
  EXPECT_EQ(moved_path("/data/dir/f", "/srv/store/dir/f", "/srv/store/dir/g"), "/data/dir/g");
  EXPECT_EQ(moved_path("/data/dir/f", "/srv/store/dir/f", "/srv/store/other/deep/g"), "/data/other/deep/g");
  EXPECT_EQ(moved_path("/data/f", "/srv/store/f", "/srv/store/f"), "/data/f");
  EXPECT_EQ(moved_path("/f", "/srv/store/f", "/srv/store/a/b"), "/a/b") << "attached at the root";
  EXPECT_EQ(moved_path("/data/f", "/srv/store/f", "/srv/elsewhere/f"), std::nullopt) << "outside of the store";
  EXPECT_EQ(moved_path("/data/f", "/srv/store/f", "/srv/storehouse/f"), std::nullopt) << "a directory of a longer name";
  EXPECT_EQ(moved_path("/data/ff", "/srv/store/f", "/srv/store/f"), std::nullopt) << "another name";
  EXPECT_EQ(moved_path("", "/srv/store/f", "/srv/store/f"), std::nullopt);
}

TEST_F(LiveFilesTest, TellWhereTheyAreWhoeverRenamedThem) {
  LiveFile file(open("f"), Access::write);
  EXPECT_EQ(file.path_now(), std::nullopt) << "nobody said where it was";
  file.note_path("/data/f");
  EXPECT_EQ(file.path_now(), "/data/f");
  ASSERT_EQ(::rename(at("f").c_str(), at("g").c_str()), 0);
  EXPECT_EQ(file.path_now(), "/data/g");
  ASSERT_EQ(::unlink(at("g").c_str()), 0);
  EXPECT_EQ(file.path_now(), std::nullopt);
  LiveFile staged(open("h"), Access::write, [](const std::string&) -> Result<FileStatus> { return FileStatus{}; });
  staged.note_path("/data/h");
  EXPECT_EQ(staged.path_now(), std::nullopt) << "a copy lies nowhere";
}

TEST_F(LiveFilesTest, WritesLandAtTheirOffsetOrAtTheEndAndAreReadAtOnce) {
  LiveFile file(open("f"), Access::write);
  EXPECT_FALSE(file.take_written());
  ASSERT_TRUE(file.write(bytes("abcdef"), 0, Place::at_offset, 0));
  EXPECT_TRUE(file.take_written());
  EXPECT_FALSE(file.take_written()) << "told once";
  ASSERT_TRUE(file.write(bytes("XY"), 2, Place::at_offset, 0));
  ASSERT_TRUE(file.write(bytes("end"), 0, Place::at_end, 0)) << "the kernel's offset is out of date when another appended";
  EXPECT_EQ(content(file), "abXYefend");
  EXPECT_EQ(content(file, 7), "nd") << "short at the end";
  EXPECT_EQ(content(file, 100), "");
  ASSERT_TRUE(file.write(bytes("far"), 12, Place::at_offset, 0));
  EXPECT_EQ(content(file), std::string("abXYefend\0\0\0far", 15));
}

TEST_F(LiveFilesTest, TruncatesBothWaysAndTellsWhatTheFileIsNow) {
  LiveFile file(open("f"), Access::write);
  ASSERT_TRUE(file.write(bytes("abcdef"), 0, Place::at_offset, 0));
  file.take_written();
  ASSERT_TRUE(file.truncate(2, 0));
  EXPECT_TRUE(file.take_written());
  ASSERT_TRUE(file.truncate(4, 0));
  EXPECT_EQ(content(file), std::string("ab\0\0", 4));
  FileStatus known;
  known.version = "v1";
  known.inode = 77;
  known.length_bytes = 6;
  ASSERT_EQ(::link(at("f").c_str(), at("g").c_str()), 0);
  ASSERT_TRUE(file.set_attributes({.path = "", .mode = 0640, .uid = {}, .gid = {},
                                   .atime = SetAttributes::Time{.now = false, .ns = 5}, .mtime = SetAttributes::Time{.now = false, .ns = -1}}));
  const Result<FileStatus> now = file.status(known);
  ASSERT_TRUE(now);
  EXPECT_EQ(now->length_bytes, 4U);
  EXPECT_EQ(now->mode, 0640U);
  EXPECT_EQ(now->link_count, 2U);
  EXPECT_EQ(now->atime_ns, 5);
  EXPECT_EQ(now->mtime_ns, -1) << "before the epoch";
  EXPECT_GT(now->ctime_ns, 0);
  EXPECT_EQ(now->version, "v1") << "what the file can not say stays";
  EXPECT_EQ(now->inode, 77U);
}

TEST_F(LiveFilesTest, TimesThatWereNotNamedStay) {
  LiveFile file(open("f"), Access::write);
  const SetAttributes::Time long_ago{.now = false, .ns = 3'000'000'007};
  ASSERT_TRUE(file.set_attributes({.path = "", .mode = {}, .uid = {}, .gid = {}, .atime = long_ago, .mtime = long_ago}));
  ASSERT_TRUE(file.set_attributes({.path = "", .mode = {}, .uid = {}, .gid = {}, .atime = SetAttributes::Time{.now = true, .ns = 0}, .mtime = {}}));
  const Result<FileStatus> now = file.status({});
  EXPECT_EQ(now->mtime_ns, 3'000'000'007);
  EXPECT_GT(now->atime_ns, 3'000'000'007);
}

TEST_F(LiveFilesTest, AWriteOfAnybodyButRootTakesSetUserIdAway) {
  LiveFile file(open("f"), Access::write);
  LiveFile other(open("g"), Access::write);
  ASSERT_TRUE(other.write(bytes("source"), 0, Place::at_offset, 0));
  const auto privileged = [&](std::uint32_t bits) { ASSERT_EQ(::chmod(at("f").c_str(), bits), 0); };
  privileged(06755);
  ASSERT_TRUE(file.write(bytes("x"), 0, Place::at_offset, nobody));
  EXPECT_EQ(mode("f"), 0755U);
  privileged(06755);
  ASSERT_TRUE(file.truncate(3, nobody));
  EXPECT_EQ(mode("f"), 0755U);
  privileged(06755);
  ASSERT_TRUE(file.allocate(0, 0, 10, nobody));
  EXPECT_EQ(mode("f"), 0755U);
  privileged(06755);
  EXPECT_EQ(*other.copy_to(file, 1, 0, 5, nobody), 5U);
  EXPECT_EQ(mode("f"), 0755U);
  EXPECT_EQ(content(file).substr(0, 5), "ource");
  privileged(02644);
  ASSERT_TRUE(file.write(bytes("x"), 0, Place::at_offset, nobody));
  EXPECT_EQ(mode("f"), 02644U) << "without group execution the bit means mandatory locks";
  if (::geteuid() == 0) {  // others lose the bits to their own kernel
    privileged(06755);
    ASSERT_TRUE(file.write(bytes("x"), 0, Place::at_offset, 0));
    EXPECT_EQ(mode("f"), 06755U);
  }
}

TEST_F(LiveFilesTest, ErrorsCarryTheErrnoOfTheirCall) {
  ASSERT_TRUE(open("f"));
  LiveFile file(open("f", O_RDONLY), Access::read);
  const Status written = file.write(bytes("x"), 0, Place::at_offset, 0);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().error_number(), EBADF);
  EXPECT_EQ(file.truncate(1, 0).error().error_number(), EINVAL);
  EXPECT_EQ(file.seek(100, SEEK_DATA).error().error_number(), ENXIO);
}

TEST_F(LiveFilesTest, ReopenedAndReplacedDescriptorsAreThoseOfTheSameFileWhateverItsName) {
  ASSERT_TRUE(open("f"));
  LiveFile file(open("f", O_RDONLY), Access::read);
  ASSERT_EQ(::unlink(at("f").c_str()), 0);
  ASSERT_TRUE(open("f")) << "another file under its name";
  Result<UniqueFd> again = file.reopen(O_RDWR);
  ASSERT_TRUE(again) << again.error().to_string();
  file.replace(std::move(*again), Access::write);
  EXPECT_EQ(file.access(), Access::write);
  ASSERT_TRUE(file.write(bytes("mine"), 0, Place::at_offset, 0));
  EXPECT_EQ(content(file), "mine");
  EXPECT_EQ(std::filesystem::file_size(at("f")), 0U);
  EXPECT_EQ(file.status({})->link_count, 0U);
  const Result<UniqueFd> quiet = file.reopen(O_RDONLY);
  ASSERT_TRUE(quiet);
  EXPECT_EQ(content(file, 0, &*quiet), "mine");
}

TEST_F(LiveFilesTest, ANodeHasOneFileThatGainsAccessAndLosesNone) {
  LiveFiles files;
  EXPECT_EQ(files.find(7), nullptr);
  ASSERT_TRUE(open("f"));
  const LiveFiles::Handle reading = files.put(7, open("f", O_RDONLY), Access::read);
  EXPECT_EQ(reading->access(), Access::read);
  const LiveFiles::Handle writing = files.put(7, open("f", O_RDWR), Access::write);
  EXPECT_EQ(writing, reading) << "handles that read see what others write";
  EXPECT_TRUE(reading->write(bytes("x"), 0, Place::at_offset, 0));
  EXPECT_EQ(files.put(7, open("f", O_RDONLY), Access::read)->access(), Access::write);
  EXPECT_TRUE(reading->write(bytes("y"), 0, Place::at_offset, 0)) << "a later reader must not take the writer's descriptor";
  EXPECT_NE(files.put(8, open("g"), Access::write), reading);

  EXPECT_FALSE(files.erase_unless(7, [] { return true; }));
  EXPECT_EQ(files.find(7), reading);
  EXPECT_TRUE(files.erase_unless(7, [] { return false; }));
  EXPECT_EQ(files.find(7), nullptr);
  EXPECT_FALSE(files.erase_unless(7, [] { return false; }));
  EXPECT_EQ(content(*reading), "y") << "calls under way keep it";
}

TEST_F(LiveFilesTest, WhatWasOpenedAheadIsTakenOnceAndForASecondOnly) {
  OpenedAhead ahead;
  const TimePoint now{std::chrono::seconds(100)};
  const auto opened = [&] {
    OpenedInPlace one;
    one.fd = open("f");
    return one;
  };
  ahead.put(7, opened(), now);
  EXPECT_FALSE(ahead.take(8, now)) << "another node";
  const auto taken = ahead.take(7, now + std::chrono::milliseconds(999));
  ASSERT_TRUE(taken);
  EXPECT_TRUE(taken->fd);
  EXPECT_FALSE(ahead.take(7, now)) << "its descriptor is given once";
  ahead.put(7, opened(), now);
  EXPECT_FALSE(ahead.take(7, now + std::chrono::seconds(1))) << "by then the name may be of another file";

  ahead.note_replaced("/f", now);
  EXPECT_TRUE(ahead.is_often_replaced("/f", now));
  EXPECT_FALSE(ahead.is_often_replaced("/g", now));
  EXPECT_FALSE(ahead.is_often_replaced("/f", now + std::chrono::seconds(1)));
}

TEST_F(LiveFilesTest, FewDescriptorsAreHeldAhead) {
  OpenedAhead ahead;
  const TimePoint now{std::chrono::seconds(100)};
  int held = 0;
  for (NodeId node = 2; node < 202; ++node) {
    OpenedInPlace one;
    one.fd = open("f");
    ahead.put(node, std::move(one), now);
  }
  for (NodeId node = 2; node < 202; ++node) held += ahead.take(node, now) ? 1 : 0;
  EXPECT_EQ(held, 64);
}

}  // namespace
}  // namespace hearth

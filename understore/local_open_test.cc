// Files of the local store opened in place for a caller.
#include "understore/local_posix_support.h"

#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <thread>

namespace hearth {
namespace {

std::string written_and_read(const StoreFile& file) {
  char back[4] = {};
  if (::pwrite(file.fd.get(), "abc", 3, 0) != 3) return std::strerror(errno);
  if (::pread(file.fd.get(), back, 3, 0) != 3) return std::strerror(errno);
  return back;
}

TEST_F(LocalPosix, AFileIsMadeOnceAndBelongsToItsCaller) {
  directory("d", 0777);
  EXPECT_EQ(open_refusal({.path = "d/f"}, alice), ENOENT);
  const auto made = open({.path = "d/f", .create = true, .mode = 0666}, alice);
  ASSERT_TRUE(made) << made.error().to_string();
  EXPECT_TRUE(made->created);
  EXPECT_EQ(made->info.name, "f");
  EXPECT_EQ(made->info.uid, 12345U);
  EXPECT_EQ(made->info.mode, 0644U);
  EXPECT_NE(made->info.version.find("-n"), std::string::npos) << "nobody waited for it to settle";
  EXPECT_EQ(written_and_read(*made), "abc");
  const auto again = open({.path = "d/f", .create = true, .mode = 0600}, alice);
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->created);
  EXPECT_EQ(again->info.length_bytes, 3U);
  EXPECT_EQ(again->info.mode, 0644U);
  EXPECT_EQ(open_refusal({.path = "d/f", .create = true, .exclusive = true, .mode = 0600}, alice), EEXIST);
  EXPECT_EQ(::fcntl(again->fd.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(LocalPosix, TruncationIsGrantedByWritePermission) {
  file("f", 0644, 12345);
  EXPECT_EQ(open_refusal({.path = "f", .truncate = true}, bob), EACCES);
  EXPECT_EQ(open_refusal({.path = "f", .read_only = true, .truncate = true}, bob), EACCES);
  EXPECT_EQ(of("f").st_size, 7);
  const auto truncated = open({.path = "f", .truncate = true}, alice);
  ASSERT_TRUE(truncated);
  EXPECT_EQ(truncated->info.length_bytes, 0U);
  EXPECT_EQ(of("f").st_size, 0);
}

TEST_F(LocalPosix, WhatIsMadeMayBeWrittenWhateverItsMode) {
  directory("d", 0777);
  for (const std::uint32_t mode : {0200U, 0400U, 0U}) {
    const std::string path = "d/" + std::to_string(mode);
    const auto made = open({.path = path, .create = true, .exclusive = true, .mode = mode}, alice);
    ASSERT_TRUE(made) << made.error().to_string();
    EXPECT_EQ(made->info.mode, mode);
    EXPECT_EQ(written_and_read(*made), "abc");
  }
  const auto write_only = open({.path = "d/" + std::to_string(0200U), .truncate = true}, alice);
  ASSERT_TRUE(write_only) << write_only.error().to_string();
  EXPECT_FALSE(write_only->created);
  EXPECT_EQ(write_only->info.length_bytes, 0U);
  EXPECT_EQ(written_and_read(*write_only), "abc") << "the cache reads what it writes around";
  EXPECT_EQ(open_refusal({.path = "d/" + std::to_string(0200U), .read_only = true}, alice), EACCES);
  EXPECT_EQ(open_refusal({.path = "d/" + std::to_string(0400U)}, alice), EACCES);
  EXPECT_EQ(open_refusal({.path = "d/0", .truncate = true}, alice), EACCES);
  EXPECT_EQ(open_refusal({.path = "d/0"}, root_user), 0);
}

TEST_F(LocalPosix, AReadOnlyDescriptorCanNotWrite) {
  file("f", 0666);
  const auto opened = open({.path = "f", .read_only = true}, alice);
  ASSERT_TRUE(opened);
  EXPECT_EQ(::write(opened->fd.get(), "x", 1), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST_F(LocalPosix, OnlyRegularFilesAreOpened) {
  give("", 0777, 0, 0);
  directory("d", 0777);
  file("f", 0666);
  world.put_symlink("s", "f");
  world.put_symlink("dangling", "nothing");
  world.put_special("fifo");
  give("fifo", 0666, 0, 0);
  EXPECT_EQ(open_refusal({.path = ""}, alice), EISDIR);
  for (const bool create : {false, true}) {
    EXPECT_EQ(open_refusal({.path = "d", .create = create, .mode = 0644}, alice), EISDIR);
    EXPECT_EQ(open_refusal({.path = "s", .create = create, .mode = 0644}, alice), ELOOP);
    EXPECT_EQ(open_refusal({.path = "dangling", .create = create, .mode = 0644}, alice), ELOOP);
    EXPECT_EQ(open_refusal({.path = "fifo", .create = create, .mode = 0644}, alice), ENXIO) << "and nobody waits for its other end";
  }
  EXPECT_EQ(open({.path = "fifo"}, alice).code(), Code::unsupported);
  EXPECT_EQ(open({.path = "d"}, alice).code(), Code::is_directory);
  EXPECT_FALSE(exists("nothing"));
}

TEST_F(LocalPosix, AProgramThatRunsIsBusy) {
  std::error_code failed;
  std::filesystem::copy_file("/bin/sleep", world.at("program"), failed);
  ASSERT_FALSE(failed) << failed.message();
  give("program", 0755, 0, 0);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const std::string path = world.at("program");
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl(path.c_str(), "sleep", "60", nullptr);
    ::_exit(1);
  }
  ::close(ends[1]);
  char byte = 0;
  EXPECT_EQ(::read(ends[0], &byte, 1), 0) << "closed by the exec";
  ::close(ends[0]);
  EXPECT_EQ(open_refusal({.path = "program"}, root_user), ETXTBSY);
  EXPECT_EQ(open({.path = "program"}, root_user).code(), Code::busy);
  ::kill(child, SIGKILL);
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

TEST_F(LocalPosix, OfManyWhoMakeAFileOneMadeIt) {
  directory("d", 0777);
  for (int round = 0; round < 30; ++round) {
    const std::string path = "d/" + std::to_string(round);
    std::atomic<int> created{0};
    std::atomic<int> failed{0};
    std::vector<std::thread> makers;
    for (int i = 0; i < 4; ++i) {
      makers.emplace_back([&] {
        const auto opened = open({.path = path, .create = true, .mode = 0666}, alice);
        if (!opened) ++failed;
        if (opened && opened->created) ++created;
      });
    }
    for (std::thread& one : makers) one.join();
    ASSERT_EQ(failed.load(), 0);
    ASSERT_EQ(created.load(), 1);
  }
}

TEST_F(LocalPosix, WhatWasWrittenThroughADescriptorIsAnotherVersion) {
  file("f", 0666);
  const std::string before = stat("f")->version;
  const auto opened = open({.path = "f"}, alice);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->info.version, before) << "it was settled, and opening changes nothing";
  ASSERT_EQ(::pwrite(opened->fd.get(), "CONTENT", 7, 0), 7);
  std::vector<std::byte> bytes(7);
  const std::span<std::byte> into(bytes);
  EXPECT_EQ(run_task(world.store().read("f", before, 0, into, soon())).code(), Code::stale);
  EXPECT_NE(stat("f")->version, before);
}

}  // namespace
}  // namespace hearth

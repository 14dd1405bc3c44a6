// What is given up on a machine that forbids io_uring or refuses O_DIRECT, and that it is said.
#include "tiering/disk/buffer_pool.h"
#include "tiering/disk/disk_test_support.h"
#include "tiering/disk/probe.h"

#include "common/rng.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstddef>
#include <deque>

namespace hearth {
namespace {

constexpr std::uint64_t page = disk_alignment_bytes;

// From here on, io_uring_setup of this process answers EPERM, as under Docker's default profile.
bool forbid_io_uring() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter{.len = sizeof program / sizeof program[0], .filter = program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// Writes, reads back and shuts down; says what is wrong, "" when nothing is.
std::string use(Disk& disk, DiskRunner& runner) {
  auto opened = runner.run(disk.open("ab/a", DiskOpen::create_or_open, DiskCaching::direct));
  if (!opened) return opened.error().to_string();
  const DiskBuffer buffer = disk.buffer(16 * page);
  fill_pattern(buffer.bytes(), 1);
  const Status written = runner.run(disk.write(*opened, page, buffer.bytes()));
  if (!written) return written.error().to_string();
  fill_pattern(buffer.bytes(), 2);
  const Status read = runner.run(disk.read(*opened, page, buffer.bytes()));
  if (!read) return read.error().to_string();
  if (!has_pattern(buffer.bytes(), 1)) return "other bytes";
  const Status down = runner.run(disk.shut_down());
  return down ? "" : down.error().to_string();
}

std::string run_forbidden(const std::string& directory) {
  if (!forbid_io_uring()) return "no seccomp here";
  DiskRunner runner;
  DiskOptions options;
  options.directory = directory;
  auto disk = open_disk(options, runner.io.get_executor(), runner.clock);
  if (!disk) return disk.error().to_string();
  const DiskTraits& traits = (*disk)->traits();
  if (traits.engine != "threads") return "engine " + traits.engine;
  if (traits.fallback_reason.find("io_uring is forbidden") == std::string::npos) return "reason: " + traits.fallback_reason;
  options.engine = DiskOptions::Engine::io_uring;
  auto required = open_disk(options, runner.io.get_executor(), runner.clock);
  if (required.code() != Code::unsupported) return "a required engine that is not there must be refused";
  const auto probed = probe_disk(directory);
  if (!probed || probed->engine != "threads" || probed->fallback_reason.empty()) return "probe_disk does not say so";
  return use(**disk, runner);
}

TEST(DiskFallback, ServesFromThreadsWhereIoUringIsForbidden) {
  const TemporaryDirectory directory;
  int out[2];
  ASSERT_EQ(::pipe(out), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const std::string wrong = run_forbidden(directory.path());
    const ssize_t told = ::write(out[1], wrong.data(), wrong.size());
    ::_exit(wrong.empty() && told == 0 ? 0 : 1);
  }
  ::close(out[1]);
  std::string wrong(1024, '\0');
  const ssize_t size = ::read(out[0], wrong.data(), wrong.size());
  wrong.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  ::close(out[0]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  HEARTH_NEEDS(wrong != "no seccomp here", "seccomp, to forbid io_uring");
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << wrong;
}

TEST(DiskFallback, ServesBufferedWhereODirectIsRefused) {
  TemporaryDirectory directory;
  HEARTH_NEEDS(directory.mount("ramfs", ""), "a ramfs (which has no O_DIRECT) needs root to mount");
  for (const auto engine : {DiskOptions::Engine::automatic, DiskOptions::Engine::threads}) {
    DiskRunner runner;
    DiskOptions options;
    options.directory = directory.path();
    options.engine = engine;
    auto disk = open_disk(options, runner.io.get_executor(), runner.clock);
    ASSERT_TRUE(disk) << disk.error().to_string();
    EXPECT_FALSE((*disk)->traits().direct);
    EXPECT_NE((*disk)->traits().fallback_reason.find("O_DIRECT"), std::string::npos);
    EXPECT_EQ(use(**disk, runner), "");
  }
  const auto probed = probe_disk(directory.path());
  ASSERT_TRUE(probed);
  EXPECT_FALSE(probed->direct);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path() + "/ab") || std::filesystem::exists(directory.path() + "/ab/a"));
}

TEST(DiskFallback, TheProbeLeavesNothingBehindAndNamesWhatItCanNotUse) {
  const TemporaryDirectory directory;
  const auto probed = probe_disk(directory.path());
  ASSERT_TRUE(probed) << probed.error().to_string();
  EXPECT_FALSE(probed->engine.empty());
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  EXPECT_EQ(probe_disk(directory.path() + "/none").code(), Code::not_found);
  DiskRunner runner;
  DiskOptions options;
  options.directory = directory.path() + "/none";
  EXPECT_EQ(open_disk(options, runner.io.get_executor(), runner.clock).code(), Code::not_found);
}

// A device that was taken out, or whose directory was removed, and another one in its place.
TEST(DiskPlace, TellsItsDirectoryFromNoneAndFromAnotherOne) {
  for (const auto engine : {DiskOptions::Engine::automatic, DiskOptions::Engine::threads}) {
    const TemporaryDirectory above;
    DiskRunner runner;
    DiskOptions options;
    options.directory = above.path() + "/cache";
    options.engine = engine;
    std::filesystem::create_directory(options.directory);
    auto disk = open_disk(options, runner.io.get_executor(), runner.clock);
    ASSERT_TRUE(disk) << disk.error().to_string();
    EXPECT_TRUE(runner.run((*disk)->check_place()));
    std::filesystem::rename(options.directory, above.path() + "/aside");
    const Status none = runner.run((*disk)->check_place());
    EXPECT_EQ(none.code(), Code::unavailable);
    EXPECT_NE(none.error().message().find(options.directory), std::string::npos);
    std::filesystem::create_directory(options.directory);
    EXPECT_EQ(runner.run((*disk)->check_place()).code(), Code::stale);
    std::filesystem::remove(options.directory);
    std::filesystem::rename(above.path() + "/aside", options.directory);
    EXPECT_TRUE(runner.run((*disk)->check_place())) << "it is back";
    EXPECT_TRUE(runner.run((*disk)->shut_down()));
  }
}

// The directory below a mount point must not be filled when the device is gone.
TEST(DiskPlace, AMountPointWithNothingMountedIsNoOtherDirectory) {
  TemporaryDirectory directory;
  HEARTH_NEEDS(directory.mount("tmpfs", "size=4m"), "a tmpfs needs root to mount");
  DiskRunner runner;
  DiskOptions options;
  options.directory = directory.path();
  auto disk = open_disk(options, runner.io.get_executor(), runner.clock);
  ASSERT_TRUE(disk) << disk.error().to_string();
  EXPECT_TRUE(runner.run((*disk)->check_place()));
  ASSERT_EQ(::umount2(directory.path().c_str(), MNT_DETACH), 0);
  const Status unmounted = runner.run((*disk)->check_place());
  EXPECT_EQ(unmounted.code(), Code::unavailable);
  EXPECT_NE(unmounted.error().message().find("nothing is mounted"), std::string::npos) << unmounted.error().message();
  ASSERT_TRUE(directory.mount("tmpfs", "size=4m"));
  EXPECT_EQ(runner.run((*disk)->check_place()).code(), Code::stale) << "another device";
  EXPECT_TRUE(runner.run((*disk)->shut_down()));
}

TEST(BufferPool, NeverGivesTheSameBytesTwiceAndMergesWhatComesBack) {
  const auto pool = disk::BufferPool::make(4ULL << 20);
  SeededRng dice(7);
  std::deque<std::pair<DiskBuffer, std::uint64_t>> held;
  for (std::uint64_t step = 0; step < 20000; ++step) {
    if (held.size() > 40 || (!held.empty() && dice.below(2) == 0)) {
      const std::size_t victim = dice.below(held.size());
      const auto& [buffer, mark] = held[victim];
      std::uint64_t found = 0;
      std::memcpy(&found, buffer.bytes().data(), sizeof found);
      ASSERT_EQ(found, mark);
      std::memcpy(&found, buffer.bytes().data() + buffer.bytes().size() - sizeof found, sizeof found);
      ASSERT_EQ(found, mark);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(victim));
    } else {
      DiskBuffer buffer = pool->take(1 + dice.below(64) * page);
      ASSERT_EQ(reinterpret_cast<std::uintptr_t>(buffer.bytes().data()) % page, 0U);
      std::memcpy(buffer.bytes().data(), &step, sizeof step);
      std::memcpy(buffer.bytes().data() + buffer.bytes().size() - sizeof step, &step, sizeof step);
      held.emplace_back(std::move(buffer), step);
    }
  }
  held.clear();
  EXPECT_EQ(pool->used_bytes(), 0U);
  const DiskBuffer all = pool->take(4ULL << 20);
  EXPECT_TRUE(pool->contains(all.bytes().data(), all.bytes().size())) << "everything merged again";
  const DiskBuffer more = pool->take(page);
  EXPECT_FALSE(pool->contains(more.bytes().data(), more.bytes().size()));
}

}  // namespace
}  // namespace hearth

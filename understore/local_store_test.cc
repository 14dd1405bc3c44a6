#include "understore/local_store.h"

#include "common/object_identity.h"
#include "understore/local_world.h"
#include "understore/oracle.h"

#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <set>
#include <thread>

namespace hearth {
namespace {

std::unique_ptr<StoreWorld> make_local_world() { return std::make_unique<LocalWorld>(); }

INSTANTIATE_TEST_SUITE_P(Local, StoreConformance, ::testing::Values(&make_local_world));

Deadline soon() { return Deadline::after(real_clock(), std::chrono::seconds(30)); }

Status read_into(UnderStore& store, const std::string& path, const std::string& version, std::uint64_t offset,
                 std::vector<std::byte>& bytes) {
  const std::span<std::byte> into(bytes);
  return run_task(store.read(path, version, offset, into, soon()));
}

TEST(LocalStore, VersionsAreInodeChangeTimeAndLength) {
  LocalWorld world;
  world.put_text("a", "12345678901");
  const auto info = run_task(world.store().stat("a", soon()));
  ASSERT_TRUE(info);
  struct stat status {};
  ASSERT_EQ(::stat(world.at("a").c_str(), &status), 0);
  char expected[80];
  std::snprintf(expected, sizeof expected, "l1-%lx-%lx-b", static_cast<unsigned long>(status.st_ino),
                static_cast<unsigned long>(status.st_ctim.tv_sec * 1'000'000'000L + status.st_ctim.tv_nsec));
  EXPECT_EQ(info->version, expected);
}

TEST(LocalStore, AFileThatNeverSettlesIsNeverBelievedTwice) {
  // A clock whose sleeps end at once stands for a file that changes all the time.
  class ImpatientClock final : public Clock {
   public:
    TimePoint now() const override { return real_clock().now(); }
    WallTime wall_now() const override { return real_clock().wall_now(); }
    Task<> sleep_until(TimePoint) override {
      ++sleeps;
      co_return ok();
    }
    int sleeps = 0;
  };
  ImpatientClock clock;
  LocalWorld world(clock);
  std::set<std::string> versions;
  for (int round = 0; round < 5; ++round) {
    world.put_text("busy", "content");
    const auto info = run_task(world.store().stat("busy", soon()));
    ASSERT_TRUE(info);
    EXPECT_TRUE(versions.insert(info->version).second);
    std::vector<std::byte> bytes(7);
    if (info->version.find("-n") != std::string::npos) {
      EXPECT_EQ(read_into(world.store(), "busy", info->version, 0, bytes).code(), Code::stale);
    }
  }
  EXPECT_LE(clock.sleeps, 5 * (4 + 1)) << "the looks, and the reads of what had not settled, are bounded";
  EXPECT_GT(clock.sleeps, 0);
  const auto unsettled = std::find_if(versions.begin(), versions.end(),
                                      [](const std::string& v) { return v.find("-n") != std::string::npos; });
  EXPECT_NE(unsettled, versions.end());
}

TEST(LocalStore, DirectoryVersionsAreBelievedOnlyAfterTwoSeconds) {
  LocalWorld world;
  world.put_directory("d");
  const std::string first = run_task(world.store().stat("d", soon()))->version;
  const std::string second = run_task(world.store().stat("d", soon()))->version;
  EXPECT_TRUE(has_nonce(first)) << first;
  EXPECT_EQ(without_nonce(second), without_nonce(first));
  EXPECT_NE(second, first) << "a version that no later look repeats";
  const auto old = run_task(open_local_store("file:///usr", world.pool(), real_clock()).value()->stat("", soon()));
  ASSERT_TRUE(old);
  EXPECT_TRUE(old->version.starts_with("l1-")) << old->version;
  EXPECT_FALSE(has_nonce(old->version)) << old->version;
}

// Story: `mv source source.away` went unnoticed, because everything was found through the root's descriptor.
TEST(LocalStore, AMovedRootIsUnavailableAndComesBackWhenItDoes) {
  LocalWorld world;
  world.put_text("a", "content");
  world.put_directory("d");
  const auto info = run_task(world.store().stat("a", soon()));
  ASSERT_TRUE(info);
  auto listing = run_task(world.store().list("", soon()));
  ASSERT_TRUE(listing);
  std::filesystem::rename(world.base() + "/root", world.base() + "/aside");
  EXPECT_EQ(run_task(world.store().stat("a", soon())).code(), Code::unavailable);
  EXPECT_EQ(run_task(world.store().stat("", soon())).code(), Code::unavailable);
  EXPECT_EQ(run_task(world.store().stat("missing", soon())).code(), Code::unavailable);
  EXPECT_EQ(run_task(world.store().list("d", soon())).code(), Code::unavailable);
  EXPECT_EQ(run_task(world.store().write("b", "x", soon())).code(), Code::unavailable);
  EXPECT_EQ(run_task((*listing)->next(100, soon())).code(), Code::unavailable) << "a listing must not end as if complete";
  std::vector<std::byte> bytes(7);
  EXPECT_TRUE(read_into(world.store(), "a", info->version, 0, bytes)) << "the version vouches for the bytes";
  std::filesystem::rename(world.base() + "/aside", world.base() + "/root");
  EXPECT_EQ(run_task(world.store().stat("a", soon()))->version, info->version);
  EXPECT_EQ(run_task(world.store().stat("missing", soon())).code(), Code::not_found);
  EXPECT_TRUE(run_task(world.store().list("", soon())));
}

TEST(LocalStore, AnotherDirectoryInThePlaceOfTheRootIsTheNewTree) {
  LocalWorld world;
  world.put_text("a", "old");
  world.put_text("only old", "x");
  const auto old = run_task(world.store().stat("a", soon()));
  ASSERT_TRUE(old);
  const auto reader = open_local_store(world.store().uri(), world.pool(), real_clock());  // as a worker: it only reads
  ASSERT_TRUE(reader);
  std::vector<std::byte> bytes(3);
  ASSERT_TRUE(read_into(**reader, "a", old->version, 0, bytes));
  std::filesystem::rename(world.base() + "/root", world.base() + "/aside");
  ASSERT_EQ(::mkdir(world.at("").c_str(), 0755), 0);
  world.put_text("a", "new");
  world.put_text("only new", "x");
  const auto fresh = run_task(world.store().stat("a", soon()));
  ASSERT_TRUE(fresh) << fresh.error().to_string();
  EXPECT_NE(fresh->version, old->version);
  EXPECT_EQ(run_task(world.store().stat("only old", soon())).code(), Code::not_found);
  EXPECT_TRUE(run_task(world.store().stat("only new", soon())));
  const auto written = run_task(world.store().write("written", "x", soon()));
  EXPECT_TRUE(written && ::access(world.at("written").c_str(), F_OK) == 0);
  ASSERT_TRUE(read_into(**reader, "a", fresh->version, 0, bytes)) << "a store that only reads finds the new tree as well";
  EXPECT_EQ(std::memcmp(bytes.data(), "new", 3), 0);
  std::vector<std::byte> one(1);
  EXPECT_FALSE(read_into(**reader, "only old", old->version, 0, one));
}

TEST(LocalStore, WhatIsNotADirectoryOfTheSameMountInThePlaceOfTheRootIsUnavailable) {
  LocalWorld world;
  world.put_text("a", "content");
  std::filesystem::rename(world.base() + "/root", world.base() + "/aside");
  for (const char* there : {"/proc", "/dev/null"}) {  // another file system, as an unmounted mount point shows; no directory
    ASSERT_EQ(::symlink(there, (world.base() + "/root").c_str()), 0);
    EXPECT_EQ(run_task(world.store().stat("a", soon())).code(), Code::unavailable) << there;
    EXPECT_EQ(run_task(world.store().list("", soon())).code(), Code::unavailable) << there;
    EXPECT_EQ(run_task(world.store().remove("a", soon())).code(), Code::unavailable) << there;
    ASSERT_EQ(::unlink((world.base() + "/root").c_str()), 0);
  }
}

// As root every file is readable, so the check runs as nobody in a child.
TEST(LocalStore, NamesTheFileThatItMayNotRead) {
  LocalWorld outside;
  outside.put_text("secret", "x");
  outside.put_directory("closed");
  ASSERT_EQ(::chmod(outside.at("secret").c_str(), 0), 0);
  ASSERT_EQ(::chmod(outside.at("closed").c_str(), 0), 0);
  const auto info = run_task(outside.store().stat("secret", soon()));
  ASSERT_TRUE(info);
  const std::string uri = "file://" + outside.base() + "/root";
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::getuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(9);
    BlockingPool pool(1, 10);
    auto store = open_local_store(uri, pool, real_clock());
    if (!store) ::_exit(1);
    std::vector<std::byte> bytes(1);
    const Status status = read_into(**store, "secret", info->version, 0, bytes);
    if (status.code() != Code::permission_denied) ::_exit(2);
    if (status.error().message().find("secret") == std::string::npos) ::_exit(3);
    if (run_task((*store)->list("closed", soon())).code() != Code::permission_denied) ::_exit(4);
    if (run_task((*store)->stat("closed/x", soon())).code() != Code::permission_denied) ::_exit(5);
    if (run_task((*store)->write("new", "x", soon())).code() != Code::permission_denied) ::_exit(6);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);
  ::chmod(outside.at("closed").c_str(), 0700);
}

TEST(LocalStore, StreamsADirectoryOfAHundredThousandEntries) {
  constexpr int count = 100000;
  // On tmpfs where there is one: a disk takes many seconds to make as many entries.
  const std::filesystem::path memory = "/dev/shm";
  LocalWorld world(real_clock(), ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path());
  world.put_directory("big");
  const int directory = ::open(world.at("big").c_str(), O_RDONLY | O_DIRECTORY);
  // Links are made faster than files.
  world.put_text("original", "x");
  for (int i = 0; i < count; ++i) {
    const std::string name = std::to_string(i);
    if (i % 30000 == 0) world.put_text("original" + name, "x");
    ASSERT_EQ(::linkat(AT_FDCWD, world.at("original" + std::to_string(i / 30000 * 30000)).c_str(), directory,
                       name.c_str(), 0), 0);
  }
  ::close(directory);
  auto listing = run_task(world.store().list("big", soon()));
  ASSERT_TRUE(listing);
  std::vector<bool> seen(count);
  std::size_t total = 0;
  while (true) {
    const auto batch = run_task((*listing)->next(1000, soon()));
    ASSERT_TRUE(batch) << batch.error().to_string();
    if (batch->empty()) break;
    ASSERT_LE(batch->size(), 1000U);
    for (const ObjectInfo& entry : *batch) {
      const auto index = static_cast<std::size_t>(std::stoi(entry.name));
      EXPECT_FALSE(seen[index]) << index;
      seen[index] = true;
      ++total;
    }
  }
  EXPECT_EQ(total, static_cast<std::size_t>(count));
}

TEST(LocalStore, ASymlinkSwapNeverLeadsOutOfTheRoot) {
  LocalWorld world;
  ASSERT_EQ(::mkdir((world.base() + "/outside").c_str(), 0755), 0);
  { std::FILE* file = std::fopen((world.base() + "/outside/f").c_str(), "w"); std::fputs("SECRET", file); std::fclose(file); }
  world.put_directory("real");
  world.put_text("real/f", "inside");
  std::atomic<bool> stop{false};
  std::thread swapper([&] {
    const std::string path = world.at("door");
    const std::string made = world.at("made");
    for (int i = 0; !stop.load(); ++i) {
      EXPECT_EQ(::symlink(i % 2 == 0 ? "../outside" : "real", made.c_str()), 0);
      EXPECT_EQ(::rename(made.c_str(), path.c_str()), 0);
    }
  });
  int inside = 0;
  int refused = 0;
  for (int i = 0; i < 4000 || ((inside == 0 || refused == 0) && i < 200000); ++i) {
    const auto info = run_task(world.store().stat("door/f", soon()));
    if (info) {
      std::vector<std::byte> bytes(6);
      const Status read = read_into(world.store(), "door/f", info->version, 0, bytes);
      if (read && std::memcmp(bytes.data(), "inside", 6) == 0) ++inside;
      EXPECT_FALSE(std::memcmp(bytes.data(), "SECRET", 6) == 0);
    } else {
      EXPECT_TRUE(info.code() == Code::permission_denied || info.code() == Code::not_found) << info.error().to_string();
      ++refused;
    }
  }
  stop = true;
  swapper.join();
  EXPECT_GT(inside, 0);
  EXPECT_GT(refused, 0);
}

// Promise 1: never a mix of versions. The writer rewrites in place while readers read.
TEST(LocalStore, AReadDuringARewriteIsOneVersionOrStale) {
  constexpr std::size_t length = 1U << 20;
  LocalWorld world;
  const auto content = [](std::uint64_t version) {
    std::string text(length, '\0');
    oracle_fill(std::as_writable_bytes(std::span(text)), 1, version, 0);
    return text;
  };
  const std::string contents[2] = {content(0), content(1)};
  world.put_text("f", contents[0]);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    const int fd = ::open(world.at("f").c_str(), O_WRONLY | O_CLOEXEC);
    for (int i = 1; !stop.load(); ++i) {
      EXPECT_EQ(::pwrite(fd, contents[i % 2].data(), length, 0), static_cast<ssize_t>(length));
      if (i % 3 == 0) std::this_thread::yield();
    }
    ::close(fd);
  });
  std::vector<std::byte> bytes(length);
  for (int i = 0; i < 10; ++i) {
    const auto info = run_task(world.store().stat("f", soon()));
    ASSERT_TRUE(info) << "a file that changes all the time still gets an answer";
    if (!read_into(world.store(), "f", info->version, 0, bytes)) continue;
    EXPECT_TRUE(!oracle_mismatch(bytes, 1, 0, 0) || !oracle_mismatch(bytes, 1, 1, 0)) << "a mix of two versions";
  }
  stop = true;
  writer.join();
  const auto info = run_task(world.store().stat("f", soon()));
  ASSERT_TRUE(read_into(world.store(), "f", info->version, 0, bytes));
}

// The same at every point where the read looks at the clock, also between its two system calls for bytes.
TEST(LocalStore, AChangeAtAnyPointOfAReadIsStaleOrUnseen) {
  class HookedClock final : public Clock {
   public:
    TimePoint now() const override {
      if (hook && looks_left-- == 0) hook();
      return real_clock().now();
    }
    WallTime wall_now() const override { return real_clock().wall_now(); }
    Task<> sleep_until(TimePoint when) override { return real_clock().sleep_until(when); }
    std::function<void()> hook;
    mutable int looks_left = 0;
  };
  constexpr std::size_t length = 6U << 20;  // more than one step of the read
  HookedClock clock;
  LocalWorld world(clock);
  std::string contents[2];
  for (std::uint64_t version = 0; version < 2; ++version) {
    contents[version].resize(length);
    oracle_fill(std::as_writable_bytes(std::span(contents[version])), 1, version, 0);
  }
  std::vector<std::byte> bytes(length);
  int stale = 0;
  for (int look = 0; look < 6; ++look) {
    world.put_text("f", contents[0]);
    const auto info = run_task(world.store().stat("f", soon()));
    ASSERT_TRUE(info);
    clock.looks_left = look;
    clock.hook = [&] { world.replace_secretly("f", contents[1]); };
    const Status read = read_into(world.store(), "f", info->version, 0, bytes);
    clock.hook = nullptr;
    if (read) {
      EXPECT_EQ(oracle_mismatch(bytes, 1, 0, 0), std::nullopt) << "a mix of two versions at look " << look;
    } else {
      EXPECT_EQ(read.code(), Code::stale);
      ++stale;
    }
  }
  EXPECT_GE(stale, 3);
}

TEST(LocalStore, KeepsModeAndLeavesNoDescriptorsBehind) {
  const auto open_count = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  {
    LocalWorld first;  // what the threads of tasks open stays
    first.put_text("f", "content");
    ASSERT_TRUE(run_task(first.store().stat("f", soon())));
  }
  const auto before = open_count();
  {
    LocalWorld world;
    for (int i = 0; i < 300; ++i) world.put_text("f" + std::to_string(i), "content");
    std::vector<std::byte> bytes(7);
    for (int i = 0; i < 300; ++i) {
      const auto info = run_task(world.store().stat("f" + std::to_string(i), soon()));
      ASSERT_TRUE(read_into(world.store(), "f" + std::to_string(i), info->version, 0, bytes));
    }
    EXPECT_LE(open_count(), before + 256 + 8);
    ASSERT_EQ(::chmod(world.at("f1").c_str(), 0600), 0);
    EXPECT_EQ(run_task(world.store().write("f1", "new", soon()))->mode, 0600U);
  }
  EXPECT_EQ(open_count(), before);
}

}  // namespace
}  // namespace hearth

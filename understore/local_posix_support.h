// A local store that is asked in the name of two users who are not root, for tests.
#pragma once

#include "understore/local_world.h"

#include <sys/mount.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

namespace hearth {

#define HEARTH_NEEDS(condition, what)                                                        \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      if (std::getenv("HEARTH_CI") != nullptr) FAIL() << "CI must have: " << (what);         \
      GTEST_SKIP() << "needs " << (what);                                                    \
    }                                                                                        \
  } while (false)

class LocalPosix : public ::testing::Test {
 protected:
  void SetUp() override {
    HEARTH_NEEDS(::geteuid() == 0, "root, to act as other users");
    give("", 0755, 0, 0);  // whatever the umask of this process
  }

  static Caller user(std::uint32_t uid, std::vector<std::uint32_t> groups = {}) {
    return {.uid = uid, .gid = uid, .groups = std::move(groups), .umask = 022};
  }
  static Deadline soon() { return Deadline::after(real_clock(), std::chrono::seconds(30)); }

  Result<ChangeResult> change(Change change, Caller caller) {
    return run_task(world.store().change(std::move(change), std::move(caller), soon()));
  }
  Result<StoreFile> open(OpenForWriting open, Caller caller) {
    return run_task(world.store().open_for_writing(std::move(open), std::move(caller), soon()));
  }
  Result<std::string> xattr(const std::string& path, const std::string& name, Caller caller) {
    return run_task(world.store().xattr(path, name, std::move(caller), soon()));
  }
  Result<ObjectInfo> stat(const std::string& path) { return run_task(world.store().stat(path, soon())); }

  // The errno that a change failed with, 0 when it did not.
  int refusal(Change what, Caller caller) {
    const auto result = change(std::move(what), std::move(caller));
    return result ? 0 : result.error().error_number();
  }
  int xattr_refusal(const std::string& path, const std::string& name, Caller caller) {
    const auto result = xattr(path, name, std::move(caller));
    return result ? 0 : result.error().error_number();
  }
  int open_refusal(OpenForWriting what, Caller caller) {
    const auto result = open(std::move(what), std::move(caller));
    return result ? 0 : result.error().error_number();
  }

  struct stat of(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::lstat(world.at(path).c_str(), &status), 0) << path;
    return status;
  }
  bool exists(const std::string& path) {
    struct stat status {};
    return ::lstat(world.at(path).c_str(), &status) == 0;
  }
  void directory(const std::string& path, mode_t mode, uid_t uid = 0, gid_t gid = 0) {
    world.put_directory(path);
    give(path, mode, uid, gid);
  }
  void file(const std::string& path, mode_t mode, uid_t uid = 0, gid_t gid = 0) {
    world.put_text(path, "content");
    give(path, mode, uid, gid);
  }
  void give(const std::string& path, mode_t mode, uid_t uid, gid_t gid) {
    EXPECT_EQ(::chown(world.at(path).c_str(), uid, gid), 0) << path;
    EXPECT_EQ(::chmod(world.at(path).c_str(), mode), 0) << path;
  }

  // "path" for what is there, "!path" for what is not, sorted.
  static std::vector<std::string> paths(const Result<ChangeResult>& result) {
    std::vector<std::string> all;
    if (!result) return {result.error().to_string()};
    for (const Touched& one : result->touched) all.push_back((one.now ? "" : "!") + one.path);
    std::sort(all.begin(), all.end());
    return all;
  }
  static const ObjectInfo* state(const ChangeResult& result, const std::string& path) {
    for (const Touched& one : result.touched) {
      if (one.path == path && one.now) return &*one.now;
    }
    return nullptr;
  }

  // Who the calling thread is to the kernel.
  static std::string identity() {
    std::ifstream status("/proc/thread-self/status");
    std::string all;
    for (std::string line; std::getline(status, line);) {
      for (const char* wanted : {"Uid:", "Gid:", "Groups:", "Cap", "Umask:"}) {
        if (line.starts_with(wanted)) all += line + "\n";
      }
    }
    return all;
  }

  LocalWorld world;
  const Caller root_user{.uid = 0, .gid = 0, .groups = {}, .umask = 022};
  const Caller alice = user(12345);
  const Caller bob = user(12346);
};

}  // namespace hearth

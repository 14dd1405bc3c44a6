// The same disk from four engines, and one way to run tasks on it.
#pragma once

#include "common/manual_clock.h"
#include "tiering/disk/disk.h"
#include "tiering/disk/sim_disk.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <gtest/gtest.h>

#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hearth {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hearth-disk-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  // A file system of its own here; false where this process may not mount.
  bool mount(const char* type, const char* options) {
    mounted_ = ::mount("hearth-test", path_.c_str(), type, 0, options) == 0;
    return mounted_;
  }

 private:
  std::string path_;
  bool mounted_ = false;
};

// Of a test that needs something of the machine: skipped with its reason, but not in CI.
#define HEARTH_NEEDS(condition, reason)                                          \
  if (!(condition)) {                                                            \
    if (std::getenv("HEARTH_CI") != nullptr) FAIL() << "CI must have: " << reason; \
    GTEST_SKIP() << reason;                                                      \
  }                                                                              \
  static_assert(true)

struct DiskCase {
  std::string name;
  std::optional<DiskOptions::Engine> engine;  // nothing: the simulation
  DiskCaching caching = DiskCaching::direct;
};

// An io_context with time that stands still while there is other work.
class DiskRunner {
 public:
  asio::io_context io{1};
  ManualClock clock;

  void step() {
    io.restart();
    if (io.poll_one() > 0) return;
    const TimePoint next = clock.next_wakeup();
    if (next != TimePoint::max()) {
      clock.advance(next - clock.now());
    } else {
      io.run_one();
    }
  }

  template <class T>
  struct Outcome {
    std::optional<Result<T>> result;
    explicit operator bool() const { return result.has_value(); }
  };

  template <class T>
  std::shared_ptr<Outcome<T>> start(Task<T> task) {
    auto outcome = std::make_shared<Outcome<T>>();
    asio::co_spawn(io, std::move(task), [outcome](const std::exception_ptr& thrown, Result<T> result) {
      EXPECT_FALSE(thrown);
      outcome->result = std::move(result);
    });
    return outcome;
  }
  template <class T>
  Result<T> finish(const std::shared_ptr<Outcome<T>>& outcome) {
    while (!*outcome) step();
    return std::move(*outcome->result);
  }
  template <class T>
  Result<T> run(Task<T> task) {
    return finish(start(std::move(task)));
  }
};

inline void fill_pattern(std::span<std::byte> bytes, std::uint64_t seed) {
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (std::byte& each : bytes) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    each = static_cast<std::byte>(state >> 56);
  }
}

inline bool has_pattern(std::span<const std::byte> bytes, std::uint64_t seed) {
  std::vector<std::byte> expected(bytes.size());
  fill_pattern(expected, seed);
  return std::equal(bytes.begin(), bytes.end(), expected.begin());
}

}  // namespace hearth

// Progress of a long command: a bar with rate and ETA on a terminal, a line per 10 s elsewhere.
//
// Threads: add_*() by any thread, wait free. A thread of its own draws; it ends with the object.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace hearth::cli {

enum class ProgressStyle : std::uint8_t { none, bar, lines };

struct ProgressFigures {
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::uint64_t done_files = 0;
  std::uint64_t total_files = 0;
  std::uint64_t failed_files = 0;
  bool total_known = false;  // the tree was walked to its end
  std::chrono::nanoseconds elapsed{0};
};

// One line without its end: "loading  42%  1.2/2.8 GiB  ...".
std::string progress_text(const std::string& verb, const ProgressFigures& figures, ProgressStyle style);

class Progress {
 public:
  Progress(std::string verb, ProgressStyle style);
  ~Progress() { stop(); }

  void expect(std::uint64_t files, std::uint64_t bytes) { total_files_ += files; total_bytes_ += bytes; }
  void total_is_known() { total_known_ = true; }
  void add_bytes(std::uint64_t bytes) { done_bytes_ += bytes; }
  void add_file() { ++done_files_; }
  void add_failure() { ++failed_files_; }
  // Draws no more and wipes the bar.
  void stop();
  ProgressFigures figures() const;

 private:
  void run();

  // Set once
  std::string verb_;
  ProgressStyle style_;
  std::chrono::steady_clock::time_point started_;
  std::atomic<std::uint64_t> done_bytes_{0};
  std::atomic<std::uint64_t> total_bytes_{0};
  std::atomic<std::uint64_t> done_files_{0};
  std::atomic<std::uint64_t> total_files_{0};
  std::atomic<std::uint64_t> failed_files_{0};
  std::atomic<bool> total_known_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;  // Guarded by mutex_
  std::thread thread_;
};

}  // namespace hearth::cli

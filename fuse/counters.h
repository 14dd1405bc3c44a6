// Counts of one mount: per operation, and how files were opened and read. Also feeds the process's metrics.
//
// Threads: any; relaxed atomics.
#pragma once

#include "common/metrics.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hearth {

struct MountStats;

enum class FuseOp : std::uint8_t {
  lookup, forget, getattr, access, readlink, opendir, readdir, readdirplus, releasedir, open, read, release,
  statfs, getxattr, listxattr, refused_write, setattr, make, remove, rename, create, write, flush, fsync, setxattr,
  fallocate, lseek, copy, lock,
};
inline constexpr std::array<std::string_view, 29> fuse_op_names{
    "lookup", "forget", "getattr", "access", "readlink", "opendir", "readdir", "readdirplus", "releasedir", "open",
    "read", "release", "statfs", "getxattr", "listxattr", "refused_write", "setattr", "make", "remove", "rename", "create",
    "write", "flush", "fsync", "setxattr", "fallocate", "lseek", "copy", "lock"};

class MountCounters {
 public:
  MountCounters();

  enum class Outcome : std::uint8_t { done, failed };
  void count(FuseOp op, Outcome outcome, std::chrono::nanoseconds took);
  void opened_passthrough() { bump(passthrough_opens_, *passthrough_metric_, 1); }
  void opened_cached() { bump(cached_opens_, *cached_metric_, 1); }
  void read_mapped(std::uint64_t bytes) { bump(mapped_bytes_, *mapped_metric_, bytes); }
  void read_copied(std::uint64_t bytes) { bump(copied_bytes_, *copied_metric_, bytes); }
  void wrote_in_place(std::uint64_t bytes) { in_place_written_metric_->add(bytes); }
  void wrote_staged(std::uint64_t bytes) { staged_written_metric_->add(bytes); }
  void published() { published_metric_->add(); }
  void publish_failed() { publish_failed_metric_->add(); }
  void stale_open() { stale_opens_.fetch_add(1, std::memory_order_relaxed); }
  void interrupted() { interrupted_.fetch_add(1, std::memory_order_relaxed); }

  std::atomic<std::uint64_t> open_files{0};
  std::atomic<std::uint64_t> open_directories{0};

  void fill(MountStats& stats) const;

 private:
  using Cell = std::atomic<std::uint64_t>;
  static void bump(Cell& cell, Counter& metric, std::uint64_t amount) {
    cell.fetch_add(amount, std::memory_order_relaxed);
    metric.add(amount);
  }

  struct Operation {
    Cell requests{0};
    Cell errors{0};
    HistogramMetric* seconds = nullptr;
    Counter* failed = nullptr;
  };
  std::array<Operation, fuse_op_names.size()> operations_;
  Cell passthrough_opens_{0}, cached_opens_{0}, mapped_bytes_{0}, copied_bytes_{0}, stale_opens_{0}, interrupted_{0};
  // Set once; cells of the registry
  Counter* passthrough_metric_;
  Counter* cached_metric_;
  Counter* mapped_metric_;
  Counter* copied_metric_;
  Counter* in_place_written_metric_;
  Counter* staged_written_metric_;
  Counter* published_metric_;
  Counter* publish_failed_metric_;
};

}  // namespace hearth

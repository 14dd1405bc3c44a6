// Where the memory of whole segments is given back to the kernel: 64 MiB take tens of milliseconds, which no thread that
// answers calls has.
//
// Threads: any.
// Owns:    nothing; what was handed over is owned by whoever runs it.
#pragma once

#include "tiering/block_store.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace hearth {

class MemoryRelease : public std::enable_shared_from_this<MemoryRelease> {
 public:
  explicit MemoryRelease(RunElsewhere elsewhere) : elsewhere_(std::move(elsewhere)) {}

  // Lets `memory`, which is charged with so much and has no other holder, go: elsewhere, or here when nobody takes it.
  void release(std::shared_ptr<void> memory, std::uint64_t charged_bytes) {
    const std::lock_guard lock(mutex_);
    if (!elsewhere_) return;
    under_way_bytes_ += charged_bytes;
    const bool taken = elsewhere_([self = shared_from_this(), memory = std::move(memory), charged_bytes]() mutable {
      memory.reset();
      self->under_way_bytes_ -= charged_bytes;
    });
    if (!taken) under_way_bytes_ -= charged_bytes;
  }
  // Handed over, and perhaps still charged.
  std::uint64_t under_way_bytes() const { return under_way_bytes_; }
  // Memory that outlives the store goes where its last holder is.
  void close() {
    const std::lock_guard lock(mutex_);
    elsewhere_ = nullptr;
  }

 private:
  std::atomic<std::uint64_t> under_way_bytes_{0};
  std::mutex mutex_;
  // Guarded by mutex_
  RunElsewhere elsewhere_;
};

}  // namespace hearth

// Where the memory of whole segments is given back to the kernel: 64 MiB take tens of milliseconds, which no thread that
// answers calls has.
//
// Threads: any.
// Owns:    nothing; what was handed over is owned by whoever runs it.
#pragma once

#include "tiering/block_store.h"

#include <memory>
#include <mutex>
#include <utility>

namespace hearth {

class MemoryRelease {
 public:
  explicit MemoryRelease(RunElsewhere elsewhere) : elsewhere_(std::move(elsewhere)) {}

  // Lets `memory`, which has no other holder, go: elsewhere, or here when nobody takes it.
  void release(std::shared_ptr<void> memory) {
    const std::lock_guard lock(mutex_);
    if (elsewhere_) (void)elsewhere_([memory = std::move(memory)]() mutable { memory.reset(); });
  }
  // Memory that outlives the store goes where its last holder is.
  void close() {
    const std::lock_guard lock(mutex_);
    elsewhere_ = nullptr;
  }

 private:
  std::mutex mutex_;
  // Guarded by mutex_
  RunElsewhere elsewhere_;
};

}  // namespace hearth

// The bound of what is in flight: so many calls run, the others wait in order, more than that are refused.
//
// Threads: confined to one executor.
// Owns:    the calls that wait. drain() must have ended before it goes away.
// Fails:   enter() with `overloaded` (too many wait) and `unavailable` (after drain()).
#pragma once

#include "tiering/disk/completion.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace hearth::disk {

class OperationGate {
 public:
  OperationGate(Executor executor, std::uint32_t depth, std::size_t max_waiting)
      : executor_(std::move(executor)), depth_(depth), max_waiting_(max_waiting) {}

  Task<> enter();  // each success needs one leave()
  void leave();
  // Refuses later calls and waits for those that entered or wait.
  Task<> drain();

  bool closed() const { return closed_; }
  std::uint32_t in_flight() const { return in_flight_; }
  std::size_t waiting() const { return waiting_.size(); }

 private:
  void resume(Completion<> one);

  // Set once
  Executor executor_;
  std::uint32_t depth_;
  std::size_t max_waiting_;
  // Executor only
  std::uint32_t in_flight_ = 0;
  bool closed_ = false;
  std::deque<Completion<>> waiting_;
  std::vector<Completion<>> drainers_;
};

}  // namespace hearth::disk

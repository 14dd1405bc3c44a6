// The queue in front of one store: as many calls at once as its adaptive limit allows, the rest in order of arrival.
//
// Threads: any. One mutex, never held while waiting.
// Bounds:  `max_waiting` calls wait, each no longer than its deadline.
// Fails:   enter(): overloaded (too many wait), deadline_exceeded, cancelled, or what give_up() was told.
#pragma once

#include "understore/guard/adaptive_limit.h"
#include "understore/guard/doorbell.h"

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace hearth {

class Turnstile {
 public:
  // The right to call the store, until destroyed. The turnstile outlives it.
  class Turn {
   public:
    Turn() = default;
    explicit Turn(Turnstile* gate) : gate_(gate) {}
    Turn(Turn&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Turn& operator=(Turn&& other) noexcept {
      Turn old(std::move(*this));
      gate_ = std::exchange(other.gate_, nullptr);
      return *this;
    }
    ~Turn() {
      if (gate_ != nullptr) gate_->leave();
    }

   private:
    Turnstile* gate_ = nullptr;
  };

  Turnstile(std::string store, AdaptiveLimitOptions limit, std::size_t max_waiting, Clock& clock)
      : store_(std::move(store)), max_waiting_(max_waiting), clock_(clock), limit_(limit) {}

  // At once, if nobody waits and there is room.
  std::optional<Turn> try_enter();
  Task<Turn> enter(Deadline deadline);
  // Everyone who waits now fails with `why`.
  void give_up(const Error& why);

  // What a call that began at `began` and held a turn found.
  void kept_up();
  void overloaded(TimePoint began);
  std::size_t limit() const;
  std::size_t in_flight() const;
  std::size_t waiting() const;

 private:
  struct Place {
    std::shared_ptr<Doorbell> bell;
    bool admitted = false;
    std::optional<Error> refused;
  };
  struct InQueue;
  void leave();
  void admit();  // mutex_ held
  Task<Turn> wait(std::shared_ptr<Place> place, Deadline deadline);
  Result<Turn> leave_queue(const std::shared_ptr<Place>& place, Deadline deadline);

  // Set once
  const std::string store_;
  const std::size_t max_waiting_;
  Clock& clock_;

  mutable std::mutex mutex_;
  // Guarded by mutex_
  AdaptiveLimit limit_;
  std::size_t in_flight_ = 0;
  std::deque<std::shared_ptr<Place>> waiting_;  // shared with the coroutine that waits
};

}  // namespace hearth

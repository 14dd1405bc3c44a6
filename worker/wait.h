// Waiting inside the data thread: an event, and admission to a bounded resource.
//
// Threads: confined to the executor they were made on.
#pragma once

#include "common/async.h"
#include "common/clock.h"

#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

namespace hearth::worker {

// Happens once; wakes everyone who waits, and later waits return at once.
//
// Owns: nothing but its waiters. Held by shared_ptr, because who sets it and who waits for it go away
//       in any order.
class Event {
 public:
  explicit Event(const Executor& executor);
  void set();
  bool is_set() const { return set_; }
  const Executor& executor() const { return executor_; }

  // ok once set; `cancelled` when the waiting coroutine was cancelled.
  static Task<> wait(std::shared_ptr<Event> event);
  // The same, or `deadline_exceeded`. The message is the caller's to improve.
  static Task<> wait_until(std::shared_ptr<Event> event, Clock& clock, Deadline deadline);

 private:
  Executor executor_;
  asio::steady_timer timer_;  // never expires: a place to wait, with asio's cancellation
  bool set_ = false;
};

// Shares out `capacity` units, first come first served; the queue is bounded.
//
// Fails: overloaded (queue full), cancelled (closed).
class Admission {
  struct State;

 public:
  // Units held; gives them back when destroyed, also after the Admission is gone.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept = default;
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket();

   private:
    friend class Admission;
    Ticket(std::shared_ptr<State> state, std::uint64_t amount) : state_(std::move(state)), amount_(amount) {}
    std::shared_ptr<State> state_;  // shared: the units outlive the Admission in buffers that are being sent
    std::uint64_t amount_ = 0;
  };

  Admission(Executor executor, std::uint64_t capacity, std::size_t max_waiting);
  ~Admission();
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // More than the whole capacity is treated as the whole capacity.
  Task<Ticket> acquire(std::uint64_t amount);
  std::uint64_t idle() const;  // units that are free and that nobody waits for
  std::uint64_t used() const;
  void close();                // fails who waits, and later calls

 private:
  static Task<Ticket> acquire_from(std::shared_ptr<State> state, std::uint64_t amount);
  std::shared_ptr<State> state_;
};

}  // namespace hearth::worker

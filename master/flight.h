// One answer that many wait for: the work runs once, in a task of its own, and everyone who asked
// meanwhile gets the same Result, each within its own deadline.
//
// Threads: confined to one executor.
// Owns:    a Flight is shared by the task that lands it and those who wait. The board owns one timer for all waits.
// Fails:   wait(): deadline_exceeded, or cancelled; the flight itself goes on.
#pragma once

#include "common/async.h"
#include "common/clock.h"
#include "common/net/alarm.h"
#include "common/net/waiter.h"
#include "master/records.h"

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace hearth::master {

class FlightBase {
 public:
  bool landed() const { return landed_; }
  std::size_t waiting() const { return waiting_.size(); }

 protected:
  void wake_all() {
    landed_ = true;
    for (Waiter* waiter : std::exchange(waiting_, {})) waiter->wake();
  }

 private:
  friend class WaitBoard;
  bool landed_ = false;
  std::vector<Waiter*> waiting_;
};

template <class T = void>
class Flight final : public FlightBase {
 public:
  explicit Flight(Moment started) : started(started) {}
  void land(Result<T> result) {
    outcome = std::move(result);
    wake_all();
  }
  const Moment started;  // answers are at least this new
  Result<T> outcome;
};

class WaitBoard {
 public:
  WaitBoard(Executor executor, Clock& clock);
  ~WaitBoard();
  // Until the flight landed. `what` is for the message: "loading /a".
  Task<> wait(std::shared_ptr<FlightBase> flight, Deadline deadline, std::string what);

 private:
  struct Place;
  void ring();

  Clock& clock_;
  std::set<std::pair<TimePoint, Place*>> places_;
  std::shared_ptr<Alarm> alarm_;
};

}  // namespace hearth::master

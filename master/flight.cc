#include "master/flight.h"

#include <algorithm>

namespace hearth::master {

// A waiting coroutine, entered in the flight and on the board for as long as it waits.
struct WaitBoard::Place {
  Place(WaitBoard& board, FlightBase& flight, TimePoint when) : board(board), flight(flight), when(when) {
    flight.waiting_.push_back(&waiter);
    board.places_.emplace(when, this);
  }
  ~Place() {
    std::erase(flight.waiting_, &waiter);
    board.places_.erase({when, this});
  }
  WaitBoard& board;
  FlightBase& flight;
  TimePoint when;
  Waiter waiter;
};

WaitBoard::WaitBoard(Executor executor, Clock& clock)
    : clock_(clock), alarm_(Alarm::make(std::move(executor), clock, [this] { ring(); })) {}

WaitBoard::~WaitBoard() { alarm_->stop(); }

Task<> WaitBoard::wait(std::shared_ptr<FlightBase> flight, Deadline deadline, std::string what) {
  if (flight->landed()) co_return ok();
  Place place(*this, *flight, deadline.when());
  if (!deadline.is_never()) alarm_->ring_by(deadline.when());
  co_await place.waiter.wait();
  if (flight->landed()) co_return ok();
  if (deadline.expired(clock_.now())) {
    co_return Error(Code::deadline_exceeded, what + " took longer than this request may wait; it goes on, try again");
  }
  co_return Error(Code::cancelled, what + " was cancelled");
}

void WaitBoard::ring() {
  const TimePoint now = clock_.now();
  for (const auto& [when, place] : places_) {
    if (when > now) {
      if (when != TimePoint::max()) alarm_->ring_by(when);
      break;
    }
    place->waiter.wake();  // resumes later, never inside this loop
  }
}

}  // namespace hearth::master

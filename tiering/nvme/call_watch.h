// Calls whose caller does not wait longer than its deadline, while the device takes as long as it takes.
//
// A disk call can not be taken back: its memory must stay until it ends. So each call is a coroutine of its own, which owns
// what it touches; the caller waits for it or for the deadline, whichever comes first, and a late answer is dropped.
//
// Threads: confined to the executor.
// Owns:    the calls in flight; await drain() before the destructor.
// Fails:   deadline_exceeded (found by expire(), so as precise as it is called often).
#pragma once

#include "common/async.h"
#include "common/clock.h"
#include "tiering/disk/completion.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <cassert>
#include <cstddef>
#include <exception>
#include <list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace hearth {

// A place to wait until something changed. Who is woken looks again: it may have changed back.
class Signal {
 public:
  explicit Signal(Executor executor) : executor_(std::move(executor)) {}

  Task<> wait() {
    auto start = [this](disk::Completion<> done) { waiting_.push_back(std::move(done)); };
    return disk::await_completion<>(std::move(start));
  }
  // They run in later turns of the executor.
  void notify_all() {
    for (disk::Completion<>& done : std::exchange(waiting_, {})) {
      asio::post(executor_, [done = std::make_shared<disk::Completion<>>(std::move(done))] { (*done)(ok()); });
    }
  }
  bool has_waiters() const { return !waiting_.empty(); }

 private:
  Executor executor_;
  std::vector<disk::Completion<>> waiting_;
};

class CallWatch {
 public:
  explicit CallWatch(Executor executor) : executor_(executor), idle_(executor) {}
  ~CallWatch() { assert(calls_.empty() && "calls are in flight: await drain() first"); }

  template <class T>
  Task<T> run(Task<T> call, Deadline deadline);
  // Answers every caller whose deadline has passed.
  void expire(TimePoint now) {
    for (const std::shared_ptr<Call>& call : std::vector<std::shared_ptr<Call>>(calls_.begin(), calls_.end())) {
      if (call->deadline.expired(now)) call->give_up();
    }
    if (idle_.has_waiters()) idle_.notify_all();
  }
  std::size_t in_flight() const { return calls_.size(); }
  // deadline_exceeded when calls are left then.
  Task<> drain(const Clock& clock, Deadline deadline) {
    while (!calls_.empty()) {
      if (deadline.expired(clock.now())) co_return Error(Code::deadline_exceeded, "disk calls have not ended; the device does not answer");
      CO_CHECK_OK(co_await idle_.wait());
    }
    co_return ok();
  }

 private:
  struct Call {
    virtual ~Call() = default;
    virtual void give_up() = 0;
    Deadline deadline = Deadline::never();
  };
  template <class T>
  struct TypedCall final : Call {
    void finish(Result<T> with) {
      if (done) {
        done(std::move(with));
      } else if (!left) {
        result = std::move(with);
      }
    }
    void give_up() override {
      if (!done) return;
      left = true;
      done(Error(Code::deadline_exceeded, "the device did not answer in time; read from elsewhere"));
    }
    std::optional<Result<T>> result;  // ended before the caller began to wait
    disk::Completion<T> done;
    bool left = false;
  };

  Executor executor_;
  Signal idle_;
  std::list<std::shared_ptr<Call>> calls_;  // shared with the coroutine, which ends later than its caller's wait may
};

template <class T>
Task<T> CallWatch::run(Task<T> call, Deadline deadline) {
  auto state = std::make_shared<TypedCall<T>>();
  state->deadline = deadline;
  const auto place = calls_.insert(calls_.end(), state);
  auto ended = [this, state, place](const std::exception_ptr& exception, Result<T> result) {
    calls_.erase(place);
    if (calls_.empty()) idle_.notify_all();
    if (exception) result = Error(Code::internal, "a disk call ended with an exception");
    state->finish(std::move(result));
  };
  asio::co_spawn(executor_, std::move(call), std::move(ended));
  if (state->result) co_return std::move(*state->result);
  auto start = [state](disk::Completion<T> done) { state->done = std::move(done); };
  Result<T> result = co_await disk::await_completion<T>(std::move(start));
  co_return result;
}

}  // namespace hearth

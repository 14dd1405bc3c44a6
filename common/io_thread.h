// A thread with an executor of its own, for code that is not a coroutine: daemons' mains, the
// synchronous client, tests.
//
// Threads: start() and stop() from the owner; executor() and run_sync() from any thread but its own.
// Owns:    the thread and the io_context, which lives until the destructor: make what uses the
//          executor after it and destroy it before.
// Fails:   run_sync() with `cancelled` when the thread stops meanwhile.
#pragma once

#include "common/async.h"

#include <boost/asio/co_spawn.hpp>

#include <functional>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace hearth {

class IoThread {
 public:
  explicit IoThread(std::string name = "hearth-io");  // at most 15 bytes, seen in ps and gdb
  ~IoThread();                                        // stops
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  void start();
  void stop();  // idempotent; tasks that run are left where they wait and destroyed with this object
  Executor executor() const;
  bool is_this_thread() const;

  // Runs `task` on the thread and waits for its end.
  template <class T>
  Result<T> run_sync(Task<T> task);

 private:
  struct Impl;
  // Shared by the waiting thread and the task, whichever ends later.
  template <class T>
  struct Outcome {
    std::optional<Result<T>> result;
  };

  void finish(const std::function<void()>& publish);
  void wait(const std::function<bool()>& done);

  std::unique_ptr<Impl> impl_;
};

template <class T>
Result<T> IoThread::run_sync(Task<T> task) {
  assert(!is_this_thread() && "waiting here for itself would never end");
  auto outcome = std::make_shared<Outcome<T>>();
  auto done = [this, outcome](std::exception_ptr exception, Result<T> result) {
    if (exception) result = Error(Code::internal, "a task ended with an exception");
    finish([&] { outcome->result = std::move(result); });
  };
  asio::co_spawn(executor(), std::move(task), std::move(done));
  wait([&] { return outcome->result.has_value(); });
  if (!outcome->result) return Error(Code::cancelled, "the thread that ran this is stopping");
  return std::move(*outcome->result);
}

}  // namespace hearth

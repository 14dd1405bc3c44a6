// The gate of a component: its tasks, refused after close(), waited for before it goes away.
//
// Threads: confined to the executor it was made with; that executor runs one handler at a time.
// Owns:    the tasks it spawned. The destructor asserts that none is left: await drain() first.
// Fails:   spawn() with `cancelled` after close(); drain() with `deadline_exceeded`.
#pragma once

#include "common/async.h"
#include "common/canceller.h"
#include "common/clock.h"

#include <cstddef>
#include <memory>
#include <string_view>

namespace hearth {

class TaskGroup {
 public:
  explicit TaskGroup(Executor executor, Clock& clock = real_clock());
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Starts `task` on the group's executor: called from a handler that runs on it, at once, and the task
  // may have ended when this returns; called from elsewhere, in its next turn. An error it ends with is
  // logged under `name` (a literal: it is kept as a view), except `cancelled`. Inside, cancellation does
  // not throw: operations answer it as an error.
  Status spawn(Task<> task, std::string_view name = "task");

  // The same; what is returned ends the one task, also when it is too late.
  Result<Canceller> spawn_cancellable(Task<> task, std::string_view name = "task");

  void close();  // later spawns are refused
  // Closes, and asks every task to end (asio terminal cancellation). A task that ends meanwhile is not disturbed.
  void cancel();

  // Closes, then waits until the last task ended. After a deadline_exceeded the tasks are still there:
  // cancel() and drain again.
  Task<> drain(Deadline deadline);
  Task<> join() { return drain(Deadline::never()); }

  bool closed() const;
  std::size_t size() const;
  const Executor& executor() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth

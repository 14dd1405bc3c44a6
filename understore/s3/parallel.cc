#include "understore/s3/parallel.h"

#include "common/task_group.h"

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <memory>
#include <optional>

namespace hearth::s3 {
namespace {

// Shared by the lanes, of which the last may end after an error was noted.
struct Work {
  std::vector<Task<>> tasks;
  std::size_t next = 0;
  std::optional<Error> failure;
};

Task<> run_lane(std::shared_ptr<Work> work, TaskGroup* group) {
  while (!work->failure && work->next < work->tasks.size()) {
    Task<> task = std::move(work->tasks[work->next++]);
    const auto done = co_await std::move(task);
    if (!done && !work->failure) {
      work->failure = done.error();
      group->cancel();
    }
  }
  co_return ok();
}

}  // namespace

Task<> run_parallel(std::vector<Task<>> tasks, std::size_t at_once) {
  const Executor executor = co_await asio::this_coro::executor;
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  auto work = std::make_shared<Work>();
  work->tasks = std::move(tasks);
  TaskGroup group(executor);
  const std::size_t lanes = std::min(at_once, work->tasks.size());
  for (std::size_t i = 0; i < lanes; ++i) {
    // A lane that failed at once has closed the group.
    if (!group.spawn(run_lane(work, &group), "s3_parallel")) break;
  }
  auto joined = co_await group.join();
  while (group.size() > 0) {
    group.cancel();
    const auto again = co_await group.join();
    if (!again && joined) joined = again;
  }
  co_await asio::this_coro::throw_if_cancelled(throws);
  if (work->failure) co_return *work->failure;
  if (!joined) co_return std::move(joined).error();
  if (work->next < work->tasks.size()) co_return Error(Code::cancelled, "not all parts were started");
  co_return ok();
}

}  // namespace hearth::s3

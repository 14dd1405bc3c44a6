#include "common/task_group.h"

#include "common/canceller.h"
#include "common/log.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cassert>
#include <exception>
#include <list>
#include <vector>

namespace hearth {
namespace {

struct Running {
  std::string_view name;
  Canceller stop;
};

// One drain() that waits. Cancelling the timer wakes it.
struct Waiter {
  explicit Waiter(const Executor& executor) : wake(executor, TimePoint::max()), stop_alarm(executor) {}
  asio::steady_timer wake;
  Canceller stop_alarm;
  bool alarm_runs = false;
  bool expired = false;
};

// Without this, every co_await after a cancellation throws (boost/asio/this_coro.hpp).
Task<> without_throwing(Task<> task) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto status = co_await std::move(task);
  co_return status;
}

void report(std::string_view name, const std::exception_ptr& exception, const Status& status) {
  if (exception) {
    try {
      std::rethrow_exception(exception);
    } catch (const std::exception& caught) {
      log_error("task_threw", {{"task", name}, {"what", caught.what()}});
    } catch (...) {
      log_error("task_threw", {{"task", name}, {"what", "not a std::exception"}});
    }
  } else if (!status && status.code() != Code::cancelled) {
    log_warn("task_failed", {{"task", name}, {"error", status.error().to_string()}});
  }
}

}  // namespace

struct TaskGroup::Impl {
  // Set once.
  Executor executor;
  Clock& clock;
  // Executor only.
  bool is_closed = false;
  std::list<Running> running;
  std::list<std::shared_ptr<Waiter>> waiters;

  Impl(Executor executor_in, Clock& clock_in) : executor(std::move(executor_in)), clock(clock_in) {}

  void ended(std::list<Running>::iterator task) {
    running.erase(task);
    if (!running.empty()) return;
    for (const auto& waiter : waiters) waiter->wake.cancel();
  }

  // The alarm's handler holds the waiter, not the group.
  void start_alarm(const std::shared_ptr<Waiter>& waiter, Deadline deadline) {
    if (deadline.is_never()) return;
    waiter->alarm_runs = true;
    auto rang = [waiter](const std::exception_ptr&, const Status& status) {
      waiter->alarm_runs = false;
      if (status) waiter->expired = true;
      waiter->wake.cancel();
    };
    asio::co_spawn(executor, without_throwing(clock.sleep_until(deadline.when())),
                   asio::bind_cancellation_slot(waiter->stop_alarm.slot(), std::move(rang)));
  }
};

TaskGroup::TaskGroup(Executor executor, Clock& clock) : impl_(std::make_unique<Impl>(std::move(executor), clock)) {}

TaskGroup::~TaskGroup() {
  for (const Running& left : impl_->running) log_error("task_outlives_its_group", {{"task", left.name}});
  assert(impl_->running.empty() && "await drain() before the group goes away");
}

Status TaskGroup::spawn(Task<> task, std::string_view name) {
  CHECK_OK(spawn_cancellable(std::move(task), name));
  return ok();
}

Result<Canceller> TaskGroup::spawn_cancellable(Task<> task, std::string_view name) {
  if (impl_->is_closed) {
    return Error(Code::cancelled, "task '" + std::string(name) + "' was not started: its component is stopping");
  }
  Canceller stop(impl_->executor);
  const auto entry = impl_->running.insert(impl_->running.end(), {.name = name, .stop = stop});
  auto on_end = [impl = impl_.get(), entry](const std::exception_ptr& exception, const Status& status) {
    report(entry->name, exception, status);
    impl->ended(entry);
  };
  asio::co_spawn(impl_->executor, without_throwing(std::move(task)),
                 asio::bind_cancellation_slot(entry->stop.slot(), std::move(on_end)));
  return stop;
}

void TaskGroup::close() { impl_->is_closed = true; }

void TaskGroup::cancel() {
  close();
  // Copied first: a task may end inside of its cancellation, and take others or this group with it.
  std::vector<Canceller> stops;
  stops.reserve(impl_->running.size());
  for (const Running& each : impl_->running) stops.push_back(each.stop);
  for (Canceller& stop : stops) stop.cancel();
}

Task<> TaskGroup::drain(Deadline deadline) {
  close();
  if (impl_->running.empty()) co_return ok();
  const auto waiter = std::make_shared<Waiter>(impl_->executor);
  const auto place = impl_->waiters.insert(impl_->waiters.end(), waiter);
  impl_->start_alarm(waiter, deadline);
  constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
  bool cancelled = false;
  while (!impl_->running.empty() && !waiter->expired && !cancelled) {
    co_await waiter->wake.async_wait(as_result);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    cancelled = cancellation.cancelled() != asio::cancellation_type::none;
  }
  impl_->waiters.erase(place);
  // The alarm refers to the clock, so it ends before this does.
  waiter->stop_alarm.cancel();
  while (waiter->alarm_runs) co_await waiter->wake.async_wait(as_result);
  if (impl_->running.empty()) co_return ok();
  if (cancelled) co_return Error(Code::cancelled, "waiting for tasks to end was cancelled");
  co_return Error(Code::deadline_exceeded,
                  std::to_string(impl_->running.size()) + " tasks did not end in time, one of them '" +
                      std::string(impl_->running.front().name) + "'");
}

bool TaskGroup::closed() const { return impl_->is_closed; }
std::size_t TaskGroup::size() const { return impl_->running.size(); }
const Executor& TaskGroup::executor() const { return impl_->executor; }

}  // namespace hearth

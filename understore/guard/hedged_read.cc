#include "understore/guard/hedged_read.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>

#include <cstring>
#include <exception>
#include <optional>

namespace hearth {
namespace {

// Two requests for the same bytes. Shared with both: their ends find it there.
struct Race {
  Race(const Executor& executor, Deadline until)
      : bell(std::make_shared<Doorbell>(executor)), stop_first(executor), stop_second(executor), deadline(until) {}

  std::shared_ptr<Doorbell> bell;
  Canceller stop_first;
  Canceller stop_second;
  const Deadline deadline;
  int running = 0;
  std::optional<Status> first;
  std::optional<Status> second;

  // Of the second request
  bool considered = false;
  std::optional<Turnstile::Turn> turn;
  TimePoint second_began{};
  std::uint64_t spare_base = 0;  // where in `into` the spare begins
  std::uint64_t spare_length = 0;
  std::unique_ptr<std::byte[]> spare;

  bool second_runs() const { return turn.has_value() && !second; }
  bool settled() const {
    if (second && *second) return true;
    if (!first) return false;
    return first->has_value() || !second_runs() || info(first->code()).retry == Retry::never;
  }
};

// A cancelled request ends with an error, and not by an exception in the middle.
Task<> without_throwing(Task<> task) {
  co_await asio::this_coro::throw_if_cancelled(false);
  Status status = co_await std::move(task);
  co_return std::move(status);
}

void start(std::shared_ptr<Race> race, Task<> request, std::optional<Status> Race::*outcome, Canceller stop) {
  race->running += 1;
  const Executor executor = race->bell->executor();
  auto ended = [race, outcome](const std::exception_ptr& thrown, Status status) {
    if (thrown) status = Error(Code::internal, "a read of an under-store threw");
    race.get()->*outcome = std::move(status);
    race->running -= 1;
    race->bell->ring_here();
  };
  asio::co_spawn(executor, without_throwing(std::move(request)),
                 asio::bind_cancellation_slot(stop.slot(), std::move(ended)));
}

Task<> read_rest(UnderStore& store, const std::shared_ptr<ReadJob>& job, std::uint64_t base, Deadline deadline) {
  const std::span<std::byte> rest = job->into.subspan(base);
  if (!job->progress) return store.read(job->path, job->version, job->offset + base, rest, deadline);
  ReadOptions options;
  options.progress = [job, base](std::uint64_t have) {
    job->have.store(base + have);
    job->progress(base + have);
  };
  return store.read_with(job->path, job->version, job->offset + base, rest, std::move(options), deadline);
}

void start_second(UnderStore& store, GuardCore& core, const std::shared_ptr<ReadJob>& job, const std::shared_ptr<Race>& race) {
  race->considered = true;
  const std::uint64_t base = job->have.load();
  if (base >= job->into.size()) return;
  race->turn = core.take_hedge();
  if (!race->turn) return;
  race->second_began = core.clock().now();
  race->spare_base = base;
  race->spare_length = job->into.size() - base;
  race->spare = std::make_unique_for_overwrite<std::byte[]>(race->spare_length);
  const std::span<std::byte> into(race->spare.get(), race->spare_length);
  Task<> request = store.read(job->path, job->version, job->offset + base, into, race->deadline);
  start(race, std::move(request), &Race::second, race->stop_second);
}

// Until one of the two is good, or none can be, and both have ended.
asio::awaitable<void> run(std::shared_ptr<UnderStore> store, GuardCore& core, std::shared_ptr<ReadJob> job,
                          std::shared_ptr<Race> race) {
  bool cancelled = false;
  while (!race->settled() && !cancelled) {
    co_await Doorbell::wait(race->bell);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    cancelled = cancellation.cancelled() != asio::cancellation_type::none;
    const bool straggles = race->bell->alarm_rang() && !race->considered && !race->first && !cancelled;
    if (straggles) start_second(*store, core, job, race);
  }
  if (!race->first) race->stop_first.cancel();
  if (race->second_runs()) race->stop_second.cancel();
  while (race->running > 0) co_await Doorbell::wait(race->bell);
  co_await Doorbell::silence(race->bell);
}

// Both have ended. Takes the second's bytes when only it was good.
Status conclude(GuardCore& core, const ReadJob& job, Race& race) {
  if (race.second) core.learn(StoreOp::read, *race.second, race.second_began);
  if (*race.first || !race.second || !*race.second) return *std::move(race.first);
  const std::uint64_t have = job.have.load();
  std::memcpy(job.into.data() + have, race.spare.get() + (have - race.spare_base), job.into.size() - have);
  core.hedge_won();
  return ok();
}

}  // namespace

Task<> hedged_read(std::shared_ptr<UnderStore> store, GuardCore& core, std::shared_ptr<ReadJob> job, Deadline deadline) {
  const std::uint64_t base = job->have.load();
  const std::uint64_t length = job->into.size() - base;
  if (length == 0 && base > 0) co_return ok();
  const TimePoint began = core.clock().now();
  const std::optional<Duration> straggles_after = core.straggles_after(length);
  Status outcome = ok();
  if (!straggles_after) {
    outcome = co_await read_rest(*store, job, base, deadline);
  } else {
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    const Executor executor = co_await asio::this_coro::executor;
    auto race = std::make_shared<Race>(executor, deadline);
    start(race, read_rest(*store, job, base, deadline), &Race::first, race->stop_first);
    if (!race->first) {
      race->bell->ring_at(core.clock(), began + *straggles_after);
      co_await run(store, core, job, race);
    }
    outcome = conclude(core, *job, *race);
    co_await asio::this_coro::throw_if_cancelled(throws);
  }
  if (outcome) core.read_took(length, began);
  co_return std::move(outcome);
}

}  // namespace hearth

// For the tests of the guard: one thread's loop in simulated time, and a store whose reads a test takes apart.
#pragma once

#include "common/manual_clock.h"
#include "understore/sim_store.h"
#include "understore/under_store.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace hearth::guard_testing {

// Runs tasks, moving the clock on whenever nothing else is left to do.
class SimulatedLoop {
 public:
  explicit SimulatedLoop(ManualClock& clock) : clock_(clock) {}
  Executor executor() { return context_.get_executor(); }

  void settle() {
    context_.restart();
    while (context_.poll() != 0) {}
  }
  // Until `reached()`, or nobody sleeps and nothing happens any more, or `patience` of simulated time is over.
  bool work_until(const std::function<bool()>& reached, Duration patience = std::chrono::hours(2)) {
    const TimePoint end = clock_.now() + patience;
    for (;;) {
      settle();
      if (reached()) return true;
      const TimePoint next = clock_.next_wakeup();
      if (next == TimePoint::max() || next > end) return false;
      clock_.advance(std::max(next - clock_.now(), Duration::zero()));
    }
  }
  template <class T>
  std::shared_ptr<std::optional<Result<T>>> start(Task<T> task) {
    auto outcome = std::make_shared<std::optional<Result<T>>>();
    asio::co_spawn(executor(), std::move(task), [outcome](const std::exception_ptr& thrown, Result<T> result) {
      if (thrown) result = Error(Code::internal, "the task threw");
      *outcome = std::move(result);
    });
    return outcome;
  }
  template <class T>
  Result<T> run(Task<T> task) {
    auto outcome = start(std::move(task));
    if (!work_until([&] { return outcome->has_value(); })) return Error(Code::internal, "the task never ended");
    return std::move(**outcome);
  }

 private:
  ManualClock& clock_;
  asio::io_context context_{1};
};

// A store whose reads are what the test says; the rest is a SimStore's.
class ScriptedReads final : public UnderStore {
 public:
  struct Read {
    std::uint64_t offset;
    std::span<std::byte> into;
    std::function<void(std::uint64_t have)> progress;
    Deadline deadline;
  };
  using Script = std::function<Task<>(Read)>;

  ScriptedReads(ManualClock& clock, Script script) : rest_(clock, "sim://scripted"), script_(std::move(script)) {}

  std::string_view uri() const override { return rest_.uri(); }
  StoreCapabilities capabilities() const override { return rest_.capabilities(); }
  Task<ObjectInfo> stat(std::string path, Deadline deadline) override { return rest_.stat(std::move(path), deadline); }
  Task<std::unique_ptr<Listing>> list(std::string path, Deadline deadline) override {
    return rest_.list(std::move(path), deadline);
  }
  Task<> read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
              Deadline deadline) override {
    return read_with(std::move(path), std::move(version), offset, into, ReadOptions(), deadline);
  }
  Task<> read_with(std::string, std::string, std::uint64_t offset, std::span<std::byte> into, ReadOptions options,
                   Deadline deadline) override {
    return script_(Read{.offset = offset, .into = into, .progress = std::move(options.progress), .deadline = deadline});
  }
  Task<ObjectInfo> write(std::string path, std::string content, Deadline deadline) override {
    return rest_.write(std::move(path), std::move(content), deadline);
  }
  Task<> remove(std::string path, Deadline deadline) override { return rest_.remove(std::move(path), deadline); }
  Task<> rename(std::string from, std::string to, Deadline deadline) override {
    return rest_.rename(std::move(from), std::move(to), deadline);
  }
  Task<ObjectInfo> make_directory(std::string path, std::uint32_t mode, Deadline deadline) override {
    return rest_.make_directory(std::move(path), mode, deadline);
  }

 private:
  SimStore rest_;
  Script script_;
};

}  // namespace hearth::guard_testing

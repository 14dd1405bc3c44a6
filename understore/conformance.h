// What every under-store must do. A store's test instantiates StoreConformance with its own world:
//
//   INSTANTIATE_TEST_SUITE_P(Local, StoreConformance, ::testing::Values(&make_local_world));
//
// Threads: one; run() drives the coroutines of a test to their end.
// Owns:    the world, made afresh for each test.
#pragma once

#include "common/clock.h"
#include "understore/under_store.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <string>

namespace hearth {

// Outlives the tasks: a thread of a pool that woke this one may still be inside the context's condition variable when
// the task that it woke has ended.
inline asio::io_context& task_context() {
  thread_local asio::io_context context{1};
  context.restart();
  return context;
}

// Runs one task to its end on this thread.
template <class T>
Result<T> run_task(Task<T> task) {
  asio::io_context& context = task_context();
  Result<T> outcome;
  const auto finished = [&outcome](const std::exception_ptr& thrown, Result<T> result) {
    if (thrown) std::rethrow_exception(thrown);
    outcome = std::move(result);
  };
  asio::co_spawn(context, std::move(task), finished);
  context.run();
  return outcome;
}

// The other side of a store: how somebody else changes the data. Paths as in under_store.h.
class StoreWorld {
 public:
  virtual ~StoreWorld() = default;
  virtual UnderStore& store() = 0;
  virtual void put_text(const std::string& path, const std::string& content) = 0;
  virtual void put_sparse(const std::string& path, std::uint64_t length_bytes, const std::string& tail) = 0;
  virtual void put_directory(const std::string& path) = 0;
  virtual void put_symlink(const std::string& path, const std::string& target) = 0;
  virtual void put_special(const std::string& path) = 0;
  // New content of the same length; whatever can be restored afterwards (mtime) is.
  virtual void replace_secretly(const std::string& path, const std::string& content) = 0;
  virtual void append(const std::string& path, const std::string& more) = 0;
  virtual void take_away(const std::string& path) = 0;
  // An absolute directory outside the root that belongs to this test alone, with a file "decoy" in it. Tests of
  // confinement aim only there: where confinement is broken they must not reach the machine.
  virtual std::string outside() = 0;
  virtual bool decoy_untouched() = 0;
  // The whole store becomes unreachable.
  virtual void vanish() = 0;

  // What this kind of store can not have, by its nature: the tests about it are skipped.
  virtual bool has_symlinks() { return true; }
  virtual bool has_special_files() { return true; }
  // Names it can not have are refused with invalid_argument.
  virtual bool takes_name(const std::string& name) { return !name.empty(); }
  // Names that this one server spoils on the way, to the knowledge of its README: not tried.
  virtual bool carries_name(const std::string& name) { return !name.empty(); }
};

using StoreWorldFactory = std::unique_ptr<StoreWorld> (*)();

class StoreConformance : public ::testing::TestWithParam<StoreWorldFactory> {
 protected:
  void SetUp() override { world_ = GetParam()(); }

  UnderStore& store() { return world_->store(); }
  static Deadline soon() { return Deadline::after(real_clock(), std::chrono::seconds(30)); }

  Result<ObjectInfo> stat(const std::string& path) { return run_task(store().stat(path, soon())); }
  Result<std::string> read(const std::string& path, const std::string& version, std::uint64_t offset,
                           std::size_t length);
  // The whole file in its present version.
  Result<std::string> read_all(const std::string& path);
  Result<std::vector<ObjectInfo>> list(const std::string& path, std::size_t batch = 100);
  // Sorted names.
  std::vector<std::string> names(const std::string& path, std::size_t batch = 100);

  std::unique_ptr<StoreWorld> world_;
};

}  // namespace hearth

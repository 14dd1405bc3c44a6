// For the tests of the worker: an event loop, an oracle store with gates and faults, blocks of known content.
#pragma once

#include "common/async.h"
#include "common/block.h"
#include "common/clock.h"
#include "common/task_group.h"
#include "understore/under_store.h"
#include "worker/wait.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace hearth::worker::testing {

// One thread's loop. run() works until the task ended; a minute of nothing is a failure of the test.
class Loop {
 public:
  Executor executor() { return context_.get_executor(); }

  // Works until `reached()`; false when that takes more than `patience` of real time.
  bool work_until(const std::function<bool()>& reached, std::chrono::seconds patience = std::chrono::seconds(60));
  // Everything that is ready now.
  void settle() {
    context_.restart();
    while (context_.poll() != 0) {}
  }

  template <class T>
  Result<T> run(Task<T> task) {
    auto outcome = std::make_shared<std::optional<Result<T>>>();
    asio::co_spawn(executor(), std::move(task), [outcome](std::exception_ptr thrown, Result<T> result) {
      if (thrown) result = Error(Code::internal, "the task threw");
      *outcome = std::move(result);
    });
    if (!work_until([&] { return outcome->has_value(); })) return Error(Code::internal, "the task did not end in a minute");
    return std::move(**outcome);
  }

 private:
  asio::io_context context_{1};
};

// Whether these are the bytes of that version of the file (understore/oracle.h).
bool is_oracle(std::span<const std::byte> bytes, const std::string& path, const std::string& version,
               std::uint64_t offset);

// An under-store whose files hold oracle bytes. Confined to the loop.
class OracleStore final : public UnderStore {
 public:
  OracleStore(Executor executor, std::string uri) : executor_(std::move(executor)), uri_(std::move(uri)) {}

  void put(const std::string& path, std::string version, std::uint64_t length);
  // Reads stop in the middle until open_gate().
  void close_gate() { gate_ = std::make_shared<Event>(executor_); }
  void open_gate();
  void ignore_cancellation() { stubborn_ = true; }  // as a read in a hung kernel call does
  void prefer_reads_of(std::uint64_t length) { preferred_read_bytes_ = length; }
  void fail_next(Code code, int times) { fail_code_ = code; fail_times_ = times; }

  int reads() const { return reads_; }
  int reads_at(std::uint64_t offset) const;
  int in_flight() const { return in_flight_; }
  int most_in_flight() const { return most_in_flight_; }

  std::string_view uri() const override { return uri_; }
  StoreCapabilities capabilities() const override {
    StoreCapabilities capabilities;
    capabilities.preferred_read_bytes = preferred_read_bytes_;
    return capabilities;
  }
  Task<ObjectInfo> stat(std::string path, Deadline deadline) override;
  Task<std::unique_ptr<Listing>> list(std::string path, Deadline deadline) override;
  Task<> read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
              Deadline deadline) override;
  // Tells of the first half before the gate.
  Task<> read_with(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
                   ReadOptions options, Deadline deadline) override;
  Task<ObjectInfo> write(std::string path, std::string content, Deadline deadline) override;
  Task<> remove(std::string path, Deadline deadline) override;
  Task<> rename(std::string from, std::string to, Deadline deadline) override;
  Task<ObjectInfo> make_directory(std::string path, std::uint32_t mode, Deadline deadline) override;

 private:
  struct File {
    std::string version;
    std::uint64_t length = 0;
  };
  Status check(const std::string& path, const std::string& version) const;
  Task<> read_gated(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
                    ReadOptions options);

  Executor executor_;
  std::string uri_;
  std::map<std::string, File> files_;
  std::shared_ptr<Event> gate_;
  bool stubborn_ = false;
  std::uint64_t preferred_read_bytes_ = 0;
  Code fail_code_ = Code::ok;
  int fail_times_ = 0;
  int reads_ = 0;
  int in_flight_ = 0;
  int most_in_flight_ = 0;
  std::map<std::uint64_t, int> reads_at_;
};

inline constexpr AttachmentId test_attachment{7};
inline constexpr std::uint32_t test_page = 64U << 10;

// The first block of a file of that length, with pages of 64 KiB.
BlockRef block_of(const std::string& store_uri, const std::string& path, const std::string& version,
                  std::uint64_t length);

}  // namespace hearth::worker::testing

// What the guard of an under-store counts; `store` is the store's URI. Call sites take these, never a string.
#pragma once

#include "common/metrics.h"

#include <hearth/code.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

namespace hearth::described {

inline constexpr CounterDescriptor store_attempts_total{
    "hearth_understore_attempts_total", "Requests sent to an under-store, retries and hedges included, by outcome.",
    {"store", "operation", "code"}};
inline constexpr CounterDescriptor store_retries_total{
    "hearth_understore_retries_total", "Requests that were sent again after a failure.", {"store"}};
inline constexpr CounterDescriptor store_throttled_total{
    "hearth_understore_throttled_total", "Answers of an under-store that asked to slow down.", {"store"}};
inline constexpr CounterDescriptor store_hedges_total{
    "hearth_understore_hedges_total", "Second requests for reads that took long: sent, and those that were first.",
    {"store", "outcome"}};
inline constexpr CounterDescriptor store_refused_total{
    "hearth_understore_refused_total", "Calls answered at once because the under-store is away.", {"store"}};
inline constexpr GaugeDescriptor store_limit{
    "hearth_understore_concurrency_limit", "Requests at once that an under-store is given now.", {"store"}};
inline constexpr GaugeDescriptor store_breaker{
    "hearth_understore_breaker_state", "0: the under-store answers. 1: it is away. 2: it is being probed.", {"store"}};

}  // namespace hearth::described

namespace hearth {

enum class StoreOp : std::uint8_t { stat, list, list_next, read, write, remove, rename, make_directory, probe, sweep, change, upload, tree };
inline constexpr std::size_t store_op_count = 13;
std::string_view name(StoreOp op);

// The cells of one store, looked up once.
//
// Threads: any.
class GuardMetrics {
 public:
  explicit GuardMetrics(std::string store);

  void attempted(StoreOp op, Code outcome);
  void retried() { retries_.add(); }
  void throttled() { throttled_.add(); }
  void hedge_sent() { hedges_sent_.add(); }
  void hedge_won() { hedges_won_.add(); }
  void refused() { refused_.add(); }
  // Touch the cell only when the value is another.
  void limit(std::int64_t now);
  void breaker(std::int64_t state);

 private:
  const std::string store_;
  Counter& retries_;
  Counter& throttled_;
  Counter& hedges_sent_;
  Counter& hedges_won_;
  Counter& refused_;
  Gauge& limit_;
  Gauge& breaker_;
  std::atomic<std::int64_t> last_limit_{-1};
  std::atomic<std::int64_t> last_breaker_{-1};
  std::array<std::array<std::atomic<Counter*>, code_table.size()>, store_op_count> attempts_{};
};

}  // namespace hearth

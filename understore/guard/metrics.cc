#include "understore/guard/metrics.h"

#include <utility>

namespace hearth {

std::string_view name(StoreOp op) {
  constexpr std::array<std::string_view, store_op_count> names{
      "stat", "list", "list_next", "read", "write", "remove", "rename", "make_directory", "probe", "sweep",
      "change", "upload", "tree"};
  return names[static_cast<std::size_t>(op)];
}

GuardMetrics::GuardMetrics(std::string store)
    : store_(std::move(store)), retries_(metrics().counter(described::store_retries_total, {store_})),
      throttled_(metrics().counter(described::store_throttled_total, {store_})),
      hedges_sent_(metrics().counter(described::store_hedges_total, {store_, "sent"})),
      hedges_won_(metrics().counter(described::store_hedges_total, {store_, "won"})),
      refused_(metrics().counter(described::store_refused_total, {store_})),
      limit_(metrics().gauge(described::store_limit, {store_})),
      breaker_(metrics().gauge(described::store_breaker, {store_})) {}

void GuardMetrics::attempted(StoreOp op, Code outcome) {
  std::atomic<Counter*>& cell = attempts_[static_cast<std::size_t>(op)][static_cast<std::size_t>(outcome)];
  Counter* known = cell.load(std::memory_order_acquire);
  if (known == nullptr) {
    // Two threads that get here at once find the same cell.
    known = &metrics().counter(described::store_attempts_total, {store_, std::string(name(op)), std::string(name(outcome))});
    cell.store(known, std::memory_order_release);
  }
  known->add();
}

void GuardMetrics::limit(std::int64_t now) {
  if (last_limit_.exchange(now, std::memory_order_relaxed) != now) limit_.set(now);
}

void GuardMetrics::breaker(std::int64_t state) {
  if (last_breaker_.exchange(state, std::memory_order_relaxed) != state) breaker_.set(state);
}

}  // namespace hearth

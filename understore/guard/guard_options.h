// The guard's share of an attachment's store options: "guard.max_concurrency" and so on.
//
// Fails: invalid_argument, naming the option, what is allowed and the nearest name.
#pragma once

#include "understore/guard/adaptive_limit.h"
#include "understore/guard/circuit_breaker.h"
#include "understore/guard/hedge.h"
#include "understore/guard/retry_policy.h"
#include "understore/guard/token_budget.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace hearth {

struct GuardOptions {
  AdaptiveLimitOptions limit;
  RetryPolicyOptions retries;
  TokenBudgetOptions retry_budget;
  HedgeOptions hedge;
  CircuitBreakerOptions breaker;
  std::size_t max_waiting = 4096;  // calls that wait for their turn; more are answered `overloaded`
  // A call is given up, to be tried again, after half of the time that is left, but not before this.
  Duration shortest_attempt = std::chrono::seconds(5);
  Duration longest_attempt = std::chrono::seconds(60);
  // Less than this without an answer says more about the caller's deadline than about the store.
  Duration counts_as_timeout = std::chrono::seconds(1);
  std::optional<std::uint64_t> fetch_bytes;  // StoreCapabilities::preferred_read_bytes; unset: the store's own, or 8 MiB
};

// Takes the "guard." options out of `options` and leaves the store's own there.
Result<GuardOptions> take_guard_options(std::map<std::string, std::string>& options);

}  // namespace hearth

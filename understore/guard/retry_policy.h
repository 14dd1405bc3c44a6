// Which failures are worth asking again, and after which pause.
//
// Threads: none of its own; whoever owns it locks.
#pragma once

#include "common/clock.h"
#include "common/rng.h"

#include <hearth/result.h>

#include <cstdint>

namespace hearth {

// Whether a call that may have been carried out although it failed can be repeated.
enum class Repeatable : std::uint8_t {
  always,        // it only reads
  when_refused,  // it changes the store: only when the store said that it did nothing
  never,
};

struct RetryPolicyOptions {
  // 10 % of failures at random must leave no call failed in a day: 1e-8 per call.
  std::uint32_t max_attempts = 8;
  Duration first_pause = std::chrono::milliseconds(50);
  Duration longest_pause = std::chrono::seconds(5);
};

class RetryPolicy {
 public:
  explicit RetryPolicy(RetryPolicyOptions options) : options_(options) {}

  std::uint32_t max_attempts() const { return options_.max_attempts; }
  // By the retry class of the code table, without what the store itself cannot mend.
  static bool worth_retrying(Code code, Repeatable repeatable);
  // Before attempt `attempt` (2 is the first retry): doubles each time, anywhere in its upper half, and never sooner
  // than the store asked for.
  Duration pause_before(std::uint32_t attempt, const Error& last, Rng& rng) const;

 private:
  RetryPolicyOptions options_;
};

}  // namespace hearth

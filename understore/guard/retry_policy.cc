#include "understore/guard/retry_policy.h"

#include <algorithm>

namespace hearth {

bool RetryPolicy::worth_retrying(Code code, Repeatable repeatable) {
  if (repeatable == Repeatable::never) return false;
  if (code == Code::internal || code == Code::no_space) return false;
  if (info(code).retry == Retry::later) return true;
  return info(code).retry == Retry::elsewhere && repeatable == Repeatable::always;
}

Duration RetryPolicy::pause_before(std::uint32_t attempt, const Error& last, Rng& rng) const {
  Duration whole = options_.first_pause;
  for (std::uint32_t i = 2; i < attempt && whole < options_.longest_pause; ++i) whole *= 2;
  whole = std::min(whole, options_.longest_pause);
  const auto half = static_cast<double>(whole.count()) / 2;
  const Duration jittered(static_cast<Duration::rep>(half + half * rng.fraction()));
  return std::max<Duration>(jittered, std::chrono::milliseconds(last.retry_after_ms()));
}

}  // namespace hearth

#include "tiering/eviction/whatif.h"

#include <algorithm>
#include <cmath>

namespace hearth {
namespace {

constexpr int decays_per_half_life = 64;
constexpr double enough = 1e-4;  // a further doubling that gains less is not shown

double to_seconds(std::chrono::nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

Result<WhatIf> WhatIf::make(const WhatIfOptions& options, std::chrono::nanoseconds now) {
  constexpr std::uint32_t most_samples = max_whatif_bytes / 32;  // before anything is allocated
  if (options.max_samples > 0 && options.max_samples <= most_samples && options.half_life >= std::chrono::nanoseconds::zero()) {
    WhatIf estimator(options, now);
    if (estimator.memory_bytes() <= max_whatif_bytes) return estimator;
  }
  return Error(Code::invalid_argument, "whatif: " + std::to_string(options.max_samples) +
                                           " samples are none or take more than 8 MiB, or the half-life is negative; use the defaults");
}

WhatIf::WhatIf(const WhatIfOptions& options, std::chrono::nanoseconds now)
    : options_(options),
      shards_(options.max_samples),
      decayed_at_(now),
      decay_interval_(std::max<std::chrono::nanoseconds>(options.half_life / decays_per_half_life, std::chrono::nanoseconds(1))) {}

void WhatIf::access(std::uint64_t fingerprint, std::uint32_t bytes, std::chrono::nanoseconds now) {
  if (now - decayed_at_ >= decay_interval_) decay(now);
  shards_.access(fingerprint, bytes);
}

void WhatIf::decay(std::chrono::nanoseconds now) {
  const double elapsed = to_seconds(now - decayed_at_);
  if (elapsed <= 0) return;
  decayed_at_ = now;
  seconds_ += elapsed;
  if (options_.half_life == std::chrono::nanoseconds::zero()) return;
  const double factor = std::exp2(-elapsed / to_seconds(options_.half_life));
  shards_.scale(factor);
  seconds_ *= factor;
}

WhatIfReport WhatIf::report(std::span<const TierQuestion> tiers, std::chrono::nanoseconds now) {
  decay(now);
  const MissRatioCurve curve = shards_.curve();
  WhatIfReport report;
  report.sampling_rate = shards_.sampling_rate();
  report.samples = shards_.samples();
  if (seconds_ > 0) {
    report.requests_per_second = curve.requests() / seconds_;
    report.bytes_per_second = curve.bytes() / seconds_;
  }
  std::uint64_t total = 0;
  for (const TierQuestion& tier : tiers) total += tier.capacity_bytes;
  std::uint64_t above = 0;
  for (const TierQuestion& tier : tiers) {
    const std::uint64_t end = above + tier.capacity_bytes;
    TierAnswer answer{.tier = tier.tier, .capacity_bytes = tier.capacity_bytes, .step_bytes = tier.step_bytes};
    answer.hit_ratio = curve.hits_at(end) - curve.hits_at(above);
    answer.hit_ratio_after = curve.hits_at(end + tier.step_bytes) - curve.hits_at(above);
    answer.saved_requests_per_second =
        (curve.hits_at(total + tier.step_bytes) - curve.hits_at(total)) * report.requests_per_second;
    answer.saved_bytes_per_second =
        (curve.byte_hits_at(total + tier.step_bytes) - curve.byte_hits_at(total)) * report.bytes_per_second;
    const double reached = curve.hits_at(std::min(end + tier.step_bytes, total)) - curve.hits_at(end);
    answer.raised_requests_per_second = reached * report.requests_per_second;
    report.tiers.push_back(std::move(answer));
    above = end;
  }
  const double most = curve.hits_at(1ULL << 63);
  for (std::uint64_t capacity = 1ULL << 20; capacity < (1ULL << 63); capacity *= 2) {
    report.curve.push_back({capacity, curve.hits_at(capacity), curve.byte_hits_at(capacity)});
    if (most - report.curve.back().hit_ratio < enough) break;
  }
  return report;
}

}  // namespace hearth

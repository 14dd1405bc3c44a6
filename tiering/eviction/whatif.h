// What more capacity would save: an online miss-ratio curve and the answers that `hearth policy whatif` shows.
//
// The curve is of one LRU cache over all reads; tiers are its successive parts, as pages move down under pressure. A page
// counts with its whole length, so hits are pages served and misses are fetches from the under-store.
//
// Threads: confined to the data thread. Time is the caller's, monotonic.
// Owns:    at most 8 MiB (2.3 MiB with the default number of samples).
#pragma once

#include "tiering/eviction/shards.h"

#include <hearth/result.h>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hearth {

inline constexpr std::size_t max_whatif_bytes = 8U << 20;

struct WhatIfOptions {
  std::uint32_t max_samples = 1U << 15;                    // mean error about 1 %, measured
  std::chrono::nanoseconds half_life = std::chrono::hours(1);  // how fast older reads lose their say; 0: never
};

// One more `step_bytes` of a tier.
struct TierQuestion {
  std::string tier;
  std::uint64_t capacity_bytes = 0;
  std::uint64_t step_bytes = 0;
};

struct TierAnswer {
  std::string tier;
  std::uint64_t capacity_bytes = 0;
  std::uint64_t step_bytes = 0;
  double hit_ratio = 0;        // share of all reads that this tier serves now, by the curve
  double hit_ratio_after = 0;  // with one step more
  // To the under-store, less than now.
  double saved_requests_per_second = 0;
  double saved_bytes_per_second = 0;
  // Served by this tier then, and by a lower one now.
  double raised_requests_per_second = 0;
};

struct WhatIfReport {
  double requests_per_second = 0;
  double bytes_per_second = 0;
  double sampling_rate = 1;
  std::uint32_t samples = 0;
  std::vector<TierAnswer> tiers;
  struct Point {
    std::uint64_t capacity_bytes = 0;
    double hit_ratio = 0;
    double byte_hit_ratio = 0;
  };
  std::vector<Point> curve;  // capacities doubling from 1 MiB until nothing more is gained
};

class WhatIf {
 public:
  // Fails: invalid_argument when the samples are none or take more than 8 MiB.
  static Result<WhatIf> make(const WhatIfOptions& options, std::chrono::nanoseconds now);

  // One page of `bytes` was read, wherever it came from.
  void access(std::uint64_t fingerprint, std::uint32_t bytes, std::chrono::nanoseconds now);

  // `tiers` from the top down; each is asked alone, with the others as they are.
  WhatIfReport report(std::span<const TierQuestion> tiers, std::chrono::nanoseconds now);
  MissRatioCurve curve() const { return shards_.curve(); }

  std::size_t memory_bytes() const { return shards_.memory_bytes(); }

 private:
  WhatIf(const WhatIfOptions& options, std::chrono::nanoseconds now);
  void decay(std::chrono::nanoseconds now);

  WhatIfOptions options_;
  eviction::Shards shards_;
  std::chrono::nanoseconds decayed_at_;
  std::chrono::nanoseconds decay_interval_;
  double seconds_ = 0;  // as long as the decayed reads took, equally decayed
};

}  // namespace hearth

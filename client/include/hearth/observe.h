// What workers know of the reads they serve: what more capacity would save, and traces of accesses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hearth {

// One step more of one tier of one worker.
struct WhatIfTier {
  std::string name;                       // "memory", "nvme"
  std::uint64_t capacity_bytes = 0;
  std::uint64_t step_bytes = 0;
  double hit_ratio = 0;                   // of all reads, by this tier
  double hit_ratio_after = 0;             // with one step more
  double saved_requests_per_second = 0;   // to the under-store
  double saved_bytes_per_second = 0;
  double raised_requests_per_second = 0;  // that a lower tier serves now
};

struct WhatIfPoint {
  std::uint64_t capacity_bytes = 0;
  double hit_ratio = 0;
  double byte_hit_ratio = 0;
};

struct WorkerWhatIf {
  std::uint64_t worker_id = 0;
  double requests_per_second = 0;
  double bytes_per_second = 0;
  double sampling_rate = 1;
  std::uint32_t samples = 0;
  std::vector<WhatIfTier> tiers;
  std::vector<WhatIfPoint> curve;         // of one LRU cache over all reads, capacities doubling
};

struct TracePlan {
  enum class Paths : std::uint8_t { none, plain, hashed };
  std::uint64_t max_bytes = 0;            // of each worker; 0 = 32 MiB, which is also the most
  double sampling_rate = 1.0;             // of pages
  Paths paths = Paths::none;
};

struct WorkerTrace {
  std::uint64_t worker_id = 0;
  std::uint64_t records = 0;
  std::uint64_t overwritten = 0;          // older ones that had no room
  std::string bytes;                      // docs/formats/trace.md
};

}  // namespace hearth

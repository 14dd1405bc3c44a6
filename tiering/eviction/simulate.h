// What a stack of tiers would have done with a trace: the same eviction and admission classes as a worker's, without
// bytes, in the trace's own time.
//
// A page is in one tier at most. A page that is fetched and admitted goes into the highest tier that its rule allows;
// what a tier evicts moves down one, or goes when it may not; a page that is read often enough in a lower tier moves up.
// Moves take no time and no bandwidth here. A sampled trace is run against tiers of the same share of their size, and the
// counts are scaled back.
//
// Threads: confined.
// Owns:    the model's state: about 250 bytes per resident page and 60 per page that second-read remembers.
// Fails:   invalid_argument for tiers that can not be: none, too many, an unknown eviction class.
#pragma once

#include "tiering/eviction/admission_policy.h"
#include "tiering/eviction/cache_model.h"
#include "tiering/eviction/trace.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace hearth {

inline constexpr std::size_t max_simulated_tiers = 4;

struct SimulatedTier {
  std::string name;  // "memory"
  std::uint64_t capacity_bytes = 0;
  std::string eviction = "s3-fifo";
};

// What a policy says about one read. Tiers count from 0, the highest.
struct SimulatedDecision {
  std::uint32_t rule = 0;  // index into SimulateOptions::rules; others are counted as the last of them
  std::string_view admission = "always";
  std::size_t highest_tier = 0;
  std::size_t lowest_tier = max_simulated_tiers - 1;  // clamped to the tiers that there are
  std::uint32_t promote_reads = 2;  // 0: never
  std::chrono::nanoseconds promote_within = std::chrono::minutes(10);
};

struct Prices {
  double per_thousand_requests = 0;  // to the under-store
  double per_gib = 0;                // from the under-store
};

struct SimulateOptions {
  std::vector<SimulatedTier> tiers;
  std::vector<std::string> rules{"all"};
  // `file` is null and `tenant` "" when the trace does not say. Empty: the defaults of SimulatedDecision.
  std::function<SimulatedDecision(const TraceRecord& record, const TraceFile* file, std::string_view tenant)> decide;
  Prices prices;
  double sampling_rate = 1.0;  // of the trace
};

struct Traffic {
  double requests = 0;
  double bytes = 0;
};

struct SimulatedCounts {
  std::string rule;
  Traffic reads;
  std::vector<Traffic> hits;  // by tier
  Traffic store;              // fetched from the under-store
  Traffic refused;            // of these: not admitted
  double promoted_bytes = 0;
  double demoted_bytes = 0;
  double dropped_bytes = 0;  // evicted from the last tier
  double cost = 0;

  double hit_ratio() const;
  double byte_hit_ratio() const;
  double hit_ratio(std::size_t tier) const { return reads.requests > 0 ? hits[tier].requests / reads.requests : 0; }
};

struct SimulateReport {
  SimulatedCounts total;
  std::vector<SimulatedCounts> rules;  // those that were met, in the order of SimulateOptions::rules
  std::chrono::nanoseconds duration{};
};

class Simulation {
 public:
  static Result<Simulation> make(SimulateOptions options);

  void read(const TraceRecord& record, const TraceFile* file, std::string_view tenant = {});
  SimulateReport report() const;

 private:
  struct Resident {
    std::uint8_t tier = 0;
    std::uint8_t lowest_tier = 0;
    std::uint16_t reads = 0;  // below its highest tier, within the window
    std::uint32_t rule = 0;
    std::chrono::nanoseconds first_read{};
  };

  explicit Simulation(SimulateOptions options);
  SimulatedDecision decide(const TraceRecord& record, const TraceFile* file, std::string_view tenant) const;
  void hit(Resident& page, const SimulatedDecision& decision, const TraceRecord& record);
  void miss(const SimulatedDecision& decision, const TraceRecord& record);
  // Into `tier` or, when it is larger than that, into the next one that may have it.
  void place(std::uint64_t key, std::uint64_t bytes, std::size_t tier, Resident page);
  void evicted(std::uint64_t key, std::uint64_t bytes, std::size_t tier);
  AdmissionPolicy& admission(const SimulatedDecision& decision);
  void settle(SimulatedCounts& counts) const;

  SimulateOptions options_;
  std::vector<std::unique_ptr<CacheModel>> tiers_;
  std::unordered_map<std::uint64_t, Resident> residents_;
  std::map<std::pair<std::uint32_t, std::string_view>, std::unique_ptr<AdmissionPolicy>> admissions_;  // of each rule
  std::vector<SimulatedCounts> counts_;  // by rule
  std::chrono::nanoseconds first_time_{};
  std::chrono::nanoseconds last_time_{};
  bool began_ = false;
};

// A whole trace through one simulation.
Result<SimulateReport> simulate(TraceReader& trace, SimulateOptions options);

}  // namespace hearth

#include "tiering/eviction/simulate.h"

#include <algorithm>
#include <cassert>

namespace hearth {
namespace {

constexpr double gib = 1024.0 * 1024 * 1024;

void add(Traffic& traffic, double bytes) {
  ++traffic.requests;
  traffic.bytes += bytes;
}
void add(Traffic& to, const Traffic& from) {
  to.requests += from.requests;
  to.bytes += from.bytes;
}

}  // namespace

double SimulatedCounts::hit_ratio() const { return reads.requests > 0 ? 1 - store.requests / reads.requests : 0; }
double SimulatedCounts::byte_hit_ratio() const { return reads.bytes > 0 ? 1 - store.bytes / reads.bytes : 0; }

Result<Simulation> Simulation::make(SimulateOptions options) {
  if (options.tiers.empty() || options.tiers.size() > max_simulated_tiers) {
    return Error(Code::invalid_argument, "simulation: give 1 to " + std::to_string(max_simulated_tiers) + " tiers, not " +
                                             std::to_string(options.tiers.size()));
  }
  if (options.rules.empty() || !(options.sampling_rate > 0 && options.sampling_rate <= 1)) {
    return Error(Code::invalid_argument, "simulation: at least one rule, and a sampling rate in (0, 1]");
  }
  Simulation simulation(std::move(options));
  for (const SimulatedTier& tier : simulation.options_.tiers) {
    TRY(policy, make_policy(tier.eviction));
    const auto capacity = static_cast<std::uint64_t>(static_cast<double>(tier.capacity_bytes) * simulation.options_.sampling_rate);
    simulation.tiers_.push_back(std::make_unique<CacheModel>(capacity, std::move(policy)));
  }
  return simulation;
}

Simulation::Simulation(SimulateOptions options) : options_(std::move(options)), counts_(options_.rules.size()) {
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    counts_[i].rule = options_.rules[i];
    counts_[i].hits.resize(options_.tiers.size());
  }
}

SimulatedDecision Simulation::decide(const TraceRecord& record, const TraceFile* file, std::string_view tenant) const {
  SimulatedDecision decision = options_.decide ? options_.decide(record, file, tenant) : SimulatedDecision();
  decision.rule = std::min<std::uint32_t>(decision.rule, static_cast<std::uint32_t>(counts_.size() - 1));
  decision.highest_tier = std::min(decision.highest_tier, tiers_.size() - 1);
  decision.lowest_tier = std::clamp(decision.lowest_tier, decision.highest_tier, tiers_.size() - 1);
  return decision;
}

void Simulation::read(const TraceRecord& record, const TraceFile* file, std::string_view tenant) {
  if (!began_) first_time_ = record.time;
  began_ = true;
  last_time_ = std::max(last_time_, record.time);
  const SimulatedDecision decision = decide(record, file, tenant);
  add(counts_[decision.rule].reads, record.bytes);
  const auto found = residents_.find(record.key());
  if (found == residents_.end()) {
    miss(decision, record);
  } else {
    hit(found->second, decision, record);
  }
}

void Simulation::hit(Resident& page, const SimulatedDecision& decision, const TraceRecord& record) {
  SimulatedCounts& counts = counts_[decision.rule];
  const std::size_t tier = page.tier;
  add(counts.hits[tier], record.bytes);
  const auto known = tiers_[tier]->find(record.key());
  assert(known == CacheModel::Lookup::hit && "the model and its tiers agree");
  (void)known;
  if (tier <= decision.highest_tier || decision.promote_reads == 0) return;
  if (page.reads == 0 || record.time - page.first_read > decision.promote_within) {
    page.reads = 0;
    page.first_read = record.time;
  }
  if (++page.reads < decision.promote_reads) return;
  const Resident moved{.lowest_tier = static_cast<std::uint8_t>(decision.lowest_tier), .rule = decision.rule};
  tiers_[tier]->remove(record.key(), Removal::dropped);
  residents_.erase(record.key());
  counts.promoted_bytes += record.bytes;
  place(record.key(), record.bytes, decision.highest_tier, moved);
}

void Simulation::miss(const SimulatedDecision& decision, const TraceRecord& record) {
  SimulatedCounts& counts = counts_[decision.rule];
  add(counts.store, record.bytes);
  if (admission(decision).decide(record.key(), record.time) == Admission::bypass) {
    add(counts.refused, record.bytes);
    return;
  }
  place(record.key(), record.bytes, decision.highest_tier,
        Resident{.lowest_tier = static_cast<std::uint8_t>(decision.lowest_tier), .rule = decision.rule});
}

void Simulation::place(std::uint64_t key, std::uint64_t bytes, std::size_t tier, Resident page) {
  for (; tier <= page.lowest_tier && tier < tiers_.size(); ++tier) {
    page.tier = static_cast<std::uint8_t>(tier);
    const auto moves_down = [this, tier](std::uint64_t gone, std::uint64_t gone_bytes) { evicted(gone, gone_bytes, tier); };
    if (tiers_[tier]->insert(key, bytes, moves_down) == CacheModel::Kept::too_large) continue;
    residents_[key] = page;
    return;
  }
}

void Simulation::evicted(std::uint64_t key, std::uint64_t bytes, std::size_t tier) {
  const auto found = residents_.find(key);
  assert(found != residents_.end());
  Resident page = found->second;
  residents_.erase(found);
  SimulatedCounts& counts = counts_[page.rule];
  if (tier + 1 > page.lowest_tier || tier + 1 >= tiers_.size()) {
    counts.dropped_bytes += static_cast<double>(bytes);
    return;
  }
  page.reads = 0;
  counts.demoted_bytes += static_cast<double>(bytes);
  place(key, bytes, tier + 1, page);
}

AdmissionPolicy& Simulation::admission(const SimulatedDecision& decision) {
  auto& policy = admissions_[{decision.rule, decision.admission}];
  if (policy == nullptr) {
    auto made = make_admission(decision.admission);
    assert(made && "decide() names one of admission_policy_names");
    policy = std::move(made).value();
  }
  return *policy;
}

// From what was counted to what the whole would have been.
void Simulation::settle(SimulatedCounts& counts) const {
  const double scale = 1 / options_.sampling_rate;
  const auto settle_one = [scale](Traffic& traffic) {
    traffic.requests *= scale;
    traffic.bytes *= scale;
  };
  settle_one(counts.reads);
  settle_one(counts.store);
  settle_one(counts.refused);
  for (Traffic& tier : counts.hits) settle_one(tier);
  counts.promoted_bytes *= scale;
  counts.demoted_bytes *= scale;
  counts.dropped_bytes *= scale;
  counts.cost = counts.store.requests / 1000 * options_.prices.per_thousand_requests + counts.store.bytes / gib * options_.prices.per_gib;
}

SimulateReport Simulation::report() const {
  SimulateReport report;
  report.duration = last_time_ - first_time_;
  report.total.rule = "total";
  report.total.hits.resize(tiers_.size());
  for (const SimulatedCounts& counts : counts_) {
    add(report.total.reads, counts.reads);
    add(report.total.store, counts.store);
    add(report.total.refused, counts.refused);
    for (std::size_t tier = 0; tier < tiers_.size(); ++tier) add(report.total.hits[tier], counts.hits[tier]);
    report.total.promoted_bytes += counts.promoted_bytes;
    report.total.demoted_bytes += counts.demoted_bytes;
    report.total.dropped_bytes += counts.dropped_bytes;
    if (counts.reads.requests == 0) continue;
    report.rules.push_back(counts);
    settle(report.rules.back());
  }
  settle(report.total);
  return report;
}

Result<SimulateReport> simulate(TraceReader& trace, SimulateOptions options) {
  options.sampling_rate = trace.info().sampling_rate;
  TRY(simulation, Simulation::make(std::move(options)));
  for (;;) {
    TRY(record, trace.next());
    if (!record) return simulation.report();
    simulation.read(*record, trace.file_of(*record), trace.tenant_of(*record));
  }
}

}  // namespace hearth

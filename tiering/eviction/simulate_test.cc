#include "tiering/eviction/simulate.h"

#include "tiering/eviction/synthetic_trace.h"
#include "tiering/eviction/trace_recorder.h"

#include <gtest/gtest.h>

#include <sstream>

namespace hearth {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t page = 1 << 20;

TraceRecord read_of(std::uint64_t block, std::chrono::nanoseconds time = 0s) {
  return TraceRecord{.time = time, .block = block, .bytes = page};
}

// What a recorder with this rate would have written.
std::string recorded(const eviction::Ids& ids, double rate) {
  auto recorder = TraceRecorder::make({.max_bytes = 32 << 20, .sampling_rate = rate}).value();
  for (const std::uint64_t id : ids) recorder.record(read_of(id), {});
  return recorder.encode();
}

Simulation two_tiers(std::uint64_t memory_pages, std::uint64_t nvme_pages, SimulateOptions options = {}) {
  options.tiers = {{"memory", memory_pages * page, "lru"}, {"nvme", nvme_pages * page, "lru"}};
  return Simulation::make(std::move(options)).value();
}

TEST(Simulate, WithOneTierIsTheCacheModelItself) {
  const eviction::Ids ids = eviction::zipf_trace(10'000, 0.9, 100'000, 4);
  for (const std::string_view name : eviction_policy_names) {
    CacheModel model(500, make_policy(name).value());
    std::uint64_t hits = 0;
    SimulateOptions options;
    options.tiers = {{"memory", 500, std::string(name)}};
    Simulation simulation = Simulation::make(options).value();
    for (const std::uint64_t id : ids) {
      if (model.find(id) == CacheModel::Lookup::hit) {
        ++hits;
      } else {
        model.insert(id, 1);
      }
      simulation.read(TraceRecord{.block = id, .bytes = 1}, nullptr);
    }
    const SimulateReport report = simulation.report();
    EXPECT_EQ(report.total.hits[0].requests, static_cast<double>(hits)) << name;
    EXPECT_EQ(report.total.store.requests, static_cast<double>(ids.size() - hits)) << name;
    EXPECT_EQ(report.total.dropped_bytes, static_cast<double>(ids.size() - hits - 500)) << name;
  }
}

TEST(Simulate, MovesDownWhatMemoryEvictsAndUpWhatIsReadAgain) {
  Simulation simulation = two_tiers(2, 2);
  for (const std::uint64_t block : {1, 2, 3}) simulation.read(read_of(block), nullptr);  // memory 2 3, nvme 1
  simulation.read(read_of(1), nullptr);  // first read below
  simulation.read(read_of(1), nullptr);  // second: up, and 2 goes down
  simulation.read(read_of(1), nullptr);
  simulation.read(read_of(2), nullptr);
  const SimulatedCounts total = simulation.report().total;
  EXPECT_EQ(total.reads.requests, 7);
  EXPECT_EQ(total.store.requests, 3);
  EXPECT_EQ(total.hits[0].requests, 1);
  EXPECT_EQ(total.hits[1].requests, 3);
  EXPECT_EQ(total.demoted_bytes, 2.0 * page);
  EXPECT_EQ(total.promoted_bytes, 1.0 * page);
  EXPECT_EQ(total.dropped_bytes, 0);
  EXPECT_DOUBLE_EQ(total.hit_ratio(), 4.0 / 7);
  EXPECT_DOUBLE_EQ(total.byte_hit_ratio(), 4.0 / 7);
}

TEST(Simulate, PromotesOnlyReadsWithinTheWindow) {
  SimulateOptions options;
  options.decide = [](const TraceRecord&, const TraceFile*, std::string_view) { return SimulatedDecision{.promote_within = 10s}; };
  Simulation simulation = two_tiers(1, 5, options);
  simulation.read(read_of(1, 0s), nullptr);
  simulation.read(read_of(2, 1s), nullptr);   // 1 is below now
  simulation.read(read_of(1, 2s), nullptr);
  simulation.read(read_of(1, 13s), nullptr);  // too late: the count begins anew
  EXPECT_EQ(simulation.report().total.promoted_bytes, 0);
  simulation.read(read_of(1, 20s), nullptr);
  EXPECT_EQ(simulation.report().total.promoted_bytes, 1.0 * page);
  EXPECT_EQ(simulation.report().duration, 20s);
}

TEST(Simulate, FollowsTheRuleOfEachReadAndCountsForIt) {
  SimulateOptions options;
  options.rules = {"hot", "scan", "never met", "once"};
  options.prices = {.per_thousand_requests = 5, .per_gib = 1024};
  options.decide = [](const TraceRecord& record, const TraceFile* file, std::string_view) {
    if (file != nullptr && file->path == "/hot") return SimulatedDecision{.rule = 0, .lowest_tier = 0};
    if (record.block >= 2000) return SimulatedDecision{.rule = 3, .admission = "second-read"};
    if (record.block >= 1000) return SimulatedDecision{.rule = 1, .admission = "never"};
    return SimulatedDecision{.rule = 1, .highest_tier = 1};
  };
  Simulation simulation = two_tiers(4, 4, options);
  const TraceFile hot{.path = "/hot"};
  for (std::uint64_t round = 0; round < 5; ++round) {
    for (const std::uint64_t block : {1, 2}) simulation.read(read_of(block), &hot);
    simulation.read(read_of(1000 + round), nullptr);  // refused
    simulation.read(read_of(500), nullptr);           // straight to nvme, and promoted no higher
    simulation.read(read_of(2000), nullptr);          // refused once
  }
  const SimulateReport report = simulation.report();
  ASSERT_EQ(report.rules.size(), 3U) << "a rule that was not met is left out";
  EXPECT_EQ(report.rules[0].rule, "hot");
  EXPECT_EQ(report.rules[0].hits[0].requests, 8);
  EXPECT_EQ(report.rules[1].store.requests, 6);
  EXPECT_EQ(report.rules[1].refused.requests, 5);
  EXPECT_EQ(report.rules[1].hits[1].requests, 4);
  EXPECT_EQ(report.rules[1].promoted_bytes, 0);
  EXPECT_EQ(report.rules[2].refused.requests, 1);
  EXPECT_EQ(report.rules[2].hits[0].requests, 3);
  EXPECT_DOUBLE_EQ(report.rules[1].cost, 6.0 / 1000 * 5 + 6.0 / 1024 * 1024);
  EXPECT_EQ(report.total.reads.requests, 25);
}

TEST(Simulate, APageThatMayNotMoveDownIsDropped) {
  SimulateOptions options;
  options.decide = [](const TraceRecord&, const TraceFile*, std::string_view) { return SimulatedDecision{.lowest_tier = 0}; };
  Simulation simulation = two_tiers(2, 100, options);
  for (std::uint64_t block = 0; block < 10; ++block) simulation.read(read_of(block), nullptr);
  EXPECT_EQ(simulation.report().total.demoted_bytes, 0);
  EXPECT_EQ(simulation.report().total.dropped_bytes, 8.0 * page);
}

TEST(Simulate, ASampledTraceStandsForTheWhole) {
  const eviction::Ids ids = eviction::zipf_trace(50'000, 0.8, 500'000, 8);
  const auto run = [&](double rate) {
    auto input = std::make_unique<std::istringstream>(recorded(ids, rate));
    auto reader = TraceReader::read(std::move(input), "t", TraceFormat::hearth).value();
    SimulateOptions options;
    options.tiers = {{"memory", 5000 * page, "s3-fifo"}};
    return simulate(reader, options).value().total;
  };
  const SimulatedCounts whole = run(1.0);
  const SimulatedCounts sampled = run(0.2);
  EXPECT_EQ(whole.reads.requests, 500'000);
  EXPECT_NEAR(sampled.reads.requests, 500'000, 100'000);
  EXPECT_NEAR(sampled.hit_ratio(), whole.hit_ratio(), 0.05);
}

TEST(Simulate, AgreesWithItselfOverManyRandomReads) {
  SimulateOptions options;
  options.rules = {"a", "b", "c"};
  options.decide = [](const TraceRecord& record, const TraceFile*, std::string_view) {
    const std::uint64_t kind = record.block % 3;
    return SimulatedDecision{.rule = static_cast<std::uint32_t>(kind), .admission = kind == 2 ? "second-read" : "always",
                             .highest_tier = kind == 1 ? 1U : 0U, .promote_reads = 2};
  };
  for (const std::string_view name : eviction_policy_names) {
    options.tiers = {{"memory", 50'000, std::string(name)}, {"nvme", 200'000, std::string(name)}, {"disk", 400'000, std::string(name)}};
    Simulation simulation = Simulation::make(options).value();
    SeededRng rng(77);
    const eviction::Zipf zipf(3000, 0.7);
    for (int i = 0; i < 200'000; ++i) {
      const std::uint64_t id = zipf(rng);
      simulation.read(TraceRecord{.time = std::chrono::milliseconds(i), .block = id, .bytes = static_cast<std::uint32_t>(1 + id % 700)}, nullptr);
    }
    const SimulateReport report = simulation.report();
    for (const SimulatedCounts& counts : report.rules) {
      double requests = counts.store.requests;
      double bytes = counts.store.bytes;
      for (const Traffic& hits : counts.hits) {
        requests += hits.requests;
        bytes += hits.bytes;
      }
      EXPECT_EQ(requests, counts.reads.requests) << name;
      EXPECT_EQ(bytes, counts.reads.bytes) << name;
    }
    // What came in went out, or is there.
    const double stayed = report.total.store.bytes - report.total.refused.bytes - report.total.dropped_bytes;
    EXPECT_GT(stayed, 500'000) << name;
    EXPECT_LE(stayed, 650'000) << name;
  }
}

TEST(Simulate, RefusesTiersThatCanNotBe) {
  EXPECT_EQ(Simulation::make({}).code(), Code::invalid_argument);
  SimulateOptions options;
  options.tiers = {{"memory", 1, "best"}};
  EXPECT_EQ(Simulation::make(options).code(), Code::invalid_argument);
}

}  // namespace
}  // namespace hearth

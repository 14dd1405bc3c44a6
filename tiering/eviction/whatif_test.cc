#include "tiering/eviction/whatif.h"

#include "tiering/eviction/hashing.h"
#include "tiering/eviction/synthetic_trace.h"

#include <gtest/gtest.h>

#include <functional>
#include <unordered_map>

namespace hearth {
namespace {

using namespace eviction;
using namespace std::chrono_literals;

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;

using SizeOf = std::function<std::uint32_t(std::uint64_t id)>;

// Exact hit ratios of LRU caches of these capacities, from Mattson's stack distances, by a plain Fenwick tree.
std::vector<double> exact_hits(const Ids& ids, const SizeOf& size_of, const std::vector<std::uint64_t>& capacities) {
  std::vector<std::uint64_t> tree(ids.size() + 1);
  const auto add = [&](std::size_t at, std::uint64_t bytes) {
    for (std::size_t i = at + 1; i < tree.size(); i += i & (0 - i)) tree[i] += bytes;
  };
  const auto sum = [&](std::size_t end) {
    std::uint64_t total = 0;
    for (std::size_t i = end; i > 0; i -= i & (0 - i)) total += tree[i];
    return total;
  };
  std::unordered_map<std::uint64_t, std::size_t> last;
  std::vector<double> hits(capacities.size());
  for (std::size_t now = 0; now < ids.size(); ++now) {
    const std::uint32_t bytes = size_of(ids[now]);
    const auto [before, fresh] = last.try_emplace(ids[now], now);
    if (!fresh) {
      const std::uint64_t distance = sum(now) - sum(before->second);
      for (std::size_t i = 0; i < capacities.size(); ++i) hits[i] += distance <= capacities[i];
      add(before->second, 0 - std::uint64_t{bytes});
      before->second = now;
    }
    add(now, bytes);
  }
  for (double& each : hits) each /= static_cast<double>(ids.size());
  return hits;
}

// Mean absolute error over capacities from one part in 500 of all bytes to all of them; the worst of the sample sizes.
double mean_error(const Ids& ids, const SizeOf& size_of, std::uint64_t all_bytes, const std::vector<std::uint32_t>& max_samples) {
  std::vector<std::uint64_t> capacities;
  for (double part = 0.002; part <= 1.0; part *= 1.2) capacities.push_back(static_cast<std::uint64_t>(part * static_cast<double>(all_bytes)));
  const std::vector<double> exact = exact_hits(ids, size_of, capacities);
  double worst = 0;
  for (const std::uint32_t samples : max_samples) {
    Shards shards(samples);
    for (const std::uint64_t id : ids) shards.access(id, size_of(id));
    const MissRatioCurve curve = shards.curve();
    double error = 0;
    for (std::size_t i = 0; i < capacities.size(); ++i) error += std::abs(exact[i] - curve.hits_at(capacities[i]));
    worst = std::max(worst, error / static_cast<double>(capacities.size()));
  }
  return worst;
}

std::uint32_t page_of_64k(std::uint64_t) { return 64 * kib; }
std::uint32_t mixed(std::uint64_t id) { return static_cast<std::uint32_t>(4 * kib * (1 + mix(id) % 256)); }

TEST(Shards, IsWithinTwoPointsOfExactStackDistances) {
  constexpr std::uint64_t objects = 100'000;
  const std::vector<std::uint32_t> samples{4096, 32'768};
  const Ids zipf08 = zipf_trace(objects, 0.8, 400'000, 1);
  EXPECT_LT(mean_error(zipf08, page_of_64k, objects * 64 * kib, samples), 0.02);
  EXPECT_LT(mean_error(zipf08, mixed, objects * 514 * kib, samples), 0.02);
  EXPECT_LT(mean_error(zipf_trace(objects, 1.0, 400'000, 2), page_of_64k, objects * 64 * kib, samples), 0.02);
  const Ids moving = shifting_trace(50'000, 0.9, 400'000, 50'000, 5000, 5);
  EXPECT_LT(mean_error(moving, page_of_64k, objects * 64 * kib, samples), 0.02);
  EXPECT_LT(mean_error(loop_trace(20'000, 200'000), page_of_64k, 20'000 * 64 * kib, samples), 0.02);
}

TEST(Shards, IsExactButForItsPointsWhileEverythingFits) {
  const Ids ids = zipf_trace(5000, 0.9, 200'000, 3);
  EXPECT_LT(mean_error(ids, page_of_64k, 5000 * 64 * kib, {8192}), 0.003);
}

TEST(Shards, NeverHoldsMoreThanItsSamples) {
  Shards shards(1000);
  const std::size_t memory = shards.memory_bytes();
  SeededRng rng(9);
  double rate = 1;
  for (std::uint64_t i = 0; i < 300'000; ++i) {
    shards.access(rng.below(100'000), 4096);
    ASSERT_LE(shards.samples(), 1000U);
    ASSERT_LE(shards.sampling_rate(), rate);
    rate = shards.sampling_rate();
  }
  EXPECT_EQ(shards.memory_bytes(), memory);
  EXPECT_NEAR(rate, 0.01, 0.002);
}

TEST(WhatIf, TakesAtMostEightMebibytes) {
  auto estimator = WhatIf::make({}, 0s).value();
  EXPECT_LE(estimator.memory_bytes(), 3 * mib);
  for (std::uint64_t i = 0; i < 500'000; ++i) estimator.access(i * 7919, 1 << 20, std::chrono::microseconds(i));
  EXPECT_LE(estimator.memory_bytes(), 3 * mib);
  EXPECT_LE(WhatIf::make({.max_samples = 100'000}, 0s).value().memory_bytes(), max_whatif_bytes);
  EXPECT_EQ(WhatIf::make({.max_samples = 200'000}, 0s).code(), Code::invalid_argument);
  EXPECT_EQ(WhatIf::make({.max_samples = 0}, 0s).code(), Code::invalid_argument);
}

TEST(WhatIf, SaysWhatOneMoreStepOfEachTierWouldSave) {
  auto estimator = WhatIf::make({.half_life = 0s}, 0s).value();
  // 300 pages of 1 MiB in a loop, 100 reads a second: LRU needs all 300 MiB, then misses nothing but the first round.
  constexpr int rounds = 50;
  std::chrono::nanoseconds now = 0s;
  for (int i = 0; i < rounds * 300; ++i) estimator.access(static_cast<std::uint64_t>(i % 300), mib, now += 10ms);
  const std::vector<TierQuestion> tiers{{"memory", 50 * mib, 50 * mib}, {"nvme", 200 * mib, 60 * mib}};
  const WhatIfReport report = estimator.report(tiers, now);
  EXPECT_NEAR(report.requests_per_second, 100, 0.5);
  EXPECT_NEAR(report.bytes_per_second, 100.0 * mib, 0.5 * mib);
  ASSERT_EQ(report.tiers.size(), 2U);
  EXPECT_NEAR(report.tiers[0].saved_requests_per_second, 98, 1.5) << "50 more are 300 MiB in all: the loop fits";
  EXPECT_NEAR(report.tiers[1].saved_bytes_per_second, 98.0 * mib, 1.5 * mib);
  EXPECT_EQ(report.tiers[0].hit_ratio, 0);
  EXPECT_NEAR(report.tiers[1].hit_ratio_after, 0.98, 0.001);
  ASSERT_FALSE(report.curve.empty());
  EXPECT_EQ(report.curve.front().capacity_bytes, mib);
  EXPECT_NEAR(report.curve.back().hit_ratio, 0.98, 0.001);
}

TEST(WhatIf, ForgetsWhatIsLongAgo) {
  auto estimator = WhatIf::make({.half_life = 60s}, 0s).value();
  std::chrono::nanoseconds now = 0s;
  const std::vector<TierQuestion> tiers{{"memory", 100 * mib, mib}};
  for (int i = 0; i < 10'000; ++i) estimator.access(static_cast<std::uint64_t>(i % 50), mib, now += 10ms);
  EXPECT_GT(estimator.report(tiers, now).tiers[0].hit_ratio, 0.99);
  // Now a scan, for ten half-lives.
  for (int i = 0; i < 60'000; ++i) estimator.access(1'000'000 + static_cast<std::uint64_t>(i), mib, now += 10ms);
  EXPECT_LT(estimator.report(tiers, now).tiers[0].hit_ratio, 0.01);
  EXPECT_NEAR(estimator.report(tiers, now).requests_per_second, 100, 2);
}

TEST(MissRatioCurve, InterpolatesAndStaysWithinOne) {
  MissRatioCurve curve;
  EXPECT_EQ(curve.hits_at(mib), 0);
  curve.add_hit(10 * mib, 3, 4096);
  curve.add_miss(1, 8192);
  EXPECT_EQ(curve.hits_at(9 * mib), 0);
  EXPECT_NEAR(curve.hits_at(10 * mib), 0.75, 1e-9);
  EXPECT_NEAR(curve.byte_hits_at(1ULL << 63), 0.6, 1e-9);
  double before = 0;
  for (std::uint64_t capacity = 4 * kib; capacity < (1ULL << 62); capacity += capacity / 50) {
    ASSERT_GE(curve.hits_at(capacity), before);
    before = curve.hits_at(capacity);
  }
}

}  // namespace
}  // namespace hearth

// A hot set and a neighbour that reads everything once, in one tier: how much of the hot set's hit ratio is left.
#include "tiering/eviction/admission_policy.h"
#include "tiering/eviction/cache_model.h"
#include "tiering/eviction/synthetic_trace.h"

#include <gtest/gtest.h>

#include <string>

namespace hearth::eviction {
namespace {

using std::chrono_literals::operator""ms;

constexpr std::uint64_t hot_objects = 10'000;
constexpr std::uint64_t capacity = 5'000;  // objects of one byte
constexpr std::uint64_t requests = 600'000;
constexpr std::uint64_t warm_up = requests / 3;

// Hit ratio of the hot set after the warm-up; `kept` scanned objects pass `admission`.
double hot_hit_ratio(const Ids& ids, std::string_view eviction, std::string_view admission) {
  CacheModel cache(capacity, make_policy(eviction).value());
  auto admit = make_admission(admission, {.remembered = capacity}).value();
  std::uint64_t hits = 0;
  std::uint64_t asked = 0;
  for (std::uint64_t i = 0; i < ids.size(); ++i) {
    const bool hit = cache.find(ids[i]) == CacheModel::Lookup::hit;
    if (!hit && admit->decide(ids[i], i * 1ms) == Admission::keep) cache.insert(ids[i], 1);
    if (i < warm_up || ids[i] >= first_scanned) continue;
    ++asked;
    hits += hit;
  }
  return static_cast<double>(hits) / static_cast<double>(asked);
}

double drop_in_points(std::string_view eviction, std::string_view admission = "always") {
  const double alone = hot_hit_ratio(zipf_trace(hot_objects, 0.9, requests, 11), eviction, admission);
  const double scanned = hot_hit_ratio(zipf_with_scan(hot_objects, 0.9, requests, 11), eviction, admission);
  ::testing::Test::RecordProperty(std::string(eviction) + "_alone", std::to_string(alone));
  ::testing::Test::RecordProperty(std::string(eviction) + "_scanned", std::to_string(scanned));
  std::printf("%s, %s: %.2f %% alone, %.2f %% beside a scan\n", std::string(eviction).c_str(),
              std::string(admission).c_str(), 100 * alone, 100 * scanned);
  return 100 * (alone - scanned);
}

TEST(ScanResistance, S3FifoKeepsTheHotSetBesideAScan) { EXPECT_LT(drop_in_points("s3-fifo"), 5.0); }

TEST(ScanResistance, WTinyLfuKeepsTheHotSetBesideAScan) { EXPECT_LT(drop_in_points("w-tinylfu"), 5.0); }

TEST(ScanResistance, LruLosesMuchMoreToTheSameScan) { EXPECT_GT(drop_in_points("lru"), 8.0); }

TEST(ScanResistance, SecondReadAdmissionShieldsLru) { EXPECT_LT(drop_in_points("lru", "second-read"), 5.0); }

}  // namespace
}  // namespace hearth::eviction

#include "common/histogram.h"

#include "common/units.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>

namespace hearth {
namespace {
constexpr std::uint64_t sub_buckets = 1U << Histogram::sub_bucket_bits;
}

std::size_t Histogram::bucket_of(std::uint64_t value) {
  if (value < sub_buckets) return value;
  const auto exponent = static_cast<std::uint32_t>(std::bit_width(value)) - 1 - sub_bucket_bits;
  return (std::size_t{exponent} << sub_bucket_bits) + (value >> exponent);
}

std::uint64_t Histogram::lowest_of(std::size_t bucket) {
  if (bucket < 2 * sub_buckets) return bucket;
  const std::size_t exponent = (bucket >> sub_bucket_bits) - 1;
  return ((bucket & (sub_buckets - 1)) | sub_buckets) << exponent;
}

std::uint64_t Histogram::highest_of(std::size_t bucket) {
  return bucket + 1 == bucket_count ? UINT64_MAX : lowest_of(bucket + 1) - 1;
}

void Histogram::record(std::uint64_t value, std::uint64_t times) {
  if (times == 0) return;
  buckets_[bucket_of(value)] += times;
  count_ += times;
  sum_ += value * times;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
}

void Histogram::add_bucket(std::size_t bucket, std::uint64_t times) {
  assert(bucket < bucket_count);
  if (times == 0) return;
  buckets_[bucket] += times;
  count_ += times;
  min_ = std::min(min_, lowest_of(bucket));
  max_ = std::max(max_, highest_of(bucket));
}

void Histogram::merge(const Histogram& other) {
  for (std::size_t i = 0; i < bucket_count; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
}

std::uint64_t Histogram::quantile(double fraction) const {
  if (count_ == 0) return 0;
  const auto wanted = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::ceil(std::clamp(fraction, 0.0, 1.0) * static_cast<double>(count_))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < bucket_count; ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return std::min(highest_of(i), max_);
  }
  return max_;
}

std::uint64_t Histogram::count_below(std::uint64_t value) const {
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < bucket_count && highest_of(i) < value; ++i) below += buckets_[i];
  return below;
}

std::string Histogram::summary() const {
  const auto text = [](std::uint64_t ns) { return human_duration(std::chrono::nanoseconds(ns)); };
  return "count=" + std::to_string(count_) + " p50=" + text(quantile(0.5)) + " p90=" + text(quantile(0.9)) +
         " p99=" + text(quantile(0.99)) + " p99.9=" + text(quantile(0.999)) + " max=" + text(max());
}

}  // namespace hearth

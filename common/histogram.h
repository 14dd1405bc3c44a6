// A log-linear histogram: 16 buckets per power of two, so any quantile is at most 6.25 % too high.
//
// Threads: none of its own; common/metrics.h has the concurrent form.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace hearth {

class Histogram {
 public:
  static constexpr std::uint32_t sub_bucket_bits = 4;
  static constexpr std::size_t bucket_count = (64 - sub_bucket_bits + 1) << sub_bucket_bits;  // all of uint64: 976

  // The bucket of a value, and the smallest and largest value of a bucket.
  static std::size_t bucket_of(std::uint64_t value);
  static std::uint64_t lowest_of(std::size_t bucket);
  static std::uint64_t highest_of(std::size_t bucket);

  void record(std::uint64_t value, std::uint64_t times = 1);
  // Adds `times` to a bucket whose values are not known one by one; `sum` is theirs.
  void add_bucket(std::size_t bucket, std::uint64_t times);
  void add_sum(std::uint64_t sum) { sum_ += sum; }
  void merge(const Histogram& other);

  std::uint64_t count() const { return count_; }
  std::uint64_t sum() const { return sum_; }
  std::uint64_t min() const { return count_ == 0 ? 0 : min_; }
  std::uint64_t max() const { return max_; }
  double mean() const { return count_ == 0 ? 0.0 : static_cast<double>(sum_) / static_cast<double>(count_); }
  // The smallest bucket bound that at least `fraction` (0.5, 0.999) of the values do not exceed, never
  // above max(); 0 when empty.
  std::uint64_t quantile(double fraction) const;
  // How many values are in buckets that end below `value`.
  std::uint64_t count_below(std::uint64_t value) const;
  // "count=1000 p50=1.2us p90=... p99=... p99.9=... max=...", values taken as nanoseconds.
  std::string summary() const;

 private:
  std::array<std::uint64_t, bucket_count> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t min_ = UINT64_MAX;
  std::uint64_t max_ = 0;
};

}  // namespace hearth

// Traces made from a seed, for tests and benchmarks; reference_test.cc states what others measured on them.
#pragma once

#include "common/rng.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace hearth::eviction {

// Ranks 0..objects-1 with probability proportional to 1 / (rank + 1)^alpha: the smallest rank whose cumulated
// weight exceeds fraction() of the whole.
class Zipf {
 public:
  Zipf(std::uint64_t objects, double alpha) : cumulated_(objects) {
    double sum = 0;
    for (std::uint64_t rank = 0; rank < objects; ++rank) {
      sum += std::pow(static_cast<double>(rank + 1), -alpha);
      cumulated_[rank] = sum;
    }
  }
  std::uint64_t operator()(Rng& rng) const {
    const double at = rng.fraction() * cumulated_.back();
    const auto found = std::upper_bound(cumulated_.begin(), cumulated_.end(), at);
    return std::min<std::uint64_t>(static_cast<std::uint64_t>(found - cumulated_.begin()), cumulated_.size() - 1);
  }

 private:
  std::vector<double> cumulated_;
};

using Ids = std::vector<std::uint64_t>;

inline Ids zipf_trace(std::uint64_t objects, double alpha, std::uint64_t requests, std::uint64_t seed) {
  const Zipf zipf(objects, alpha);
  SeededRng rng(seed);
  Ids ids(requests);
  for (std::uint64_t& id : ids) id = zipf(rng);
  return ids;
}

// Scanned ids begin here; none comes twice.
inline constexpr std::uint64_t first_scanned = 1ULL << 32;

// Every second request (the odd ones) is the next of an endless scan.
inline Ids zipf_with_scan(std::uint64_t objects, double alpha, std::uint64_t requests, std::uint64_t seed) {
  Ids ids = zipf_trace(objects, alpha, requests, seed);
  for (std::uint64_t i = 1; i < requests; i += 2) ids[i] = first_scanned + i / 2;
  return ids;
}

inline Ids loop_trace(std::uint64_t objects, std::uint64_t requests) {
  Ids ids(requests);
  for (std::uint64_t i = 0; i < requests; ++i) ids[i] = i % objects;
  return ids;
}

// A working set that moves: after each `period` requests every rank means an id larger by `step`.
inline Ids shifting_trace(std::uint64_t objects, double alpha, std::uint64_t requests, std::uint64_t period,
                          std::uint64_t step, std::uint64_t seed) {
  Ids ids = zipf_trace(objects, alpha, requests, seed);
  for (std::uint64_t i = 0; i < requests; ++i) ids[i] += i / period * step;
  return ids;
}

}  // namespace hearth::eviction

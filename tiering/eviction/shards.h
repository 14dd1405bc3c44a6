// Reuse distances of a fixed number of sampled pages: SHARDS (Waldspurger, Park, Garthwaite, Ahmad, FAST'15), the
// fixed-size form with the adjustment of its section 3.4, in bytes.
//
// A page is in the sample when its hash is below a threshold. The page with the largest hash leaves when there are too
// many, and the threshold drops to it: the sample is always of the same pages, and never more than s_max of them.
//
// Threads: confined.
// Owns:    about 68 bytes per sampled page; nothing per page that is not sampled.
#pragma once

#include "tiering/eviction/miss_ratio_curve.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hearth::eviction {

class Shards {
 public:
  explicit Shards(std::uint32_t max_samples);

  void access(std::uint64_t fingerprint, std::uint32_t bytes);
  // What was seen, with the accesses that sampling missed or had too many of added at the shortest distance.
  MissRatioCurve curve() const;
  void scale(double factor);

  double sampling_rate() const;
  std::uint32_t samples() const { return used_; }
  std::size_t memory_bytes() const;

 private:
  static constexpr std::uint32_t none = 0xFFFFFFFF;
  struct Sample {
    std::uint64_t hash = 0;  // mix() is a bijection, so it is the identity as well
    std::uint32_t bytes = 0;
    std::uint32_t time = 0;  // position in by_time_
  };
  std::uint32_t* find(std::uint64_t hash);
  void insert(std::uint64_t hash, std::uint32_t bytes);
  void drop_largest();
  void erase_from_table(std::uint64_t hash);
  std::size_t home(std::uint64_t hash) const;

  void set_time(std::uint32_t sample);
  void compact();
  void add_to_tree(std::uint32_t time, std::uint64_t bytes);  // modulo 2^64, so it also subtracts
  std::uint64_t bytes_up_to(std::uint32_t time) const;

  std::uint32_t max_samples_;
  std::uint64_t threshold_ = 1ULL << 32;  // of the hash's upper half
  std::vector<Sample> samples_;
  std::uint32_t used_ = 0;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> heap_;   // samples, largest hash first
  std::vector<std::uint32_t> table_;  // open addressing by hash: sample or none
  // Times are positions; the tree sums the bytes of the pages whose last access is at or before one (Fenwick 1994).
  std::vector<std::uint32_t> by_time_;  // sample or none
  std::vector<std::uint64_t> tree_;
  std::uint32_t now_ = 0;
  std::uint64_t live_bytes_ = 0;
  MissRatioCurve curve_;
  double accesses_ = 0;
  double access_bytes_ = 0;
};

}  // namespace hearth::eviction

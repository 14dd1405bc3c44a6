// Hits of an LRU cache as a function of its capacity, in requests and in bytes.
//
// Threads: a plain value.
// Owns:    its points: 64 per doubling of the capacity, so a capacity is met within 1.1 %.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hearth {

class MissRatioCurve {
 public:
  // Capacities from 4 KiB to 16 EiB; what is nearer counts as 4 KiB.
  static constexpr std::size_t points_per_octave = 64;
  static constexpr std::size_t first_octave = 12;
  static constexpr std::size_t points = (64 - first_octave) * points_per_octave + 1;

  MissRatioCurve();

  // `weight` requests of `bytes` each are hits from a capacity of `distance_bytes` on.
  void add_hit(std::uint64_t distance_bytes, double weight, double bytes);
  void add_miss(double weight, double bytes);  // at any capacity: first reads
  void scale(double factor);                   // forgets a share of everything

  double requests() const { return requests_; }
  double bytes() const { return bytes_; }
  // 0 to 1; 0 when nothing was added.
  double hits_at(std::uint64_t capacity_bytes) const;
  double byte_hits_at(std::uint64_t capacity_bytes) const;

  std::size_t memory_bytes() const { return points_.capacity() * sizeof(Point); }

 private:
  struct Point {
    double requests = 0;
    double bytes = 0;
  };
  static std::size_t point_of(std::uint64_t distance_bytes);
  double share(std::uint64_t capacity_bytes, double Point::*what, double total) const;

  std::vector<Point> points_;
  double requests_ = 0;
  double bytes_ = 0;
};

}  // namespace hearth

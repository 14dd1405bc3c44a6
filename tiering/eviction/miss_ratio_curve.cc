#include "tiering/eviction/miss_ratio_curve.h"

#include <algorithm>
#include <bit>

namespace hearth {

MissRatioCurve::MissRatioCurve() : points_(points) {}

// The first point whose capacity is at least the distance. Inside an octave the points are equally far apart.
std::size_t MissRatioCurve::point_of(std::uint64_t distance_bytes) {
  if (distance_bytes <= (1ULL << first_octave)) return 0;
  const std::uint64_t last = distance_bytes - 1;
  const auto octave = static_cast<std::size_t>(std::bit_width(last) - 1);
  // The six bits below the leading one; there are at least twelve.
  const auto inside = static_cast<std::size_t>(last >> (octave - 6)) & (points_per_octave - 1);
  return (octave - first_octave) * points_per_octave + inside + 1;
}

void MissRatioCurve::add_hit(std::uint64_t distance_bytes, double weight, double bytes) {
  Point& point = points_[std::min(point_of(distance_bytes), points - 1)];
  point.requests += weight;
  point.bytes += weight * bytes;
  add_miss(weight, bytes);
}

void MissRatioCurve::add_miss(double weight, double bytes) {
  requests_ += weight;
  bytes_ += weight * bytes;
}

void MissRatioCurve::scale(double factor) {
  for (Point& point : points_) {
    point.requests *= factor;
    point.bytes *= factor;
  }
  requests_ *= factor;
  bytes_ *= factor;
}

double MissRatioCurve::share(std::uint64_t capacity_bytes, double Point::*what, double total) const {
  if (total <= 0 || capacity_bytes < (1ULL << first_octave)) return 0;
  // All points that the capacity reaches, and a part of the next one.
  const auto octave = static_cast<std::size_t>(std::bit_width(capacity_bytes) - 1);
  const std::uint64_t step = 1ULL << (octave - 6);
  const std::uint64_t inside = (capacity_bytes - (1ULL << octave)) / step;
  const std::size_t reached = (octave - first_octave) * points_per_octave + static_cast<std::size_t>(inside);
  double sum = 0;
  for (std::size_t i = 0; i <= reached; ++i) sum += points_[i].*what;
  if (reached + 1 < points) {
    const auto part = static_cast<double>((capacity_bytes - (1ULL << octave)) % step) / static_cast<double>(step);
    sum += part * points_[reached + 1].*what;
  }
  return std::min(1.0, sum / total);
}

double MissRatioCurve::hits_at(std::uint64_t capacity_bytes) const { return share(capacity_bytes, &Point::requests, requests_); }
double MissRatioCurve::byte_hits_at(std::uint64_t capacity_bytes) const { return share(capacity_bytes, &Point::bytes, bytes_); }

}  // namespace hearth

#include "understore/guard/latency_window.h"

#include <algorithm>

namespace hearth {
namespace {

constexpr std::size_t window = 256;
constexpr std::size_t enough = 20;
constexpr std::size_t compute_every = 16;
constexpr Duration memory = std::chrono::minutes(1);

}  // namespace

std::size_t LatencyWindow::class_of(std::uint64_t length_bytes) {
  std::size_t index = 0;
  for (std::uint64_t bound = 4096; length_bytes > bound && index + 1 < class_count; bound *= 8) ++index;
  return index;
}

void LatencyWindow::took(std::uint64_t length_bytes, Duration latency, TimePoint now) {
  Class& of = classes_[class_of(length_bytes)];
  const Sample sample{.latency = latency, .when = now};
  if (of.samples.size() < window) {
    of.samples.push_back(sample);
  } else {
    of.samples[of.next] = sample;
    of.next = (of.next + 1) % window;
  }
  of.since_computed += 1;
}

std::optional<Duration> LatencyWindow::quantile(std::uint64_t length_bytes, TimePoint now) {
  Class& of = classes_[class_of(length_bytes)];
  if (of.samples.size() < enough) return std::nullopt;
  const bool old = of.computed_at == TimePoint::min() || now - of.computed_at > memory / 4;
  if (old || of.since_computed >= compute_every || !of.computed) compute(of, now);
  return of.computed;
}

void LatencyWindow::compute(Class& of, TimePoint now) const {
  of.since_computed = 0;
  of.computed_at = now;
  of.computed.reset();
  std::vector<Duration> young;
  young.reserve(of.samples.size());
  for (const Sample& sample : of.samples) {
    if (now - sample.when <= memory) young.push_back(sample.latency);
  }
  if (young.size() < enough) return;
  const auto rank = static_cast<std::size_t>(fraction_ * static_cast<double>(young.size() - 1));
  std::nth_element(young.begin(), young.begin() + static_cast<std::ptrdiff_t>(rank), young.end());
  of.computed = young[rank];
}

}  // namespace hearth

// Metrics: descriptors in one header per folder, lock-free per-thread cells, Prometheus text.
//
//   inline constexpr CounterDescriptor reads_total{"hearth_worker_reads_total", "Read calls answered.", {"source"}};
//   metrics().counter(reads_total, {"memory"}).add();
//
// Threads: add(), set() and observe() are wait free after the first use by a thread; looking a cell up
//          takes a lock, so keep the reference (cells live as long as the registry).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

using LabelNames = std::array<std::string_view, 3>;
using LabelValues = std::vector<std::string>;

struct CounterDescriptor { std::string_view name; std::string_view help; LabelNames labels{}; };
struct GaugeDescriptor { std::string_view name; std::string_view help; LabelNames labels{}; };
// Latencies in seconds on export, nanoseconds inside (common/histogram.h).
struct HistogramDescriptor { std::string_view name; std::string_view help; LabelNames labels{}; };

class Counter {
 public:
  virtual ~Counter() = default;
  virtual void add(std::uint64_t amount = 1) = 0;
  virtual std::uint64_t value() const = 0;
};
class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void set(std::int64_t value) = 0;
  virtual void add(std::int64_t amount) = 0;
  virtual std::int64_t value() const = 0;
};
class HistogramMetric {
 public:
  virtual ~HistogramMetric() = default;
  virtual void observe(std::chrono::nanoseconds value) = 0;
};

class MetricsRegistry {
 public:
  MetricsRegistry();
  ~MetricsRegistry();
  Counter& counter(const CounterDescriptor& descriptor, const LabelValues& labels = {});
  Gauge& gauge(const GaugeDescriptor& descriptor, const LabelValues& labels = {});
  HistogramMetric& histogram(const HistogramDescriptor& descriptor, const LabelValues& labels = {});
  // Prometheus text exposition format 0.0.4, families in name order.
  std::string to_prometheus() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The registry of this process.
MetricsRegistry& metrics();

}  // namespace hearth

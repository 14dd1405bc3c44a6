#include "common/metrics.h"

#include "common/histogram.h"

#include <atomic>
#include <cassert>
#include <cstdio>
#include <map>
#include <mutex>

namespace hearth {
namespace {

// Cells per metric. Threads beyond this share one, which costs time and never a count.
constexpr std::size_t stripe_count = 16;
// Label values come from outside now and then; past this bound they are counted as one series, "other".
constexpr std::size_t max_series_per_family = 1000;

std::size_t my_stripe() {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t mine = next.fetch_add(1, std::memory_order_relaxed) % stripe_count;
  return mine;
}

template <class Number>
struct alignas(64) Cell {  // a cache line each
  std::atomic<Number> value{0};
};

template <class Number>
Number sum_of(const std::array<Cell<Number>, stripe_count>& cells) {
  Number sum = 0;
  for (const auto& cell : cells) sum += cell.value.load(std::memory_order_relaxed);
  return sum;
}

class StripedCounter final : public Counter {
 public:
  void add(std::uint64_t amount) override { cells_[my_stripe()].value.fetch_add(amount, std::memory_order_relaxed); }
  std::uint64_t value() const override { return sum_of(cells_); }

 private:
  std::array<Cell<std::uint64_t>, stripe_count> cells_;
};

// One cell: set() has no meaning over several.
class PlainGauge final : public Gauge {
 public:
  void set(std::int64_t value) override { value_.store(value, std::memory_order_relaxed); }
  void add(std::int64_t amount) override { value_.fetch_add(amount, std::memory_order_relaxed); }
  std::int64_t value() const override { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

class StripedHistogram final : public HistogramMetric {
 public:
  ~StripedHistogram() override {
    for (auto& stripe : stripes_) std::unique_ptr<Buckets>(stripe.load());
  }

  void observe(std::chrono::nanoseconds value) override {
    const auto ns = static_cast<std::uint64_t>(value.count() < 0 ? 0 : value.count());
    Buckets& buckets = mine();
    buckets.counts[Histogram::bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
    buckets.sum.fetch_add(ns, std::memory_order_relaxed);
  }

  Histogram snapshot() const {
    Histogram total;
    for (const auto& stripe : stripes_) {
      const Buckets* buckets = stripe.load(std::memory_order_acquire);
      if (buckets == nullptr) continue;
      for (std::size_t i = 0; i < Histogram::bucket_count; ++i) {
        total.add_bucket(i, buckets->counts[i].load(std::memory_order_relaxed));
      }
      total.add_sum(buckets->sum.load(std::memory_order_relaxed));
    }
    return total;
  }

 private:
  struct Buckets {  // 8 KiB, so a stripe gets one when its first thread comes
    std::array<std::atomic<std::uint64_t>, Histogram::bucket_count> counts{};
    std::atomic<std::uint64_t> sum{0};
  };

  Buckets& mine() {
    std::atomic<Buckets*>& stripe = stripes_[my_stripe()];
    Buckets* buckets = stripe.load(std::memory_order_acquire);
    if (buckets != nullptr) return *buckets;
    auto made = std::make_unique<Buckets>();
    if (stripe.compare_exchange_strong(buckets, made.get(), std::memory_order_acq_rel)) return *made.release();
    return *buckets;  // another thread of this stripe was first
  }

  std::array<std::atomic<Buckets*>, stripe_count> stripes_{};
};

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
}

std::string number(double value) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.9g", value);
  return buffer;
}

std::string seconds(std::uint64_t ns) { return number(static_cast<double>(ns) / 1e9); }

// `a="x",b="y"`, without braces.
std::string label_text(const LabelNames& names, const LabelValues& values) {
  std::string text;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += ',';
    text.append(names[i]);
    text += "=\"";
    append_escaped(text, values[i]);
    text += '"';
  }
  return text;
}

void append_sample(std::string& out, std::string_view name, std::string_view labels, std::string_view value) {
  out.append(name);
  if (!labels.empty()) {
    out += '{';
    out.append(labels);
    out += '}';
  }
  out += ' ';
  out.append(value);
  out += '\n';
}

std::string join_labels(const std::string& labels, const std::string& more) {
  return labels.empty() ? more : labels + "," + more;
}

void append_head(std::string& out, std::string_view name, std::string_view help, std::string_view type) {
  out.append("# HELP ").append(name).append(" ");
  for (const char c : help) {
    if (c == '\n' || c == '\\') out += '\\';
    out += c == '\n' ? 'n' : c;
  }
  out.append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
}

template <class Metric>
struct Family {
  std::string help;
  LabelNames labels;
  std::map<LabelValues, std::unique_ptr<Metric>> series;

  Metric& at(LabelValues values) {
    auto found = series.find(values);
    if (found == series.end() && series.size() >= max_series_per_family) {
      values.assign(values.size(), "other");
      found = series.find(values);
    }
    if (found == series.end()) found = series.emplace(std::move(values), std::make_unique<Metric>()).first;
    return *found->second;
  }
};

template <class Metric>
using Families = std::map<std::string, Family<Metric>, std::less<>>;

template <class Metric, class Descriptor>
Metric& cell_of(Families<Metric>& families, const Descriptor& descriptor, const LabelValues& labels) {
  std::size_t wanted = 0;
  while (wanted < descriptor.labels.size() && !descriptor.labels[wanted].empty()) ++wanted;
  assert(labels.size() == wanted && "one value for each label of the descriptor");
  auto found = families.find(descriptor.name);
  if (found == families.end()) {
    found = families.emplace(std::string(descriptor.name), Family<Metric>{std::string(descriptor.help), descriptor.labels, {}}).first;
  }
  return found->second.at(labels);
}

template <class Metric>
std::string export_values(std::string_view name, const Family<Metric>& family, std::string_view type) {
  std::string out;
  append_head(out, name, family.help, type);
  for (const auto& [values, metric] : family.series) {
    append_sample(out, name, label_text(family.labels, values), std::to_string(metric->value()));
  }
  return out;
}

// Buckets at powers of two nanoseconds, where ours end exactly: 512 ns to 68.7 s.
constexpr int first_exponent = 9;
constexpr int last_exponent = 36;

std::string export_histogram(const std::string& name, const Family<StripedHistogram>& family) {
  std::string out;
  std::string quantiles;
  append_head(out, name, family.help, "histogram");
  append_head(quantiles, name + "_quantile", "Quantiles since the start: " + family.help, "gauge");
  for (const auto& [values, metric] : family.series) {
    const Histogram histogram = metric->snapshot();
    const std::string labels = label_text(family.labels, values);
    for (int exponent = first_exponent; exponent <= last_exponent; ++exponent) {
      const std::uint64_t bound = std::uint64_t{1} << exponent;
      append_sample(out, name + "_bucket", join_labels(labels, "le=\"" + seconds(bound) + "\""),
                    std::to_string(histogram.count_below(bound)));
    }
    append_sample(out, name + "_bucket", join_labels(labels, "le=\"+Inf\""), std::to_string(histogram.count()));
    append_sample(out, name + "_sum", labels, seconds(histogram.sum()));
    append_sample(out, name + "_count", labels, std::to_string(histogram.count()));
    for (const double fraction : {0.5, 0.9, 0.99, 0.999}) {
      append_sample(quantiles, name + "_quantile", join_labels(labels, "quantile=\"" + number(fraction) + "\""),
                    seconds(histogram.quantile(fraction)));
    }
  }
  return out + quantiles;
}

}  // namespace

struct MetricsRegistry::Impl {
  mutable std::mutex mutex;
  // Guarded by mutex: the maps, not the metrics in them.
  Families<StripedCounter> counters;
  Families<PlainGauge> gauges;
  Families<StripedHistogram> histograms;
};

MetricsRegistry::MetricsRegistry() : impl_(std::make_unique<Impl>()) {}
MetricsRegistry::~MetricsRegistry() = default;

Counter& MetricsRegistry::counter(const CounterDescriptor& descriptor, const LabelValues& labels) {
  const std::lock_guard lock(impl_->mutex);
  return cell_of(impl_->counters, descriptor, labels);
}

Gauge& MetricsRegistry::gauge(const GaugeDescriptor& descriptor, const LabelValues& labels) {
  const std::lock_guard lock(impl_->mutex);
  return cell_of(impl_->gauges, descriptor, labels);
}

HistogramMetric& MetricsRegistry::histogram(const HistogramDescriptor& descriptor, const LabelValues& labels) {
  const std::lock_guard lock(impl_->mutex);
  return cell_of(impl_->histograms, descriptor, labels);
}

std::string MetricsRegistry::to_prometheus() const {
  const std::lock_guard lock(impl_->mutex);
  std::map<std::string, std::string> families;  // by name
  for (const auto& [name, family] : impl_->counters) families[name] = export_values(name, family, "counter");
  for (const auto& [name, family] : impl_->gauges) families[name] = export_values(name, family, "gauge");
  for (const auto& [name, family] : impl_->histograms) families[name] = export_histogram(name, family);
  std::string out;
  for (const auto& [name, text] : families) out += text;
  return out;
}

MetricsRegistry& metrics() {
  // Never destroyed: threads of a client that was let go of late may outlive main().
  static MetricsRegistry& registry = *new MetricsRegistry;  // tidy-allow(raw-new): see above
  return registry;
}

}  // namespace hearth

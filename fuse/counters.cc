#include "fuse/counters.h"

#include "fuse/metrics.h"
#include "fuse/mount.h"

#include <string>

namespace hearth {

MountCounters::MountCounters()
    : passthrough_metric_(&metrics().counter(fuse_metrics::opens_total, {"passthrough"})),
      cached_metric_(&metrics().counter(fuse_metrics::opens_total, {"cached"})),
      mapped_metric_(&metrics().counter(fuse_metrics::read_bytes_total, {"mapped"})),
      copied_metric_(&metrics().counter(fuse_metrics::read_bytes_total, {"copied"})),
      in_place_written_metric_(&metrics().counter(fuse_metrics::written_bytes_total, {"in_place"})),
      staged_written_metric_(&metrics().counter(fuse_metrics::written_bytes_total, {"staged"})),
      published_metric_(&metrics().counter(fuse_metrics::publishes_total, {"ok"})),
      publish_failed_metric_(&metrics().counter(fuse_metrics::publishes_total, {"failed"})) {
  for (std::size_t i = 0; i < operations_.size(); ++i) {
    const std::string name(fuse_op_names[i]);
    operations_[i].seconds = &metrics().histogram(fuse_metrics::request_seconds, {name});
    operations_[i].failed = &metrics().counter(fuse_metrics::errors_total, {name});
  }
}

void MountCounters::count(FuseOp op, Outcome outcome, std::chrono::nanoseconds took) {
  Operation& operation = operations_[static_cast<std::size_t>(op)];
  operation.requests.fetch_add(1, std::memory_order_relaxed);
  operation.seconds->observe(took);
  if (outcome == Outcome::done) return;
  operation.errors.fetch_add(1, std::memory_order_relaxed);
  operation.failed->add();
}

void MountCounters::fill(MountStats& stats) const {
  for (std::size_t i = 0; i < operations_.size(); ++i) {
    stats.operations[std::string(fuse_op_names[i])] = {operations_[i].requests.load(), operations_[i].errors.load()};
  }
  stats.passthrough_opens = passthrough_opens_.load();
  stats.cached_opens = cached_opens_.load();
  stats.stale_opens = stale_opens_.load();
  stats.mapped_read_bytes = mapped_bytes_.load();
  stats.copied_read_bytes = copied_bytes_.load();
  stats.interrupted = interrupted_.load();
  stats.open_files = open_files.load();
  stats.open_directories = open_directories.load();
}

}  // namespace hearth

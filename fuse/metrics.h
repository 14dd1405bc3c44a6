// Every metric of the mount.
#pragma once

#include "common/metrics.h"

namespace hearth::fuse_metrics {

inline constexpr HistogramDescriptor request_seconds{
    "hearth_fuse_request_seconds", "Time from taking a request of the kernel to its answer.", {"op"}};
inline constexpr CounterDescriptor errors_total{
    "hearth_fuse_errors_total", "Requests answered with an error other than ENOENT and ENODATA.", {"op"}};
inline constexpr CounterDescriptor opens_total{
    "hearth_fuse_opens_total", "Opened files by the way they are read: passthrough or cached.", {"mode"}};
inline constexpr CounterDescriptor read_bytes_total{
    "hearth_fuse_read_bytes_total",
    "Bytes the daemon answered: mapped (from shared memory) or copied (through the client). "
    "What the kernel reads by passthrough or from its page cache is not seen here.",
    {"source"}};

inline constexpr CounterDescriptor written_bytes_total{
    "hearth_fuse_written_bytes_total",
    "Bytes the daemon was given to write: in_place, or into a staged copy. What the kernel writes by passthrough is not seen here.",
    {"kind"}};
inline constexpr CounterDescriptor publishes_total{
    "hearth_fuse_publishes_total", "Staged copies that were to become objects, by close, fsync or rename, by outcome.", {"outcome"}};

}  // namespace hearth::fuse_metrics

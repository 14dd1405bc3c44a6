// What the master counts and times. Call sites take these, never a string.
#pragma once

#include "common/metrics.h"

namespace hearth::master {

inline constexpr HistogramDescriptor request_seconds{
    "hearth_master_request_seconds", "Time to answer a request, by method.", {"method"}};
inline constexpr CounterDescriptor request_errors_total{
    "hearth_master_request_errors_total", "Requests answered with an error, by method and code.", {"method", "code"}};
inline constexpr CounterDescriptor directory_loads_total{
    "hearth_master_directory_loads_total", "Directories listed in under-stores.", {}};
inline constexpr CounterDescriptor workers_lost_total{
    "hearth_master_workers_lost_total", "Workers declared lost.", {}};
inline constexpr GaugeDescriptor inodes{"hearth_master_inodes", "Files and directories whose metadata is kept.", {}};
inline constexpr GaugeDescriptor block_locations{
    "hearth_master_block_locations", "Pairs of block and worker in the location map.", {}};
inline constexpr GaugeDescriptor workers{"hearth_master_workers", "Registered workers by state.", {"state"}};
inline constexpr GaugeDescriptor attachments{"hearth_master_attachments", "Attachments.", {}};

inline Counter& directory_loads() {
  static Counter& cell = metrics().counter(directory_loads_total);
  return cell;
}

}  // namespace hearth::master

// The metrics of disks; all disks of a process add to the same cells.
#pragma once

#include "common/metrics.h"

#include <hearth/code.h>

#include <string>
#include <string_view>

namespace hearth::disk::described {

inline constexpr GaugeDescriptor in_flight{"hearth_disk_in_flight", "Operations the kernel works on.", {"engine"}};
inline constexpr GaugeDescriptor waiting{"hearth_disk_waiting", "Operations that wait for their turn, in order.", {"engine"}};
inline constexpr CounterDescriptor completions_total{"hearth_disk_completions_total", "Operations that ended.", {"engine"}};
inline constexpr CounterDescriptor enters_total{
    "hearth_disk_enters_total", "Calls of io_uring_enter; completions divided by this is how well they are batched."};
inline constexpr CounterDescriptor errors_total{
    "hearth_disk_errors_total", "Reads, writes and other calls on open files that failed.", {"engine", "code"}};
inline constexpr GaugeDescriptor registered_bytes{
    "hearth_disk_registered_bytes", "Memory registered with rings for direct I/O."};
inline constexpr GaugeDescriptor disks{
    "hearth_disk_disks", "Open disks by engine (io_uring, threads) and by O_DIRECT (yes, no).", {"engine", "direct"}};

inline void count_error(std::string_view engine, Code code) {
  metrics().counter(errors_total, {std::string(engine), std::string(name(code))}).add();
}

// Shows a disk for as long as it lives.
class OpenDisk {
 public:
  OpenDisk(const std::string& engine, const std::string& direct) : cell_(metrics().gauge(disks, {engine, direct})) {
    cell_.add(1);
  }
  ~OpenDisk() { cell_.add(-1); }
  OpenDisk(const OpenDisk&) = delete;
  OpenDisk& operator=(const OpenDisk&) = delete;

 private:
  Gauge& cell_;
};

}  // namespace hearth::disk::described

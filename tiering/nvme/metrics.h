// What an NVMe tier tells; the label is the tier's name in the configuration.
#pragma once

#include "common/metrics.h"

namespace hearth {

inline constexpr GaugeDescriptor nvme_capacity_bytes{
    "hearth_tier_capacity_bytes", "Bytes that the tier may use now: as configured, or less while its file system is short of space.", {"tier"}};
inline constexpr GaugeDescriptor nvme_resident_bytes{"hearth_tier_resident_bytes", "Bytes of pages that the tier can serve.", {"tier"}};
inline constexpr GaugeDescriptor nvme_charged_bytes{
    "hearth_tier_charged_bytes", "Resident bytes, those on their way in or out, and those that leases hold.", {"tier"}};
inline constexpr GaugeDescriptor nvme_pages{"hearth_tier_pages", "Pages in the tier's index.", {"tier"}};
inline constexpr GaugeDescriptor nvme_device_state{"hearth_tier_device_state", "0 healthy, 1 suspect (no writes), 2 fenced (not used).", {"tier"}};
inline constexpr CounterDescriptor nvme_reads_total{"hearth_tier_reads_total", "Verified reads from the device.", {"tier"}};
inline constexpr CounterDescriptor nvme_read_bytes_total{"hearth_tier_read_bytes_total", "Bytes of verified reads.", {"tier"}};
inline constexpr CounterDescriptor nvme_written_bytes_total{"hearth_tier_written_bytes_total", "Bytes of pages written.", {"tier"}};
inline constexpr CounterDescriptor nvme_evicted_bytes_total{"hearth_tier_evicted_bytes_total", "Bytes evicted to make room.", {"tier"}};
inline constexpr CounterDescriptor nvme_foreground_evictions_total{
    "hearth_tier_foreground_evictions_total", "Times a write waited for room: the background did not keep up.", {"tier"}};
inline constexpr CounterDescriptor nvme_corrupt_pages_total{
    "hearth_tier_corrupt_pages_total", "Pages whose bytes did not match their checksum, dropped and read from elsewhere.", {"tier"}};
inline constexpr CounterDescriptor nvme_device_errors_total{"hearth_tier_device_errors_total", "Reads and writes that failed.", {"tier"}};
inline constexpr CounterDescriptor nvme_scrubbed_pages_total{"hearth_tier_scrubbed_pages_total", "Pages that the scrubber read again.", {"tier"}};

}  // namespace hearth

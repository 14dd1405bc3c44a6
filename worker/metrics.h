// The metrics of a worker, and the running totals that its status shows.
#pragma once

#include "common/metrics.h"
#include "tiering/block_store.h"

#include <chrono>
#include <cstdint>
#include <string>

namespace hearth::worker::described {

inline constexpr CounterDescriptor read_bytes_total{"hearth_worker_read_bytes_total", "Bytes sent to readers.", {"source"}};
inline constexpr CounterDescriptor requests_total{"hearth_worker_requests_total", "Calls answered.", {"method", "code"}};
inline constexpr HistogramDescriptor request_seconds{"hearth_worker_request_seconds", "Time from request to reply.", {"method"}};
inline constexpr CounterDescriptor fetches_total{"hearth_worker_fetches_total", "Page reads from under-stores.", {"outcome"}};
inline constexpr CounterDescriptor fetched_bytes_total{"hearth_worker_fetched_bytes_total", "Bytes read from under-stores."};
inline constexpr HistogramDescriptor fetch_seconds{"hearth_worker_fetch_seconds", "Time of one page read from an under-store."};
inline constexpr CounterDescriptor through_bytes_total{
    "hearth_worker_through_bytes_total", "Bytes fetched that could not be kept (no room, or the reader said so)."};
inline constexpr CounterDescriptor prefetched_bytes_total{
    "hearth_worker_prefetched_bytes_total", "Bytes fetched at the first read of a file, before they were asked for."};
inline constexpr CounterDescriptor moved_bytes_total{
    "hearth_worker_moved_bytes_total", "Bytes copied between tiers: up to memory, down to a device.", {"direction"}};
inline constexpr CounterDescriptor opened_for_writing_total{
    "hearth_worker_opened_for_writing_total", "Files of under-stores opened for local clients: in_place, or as a staged copy.", {"kind"}};
inline constexpr CounterDescriptor publishes_total{
    "hearth_worker_publishes_total", "Staged copies that were to become objects, by outcome.", {"outcome"}};
inline constexpr CounterDescriptor published_bytes_total{
    "hearth_worker_published_bytes_total", "Bytes of staged copies that became objects.", {}};
inline constexpr CounterDescriptor corrupt_chunks_total{
    "hearth_worker_corrupt_chunks_total", "Pages or chunks whose bytes did not match their checksum."};
inline constexpr CounterDescriptor grants_total{"hearth_worker_grants_total", "Block descriptors granted to local clients."};
inline constexpr CounterDescriptor recalls_total{"hearth_worker_recalls_total", "Leases asked back under memory pressure."};
inline constexpr GaugeDescriptor memory_bytes{
    "hearth_worker_memory_bytes", "Memory tier by state: capacity, resident, filling, leased, orphaned, pooled, dead (of orphaned).", {"state"}};
inline constexpr GaugeDescriptor segments{"hearth_worker_segments", "Segments of packed small blocks."};
inline constexpr GaugeDescriptor compacted_bytes{"hearth_worker_compacted_bytes", "Bytes copied out of segments to give back dead slots, since the start."};
inline constexpr GaugeDescriptor evicted_bytes{"hearth_worker_evicted_bytes", "Bytes evicted since the start."};
inline constexpr GaugeDescriptor blocks{"hearth_worker_blocks", "Blocks with at least one resident page."};
inline constexpr GaugeDescriptor leases{"hearth_worker_leases", "Grants held by local clients."};
inline constexpr GaugeDescriptor master_registered{
    "hearth_worker_master_registered", "1 while the master acknowledges this worker's heartbeats."};
inline constexpr CounterDescriptor master_failures_total{
    "hearth_worker_master_failures_total", "Calls to the master that failed.", {"call"}};

}  // namespace hearth::worker::described

namespace hearth::worker {

// Totals since the start; each change goes to the process's metrics as well.
//
// Threads: confined to the data thread.
class WorkerCounters {
 public:
  WorkerCounters();

  void sent_from_memory(std::uint64_t bytes);
  void sent_from_store(std::uint64_t bytes);
  void fetched(std::uint64_t bytes, std::chrono::nanoseconds took);
  void fetch_failed();
  void passed_through(std::uint64_t bytes);
  void prefetched(std::uint64_t bytes);
  void sent_from_device(std::uint64_t bytes);
  void promoted(std::uint64_t bytes);
  void demoted(std::uint64_t bytes);
  void corrupt_found();
  void granted();
  void recalled(std::uint64_t leases);
  void master_registered(std::int64_t yes) { registered_.set(yes); }
  void tier(const MemoryTierStats& stats);

  std::uint64_t hit_bytes() const { return hit_bytes_; }
  std::uint64_t miss_bytes() const { return miss_bytes_; }
  std::uint64_t store_reads() const { return store_reads_; }
  std::uint64_t store_read_bytes() const { return store_read_bytes_; }
  std::uint64_t corrupt_pages() const { return corrupt_pages_; }
  std::uint64_t grants() const { return grants_; }
  std::uint64_t through_bytes() const { return through_bytes_; }
  std::uint64_t prefetched_bytes() const { return prefetched_bytes_; }

 private:
  std::uint64_t hit_bytes_ = 0;
  std::uint64_t miss_bytes_ = 0;
  std::uint64_t store_reads_ = 0;
  std::uint64_t store_read_bytes_ = 0;
  std::uint64_t corrupt_pages_ = 0;
  std::uint64_t grants_ = 0;
  std::uint64_t through_bytes_ = 0;
  std::uint64_t prefetched_bytes_ = 0;

  // Cells of the process's registry
  Counter& read_memory_;
  Counter& read_device_;
  Counter& read_store_;
  Counter& fetch_ok_;
  Counter& fetch_failed_;
  Counter& fetched_bytes_;
  HistogramMetric& fetch_seconds_;
  Counter& through_;
  Counter& prefetched_;
  Counter& moved_up_;
  Counter& moved_down_;
  Counter& corrupt_;
  Counter& granted_;
  Counter& recalled_;
  Gauge& registered_;
};

}  // namespace hearth::worker

#include "worker/metrics.h"

namespace hearth::worker {

WorkerCounters::WorkerCounters()
    : read_memory_(metrics().counter(described::read_bytes_total, {"memory"})),
      read_device_(metrics().counter(described::read_bytes_total, {"device"})),
      read_store_(metrics().counter(described::read_bytes_total, {"store"})),
      fetch_ok_(metrics().counter(described::fetches_total, {"ok"})),
      fetch_failed_(metrics().counter(described::fetches_total, {"failed"})),
      fetched_bytes_(metrics().counter(described::fetched_bytes_total)),
      fetch_seconds_(metrics().histogram(described::fetch_seconds)),
      through_(metrics().counter(described::through_bytes_total)),
      prefetched_(metrics().counter(described::prefetched_bytes_total)),
      moved_up_(metrics().counter(described::moved_bytes_total, {"up"})),
      moved_down_(metrics().counter(described::moved_bytes_total, {"down"})),
      corrupt_(metrics().counter(described::corrupt_chunks_total)),
      granted_(metrics().counter(described::grants_total)),
      recalled_(metrics().counter(described::recalls_total)),
      registered_(metrics().gauge(described::master_registered)) {}

void WorkerCounters::sent_from_memory(std::uint64_t bytes) {
  hit_bytes_ += bytes;
  read_memory_.add(bytes);
}

void WorkerCounters::sent_from_device(std::uint64_t bytes) {
  hit_bytes_ += bytes;
  read_device_.add(bytes);
}

void WorkerCounters::sent_from_store(std::uint64_t bytes) {
  miss_bytes_ += bytes;
  read_store_.add(bytes);
}

void WorkerCounters::fetched(std::uint64_t bytes, std::chrono::nanoseconds took) {
  store_reads_ += 1;
  store_read_bytes_ += bytes;
  fetch_ok_.add();
  fetched_bytes_.add(bytes);
  fetch_seconds_.observe(took);
}

void WorkerCounters::fetch_failed() { fetch_failed_.add(); }

void WorkerCounters::passed_through(std::uint64_t bytes) {
  through_bytes_ += bytes;
  through_.add(bytes);
}

void WorkerCounters::prefetched(std::uint64_t bytes) {
  prefetched_bytes_ += bytes;
  prefetched_.add(bytes);
}

void WorkerCounters::promoted(std::uint64_t bytes) { moved_up_.add(bytes); }

void WorkerCounters::demoted(std::uint64_t bytes) { moved_down_.add(bytes); }

void WorkerCounters::corrupt_found() {
  corrupt_pages_ += 1;
  corrupt_.add();
}

void WorkerCounters::granted() {
  grants_ += 1;
  granted_.add();
}

void WorkerCounters::recalled(std::uint64_t leases) { recalled_.add(leases); }

void WorkerCounters::tier(const MemoryTierStats& stats) {
  const auto set = [](const char* state, std::uint64_t bytes) {
    metrics().gauge(described::memory_bytes, {state}).set(static_cast<std::int64_t>(bytes));
  };
  set("capacity", stats.capacity_bytes);
  set("resident", stats.resident_bytes);
  set("filling", stats.filling_bytes);
  set("leased", stats.leased_bytes);
  set("orphaned", stats.orphaned_bytes);
  set("pooled", stats.pooled_bytes);
  set("dead", stats.dead_bytes);
  metrics().gauge(described::segments).set(static_cast<std::int64_t>(stats.segments));
  metrics().gauge(described::compacted_bytes).set(static_cast<std::int64_t>(stats.compacted_bytes));
  metrics().gauge(described::evicted_bytes).set(static_cast<std::int64_t>(stats.evicted_bytes));
  metrics().gauge(described::blocks).set(static_cast<std::int64_t>(stats.blocks));
  metrics().gauge(described::leases).set(static_cast<std::int64_t>(stats.leases));
}

}  // namespace hearth::worker

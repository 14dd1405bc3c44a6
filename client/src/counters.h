// Where the bytes of reads came from. Written on every read, so striped by thread.
//
// Threads: any; add() is one relaxed addition on a cache line that few threads share.
#pragma once

#include <hearth/client.h>

#include <array>
#include <atomic>
#include <cstddef>

namespace hearth::client {

class Counters {
 public:
  enum Which : std::size_t { mapped_bytes, worker_hit_bytes, worker_miss_bytes, store_bytes, retries, corrupt_chunks, count };

  void add(Which which, std::uint64_t amount = 1) {
    stripes_[stripe()].cells[which].fetch_add(amount, std::memory_order_relaxed);
  }

  ReadCounters sum() const {
    std::array<std::uint64_t, count> total{};
    for (const Stripe& stripe : stripes_) {
      for (std::size_t i = 0; i < count; ++i) total[i] += stripe.cells[i].load(std::memory_order_relaxed);
    }
    return {.mapped_bytes = total[mapped_bytes],
            .worker_hit_bytes = total[worker_hit_bytes],
            .worker_miss_bytes = total[worker_miss_bytes],
            .store_bytes = total[store_bytes],
            .retries = total[retries],
            .corrupt_chunks = total[corrupt_chunks]};
  }

 private:
  static constexpr std::size_t stripe_count = 16;
  struct alignas(64) Stripe {
    std::array<std::atomic<std::uint64_t>, count> cells{};
  };
  static std::size_t stripe() {
    static std::atomic<std::size_t> next{0};
    thread_local const std::size_t mine = next.fetch_add(1, std::memory_order_relaxed) % stripe_count;
    return mine;
  }
  std::array<Stripe, stripe_count> stripes_;
};

}  // namespace hearth::client

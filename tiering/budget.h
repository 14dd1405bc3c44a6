// The ledger of a tier's memory: every charged byte is in exactly one column.
//
// Threads: charge() only on the data thread; uncharge() and the sums from any (the last reader of a
//          page may let its memory go on another thread).
// Owns:    numbers only. total_bytes() is what the capacity bounds.
#pragma once

#include <array>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>

namespace hearth {

enum class Charge : std::uint8_t {
  resident,  // in the map, holds at least one published page
  filling,   // in the map, reserved for pages on their way
  orphaned,  // left the map, held by a lease, a view or a fill
  pooled,    // evicted, never granted, kept for the next block
};

class Budget {
 public:
  explicit Budget(std::uint64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  std::uint64_t capacity_bytes() const { return capacity_bytes_; }
  std::uint64_t total_bytes() const { return total_.load(std::memory_order_acquire); }
  std::uint64_t bytes(Charge column) const { return cell(column).load(std::memory_order_acquire); }
  bool fits(std::uint64_t bytes) const {
    const std::uint64_t used = total_bytes();
    return used <= capacity_bytes_ && bytes <= capacity_bytes_ - used;
  }

  void charge(Charge column, std::uint64_t bytes) {
    assert(fits(bytes) && "memory is reserved before it is taken");
    total_.fetch_add(bytes, std::memory_order_acq_rel);
    cell(column).fetch_add(bytes, std::memory_order_acq_rel);
  }
  void uncharge(Charge column, std::uint64_t bytes) {
    [[maybe_unused]] const std::uint64_t before = cell(column).fetch_sub(bytes, std::memory_order_acq_rel);
    assert(before >= bytes && "a byte is given back once, from the column that holds it");
    total_.fetch_sub(bytes, std::memory_order_acq_rel);
  }
  void move(Charge from, Charge to, std::uint64_t bytes) {
    [[maybe_unused]] const std::uint64_t before = cell(from).fetch_sub(bytes, std::memory_order_acq_rel);
    assert(before >= bytes);
    cell(to).fetch_add(bytes, std::memory_order_acq_rel);
  }

  // Of the orphaned: comes back by itself, soon.
  void leaves(std::uint64_t bytes) { leaving_.fetch_add(bytes, std::memory_order_acq_rel); }
  void left(std::uint64_t bytes) { leaving_.fetch_sub(bytes, std::memory_order_acq_rel); }
  std::uint64_t leaving_bytes() const { return leaving_.load(std::memory_order_acquire); }

  // Descriptors: one memfd per block, also counted from any thread when it closes.
  void memory_opened() { memories_.fetch_add(1, std::memory_order_acq_rel); }
  void memory_closed() { memories_.fetch_sub(1, std::memory_order_acq_rel); }
  std::size_t memories() const { return memories_.load(std::memory_order_acquire); }

 private:
  using Cell = std::atomic<std::uint64_t>;
  Cell& cell(Charge column) { return columns_[static_cast<std::size_t>(column)]; }
  const Cell& cell(Charge column) const { return columns_[static_cast<std::size_t>(column)]; }

  const std::uint64_t capacity_bytes_;
  // Any thread.
  Cell total_{0};
  std::array<Cell, 4> columns_{};
  Cell leaving_{0};
  std::atomic<std::size_t> memories_{0};
};

}  // namespace hearth

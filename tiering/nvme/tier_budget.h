// The ledger of a device: every charged byte is in exactly one column.
//
// Threads: confined to the tier's executor.
// Owns:    numbers only. total() never exceeds the capacity; the limit may lie below it while the file system is short of space,
//          and then only keeps new bytes out.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>

namespace hearth {

class TierBudget {
 public:
  explicit TierBudget(std::uint64_t capacity_bytes) : capacity_(capacity_bytes), limit_(capacity_bytes) {}

  std::uint64_t capacity() const { return capacity_; }
  std::uint64_t limit() const { return limit_; }
  void set_limit(std::uint64_t bytes) { limit_ = std::min(bytes, capacity_); }
  std::uint64_t total() const { return resident + filling + leaving + orphaned; }
  bool fits(std::uint64_t bytes) const { return total() <= limit_ && bytes <= limit_ - total(); }

  void charge(std::uint64_t& column, std::uint64_t bytes) {
    column += bytes;
    assert(total() <= capacity_ && "room is reserved before it is taken");
  }
  static void uncharge(std::uint64_t& column, std::uint64_t bytes) {
    assert(column >= bytes && "a byte is given back once, from the column that holds it");
    column -= bytes;
  }
  static void move(std::uint64_t& from, std::uint64_t& to, std::uint64_t bytes) {
    uncharge(from, bytes);
    to += bytes;
  }

  std::uint64_t resident = 0;
  std::uint64_t filling = 0;
  std::uint64_t leaving = 0;
  std::uint64_t orphaned = 0;

 private:
  const std::uint64_t capacity_;
  std::uint64_t limit_;
};

}  // namespace hearth

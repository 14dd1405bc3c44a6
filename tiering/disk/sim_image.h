// The bytes of one simulated file: sparse pages, a length, and the changes that were not synced yet.
//
// Threads: none of its own; confined to the medium's.
#pragma once

#include "common/rng.h"
#include "tiering/disk/disk.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace hearth::disk {

inline constexpr std::uint64_t sim_sector_bytes = 512;  // what a device writes whole even when its power fails

// One layer of a file. A page without bytes is reserved (allocated) and reads as zeros.
class SimImage {
 public:
  std::uint64_t length_bytes() const { return length_bytes_; }
  std::uint64_t allocated_bytes() const { return pages_.size() * disk_alignment_bytes; }
  // Bytes past the end or never written read as zeros.
  void read(std::uint64_t offset, std::span<std::byte> into) const;
  void write(std::uint64_t offset, std::span<const std::byte> bytes);  // makes the file longer when it reaches further
  void truncate(std::uint64_t length_bytes);
  void reserve(std::uint64_t length_bytes);
  void punch(std::uint64_t offset, std::uint64_t length_bytes);
  // Pages that a write or reservation of this range would add.
  std::uint64_t missing_pages(std::uint64_t offset, std::uint64_t length_bytes) const;
  void flip_bit(std::uint64_t offset, unsigned bit);
  SimImage copy() const;

 private:
  using Page = std::array<std::byte, disk_alignment_bytes>;
  Page& page_for_write(std::uint64_t index);

  std::map<std::uint64_t, std::unique_ptr<Page>> pages_;
  std::uint64_t length_bytes_ = 0;
};

struct SimChange {
  enum class Kind : std::uint8_t { write, truncate, reserve, punch } kind = Kind::write;
  std::uint64_t offset = 0;  // truncate, reserve: the length
  std::uint64_t length_bytes = 0;
  std::vector<std::byte> bytes;
};

void apply(const SimChange& change, SimImage& to);
// Keeps or loses each page of it by the dice, and tears some at sector granularity.
void apply_partly(const SimChange& change, SimImage& to, Rng& dice);

// Both layers of one file: what was written, and what a power loss leaves for sure.
class SimFile {
 public:
  const SimImage& written() const { return written_; }
  void change(SimChange change);
  void change_partly(const SimChange& change, Rng& dice);  // what reaches the file of a torn operation
  void sync();
  void forget_unsynced(Rng& dice);
  void flip_bit(std::uint64_t offset, unsigned bit);  // on the medium itself: both layers

  std::uint32_t open_handles = 0;
  std::uint32_t names = 0;

 private:
  void remember(SimChange change);

  SimImage written_;
  SimImage durable_;
  std::deque<SimChange> unsynced_;
  std::uint64_t unsynced_bytes_ = 0;
};

}  // namespace hearth::disk

// One granted block, mapped read-only: readers pin it, verify chunks on first use and copy. Or a segment of packed blocks:
// there `block` is its id, and what lies where, and its checksums, are PackedPlaces' to know.
//
// Of a block in filling only those chunks are read whose checksums the worker named (learn()); the rest may be holes,
// which show zeros.
//
// Threads: any. pin(), unpin(), first_wrong() and bytes() neither lock, allocate nor call the kernel while the grant is live.
// Owns:    the descriptor and the mapping, until it was retired and the last pin went; then `on_unmapped` runs once,
//          on whichever thread came last, and must not block.
// Fails:   map() refuses a descriptor that could shrink or change underneath (bad_frame).
#pragma once

#include <hearth/client.h>

#include "common/fd.h"
#include "common/fork.h"
#include "common/ids.h"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace hearth::client {

// Whose lease it is. A lease ends with its connection, so the connection's number is part of the name.
struct LeaseName {
  WorkerId worker;
  std::uint64_t connection = 0;
  std::uint64_t lease = 0;
  bool operator==(const LeaseName&) const = default;
};

class MappedGrant {
 public:
  struct Parts {
    BlockId block;
    LeaseName lease;
    UniqueFd fd;
    std::uint64_t fd_offset_bytes = 0;
    std::uint64_t length_bytes = 0;
    std::vector<std::uint32_t> chunk_checksums;  // CRC32C of each checksum_chunk_bytes; empty: in filling
  };
  using OnUnmapped = std::function<void(const LeaseName&)>;

  static Result<std::shared_ptr<MappedGrant>> map(Parts parts, OnUnmapped on_unmapped);
  MappedGrant(Parts parts, OnUnmapped on_unmapped) : parts_(std::move(parts)), on_unmapped_(std::move(on_unmapped)) {}
  ~MappedGrant();
  MappedGrant(const MappedGrant&) = delete;

  // True: the bytes stay until unpin(). False: it was retired.
  bool pin();
  void unpin();
  // No new pins; the mapping goes with the last one.
  void retire();

  // Only while pinned.
  std::span<const std::byte> bytes() const { return {data_, parts_.length_bytes}; }
  int fd() const { return parts_.fd.get(); }
  std::uint64_t fd_offset_bytes() const { return parts_.fd_offset_bytes; }
  // What users see stays in a forked child, until it lets go there; all else is not inherited, so that it can be freed.
  void keep_in_child();
  // unpin() of a user's view: in a forked child, where nobody else retires the grant, its mapping goes with the last.
  void let_go();
  // How many bytes from `offset` on may be read, at most `length`.
  std::uint64_t readable(std::uint64_t offset, std::uint64_t length) const;
  bool complete() const { return unknown_chunks_.load(std::memory_order_acquire) == 0; }
  // The chunks from `first_chunk` on are there now. One thread at a time.
  void learn(std::size_t first_chunk, std::span<const std::uint32_t> checksums);
  // Nothing when the chunks of [offset, offset + length) match their checksums, else where the first wrong one begins.
  std::optional<std::uint64_t> first_wrong(std::uint64_t offset, std::uint64_t length, Verify mode);

  const BlockId& block() const { return parts_.block; }
  const LeaseName& lease() const { return parts_.lease; }
  std::uint64_t length_bytes() const { return parts_.length_bytes; }

  // Second-chance bit of the cache: readers set it, the eviction hand clears it.
  void touch() {
    if (!recently_used_.load(std::memory_order_relaxed)) recently_used_.store(true, std::memory_order_relaxed);
  }
  bool take_recently_used() { return recently_used_.exchange(false, std::memory_order_relaxed); }
  bool idle() const { return (state_.load(std::memory_order_relaxed) & pin_mask) == 0; }

 private:
  static constexpr std::uint64_t retired_bit = 1ULL << 63;
  static constexpr std::uint64_t unmapped_bit = 1ULL << 62;
  static constexpr std::uint64_t pin_mask = unmapped_bit - 1;

  using Bits = std::unique_ptr<std::atomic<std::uint64_t>[]>;  // one per chunk
  static Bits make_bits(std::size_t count) { return std::make_unique<std::atomic<std::uint64_t>[]>((count + 63) / 64); }
  Status map_memory();
  void try_unmap();

  // Set once by map(), given back by whoever wins try_unmap().
  const ForkGuard fork_;
  Parts parts_;
  OnUnmapped on_unmapped_;
  void* mapping_ = nullptr;
  std::size_t mapping_bytes_ = 0;
  const std::byte* data_ = nullptr;
  Bits verified_;
  Bits known_;  // null: all are

  // Any thread.
  std::atomic<std::uint64_t> state_{0};  // pins, and the two bits above
  std::atomic<std::size_t> unknown_chunks_{0};
  std::atomic<bool> recently_used_{true};
  std::atomic<bool> kept_in_child_{false};
};

}  // namespace hearth::client

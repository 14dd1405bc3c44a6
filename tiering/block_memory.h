// The memory of one block or of one segment of small blocks: a memfd with the worker's mapping of it, or, for a small
// block that nobody else will ever map, private memory without a descriptor.
//
// Threads: everything on the data thread, except write() to a range that is being filled, the bytes of
//          resident pages (readers), and the destructor, which runs where the last holder lets go.
// Owns:    the descriptor and the mapping; when it goes, what it was charged as an orphan is given back.
// Fails:   no_space (memory or descriptors), io_error.
#pragma once

#include <hearth/result.h>

#include "common/fd.h"
#include "tiering/budget.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace hearth {

class MemoryRelease;

enum class Granule : std::uint8_t { small, huge };
enum class Sharing : std::uint8_t { by_memfd, never };

class BlockMemory {
 public:
  // Shared: the map, views, fills and leases hold it independently of each other.
  static Result<std::shared_ptr<BlockMemory>> create(std::shared_ptr<Budget> budget, std::uint64_t length_bytes,
                                                     Granule granule, Sharing sharing = Sharing::by_memfd);
  // A segment's, of a size for ever. What lies beyond `small_bytes` is taken from the kernel by `beyond`, in the order of
  // its bytes. Its last holder hands it to `release`.
  static Result<std::shared_ptr<BlockMemory>> create_segment(std::shared_ptr<Budget> budget, std::uint64_t length_bytes,
                                                             std::uint64_t small_bytes, Granule beyond,
                                                             std::shared_ptr<MemoryRelease> release);
  ~BlockMemory();
  BlockMemory(const BlockMemory&) = delete;
  BlockMemory& operator=(const BlockMemory&) = delete;

  std::span<std::byte> bytes() const { return {base_, length_bytes_}; }
  // Also the size of the file, to the byte: the kernel serves a granted file up to its own end.
  std::uint64_t length_bytes() const { return length_bytes_; }
  Granule granule() const { return granule_; }
  bool shareable() const { return static_cast<bool>(fd_); }
  // Its descriptor may be in other hands: never resized, punched or reused.
  bool sealed() const { return sealed_ != Sealed::no; }

  // Of a segment: what the kernel holds of it at most once everything before `end` was written.
  std::uint64_t extent_bytes(std::uint64_t end) const;
  // Of a segment: what write() of everything before `end` has still to take from the kernel by huge pages.
  std::uint64_t missing_bytes(std::uint64_t end) const;
  // Of a segment: from here on only write() puts bytes into it, through this process's mapping.
  Status seal_against_others();
  // Of a segment: its last holder, on the data thread, waits for the kernel to have it back.
  void release_here() { release_.reset(); }

  // Writes `bytes` at `offset`. By pwrite, which neither clears the fresh memory first nor takes a page fault per
  // 4 KiB; huge pages come only through the mapping, and so do bytes of a segment that others hold: there it is populated
  // and copied to.
  Status write(std::uint64_t offset, std::span<const std::byte> bytes);
  // Gives [offset, offset + length) back to the kernel. Never on sealed memory. Private memory goes only as a whole,
  // with its block.
  void punch(std::uint64_t offset, std::uint64_t length);
  // For the next block in the same memory. Never on sealed or private memory.
  Status resize(std::uint64_t length_bytes);
  // From here on nobody but this user can change it, and nobody can shrink, grow or punch it. write() goes on.
  Status seal_size();
  // From here on nobody, this process included, can write, shrink, grow or punch through a descriptor.
  Status seal();
  // A read-only descriptor with a file position of its own. Only when sealed.
  Result<UniqueFd> open_read_only() const;
  // Undoes the protection of this process's own mapping, to damage bytes on purpose.
  void unprotect_for_test();

  // Bytes that this memory still costs although it left the map.
  void add_orphaned(std::uint64_t bytes) { orphaned_bytes_ += bytes; }
  void remove_orphaned(std::uint64_t bytes) { orphaned_bytes_ -= bytes; }
  std::uint64_t orphaned_bytes() const { return orphaned_bytes_; }
  // All of it is orphaned, and nobody holds it for long.
  void leave() {
    leaving_ = true;
    budget_->leaves(orphaned_bytes_);
  }

 private:
  enum class Sealed : std::uint8_t { no, size, yes };
  BlockMemory(std::shared_ptr<Budget> budget, UniqueFd fd, Granule granule);
  Status map(std::uint64_t length_bytes);
  Status populate(std::uint64_t begin, std::uint64_t end);
  Status write_mapped(std::uint64_t offset, std::span<const std::byte> bytes);
  Status write_by_descriptor(std::uint64_t offset, std::span<const std::byte> bytes);
  Status write_segment(std::uint64_t offset, std::span<const std::byte> bytes);
  static void let_go(BlockMemory* memory);
  std::uint64_t paged_bytes() const;

  // Set once.
  const std::shared_ptr<Budget> budget_;  // shared: the last view may outlive the store
  UniqueFd fd_;                              // none: private
  std::unique_ptr<std::byte[]> private_bytes_;
  const Granule granule_;
  std::uint64_t small_bytes_ = 0;  // of a segment; 0: it is none
  std::shared_ptr<MemoryRelease> release_;  // of a segment; shared with the store
  // Data thread only.
  std::byte* base_ = nullptr;
  std::uint64_t length_bytes_ = 0;
  std::uint64_t mapped_bytes_ = 0;
  std::uint64_t orphaned_bytes_ = 0;
  bool leaving_ = false;
  Sealed sealed_ = Sealed::no;
  // Any thread.
  std::atomic<std::uint64_t> populated_{0};  // of a segment's huge pages: up to where
  std::atomic<bool> held_by_others_{false};
};

}  // namespace hearth

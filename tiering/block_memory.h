// One memfd with the worker's mapping of it.
//
// Threads: everything on the data thread, except the bytes of a range being filled, the bytes of
//          resident pages (readers), and the destructor, which runs where the last holder lets go.
// Owns:    the descriptor and the mapping; when it goes, what it was charged as an orphan is given back.
// Fails:   no_space (memory or descriptors), io_error.
#pragma once

#include <hearth/result.h>

#include "common/fd.h"
#include "tiering/budget.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace hearth {

enum class Granule : std::uint8_t { small, huge };

class BlockMemory {
 public:
  // Shared: the map, views, fills and leases hold it independently of each other.
  static Result<std::shared_ptr<BlockMemory>> create(std::shared_ptr<Budget> budget, std::uint64_t length_bytes,
                                                     Granule granule);
  ~BlockMemory();
  BlockMemory(const BlockMemory&) = delete;
  BlockMemory& operator=(const BlockMemory&) = delete;

  std::span<std::byte> bytes() const { return {base_, length_bytes_}; }
  std::uint64_t length_bytes() const { return length_bytes_; }  // a multiple of 4 KiB
  Granule granule() const { return granule_; }
  bool sealed() const { return sealed_ == Sealed::yes; }

  // Takes the page faults of [offset, offset + length) now, in one call.
  Status prefault(std::uint64_t offset, std::uint64_t length);
  // Gives [offset, offset + length) back to the kernel. Never on sealed memory.
  void punch(std::uint64_t offset, std::uint64_t length);
  // For the next block in the same memory. Never on sealed memory.
  Status resize(std::uint64_t length_bytes);
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

 private:
  enum class Sealed : std::uint8_t { no, yes };
  BlockMemory(std::shared_ptr<Budget> budget, UniqueFd fd, Granule granule);
  Status map(std::uint64_t length_bytes);

  // Set once.
  const std::shared_ptr<Budget> budget_;  // shared: the last view may outlive the store
  const UniqueFd fd_;
  const Granule granule_;
  // Data thread only.
  std::byte* base_ = nullptr;
  std::uint64_t length_bytes_ = 0;
  std::uint64_t mapped_bytes_ = 0;
  std::uint64_t orphaned_bytes_ = 0;
  Sealed sealed_ = Sealed::no;
};

}  // namespace hearth

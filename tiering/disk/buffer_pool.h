// Aligned memory for direct I/O: one arena, handed out by a buddy system, so that it can be registered with a ring once.
//
// Threads: confined to one executor, the last holder of a buffer included.
// Owns:    the arena; each buffer shares it, so views of it may outlive the disk.
// Fails:   never: when the arena is used up or too small, the buffer is memory of its own.
#pragma once

#include "tiering/disk/disk.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace hearth::disk {

// Memory of its own, aligned, of at least `length_bytes`.
DiskBuffer plain_buffer(std::uint64_t length_bytes);

class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  // Rounds the arena down to a power of two times 2 MiB; 0 = every buffer is plain.
  static std::shared_ptr<BufferPool> make(std::uint64_t arena_bytes);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  DiskBuffer take(std::uint64_t length_bytes);
  std::span<std::byte> arena() const { return arena_; }
  bool contains(const void* memory, std::uint64_t length_bytes) const;
  std::uint64_t used_bytes() const { return used_bytes_; }

 private:
  explicit BufferPool(std::span<std::byte> arena);
  std::uint64_t take_block(std::size_t order);  // its index in pages; none when there is none
  void give_back(std::uint64_t page, std::size_t order);

  // Set once
  std::span<std::byte> arena_;
  // Executor only. Blocks of 2^order pages.
  std::vector<std::vector<std::uint64_t>> free_;   // by order; may name blocks that were merged meanwhile
  std::vector<std::uint8_t> free_order_;           // by first page: order + 1 of the free block there, 0 = none
  std::uint64_t used_bytes_ = 0;
};

}  // namespace hearth::disk

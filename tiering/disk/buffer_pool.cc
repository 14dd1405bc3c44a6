#include "tiering/disk/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdlib>
#include <new>

namespace hearth::disk {
namespace {

constexpr std::uint64_t huge_bytes = 2ULL << 20;
constexpr std::uint64_t none = UINT64_MAX;

std::uint64_t pages_of(std::uint64_t length_bytes) {
  return std::max<std::uint64_t>(1, (length_bytes + disk_alignment_bytes - 1) / disk_alignment_bytes);
}

}  // namespace

DiskBuffer plain_buffer(std::uint64_t length_bytes) {
  const std::uint64_t bytes = pages_of(length_bytes) * disk_alignment_bytes;
  void* memory = std::aligned_alloc(disk_alignment_bytes, bytes);
  if (memory == nullptr) throw std::bad_alloc();  // as any other allocation
  return DiskBuffer({static_cast<std::byte*>(memory), bytes}, std::shared_ptr<const void>(memory, std::free));
}

std::shared_ptr<BufferPool> BufferPool::make(std::uint64_t arena_bytes) {
  std::span<std::byte> arena;
  if (arena_bytes >= huge_bytes) {
    const std::uint64_t bytes = std::bit_floor(arena_bytes);
    // Twice as much address space, to cut an aligned piece out of it: huge pages make a registered arena cheap to map.
    void* mapped = ::mmap(nullptr, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped != MAP_FAILED) {
      auto* base = static_cast<std::byte*>(mapped);
      const std::uint64_t skipped = (bytes - reinterpret_cast<std::uintptr_t>(base) % bytes) % bytes;
      if (skipped > 0) ::munmap(base, skipped);
      ::munmap(base + skipped + bytes, bytes - skipped);
      arena = {base + skipped, bytes};
      ::madvise(arena.data(), arena.size(), MADV_HUGEPAGE);
    }
  }
  return std::shared_ptr<BufferPool>(new BufferPool(arena));
}

BufferPool::BufferPool(std::span<std::byte> arena) : arena_(arena) {
  if (arena_.empty()) return;
  const std::uint64_t pages = arena_.size() / disk_alignment_bytes;
  const auto top = static_cast<std::size_t>(std::countr_zero(pages));
  free_.resize(top + 1);
  free_order_.resize(pages);
  free_[top].push_back(0);
  free_order_[0] = static_cast<std::uint8_t>(top + 1);
}

BufferPool::~BufferPool() {
  if (!arena_.empty()) ::munmap(arena_.data(), arena_.size());
}

std::uint64_t BufferPool::take_block(std::size_t order) {
  for (std::size_t at = order; at < free_.size(); ++at) {
    while (!free_[at].empty()) {
      const std::uint64_t page = free_[at].back();
      free_[at].pop_back();
      if (free_order_[page] != at + 1) continue;  // merged or taken since
      free_order_[page] = 0;
      for (std::size_t half = at; half > order; --half) give_back(page + (1ULL << (half - 1)), half - 1);
      return page;
    }
  }
  return none;
}

void BufferPool::give_back(std::uint64_t page, std::size_t order) {
  while (order + 1 < free_.size()) {
    const std::uint64_t buddy = page ^ (1ULL << order);
    if (free_order_[buddy] != order + 1) break;
    free_order_[buddy] = 0;
    page = std::min(page, buddy);
    ++order;
  }
  free_order_[page] = static_cast<std::uint8_t>(order + 1);
  free_[order].push_back(page);
}

DiskBuffer BufferPool::take(std::uint64_t length_bytes) {
  const std::uint64_t pages = pages_of(length_bytes);
  const auto order = static_cast<std::size_t>(std::bit_width(pages - 1));
  const std::uint64_t page = order < free_.size() ? take_block(order) : none;
  if (page == none) return plain_buffer(length_bytes);
  std::byte* memory = arena_.data() + page * disk_alignment_bytes;
  used_bytes_ += disk_alignment_bytes << order;
  auto give = [pool = shared_from_this(), page, order](const std::byte*) {
    pool->used_bytes_ -= disk_alignment_bytes << order;
    pool->give_back(page, order);
  };
  std::shared_ptr<const std::byte> holder(memory, give);
  return DiskBuffer({memory, pages * disk_alignment_bytes}, std::move(holder));
}

bool BufferPool::contains(const void* memory, std::uint64_t length_bytes) const {
  const auto* first = static_cast<const std::byte*>(memory);
  return first >= arena_.data() && first + length_bytes <= arena_.data() + arena_.size() && !arena_.empty();
}

}  // namespace hearth::disk

// Memory of large arrays that are read at random, in huge pages where the kernel gives them.
//
// With 4 KiB pages each access to a table of ten million entries also misses the TLB; that was a third of the time of
// W-TinyLFU. An array below 4 MiB is allocated as any other.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace hearth::eviction {

template <class T>
struct HugeAllocator {
  using value_type = T;
  static constexpr std::size_t huge_page_bytes = 2U << 20;
  static constexpr std::size_t worth_it_bytes = 2 * huge_page_bytes;

  HugeAllocator() = default;
  template <class U>
  HugeAllocator(const HugeAllocator<U>&) {}  // NOLINT(google-explicit-constructor)

  T* allocate(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    void* const memory = ::operator new(bytes, alignment(bytes));
    if (bytes >= worth_it_bytes) (void)::madvise(memory, bytes, MADV_HUGEPAGE);
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t count) { ::operator delete(memory, alignment(count * sizeof(T))); }

  bool operator==(const HugeAllocator&) const = default;

 private:
  static std::align_val_t alignment(std::size_t bytes) {
    return std::align_val_t(bytes >= worth_it_bytes ? huge_page_bytes : alignof(T));
  }
};

}  // namespace hearth::eviction

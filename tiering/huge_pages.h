// Whether this machine gives transparent huge pages to a memfd, and the sizes that follow.
//
// Fails: never; a machine that does not say is one without.
#pragma once

#include <cstdint>
#include <string>

namespace hearth {

inline constexpr std::uint64_t small_granule_bytes = 4ULL << 10;  // the kernel's page
inline constexpr std::uint64_t huge_granule_bytes = 2ULL << 20;   // a huge page (x86-64, arm64 with 4 KiB pages)
// Blocks up to here keep small pages: half a huge page would be wasted on average.
inline constexpr std::uint64_t huge_threshold_bytes = 1ULL << 20;

enum class HugePageSupport : std::uint8_t { absent, present };

inline constexpr const char* shmem_huge_pages_path = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

// Present when the bracketed word of `path` lets MADV_HUGEPAGE work: always, within_size, advise or force.
HugePageSupport probe_huge_pages(const std::string& path = shmem_huge_pages_path);

constexpr std::uint64_t round_up(std::uint64_t bytes, std::uint64_t granule_bytes) {
  return (bytes + granule_bytes - 1) / granule_bytes * granule_bytes;
}

}  // namespace hearth

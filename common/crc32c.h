// CRC32C (Castagnoli, RFC 3720 appendix B.4), in hardware where the processor has it.
//
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace hearth {

// The checksum of `bytes` appended to something whose checksum is `seed` (0: nothing before).
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0);

// The checksum of A followed by B, from those of A and B and the length of B.
std::uint32_t crc32c_combine(std::uint32_t a, std::uint32_t b, std::uint64_t length_b_bytes);

// One checksum for each checksum_chunk_bytes (common/block.h) of `bytes`; the last chunk may be short.
std::vector<std::uint32_t> chunk_checksums(std::span<const std::byte> bytes);

// Whether crc32c() runs on the processor's instruction ("hearth doctor" reports it).
bool crc32c_is_hardware();

namespace detail {
std::uint32_t crc32c_portable(std::span<const std::byte> bytes, std::uint32_t seed);
}

}  // namespace hearth

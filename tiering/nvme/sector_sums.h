// CRC32C of each 4 KiB sector of a page, and what follows from them without reading the page again.
//
// A 4 KiB read is verified against its sector's checksum. The sectors' checksums need none of their own: folded together
// they must give the page's, which the index has.
//
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace hearth {

inline constexpr std::uint32_t sector_bytes = 4096;
// A page up to this length is always read whole, and needs no sector checksums.
inline constexpr std::uint32_t page_without_sums_bytes = 16384;

inline std::uint32_t sector_count(std::uint64_t length_bytes) { return static_cast<std::uint32_t>((length_bytes + sector_bytes - 1) / sector_bytes); }
// Bytes of one page's entry in the checksum file of a device whose pages are up to `max_page_bytes`.
inline std::uint32_t sums_entry_bytes(std::uint32_t max_page_bytes) { return sector_count(max_page_bytes) * 4; }

// One checksum per sector; the last sector may be short.
std::vector<std::uint32_t> compute_sector_sums(std::span<const std::byte> page);
// The checksum of all `length_bytes` from those of their sectors.
std::uint32_t fold_sector_sums(std::span<const std::uint32_t> sums, std::uint64_t length_bytes);
// One checksum for each checksum_chunk_bytes, as common/crc32c.h's chunk_checksums() of the page.
std::vector<std::uint32_t> chunks_of_sector_sums(std::span<const std::uint32_t> sums, std::uint64_t length_bytes);
// CRC32C of each piece of `bytes`, cut where chunks of the page end; `sums` are those of the sectors that `bytes` touch, of a
// page of `page_length`. Whole sectors are taken from them, split ones computed.
std::vector<std::uint32_t> piece_checksums(std::span<const std::byte> bytes, std::uint64_t offset_in_page, std::span<const std::uint32_t> sums,
                                           std::uint64_t page_length);

}  // namespace hearth

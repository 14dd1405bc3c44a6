#include "tiering/nvme/sector_sums.h"

#include "common/block.h"
#include "common/crc32c.h"

#include <algorithm>
#include <array>

namespace hearth {
namespace {

// Appending 4096 bytes to what a checksum covers is linear in the checksum: four lookups instead of crc32c_combine's
// logarithm of multiplications (256 sectors: about 1 us instead of 250).
class SectorShift {
 public:
  SectorShift() {
    for (unsigned byte = 0; byte < 4; ++byte) {
      for (std::uint32_t value = 0; value < 256; ++value) table_[byte][value] = crc32c_combine(value << (8 * byte), 0, sector_bytes);
    }
  }
  std::uint32_t operator()(std::uint32_t crc) const {
    return table_[0][crc & 0xFF] ^ table_[1][(crc >> 8) & 0xFF] ^ table_[2][(crc >> 16) & 0xFF] ^ table_[3][crc >> 24];
  }

 private:
  std::array<std::array<std::uint32_t, 256>, 4> table_{};
};

const SectorShift& shift() {
  static const SectorShift table;
  return table;
}

constexpr std::size_t sectors_per_chunk = checksum_chunk_bytes / sector_bytes;

}  // namespace

std::vector<std::uint32_t> compute_sector_sums(std::span<const std::byte> page) {
  std::vector<std::uint32_t> sums;
  sums.reserve(sector_count(page.size()));
  for (std::size_t at = 0; at < page.size(); at += sector_bytes) {
    sums.push_back(crc32c(page.subspan(at, std::min<std::size_t>(sector_bytes, page.size() - at))));
  }
  return sums;
}

std::uint32_t fold_sector_sums(std::span<const std::uint32_t> sums, std::uint64_t length_bytes) {
  std::uint32_t crc = 0;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const std::uint64_t length = std::min<std::uint64_t>(sector_bytes, length_bytes - i * sector_bytes);
    crc = length == sector_bytes ? shift()(crc) ^ sums[i] : crc32c_combine(crc, sums[i], length);
  }
  return crc;
}

std::vector<std::uint32_t> chunks_of_sector_sums(std::span<const std::uint32_t> sums, std::uint64_t length_bytes) {
  std::vector<std::uint32_t> chunks;
  for (std::size_t first = 0; first < sums.size(); first += sectors_per_chunk) {
    const std::uint64_t at = std::uint64_t{first} * sector_bytes;
    const std::uint64_t length = std::min<std::uint64_t>(checksum_chunk_bytes, length_bytes - at);
    chunks.push_back(fold_sector_sums(sums.subspan(first, sector_count(length)), length));
  }
  return chunks;
}

std::vector<std::uint32_t> piece_checksums(std::span<const std::byte> bytes, std::uint64_t offset_in_page, std::span<const std::uint32_t> sums,
                                           std::uint64_t page_length) {
  std::vector<std::uint32_t> pieces;
  const std::uint64_t first_sector = offset_in_page / sector_bytes;
  const std::uint64_t end = offset_in_page + bytes.size();
  for (std::uint64_t at = offset_in_page; at < end;) {
    const std::uint64_t piece_end = std::min(end, (at / checksum_chunk_bytes + 1) * checksum_chunk_bytes);
    std::uint32_t crc = 0;
    while (at < piece_end) {
      const std::uint64_t sector = at / sector_bytes;
      const std::uint64_t sector_end = std::min((sector + 1) * sector_bytes, page_length);
      const std::uint64_t stop = std::min(piece_end, sector_end);
      if (at % sector_bytes == 0 && stop == sector_end) {
        const std::uint32_t sum = sums[sector - first_sector];
        crc = stop - at == sector_bytes ? shift()(crc) ^ sum : crc32c_combine(crc, sum, stop - at);
      } else {
        crc = crc32c(bytes.subspan(at - offset_in_page, stop - at), crc);
      }
      at = stop;
    }
    pieces.push_back(crc);
  }
  return pieces;
}

}  // namespace hearth

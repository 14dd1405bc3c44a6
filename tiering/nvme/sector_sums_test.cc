#include "tiering/nvme/sector_sums.h"

#include "common/block.h"
#include "common/crc32c.h"
#include "common/rng.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

std::vector<std::byte> random_bytes(std::size_t length) {
  SeededRng rng(length);
  std::vector<std::byte> bytes(length);
  rng.fill(bytes);
  return bytes;
}

class SectorSums : public ::testing::TestWithParam<std::size_t> {};

TEST_P(SectorSums, FoldToTheChecksumOfThePage) {
  const auto page = random_bytes(GetParam());
  EXPECT_EQ(fold_sector_sums(compute_sector_sums(page), page.size()), crc32c(page));
}

TEST_P(SectorSums, FoldToTheChecksumsOfItsChunks) {
  const auto page = random_bytes(GetParam());
  EXPECT_EQ(chunks_of_sector_sums(compute_sector_sums(page), page.size()), chunk_checksums(page));
}

TEST_P(SectorSums, ADamagedSumNeverFoldsToTheSamePage) {
  const auto page = random_bytes(GetParam());
  auto sums = compute_sector_sums(page);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    sums[i] ^= 1U << (i % 32);
    EXPECT_NE(fold_sector_sums(sums, page.size()), crc32c(page)) << "sum " << i;
    sums[i] ^= 1U << (i % 32);
  }
}

TEST_P(SectorSums, GiveTheChecksumsOfAnyPiece) {
  const auto page = random_bytes(GetParam());
  const auto sums = compute_sector_sums(page);
  SeededRng rng(1);
  for (int round = 0; round < 200; ++round) {
    const std::uint64_t offset = rng.below(page.size());
    const std::uint64_t length = 1 + rng.below(page.size() - offset);
    const auto bytes = std::span(page).subspan(offset, length);
    const auto touched = std::span(sums).subspan(offset / sector_bytes);
    const auto pieces = piece_checksums(bytes, offset, touched, page.size());
    std::size_t piece = 0;
    for (std::uint64_t at = offset; at < offset + length; ++piece) {
      const std::uint64_t end = std::min(offset + length, (at / checksum_chunk_bytes + 1) * checksum_chunk_bytes);
      ASSERT_LT(piece, pieces.size());
      ASSERT_EQ(pieces[piece], crc32c(std::span(page).subspan(at, end - at))) << offset << "+" << length << " piece " << piece;
      at = end;
    }
    ASSERT_EQ(piece, pieces.size());
  }
}

INSTANTIATE_TEST_SUITE_P(Lengths, SectorSums, ::testing::Values(1, 4095, 4096, 4097, 65536, 65537, 300'001, 1U << 20));

}  // namespace
}  // namespace hearth

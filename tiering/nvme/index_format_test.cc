// The format's golden bytes, and what damage does to it.
#include "tiering/nvme/index_format.h"

#include "common/crc32c.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace hearth {
namespace {

DeviceIdentity sample_identity() {
  DeviceIdentity identity;
  for (std::size_t i = 0; i < identity.uuid.size(); ++i) identity.uuid[i] = static_cast<std::byte>(i + 1);
  identity.cluster_id = 0x1122334455667788ULL;
  identity.worker_id = 0x99AABBCCDDEEFF00ULL;
  identity.max_page_bytes = 1U << 20;
  identity.created_ns = 1'700'000'000'000'000'000LL;
  return identity;
}

IndexRecord sample_record() {
  return IndexRecord{.block = BlockId{0x0123456789ABCDEFULL, 0xFEDCBA9876543210ULL},
                     .block_start = 1ULL << 30,
                     .block_length = 3'000'000,
                     .page = 2,
                     .page_size_bytes = 1U << 20,
                     .crc = 0xCAFEBABE,
                     .last_access = 86'400,
                     .pinned = 1,
                     .at_expiry = 2,
                     .expires_s = 1'800'000'000};
}

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", std::to_integer<unsigned>(byte));
    text += two;
  }
  return text;
}

constexpr char bump[] = "the bytes on disk changed: bump page_index_format_version, and say in docs/formats/page_index.md what is new";

using RecordBytes = std::array<std::byte, index_record_bytes>;

RecordBytes encoded(const IndexRecord& record, std::uint32_t slot) {
  RecordBytes bytes{};
  encode_record(record, sample_identity(), slot, bytes);
  return bytes;
}

TEST(PageIndexFormat, HeaderKeepsItsGoldenBytes) {
  const IndexSector sector = encode_identity(sample_identity());
  EXPECT_EQ(hex(std::span(sector).first(64)),
            "4845415254485049" "02000000" "40000000" "0102030405060708090a0b0c0d0e0f10"
            "8877665544332211" "00ffeeddccbbaa99" "00001000" "00000000" "00002a36fe9c9717") << bump;
  EXPECT_EQ(hex(std::span(sector).last(4)), "ae3235df") << bump;
  for (std::size_t at = 64; at < sector.size() - 4; ++at) ASSERT_EQ(sector[at], std::byte{0}) << bump;
}

TEST(PageIndexFormat, RecordKeepsItsGoldenBytes) {
  EXPECT_EQ(hex(encoded(sample_record(), 7)),
            "efcdab8967452301" "1032547698badcfe" "0000004000000000" "c0c62d0000000000" "02000000" "00001000" "bebafeca" "80510100"
            "01" "01" "02" "00" "00d2496b" "00000000" "3590482a") << bump;
}

TEST(PageIndexFormat, HeaderReadsBack) {
  const IndexSector sector = encode_identity(sample_identity());
  const auto back = decode_identity(sector, "the index");
  ASSERT_TRUE(back) << back.error().to_string();
  EXPECT_EQ(*back, sample_identity());
}

TEST(PageIndexFormat, RecordReadsBack) {
  const RecordBytes bytes = encoded(sample_record(), 7);
  IndexRecord back;
  ASSERT_EQ(decode_record(bytes, sample_identity(), 7, back), RecordKind::valid);
  EXPECT_EQ(back, sample_record());
}

TEST(PageIndexFormat, EveryFlippedBitOfARecordIsNoticed) {
  RecordBytes bytes = encoded(sample_record(), 7);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    IndexRecord back;
    EXPECT_EQ(decode_record(bytes, sample_identity(), 7, back), RecordKind::damaged) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
  }
}

TEST(PageIndexFormat, ARecordIsWorthNothingInAnotherPlaceOrOnAnotherDevice) {
  const RecordBytes bytes = encoded(sample_record(), 7);
  IndexRecord back;
  EXPECT_EQ(decode_record(bytes, sample_identity(), 8, back), RecordKind::damaged);
  DeviceIdentity other = sample_identity();
  other.uuid[3] ^= std::byte{1};
  EXPECT_EQ(decode_record(bytes, other, 7, back), RecordKind::damaged);
}

TEST(PageIndexFormat, VersionOneIsReadAndHadNoTimesToLive) {
  IndexSector sector = encode_identity(sample_identity());
  sector[8] = std::byte{1};
  const std::uint32_t crc = crc32c(std::span<const std::byte>(sector).first(index_header_bytes - 4));
  for (unsigned i = 0; i < 4; ++i) sector[index_header_bytes - 4 + i] = static_cast<std::byte>(crc >> (8 * i));
  const auto back = decode_identity(sector, "the index");
  ASSERT_TRUE(back) << back.error().to_string();
  EXPECT_EQ(back->format_version, 1U);
  EXPECT_EQ(back->uuid, sample_identity().uuid);
  EXPECT_EQ(encode_identity(*back), encode_identity(sample_identity())) << "written as the present version";
  // The golden record of version 1.
  constexpr std::string_view golden = "efcdab89674523011032547698badcfe0000004000000000c0c62d00000000000200000000001000bebafeca80510100"
                                      "01010000000000000000000047f7135a";
  RecordBytes bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(std::stoul(std::string(golden.substr(2 * i, 2)), nullptr, 16));
  IndexRecord record;
  ASSERT_EQ(decode_record(bytes, sample_identity(), 7, record), RecordKind::valid);
  IndexRecord expected = sample_record();
  expected.at_expiry = 0;
  expected.expires_s = 0;
  EXPECT_EQ(record, expected);
}

TEST(PageIndexFormat, AHoleInTheIndexIsAnEmptyRecord) {
  IndexRecord back;
  EXPECT_EQ(decode_record(RecordBytes{}, sample_identity(), 7, back), RecordKind::empty);
}

TEST(PageIndexFormat, EveryFlippedBitOfTheHeaderIsNoticed) {
  IndexSector sector = encode_identity(sample_identity());
  for (std::size_t bit = 0; bit < sector.size() * 8; bit += bit < 640 ? 1 : 101) {
    sector[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(decode_identity(sector, "the index")) << "bit " << bit;
    sector[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
  }
}

TEST(PageIndexFormat, AnUnknownVersionIsRefusedWithBothVersionsAndTheWayOut) {
  IndexSector sector = encode_identity(sample_identity());
  sector[8] = std::byte{9};
  EXPECT_EQ(decode_identity(sector, "disk0/index").code(), Code::corrupt) << "with the checksum of another version: damage";
  const std::uint32_t crc = crc32c(std::span<const std::byte>(sector).first(index_header_bytes - 4));
  for (unsigned i = 0; i < 4; ++i) sector[index_header_bytes - 4 + i] = static_cast<std::byte>(crc >> (8 * i));
  const auto back = decode_identity(sector, "disk0/index");
  ASSERT_EQ(back.code(), Code::version_mismatch);
  EXPECT_NE(back.error().message().find("disk0/index has format version 9, this build knows 2"), std::string::npos);
  EXPECT_NE(back.error().message().find("rebuild"), std::string::npos);
}

TEST(PageIndexFormat, ForeignAndShortFilesAreCorruptNotMisread) {
  IndexSector sector{};
  EXPECT_EQ(decode_identity(sector, "x").code(), Code::corrupt);
  EXPECT_EQ(decode_identity(std::span(sector).first(100), "x").code(), Code::corrupt);
}

TEST(PageIndexFormat, BlockFileNamesAreHashesAndReadBack) {
  const BlockId id{0x0123456789ABCDEFULL, 0xFEDCBA9876543210ULL};
  EXPECT_EQ(block_file_name(id), "01/0123456789abcdeffedcba9876543210");
  EXPECT_EQ(block_of_file_name(block_file_name(id)), id);
  for (const char* foreign : {"identity", "ab/0123456789abcdeffedcba9876543210", "01/0123456789ABCDEFfedcba9876543210", "01/0123", "lost+found/x", ""}) {
    EXPECT_FALSE(block_of_file_name(foreign)) << foreign;
  }
}

}  // namespace
}  // namespace hearth

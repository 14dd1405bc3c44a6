// Codes, ids, blocks, checksums, random numbers, units, histograms.
#include "common/block.h"
#include "common/crc32c.h"
#include "common/histogram.h"
#include "common/ids.h"
#include "common/rng.h"
#include "common/units.h"

#include <hearth/code.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace hearth {
namespace {

using namespace std::chrono_literals;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// ---- codes and results ---------------------------------------------------------------------

TEST(Code, EveryErrnoOfTheTableMapsBackToACodeWithTheSameErrno) {
  for (const CodeInfo& row : code_table) {
    EXPECT_EQ(info(code_from_errno(row.error_number)).error_number, row.error_number) << row.name;
  }
}

TEST(Code, NamesAreUnique) {
  std::set<std::string_view> names;
  for (const CodeInfo& row : code_table) EXPECT_TRUE(names.insert(row.name).second) << row.name;
}

TEST(Code, ANumberOfANewerPeerReadsAsInternal) { EXPECT_EQ(name(static_cast<Code>(60000)), "internal"); }

TEST(Code, AnUnknownErrnoIsAnIoErrorAndAbsenceIsOnlyEnoent) {
  EXPECT_EQ(code_from_errno(ENOTBLK), Code::io_error);
  for (int number = 1; number < 134; ++number) {
    EXPECT_EQ(code_from_errno(number) == Code::not_found, number == ENOENT) << number;
    EXPECT_NE(code_from_errno(number), Code::ok) << number;
  }
}

TEST(Result, DefaultStateIsAnError) {
  EXPECT_FALSE(Result<int>().has_value());
  EXPECT_FALSE(Status().has_value());
  EXPECT_EQ(Status().code(), Code::internal);
  EXPECT_EQ(ok().code(), Code::ok);
}

Result<int> half(int number) {
  if (number % 2 != 0) return Error(Code::invalid_argument, std::to_string(number) + " is odd");
  return number / 2;
}
Result<int> quarter(int number) {
  TRY(first, half(number));
  TRY(second, half(first));
  return second;
}

TEST(Result, TryPassesTheErrorOnAndBindsTheValue) {
  EXPECT_EQ(quarter(12).value(), 3);
  EXPECT_EQ(quarter(6).error().to_string(), "invalid_argument: 3 is odd");
  EXPECT_EQ(Error(Code::busy, "b").with_context("while a").message(), "while a: b");
}

// ---- ids and blocks ------------------------------------------------------------------------------

TEST(BlockId, HexReadsBack) {
  const BlockId id{0x0123456789abcdefULL, 0xfedcba9876543210ULL};
  EXPECT_EQ(id.to_hex(), "0123456789abcdeffedcba9876543210");
  EXPECT_EQ(BlockId::from_hex(id.to_hex()), id);
}

TEST(BlockId, RefusesWhatItWouldNotWrite) {
  const std::string good = BlockId{1, 2}.to_hex();
  EXPECT_FALSE(BlockId::from_hex(""));
  EXPECT_FALSE(BlockId::from_hex(good + "0"));
  EXPECT_FALSE(BlockId::from_hex(good.substr(1)));
  EXPECT_FALSE(BlockId::from_hex("0123456789ABCDEF0123456789ABCDEF"));
  EXPECT_FALSE(BlockId::from_hex("0123456789abcdeg0123456789abcdef"));
}

// Golden values: block ids name cached data on disk and on the wire. If this fails the hash input
// changed: give the domain in block.cc a new number.
TEST(BlockId, IsStableAcrossVersionsOfHearth) {
  EXPECT_EQ(block_id("file:///data", "a/b", "v1", BlockSpan{0, 4096, 1U << 20}).to_hex(), "ee086543765f616db99704e9f72a04c2");
  EXPECT_EQ(block_id("file:///data", "a/b", "v1", BlockSpan{256, 4096, 1U << 20}).to_hex(), "dc596ce510000674291f4cc2dcf66be5");
}

TEST(BlockId, DependsOnEveryPartAndOnWhereThePartsEnd) {
  std::set<BlockId> ids;
  ids.insert(block_id("s", "p", "v", {}));
  ids.insert(block_id("t", "p", "v", {}));
  ids.insert(block_id("s", "q", "v", {}));
  ids.insert(block_id("s", "p", "w", {}));
  ids.insert(block_id("s", "p", "v", BlockSpan{1, 0, 1U << 20}));
  ids.insert(block_id("s", "p", "v", BlockSpan{0, 1, 1U << 20}));
  ids.insert(block_id("s", "p", "v", BlockSpan{0, 0, 1U << 16}));
  ids.insert(block_id("sp", "", "v", {}));
  ids.insert(block_id("s", "", "pv", {}));
  EXPECT_EQ(ids.size(), 9U);
}

TEST(CutIntoBlocks, CoversTheFileExactlyOnce) {
  constexpr std::uint64_t block_size = 8 << 20;
  for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{1}, block_size - 1, block_size, block_size + 1, 3 * block_size}) {
    const auto blocks = cut_into_blocks("s", AttachmentId{7}, "p", "v", length, block_size, 1 << 20);
    std::uint64_t covered = 0;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      EXPECT_EQ(blocks[i].start.value, covered);
      EXPECT_GT(blocks[i].length_bytes, 0U);
      EXPECT_LE(blocks[i].length_bytes, block_size);
      EXPECT_EQ(blocks[i].id, block_id("s", "p", "v", BlockSpan{blocks[i].start.value, blocks[i].length_bytes, 1 << 20}));
      EXPECT_EQ(blocks[i].attachment, AttachmentId{7});
      EXPECT_EQ(blocks[i].version, "v");
      covered += blocks[i].length_bytes;
    }
    EXPECT_EQ(covered, length);
  }
}

TEST(CutIntoBlocks, TheLargestLengthDoesNotOverflow) {
  const auto blocks = cut_into_blocks("s", AttachmentId{1}, "p", "v", UINT64_MAX, 1ULL << 62, 1 << 20);
  ASSERT_EQ(blocks.size(), 4U);
  EXPECT_EQ(blocks[3].length_bytes, (1ULL << 62) - 1);
}

// ---- checksums -----------------------------------------------------------------------------------

std::uint32_t bitwise_model(std::span<const std::byte> bytes, std::uint32_t seed) {
  std::uint32_t crc = ~seed;
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) ? (crc >> 1) ^ 0x82F63B78 : crc >> 1;
  }
  return ~crc;
}

std::vector<std::byte> random_bytes(Rng& rng, std::size_t size) {
  std::vector<std::byte> bytes(size);
  rng.fill(bytes);
  return bytes;
}

TEST(Crc32c, MatchesTheVectorsOfRfc3720) {
  std::vector<std::byte> bytes(32);
  EXPECT_EQ(crc32c(bytes), 0x8A9136AAU);
  for (auto& byte : bytes) byte = std::byte{0xFF};
  EXPECT_EQ(crc32c(bytes), 0x62A8AB43U);
  for (int i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(i);
  EXPECT_EQ(crc32c(bytes), 0x46DD794EU);
  for (int i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(31 - i);
  EXPECT_EQ(crc32c(bytes), 0x113FDB5CU);
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283U);
  EXPECT_EQ(crc32c({}), 0U);
}

TEST(Crc32c, MatchesABitwiseModelAtEveryLengthAlignmentAndSeed) {
  SeededRng rng(42);
  // Around the borders of both lane sizes, and everything small.
  std::vector<std::size_t> lengths;
  for (std::size_t i = 0; i < 100; ++i) lengths.push_back(i);
  for (const std::size_t border : {768U, 1536U, 12288U, 13056U, 24576U, 65536U}) {
    for (std::size_t i = border - 9; i < border + 10; ++i) lengths.push_back(i);
  }
  const auto bytes = random_bytes(rng, 70000);
  for (const std::size_t length : lengths) {
    const auto part = std::span(bytes).subspan(rng.below(64), length);
    const auto seed = static_cast<std::uint32_t>(rng.next());
    const std::uint32_t expected = bitwise_model(part, seed);
    ASSERT_EQ(crc32c(part, seed), expected) << length;
    ASSERT_EQ(detail::crc32c_portable(part, seed), expected) << length;
  }
}

TEST(Crc32c, SeedAndCombineBothContinue) {
  SeededRng rng(43);
  const auto bytes = random_bytes(rng, 30000);
  for (int round = 0; round < 200; ++round) {
    const std::size_t cut = rng.below(bytes.size() + 1);
    const auto a = std::span(bytes).first(cut);
    const auto b = std::span(bytes).subspan(cut);
    ASSERT_EQ(crc32c(b, crc32c(a)), crc32c(bytes)) << cut;
    ASSERT_EQ(crc32c_combine(crc32c(a), crc32c(b), b.size()), crc32c(bytes)) << cut;
  }
}

TEST(Crc32c, ChunksAreCheckedOneByOne) {
  SeededRng rng(44);
  const auto bytes = random_bytes(rng, 2 * checksum_chunk_bytes + 5);
  const auto checksums = chunk_checksums(bytes);
  ASSERT_EQ(checksums.size(), 3U);
  EXPECT_EQ(checksums[1], crc32c(std::span(bytes).subspan(checksum_chunk_bytes, checksum_chunk_bytes)));
  EXPECT_EQ(checksums[2], crc32c(std::span(bytes).last(5)));
  EXPECT_TRUE(chunk_checksums({}).empty());
}

// ---- random numbers ------------------------------------------------------------------------------

TEST(SeededRng, GivesTheSameNumbersOnEveryMachine) {
  SeededRng rng(1);
  EXPECT_EQ(rng.next(), 0xb3f2af6d0fc710c5ULL);  // splitmix64(1) into xoshiro256**, computed apart
  SeededRng same(1);
  same.next();
  EXPECT_EQ(rng.next(), same.next());
}

TEST(Rng, BelowStaysBelowAndReachesEverything) {
  SeededRng rng(5);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(rng.below(7));
  EXPECT_EQ(seen.size(), 7U);
  EXPECT_EQ(*seen.rbegin(), 6U);
  for (int i = 0; i < 1000; ++i) {
    const double fraction = rng.fraction();
    ASSERT_GE(fraction, 0.0);
    ASSERT_LT(fraction, 1.0);
  }
}

TEST(SystemRng, DoesNotRepeatItself) { EXPECT_NE(system_rng().next(), system_rng().next()); }

// ---- units ---------------------------------------------------------------------------------------

TEST(ParseSize, TakesEveryUnitAndWholeFractions) {
  EXPECT_EQ(parse_size("64MiB").value(), 64_MiB);
  EXPECT_EQ(parse_size("1.5GiB").value(), 1536_MiB);
  EXPECT_EQ(parse_size("100B").value(), 100_B);
  EXPECT_EQ(parse_size("10MB").value().bytes, 10'000'000U);
  EXPECT_EQ(parse_size("1kB").value().bytes, 1000U);
  EXPECT_EQ(parse_size("512Mi").value(), 512_MiB);
  EXPECT_EQ(parse_size("0B").value(), 0_B);
  EXPECT_EQ(parse_size("18446744073709551615B").value().bytes, UINT64_MAX);
  EXPECT_EQ(parse_size("2TiB").value(), 2_TiB);
}

TEST(ParseSize, RefusesABareNumberAndSuggestsTheUnit) {
  const auto size = parse_size("64");
  ASSERT_FALSE(size);
  EXPECT_EQ(size.code(), Code::invalid_argument);
  EXPECT_NE(size.error().message().find("did you mean '64MiB'"), std::string::npos) << size.error().message();
}

TEST(ParseSize, RefusesWhatIsNotExactlyASize) {
  for (const std::string_view text : {"", "MiB", "-1MiB", "1 MiB", "1mib", "1Mb", "1.MiB", ".5MiB", "1..5MiB", "1.5.2MiB", "1e3B", "0.3B",
                                      "18446744073709551616B", "16777216TiB", "99999999999999999999999999999999999999999999MiB",
                                      "1.00000000000000000000000001MiB", "+1MiB", "0x10B", "1MiB ", "1MiB2"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

TEST(ParseDuration, TakesEveryUnitAndRefusesTheRest) {
  EXPECT_EQ(parse_duration("10s").value(), 10s);
  EXPECT_EQ(parse_duration("1.5ms").value(), 1500us);
  EXPECT_EQ(parse_duration("500us").value(), 500us);
  EXPECT_EQ(parse_duration("7ns").value(), 7ns);
  EXPECT_EQ(parse_duration("2h").value(), 2h);
  EXPECT_EQ(parse_duration("3d").value(), 72h);
  EXPECT_EQ(parse_duration("0s").value(), 0s);
  for (const std::string_view text : {"", "10", "s", "-1s", "1S", "0.1ns", "300000000000s", "1 s", "1min"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
  EXPECT_NE(parse_duration("10").error().message().find("did you mean '10s'"), std::string::npos);
}

TEST(Units, ExactFormsReadBackForAnyValue) {
  SeededRng rng(7);
  for (int i = 0; i < 2000; ++i) {
    const ByteSize size{rng.next() >> rng.below(64)};
    ASSERT_EQ(parse_size(exact_size(size)).value(), size) << exact_size(size);
    const std::chrono::nanoseconds duration(static_cast<std::int64_t>(rng.next() >> (1 + rng.below(63))));
    ASSERT_EQ(parse_duration(exact_duration(duration)).value(), duration) << exact_duration(duration);
  }
  EXPECT_EQ(exact_size(1536_KiB), "1536KiB");
  EXPECT_EQ(exact_duration(90s), "90s");
  EXPECT_EQ(exact_duration(0s), "0s");
}

TEST(Units, HumanFormsHaveThreeDigits) {
  EXPECT_EQ(human_size(0), "0 B");
  EXPECT_EQ(human_size(1023), "1023 B");
  EXPECT_EQ(human_size(1536ULL << 20), "1.50 GiB");
  EXPECT_EQ(human_size(850ULL << 20), "850 MiB");
  EXPECT_EQ(human_duration(999ns), "999 ns");
  EXPECT_EQ(human_duration(12300us), "12.3 ms");
  EXPECT_EQ(human_duration(999999us), "1.00 s");
  EXPECT_EQ(human_duration(-12300us), "-12.3 ms");
  EXPECT_EQ(human_rate(1ULL << 30, 2s), "512 MiB/s");
  EXPECT_EQ(human_rate(5, 0s), "0 B/s");
  EXPECT_EQ(human_count_rate(1200, 1s), "1.20 k/s");
}

// ---- histogram -----------------------------------------------------------------------------------

TEST(Histogram, BucketsTileAllNumbersWithoutGapOrOverlap) {
  std::uint64_t expected = 0;
  for (std::size_t bucket = 0; bucket < Histogram::bucket_count; ++bucket) {
    ASSERT_EQ(Histogram::lowest_of(bucket), expected);
    ASSERT_EQ(Histogram::bucket_of(Histogram::lowest_of(bucket)), bucket);
    ASSERT_EQ(Histogram::bucket_of(Histogram::highest_of(bucket)), bucket);
    expected = Histogram::highest_of(bucket) + 1;
  }
  EXPECT_EQ(Histogram::highest_of(Histogram::bucket_count - 1), UINT64_MAX);
}

TEST(Histogram, QuantilesAreAtMostOneSixteenthTooHigh) {
  SeededRng rng(11);
  Histogram histogram;
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 20000; ++i) {
    values.push_back(rng.next() >> (20 + rng.below(40)));
    histogram.record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double fraction : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(fraction * values.size())) - 1;
    const auto exact = static_cast<double>(values[rank]);
    EXPECT_GE(static_cast<double>(histogram.quantile(fraction)), exact) << fraction;
    EXPECT_LE(static_cast<double>(histogram.quantile(fraction)), exact * (1 + 1.0 / 16) + 1) << fraction;
  }
  EXPECT_EQ(histogram.quantile(1.0), values.back());
  EXPECT_EQ(histogram.min(), values.front());
}

TEST(Histogram, MergingEqualsRecordingEverythingInOne) {
  SeededRng rng(12);
  Histogram a, b, both;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t value = rng.next() >> 30;
    (i % 3 == 0 ? a : b).record(value);
    both.record(value);
  }
  a.merge(b);
  EXPECT_EQ(a.count(), both.count());
  EXPECT_EQ(a.sum(), both.sum());
  EXPECT_EQ(a.min(), both.min());
  EXPECT_EQ(a.max(), both.max());
  for (int permille = 0; permille <= 1000; ++permille) ASSERT_EQ(a.quantile(permille / 1e3), both.quantile(permille / 1e3));
}

TEST(Histogram, EmptyOneAnswersZero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.quantile(0.99), 0U);
  EXPECT_EQ(histogram.min(), 0U);
  EXPECT_EQ(histogram.mean(), 0.0);
}

}  // namespace
}  // namespace hearth

#include "client/src/readahead.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <vector>

namespace hearth::client {
namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t file_length = 64 * mib;

// Begins what may be begun for a reader at `position` and lands it at once; the bytes that were fetched.
std::uint64_t fetch(Readahead& ahead, std::uint64_t position) {
  std::uint64_t fetched = 0;
  while (const Readahead::ChunkPtr chunk = ahead.begin_fetch(position, file_length)) {
    std::fill(chunk->bytes.begin(), chunk->bytes.end(), std::byte{static_cast<unsigned char>(chunk->offset / mib)});
    fetched += chunk->length;
    ahead.end_fetch(chunk, ok());
  }
  return fetched;
}

TEST(Readahead, StartsOnlyForSequentialReaders) {
  Readahead ahead(8 << 20);
  EXPECT_FALSE(ahead.saw_read(0, 65536));
  EXPECT_FALSE(ahead.saw_read(65536, 65536));
  EXPECT_TRUE(ahead.saw_read(131072, 65536));
  EXPECT_FALSE(ahead.saw_read(900 << 20, 65536));
}

TEST(Readahead, IsBoundedAndNeverPassesTheEndOfTheFile) {
  Readahead ahead(8 << 20);
  std::uint64_t total = 0;
  int chunks = 0;
  while (auto chunk = ahead.begin_fetch(0, 5 << 20)) {
    total += chunk->length;
    ++chunks;
    ahead.end_fetch(chunk, ok());
  }
  EXPECT_EQ(total, 5U << 20);
  EXPECT_EQ(chunks, 3);
  Readahead endless(8 << 20);
  chunks = 0;
  while (endless.begin_fetch(0, 1ULL << 40)) ++chunks;
  EXPECT_EQ(chunks, 4);
}

TEST(Readahead, GivesTheBytesOfTheirPlace) {
  Readahead ahead(4096 * 4);
  auto first = ahead.begin_fetch(1000, 100'000);
  auto second = ahead.begin_fetch(1000, 100'000);
  std::fill(first->bytes.begin(), first->bytes.end(), std::byte{1});
  std::fill(second->bytes.begin(), second->bytes.end(), std::byte{2});
  ahead.end_fetch(first, ok());
  std::vector<std::byte> into(6000);
  EXPECT_EQ(ahead.take(into, 1500), 4096U - 500);  // the second one has not arrived
  ahead.end_fetch(second, ok());
  EXPECT_EQ(ahead.take(into, 1000 + 4096 - 0), 4096U);
  EXPECT_EQ(into[0], std::byte{2});
  EXPECT_EQ(ahead.take(std::span(into).first(500), 1000), 500U);
  EXPECT_EQ(ahead.take(into, 1000), 0U) << "all of it was read, so it is gone";
}

TEST(Readahead, AFailedFetchIsAsIfItWasNeverMade) {
  Readahead ahead(8 << 20);
  auto chunk = ahead.begin_fetch(0, 1 << 20);
  ahead.end_fetch(chunk, Error(Code::unavailable, "gone"));
  EXPECT_EQ(ahead.find(0), nullptr);
  EXPECT_EQ(ahead.next_covered(0, 100), 100U);
}

// The kernel's readahead through the mount: requests of 1 MiB, four at once, served in any order. Once the second half of
// a chunk was read the first half was thrown away, and a step of 2 MiB was taken for a new stream: 1.8 times the file was sent.
TEST(Readahead, RequestsThatComeOutOfOrderFetchEachByteOnce) {
  Readahead ahead(8 * mib);
  std::vector<std::byte> into(mib);
  std::uint64_t fetched = 0;
  std::uint64_t plain = 0;
  for (std::uint64_t group = 0; group < file_length; group += 4 * mib) {
    for (const std::uint64_t step : {3U, 1U, 0U, 2U}) {
      const std::uint64_t offset = group + step * mib;
      const bool sequential = ahead.saw_read(offset, mib);
      if (sequential) fetched += fetch(ahead, offset);
      plain += mib - ahead.take(into, offset);
    }
  }
  EXPECT_LE(fetched, file_length);
  EXPECT_LE(plain, 6 * mib) << "what was read before the stream was known for one";
  EXPECT_LE(fetched + plain, file_length + 4 * mib);
}

TEST(Readahead, AChunkStaysUntilAllOfItWasRead) {
  Readahead ahead(8 * mib);
  std::vector<std::byte> into(mib);
  ASSERT_EQ(fetch(ahead, 0), 8 * mib);
  EXPECT_EQ(ahead.take(into, mib), mib);
  EXPECT_EQ(ahead.take(into, 0), mib);
  EXPECT_EQ(ahead.find(0), nullptr) << "now it is gone";
}

// Story: the kernel asked further ahead than four chunks reach; what was read alone meanwhile came once more in the next chunk.
TEST(Readahead, WhatIsReadAloneIsNotFetchedAgain) {
  Readahead ahead(8 * mib);
  for (std::uint64_t i = 0; i < 3; ++i) ahead.saw_read(i * mib, mib);
  std::vector<Readahead::ChunkPtr> loading;
  while (auto chunk = ahead.begin_fetch(2 * mib, file_length)) loading.push_back(chunk);
  ASSERT_EQ(loading.size(), Readahead::chunk_count);
  ASSERT_TRUE(ahead.saw_read(10 * mib, mib));
  ASSERT_EQ(ahead.begin_fetch(10 * mib, file_length), nullptr) << "all of them are loading";
  ahead.read_alone(11 * mib);
  std::vector<std::byte> into(2 * mib);
  ahead.end_fetch(loading[3], ok());
  ASSERT_EQ(ahead.take(into, 8 * mib), into.size());
  const auto next = ahead.begin_fetch(10 * mib, file_length);
  ASSERT_NE(next, nullptr);
  EXPECT_EQ(next->offset, 11 * mib);
}

TEST(Readahead, AJumpIsANewStream) {
  Readahead ahead(8 * mib);
  for (std::uint64_t i = 0; i < 4; ++i) ahead.saw_read(i * mib, mib);
  EXPECT_TRUE(ahead.saw_read(4 * mib, mib));
  EXPECT_EQ(fetch(ahead, 5 * mib), 8 * mib);
  EXPECT_FALSE(ahead.saw_read(40 * mib, mib));
  EXPECT_EQ(ahead.find(5 * mib), nullptr);
  EXPECT_EQ(fetch(ahead, 41 * mib), 8 * mib);
}

}  // namespace
}  // namespace hearth::client

// Cold reads beside a worker: its pages are filled where this process maps them.
#include "tests/support/in_process_cluster.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <random>
#include <thread>

namespace hearth::testing {
namespace {

class ColdReads : public ::testing::Test {
 protected:
  static constexpr std::uint64_t length = (21 << 20) + 12'345;

  void start(InProcessClusterOptions options) {
    cluster_ = std::make_unique<InProcessCluster>(options);
    ASSERT_TRUE(cluster_->start());
    ASSERT_TRUE(cluster_->attach("/data"));
    cluster_->write_file("f", length);
    auto client = cluster_->connect();
    ASSERT_TRUE(client) << client.error().to_string();
    client_ = *client;
  }
  File open() {
    auto file = client_->open("/data/f");
    EXPECT_TRUE(file) << file.error().to_string();
    return *file;
  }
  static void expect_right(std::span<const std::byte> bytes, std::uint64_t offset) {
    EXPECT_EQ(InProcessCluster::mismatch("f", 1, offset, bytes), "") << "at " << offset;
  }

  std::unique_ptr<InProcessCluster> cluster_;
  std::optional<Client> client_;
};

TEST_F(ColdReads, AreCopiedOnceFromTheWorkersMemory) {
  start({.workers = 1, .memory_bytes = 64 << 20});
  const File file = open();
  std::vector<std::byte> into(300'000);
  for (std::uint64_t offset = 0; offset < length; offset += into.size()) {
    const auto count = file.pread(into, offset);
    ASSERT_TRUE(count) << count.error().to_string();
    ASSERT_EQ(*count, std::min<std::uint64_t>(into.size(), length - offset));
    expect_right(std::span(into).first(*count), offset);
  }
  EXPECT_EQ(client_->counters().mapped_bytes, length);
  EXPECT_EQ(client_->counters().store_bytes, 0U);
  EXPECT_EQ(*file.resident_bytes(), length);
}

TEST_F(ColdReads, AskTheWorkerForEachPageOnce) {
  start({.workers = 1, .memory_bytes = 64 << 20});
  const File file = open();
  std::byte first{};
  ASSERT_TRUE(file.pread(std::span(&first, 1), 0));  // the grant comes with it
  std::vector<std::thread> readers;
  for (unsigned t = 0; t < 4; ++t) {
    readers.emplace_back([&file] {
      std::vector<std::byte> into(128 << 10);
      for (std::uint64_t offset = 0; offset < length; offset += into.size()) ASSERT_TRUE(file.pread(into, offset));
    });
  }
  for (auto& reader : readers) reader.join();
  const auto counters = client_->counters();
  EXPECT_EQ(counters.worker_hit_bytes + counters.worker_miss_bytes, length);
}

TEST_F(ColdReads, OfOneLargePieceAreRight) {
  start({.workers = 1, .memory_bytes = 64 << 20});
  std::vector<std::byte> into(length + 5);
  const auto count = open().pread(into, 0);
  ASSERT_TRUE(count);
  ASSERT_EQ(*count, length);
  expect_right(std::span(into).first(*count), 0);
  EXPECT_EQ(client_->counters().mapped_bytes, length);
}

TEST_F(ColdReads, AtRandomOfManyThreadsAreRight) {
  start({.workers = 1, .memory_bytes = 64 << 20});
  const File file = open();
  std::vector<std::thread> readers;
  for (unsigned t = 0; t < 8; ++t) {
    readers.emplace_back([&file, t] {
      std::mt19937_64 random(t);
      std::vector<std::byte> into(200'000);
      for (int i = 0; i < 60; ++i) {
        const std::uint64_t offset = random() % length;
        const auto wanted = std::min<std::uint64_t>(1 + random() % into.size(), length - offset);
        const auto count = file.pread(std::span(into).first(wanted), offset);
        ASSERT_TRUE(count) << count.error().to_string();
        ASSERT_EQ(*count, wanted);
        expect_right(std::span(into).first(wanted), offset);
      }
    });
  }
  for (auto& reader : readers) reader.join();
}

TEST_F(ColdReads, FallBackToBytesThatAreSentWhenTheTierIsTooSmall) {
  start({.workers = 1, .memory_bytes = 64 << 20, .grant_max_fraction = 0.125});
  std::vector<std::byte> into(length);
  ASSERT_TRUE(open().pread(into, 0));
  expect_right(into, 0);
  EXPECT_EQ(client_->counters().mapped_bytes, 0U);
}

TEST_F(ColdReads, GoOnWhenTheMemoryIsFreedUnderneath) {
  start({.workers = 1, .memory_bytes = 64 << 20});
  const File file = open();
  std::vector<std::byte> into(1 << 20);
  for (std::uint64_t offset = 0; offset + into.size() <= length; offset += into.size()) {
    if (offset == (4U << 20)) {
      ASSERT_TRUE(client_->free("/data/f", false));
    }
    ASSERT_TRUE(file.pread(into, offset));
    expect_right(into, offset);
  }
}

TEST_F(ColdReads, CanBeSeenWithoutACopy) {
  start({.workers = 1, .memory_bytes = 64 << 20});
  const File file = open();
  std::uint64_t offset = 0;
  std::vector<ReadView> kept;
  while (offset < length) {
    auto view = file.read_view(offset, 700'001);
    ASSERT_TRUE(view) << view.error().to_string();
    ASSERT_FALSE(view->bytes.empty());
    expect_right(view->bytes, offset);
    offset += view->bytes.size();
    kept.push_back(std::move(*view));
  }
  ASSERT_TRUE(client_->free("/data/f", false));
  std::uint64_t at = 0;
  for (const ReadView& view : kept) {
    expect_right(view.bytes, at);
    at += view.bytes.size();
  }
  EXPECT_EQ(at, length);
  EXPECT_TRUE(file.read_view(length, 10)->bytes.empty());
}

TEST_F(ColdReads, OfTheNextReaderFindAWholeGrant) {
  start({.workers = 1, .memory_bytes = 64 << 20});
  std::vector<std::byte> into(length);
  ASSERT_TRUE(open().pread(into, 0));
  const auto mapped = open().map();
  ASSERT_TRUE(mapped) << mapped.error().to_string();
  expect_right(mapped->bytes, 0);
}

}  // namespace
}  // namespace hearth::testing

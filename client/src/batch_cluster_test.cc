// Many names and ranges at once, against a real master and real workers in one process.
#include "tests/support/in_process_cluster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <random>
#include <thread>

namespace hearth::testing {
namespace {

using std::chrono::milliseconds;

class BatchCluster : public ::testing::Test {
 protected:
  void start(InProcessClusterOptions options, AttachmentOptions attachment = {}) {
    cluster_ = std::make_unique<InProcessCluster>(options);
    ASSERT_TRUE(cluster_->start());
    attachment.metadata_ttl = milliseconds(60'000);
    ASSERT_TRUE(cluster_->attach("/data", attachment));
  }
  Client connect(ClientOptions options = {}) {
    options.master = cluster_->client_options().master;
    auto client = Client::connect(options);
    EXPECT_TRUE(client) << client.error().to_string();
    return *client;
  }
  std::vector<std::string> write_files(std::size_t count, std::uint64_t largest) {
    std::mt19937_64 random(11);
    std::vector<std::string> paths;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string name = "d" + std::to_string(i % 5) + "/f" + std::to_string(i);
      lengths_.push_back(1 + random() % largest);
      cluster_->write_file(name, lengths_.back());
      paths.push_back("/data/" + name);
    }
    return paths;
  }
  // Random ranges of the files; their buffers live until the next call.
  std::vector<ReadItem> ranges(const std::vector<Result<File>>& files, std::size_t count, std::uint64_t longest, unsigned seed) {
    std::mt19937_64 random(seed);
    std::vector<ReadItem> items;
    buffers_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      const auto& file = files[random() % files.size()];
      EXPECT_TRUE(file) << file.error().to_string();
      const std::uint64_t offset = random() % (file->status().length_bytes + 10);
      buffers_.emplace_back(random() % longest);
      items.push_back(ReadItem{.file = *file, .offset = offset, .into = buffers_.back()});
    }
    return items;
  }
  static void expect_right(const ReadItem& item) {
    ASSERT_TRUE(item.result) << item.result.error().to_string();
    const std::uint64_t length = item.file.status().length_bytes;
    const std::uint64_t expected = item.offset >= length ? 0 : std::min<std::uint64_t>(item.into.size(), length - item.offset);
    ASSERT_EQ(*item.result, expected);
    const std::string name = item.file.path().substr(6);
    EXPECT_EQ(InProcessCluster::mismatch(name, 1, item.offset, item.into.first(*item.result)), "");
  }

  std::unique_ptr<InProcessCluster> cluster_;
  std::vector<std::uint64_t> lengths_;
  std::deque<std::vector<std::byte>> buffers_;
};

TEST_F(BatchCluster, BytesAreRightColdAndWarmWithAndWithoutSharedMemory) {
  start({.workers = 2});
  const auto paths = write_files(300, 400'000);
  for (const bool short_circuit : {true, false}) {
    ClientOptions options;
    options.short_circuit = short_circuit;
    const Client client = connect(options);
    const auto stats = client.stat_many(paths);
    for (std::size_t i = 0; i < paths.size(); ++i) {
      ASSERT_TRUE(stats[i]) << stats[i].error().to_string();
      EXPECT_EQ(stats[i]->length_bytes, lengths_[i]);
    }
    const auto files = client.open_many(paths);
    for (unsigned round = 0; round < 3; ++round) {
      auto items = ranges(files, 1500, 100'000, round);
      ASSERT_TRUE(client.read_many(items));
      for (const ReadItem& item : items) expect_right(item);
    }
    EXPECT_EQ(client.counters().store_bytes, 0U);
  }
}

TEST_F(BatchCluster, BytesAreRightWithAMemoryTierThatIsMuchSmaller) {
  start({.workers = 1, .memory_bytes = 16 << 20});
  const auto paths = write_files(150, 600'000);
  const Client client = connect();
  const auto files = client.open_many(paths);
  for (unsigned round = 0; round < 4; ++round) {
    auto items = ranges(files, 1000, 20'000, round);
    ASSERT_TRUE(client.read_many(items));
    for (const ReadItem& item : items) expect_right(item);
  }
}

TEST_F(BatchCluster, FilesOfManyBlocksAreRightAtEveryOffset) {
  AttachmentOptions attachment;
  attachment.block_size_bytes = 1 << 20;
  start({.workers = 2}, attachment);
  cluster_->write_file("long", (5 << 20) + 777);
  const Client client = connect();
  const std::vector<std::string> paths{"/data/long"};
  const auto files = client.open_many(paths);
  for (unsigned round = 0; round < 3; ++round) {
    auto items = ranges(files, 500, round == 2 ? 3'000'000 : 30'000, round);
    ASSERT_TRUE(client.read_many(items));
    for (const ReadItem& item : items) expect_right(item);
  }
}

TEST_F(BatchCluster, AFileThatChangedIsStaleAndTheOthersAreRead) {
  start({.workers = 1});
  const auto paths = write_files(20, 50'000);
  const Client client = connect();
  const auto files = client.open_many(paths);
  cluster_->write_file("d3/f3", lengths_[3] + 1, 2);
  buffers_.assign(20, std::vector<std::byte>(50'000));
  std::vector<ReadItem> items;
  for (std::size_t i = 0; i < files.size(); ++i) items.push_back(ReadItem{.file = *files[i], .offset = 0, .into = buffers_[i]});
  ASSERT_TRUE(client.read_many(items));
  EXPECT_EQ(items[3].result.code(), Code::stale);
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i != 3) expect_right(items[i]);
  }
}

TEST_F(BatchCluster, ReadsGoOnWhenAWorkerDiesAndWhenAllDo) {
  start({.workers = 2});
  const auto paths = write_files(60, 30'000);
  ClientOptions options;
  options.short_circuit = false;
  const Client client = connect(options);
  const auto files = client.open_many(paths);
  for (const int killed : {-1, 0, 1}) {
    if (killed >= 0) cluster_->kill_worker(static_cast<std::size_t>(killed));
    auto items = ranges(files, 300, 5000, static_cast<unsigned>(killed + 1));
    ASSERT_TRUE(client.read_many(items));
    for (const ReadItem& item : items) expect_right(item);
  }
  EXPECT_GT(client.counters().store_bytes, 0U);
}

TEST_F(BatchCluster, ManyThreadsShareOneClient) {
  start({.workers = 1});
  const auto paths = write_files(100, 20'000);
  const Client client = connect();
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (unsigned t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      const auto files = client.open_many(paths);
      std::mt19937_64 random(t);
      for (int round = 0; round < 5; ++round) {
        std::vector<std::byte> memory(200 * 1000);
        std::vector<ReadItem> items;
        for (std::size_t i = 0; i < 200; ++i) {
          const File& file = *files[random() % files.size()];
          items.push_back(ReadItem{.file = file, .offset = random() % file.status().length_bytes, .into = std::span(memory).subspan(i * 1000, 1000)});
        }
        if (!client.read_many(items)) ++wrong;
        for (const ReadItem& item : items) {
          const std::string name = item.file.path().substr(6);
          if (!item.result || !InProcessCluster::mismatch(name, 1, item.offset, item.into.first(*item.result)).empty()) ++wrong;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace hearth::testing

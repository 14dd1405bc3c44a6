// The client against a real master and real workers in one process.
#include "tests/support/in_process_cluster.h"

#include "understore/oracle.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

namespace hearth::testing {
namespace {

using std::chrono::milliseconds;

class ClusterTest : public ::testing::Test {
 protected:
  void start(InProcessClusterOptions options, AttachmentOptions attachment = {}) {
    cluster_ = std::make_unique<InProcessCluster>(options);
    ASSERT_TRUE(cluster_->start());
    attachment.metadata_ttl = milliseconds(50);
    const Status attached = cluster_->attach("/data", attachment);
    ASSERT_TRUE(attached) << attached.error().to_string();
  }
  Client connect(ClientOptions options) {
    options.master = cluster_->client_options().master;
    auto client = Client::connect(options);
    EXPECT_TRUE(client) << client.error().to_string();
    return *client;
  }
  Client connect() { return connect(ClientOptions()); }

  // Writes files of many sizes around the page and chunk borders; returns their names.
  std::vector<std::string> write_files(std::size_t count, std::uint64_t largest) {
    std::mt19937_64 random(42);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < count; ++i) {
      names.push_back("d" + std::to_string(i % 3) + "/f" + std::to_string(i));
      lengths_.push_back(i == 0 ? 0 : random() % largest);
      cluster_->write_file(names.back(), lengths_.back());
    }
    return names;
  }
  static void expect_right(const Client& client, const std::string& name, std::uint64_t length, std::uint64_t version = 1) {
    auto read = client.read_file("/data/" + name);
    ASSERT_TRUE(read) << read.error().to_string();
    EXPECT_EQ(read->size(), length) << name;
    EXPECT_EQ(InProcessCluster::mismatch(name, version, 0, std::as_bytes(std::span(*read))), "");
  }
  void read_all(const Client& client, const std::vector<std::string>& names, unsigned threads) {
    std::atomic<std::size_t> next{0};
    std::vector<std::thread> readers;
    for (unsigned t = 0; t < threads; ++t) {
      readers.emplace_back([&] {
        for (std::size_t i = next++; i < names.size() * 2; i = next++) {
          const std::size_t which = i % names.size();
          expect_right(client, names[which], lengths_[which]);
        }
      });
    }
    for (auto& reader : readers) reader.join();
  }

  std::unique_ptr<InProcessCluster> cluster_;
  std::vector<std::uint64_t> lengths_;
};

TEST_F(ClusterTest, ReadsAreByteIdenticalColdAndWarm) {
  start({.workers = 1, .memory_bytes = 128 << 20});
  const auto names = write_files(60, 3 << 20);
  const Client client = connect();
  read_all(client, names, 1);
  read_all(client, names, 16);
  EXPECT_GT(client.counters().mapped_bytes, 0U);
  EXPECT_EQ(client.counters().store_bytes, 0U);
}

TEST_F(ClusterTest, ReadsAreRightWithAMemoryTierTenTimesSmallerThanTheData) {
  start({.workers = 1, .memory_bytes = 16 << 20});
  const auto names = write_files(110, 3 << 20);
  std::uint64_t total = 0;
  for (const auto length : lengths_) total += length;
  ASSERT_GE(total, 150U << 20);
  const Client client = connect();
  read_all(client, names, 1);
  read_all(client, names, 16);
}

TEST_F(ClusterTest, ALongFileOfManyBlocksIsRightAtEveryOffset) {
  AttachmentOptions attachment;
  attachment.block_size_bytes = 1 << 20;
  start({.workers = 2, .memory_bytes = 64 << 20}, attachment);
  const std::uint64_t length = (9 << 20) + 12'345;
  cluster_->write_file("long", length);
  const Client client = connect();
  auto file = client.open("/data/long");
  ASSERT_TRUE(file);
  std::mt19937_64 random(7);
  std::vector<std::byte> into(3 << 20);
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t offset = random() % (length + 1000);
    const auto piece = std::span(into).first(random() % into.size());
    auto count = file->pread(piece, offset);
    ASSERT_TRUE(count) << count.error().to_string();
    EXPECT_EQ(*count, offset >= length ? 0 : std::min<std::uint64_t>(piece.size(), length - offset));
    EXPECT_EQ(InProcessCluster::mismatch("long", 1, offset, piece.first(*count)), "");
  }
}

TEST_F(ClusterTest, WarmReadsComeFromSharedMemoryAlone) {
  start({.workers = 1});
  cluster_->write_file("a", 4 << 20);
  const Client client = connect();
  auto file = client.open("/data/a");
  ASSERT_TRUE(file);
  ASSERT_EQ(*file->load(0, 4 << 20), 4U << 20);
  std::vector<std::byte> into(4 << 20);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(file->pread(into, 0));
  EXPECT_EQ(client.counters().mapped_bytes, 5U * (4U << 20));
  EXPECT_EQ(client.counters().worker_hit_bytes + client.counters().worker_miss_bytes, 0U);
}

TEST_F(ClusterTest, ResidentBytesAreWhatTheWorkersHoldNow) {
  start({.workers = 2});
  cluster_->write_file("a", (4 << 20) + 5);
  cluster_->write_file("empty", 0);
  const Client client = connect();
  auto file = client.open("/data/a");
  ASSERT_TRUE(file);
  EXPECT_EQ(*file->resident_bytes(), 0U);
  ASSERT_TRUE(file->load(1 << 20, 1 << 20));
  EXPECT_EQ(*file->resident_bytes(), 1U << 20);
  ASSERT_TRUE(file->load(0, UINT64_MAX));
  EXPECT_EQ(*file->resident_bytes(), (4U << 20) + 5);
  auto empty = client.open("/data/empty");
  ASSERT_TRUE(empty);
  EXPECT_EQ(*empty->resident_bytes(), 0U);
  ASSERT_TRUE(client.free("/data/a", false));
  EXPECT_EQ(*file->resident_bytes(), 0U);
}

TEST_F(ClusterTest, AMappedFileIsReadOnWhenMasterAndWorkerAreGone) {
  start({.workers = 1});
  cluster_->write_file("a", 4 << 20);
  const Client client = connect();
  auto file = client.open("/data/a");
  ASSERT_TRUE(file && file->load(0, 4 << 20));
  auto mapped = file->map();
  ASSERT_TRUE(mapped) << mapped.error().to_string();
  cluster_->kill_worker(0);
  cluster_->kill_master();
  EXPECT_EQ(InProcessCluster::mismatch("a", 1, 0, mapped->bytes), "");
  std::vector<std::byte> into(4 << 20);
  auto count = file->pread(into, 0);
  ASSERT_TRUE(count) << count.error().to_string();
  EXPECT_EQ(InProcessCluster::mismatch("a", 1, 0, into), "");
}

TEST_F(ClusterTest, NoReadFailsWhileAWorkerIsKilledAndComesBack) {
  start({.workers = 2, .memory_bytes = 64 << 20});
  const auto names = write_files(30, 2 << 20);
  const Client client = connect();
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> reads{0};
  std::vector<std::thread> readers;
  for (unsigned t = 0; t < 4; ++t) {
    readers.emplace_back([&, t] {
      for (std::size_t i = t; !stop; ++i, ++reads) expect_right(client, names[i % names.size()], lengths_[i % names.size()]);
    });
  }
  const auto after = [&](std::uint64_t more) {
    for (const std::uint64_t goal = reads + more; reads < goal;) std::this_thread::yield();
  };
  after(50);
  cluster_->kill_worker(0);
  after(100);
  EXPECT_TRUE(cluster_->start_worker(0));
  after(50);
  cluster_->kill_worker(1);
  after(100);
  cluster_->kill_worker(0);
  after(30);
  stop = true;
  for (auto& reader : readers) reader.join();
}

TEST_F(ClusterTest, OpenFilesAreReadOnWithoutAMasterAndAllIsWellWhenItIsBack) {
  start({.workers = 1});
  cluster_->write_file("a", 3 << 20);
  cluster_->write_file("b", 100'000);
  ClientOptions options;
  options.short_circuit = false;
  const Client client = connect(options);
  auto file = client.open("/data/a");
  ASSERT_TRUE(file);
  cluster_->kill_master();
  std::vector<std::byte> into(3 << 20);
  for (int i = 0; i < 3; ++i) {
    auto count = file->pread(into, 0);
    ASSERT_TRUE(count) << count.error().to_string();
    EXPECT_EQ(InProcessCluster::mismatch("a", 1, 0, into), "");
  }
  ASSERT_TRUE(cluster_->start_master());
  expect_right(client, "b", 100'000);
}

TEST_F(ClusterTest, WithoutAnyWorkerTheUnderStoreIsRead) {
  start({.workers = 0});
  const auto names = write_files(10, 2 << 20);
  const Client client = connect();
  read_all(client, names, 4);
  EXPECT_GT(client.counters().store_bytes, 0U);
  EXPECT_EQ(client.counters().worker_miss_bytes, 0U);
}

TEST_F(ClusterTest, AReplacedFileIsSeenAfterTheTtlAndAnOldHandleNeverMixes) {
  start({.workers = 1});
  for (const bool short_circuit : {true, false}) {
    const std::string name = short_circuit ? "mapped" : "sent";
    cluster_->write_file(name, 2 << 20, 1);
    ClientOptions options;
    options.short_circuit = short_circuit;
    const Client client = connect(options);
    auto old = client.open("/data/" + name);
    ASSERT_TRUE(old);
    std::vector<std::byte> into(1 << 20);
    ASSERT_TRUE(old->pread(into, 0));
    cluster_->write_file(name, 2 << 20, 2);
    std::string version = old->status().version;
    while (version == old->status().version) {  // ends after the ttl: bounded by the test's timeout
      auto status = client.stat("/data/" + name);
      ASSERT_TRUE(status) << status.error().to_string();
      version = status->version;
    }
    expect_right(client, name, 2 << 20, 2);
    for (const std::uint64_t offset : {0ULL, 1ULL << 20}) {
      auto count = old->pread(into, offset);
      if (count) {
        EXPECT_EQ(InProcessCluster::mismatch(name, 1, offset, into), "");
      } else {
        EXPECT_EQ(count.code(), Code::stale) << count.error().to_string();
      }
    }
  }
}

TEST_F(ClusterTest, AnOldHandleOfADeletedFileIsStale) {
  start({.workers = 1});
  cluster_->write_file("gone", 2 << 20);
  ClientOptions options;
  options.read_deadline = milliseconds(3000);
  const Client client = connect(options);
  auto file = client.open("/data/gone");
  ASSERT_TRUE(file);
  std::filesystem::remove(cluster_->store_directory() / "gone");
  std::vector<std::byte> into(4096);
  EXPECT_EQ(file->pread(into, 0).code(), Code::stale);
}

TEST_F(ClusterTest, ListStatAndLocationsAgreeWithTheDirectory) {
  start({.workers = 1});
  write_files(30, 100'000);
  const Client client = connect();
  std::size_t seen = 0;
  std::string after;
  for (bool more = true; more;) {
    auto page = client.list("/data/d1", after, 3);
    ASSERT_TRUE(page) << page.error().to_string();
    for (const auto& item : page->items) {
      EXPECT_EQ(item.status.length_bytes, std::filesystem::file_size(cluster_->store_directory() / "d1" / item.name));
      EXPECT_EQ(client.stat("/data/d1/" + item.name)->version, item.status.version);
      after = item.name;
      ++seen;
    }
    more = page->more;
  }
  EXPECT_EQ(seen, 10U);
  cluster_->write_file("big", 1 << 20);
  ASSERT_TRUE(client.read_file("/data/big"));
  auto placements = client.locations("/data/big");
  ASSERT_TRUE(placements) << placements.error().to_string();
  ASSERT_EQ(placements->size(), 1U);
  ASSERT_EQ((*placements)[0].replicas.size(), 1U);
  EXPECT_TRUE((*placements)[0].replicas[0].complete);
  EXPECT_EQ((*placements)[0].short_circuit, "yes");
}

TEST_F(ClusterTest, FreeGivesTheMemoryBackAndReadsGoOn) {
  start({.workers = 1});
  cluster_->write_file("d/a", 1 << 20);
  const Client client = connect();
  expect_right(client, "d/a", 1 << 20);
  auto freed = client.free("/data/d", true);
  ASSERT_TRUE(freed) << freed.error().to_string();
  expect_right(client, "d/a", 1 << 20);
}

TEST_F(ClusterTest, AttachmentsComeAndGo) {
  start({.workers = 1});
  cluster_->write_file("a", 10);
  const Client client = connect();
  ASSERT_EQ(client.attachments()->size(), 1U);
  EXPECT_EQ((*client.attachments())[0].path, "/data");
  EXPECT_EQ(client.workers()->size(), 1U);
  EXPECT_EQ(client.master_status()->live_workers, 1U);
  ASSERT_TRUE(client.detach("/data"));
  EXPECT_EQ(client.open("/data/a").code(), Code::not_found);
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  statm >> size >> resident;
  return resident * 4096;
}

TEST_F(ClusterTest, TenThousandOpensLeaveNothingBehind) {
  start({.workers = 1});
  const auto names = write_files(20, 600'000);
  const Client client = connect();
  std::vector<std::byte> into(64 << 10);
  const auto cycle = [&](int times) {
    for (int i = 0; i < times; ++i) {
      auto file = client.open("/data/" + names[static_cast<std::size_t>(i) % names.size()]);
      ASSERT_TRUE(file) << file.error().to_string();
      ASSERT_TRUE(file->pread(into, 0));
    }
  };
  cycle(1000);
  const std::size_t descriptors = open_descriptors();
  [[maybe_unused]] const std::uint64_t resident = resident_bytes();
  cycle(10'000);
  EXPECT_LE(open_descriptors(), descriptors + 2);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which keep freed memory back
  EXPECT_LE(resident_bytes(), resident + (16U << 20));
#endif
}

}  // namespace
}  // namespace hearth::testing

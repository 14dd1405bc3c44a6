// Small files that share a segment of memory with others.
#include <hearth/client.h>

#include "client/src/testing_cluster.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <random>
#include <thread>

namespace hearth::client::testing {
namespace {

class PackedFiles : public ::testing::Test {
 protected:
  PackedFiles() {
    char made[] = "/tmp/hearth-packed-XXXXXX";
    directory_ = ::mkdtemp(made);
    worker_ = std::make_unique<FakeWorker>(11, directory_ + "/near.sock");
    master_.set_workers({worker_->info()});
  }
  ~PackedFiles() override { std::filesystem::remove_all(directory_); }

  Client connect(ClientOptions options = {}) {
    options.master = master_.tcp_address();
    auto client = Client::connect(options);
    EXPECT_TRUE(client) << client.error().to_string();
    return *client;
  }
  const FakeFile& hold(const std::string& path, std::size_t length) {
    FakeFile made;
    std::mt19937 random(static_cast<unsigned>(files_.size()));
    for (std::size_t i = 0; i < length; ++i) made.content += static_cast<char>(random());
    files_[path] = made;
    master_.put(path, made);
    worker_->hold(path, made);
    return files_[path];
  }
  void pack_many(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string path = "/f" + std::to_string(i);
      worker_->pack(path, hold(path, 1 + static_cast<std::size_t>(i) * 997 % 200'000));
    }
  }
  void expect_all(const Client& client) {
    for (const auto& [path, file] : files_) {
      const auto read = client.read_file(path);
      ASSERT_TRUE(read) << read.error().to_string();
      ASSERT_TRUE(*read == file.content) << path << " has other bytes";
    }
  }
  // The segment is asked for beside the reads; bounded by the test's own timeout.
  void read_until_mapped(const Client& client, const std::string& path) {
    const std::uint64_t before = client.counters().mapped_bytes;
    while (client.counters().mapped_bytes == before) {
      const auto read = client.read_file(path);
      ASSERT_TRUE(read) << read.error().to_string();
      ASSERT_TRUE(*read == files_[path].content);
    }
  }

  std::string directory_;
  FakeMaster master_;
  std::unique_ptr<FakeWorker> worker_;
  std::map<std::string, FakeFile> files_;
};

TEST_F(PackedFiles, AreReadASecondTimeWithoutAskingAnybody) {
  pack_many(200);
  const Client client = connect();
  expect_all(client);
  read_until_mapped(client, "/f1");
  const int reads = worker_->calls(Method::read);
  const int resolves = master_.calls(Method::resolve);
  const std::uint64_t mapped = client.counters().mapped_bytes;
  expect_all(client);
  EXPECT_EQ(worker_->calls(Method::read), reads);
  EXPECT_EQ(worker_->calls(Method::grant), 1) << "one descriptor for all of them";
  EXPECT_EQ(master_.calls(Method::resolve), resolves);
  std::uint64_t total = 0;
  for (const auto& [path, file] : files_) total += file.content.size();
  EXPECT_EQ(client.counters().mapped_bytes - mapped, total);
}

TEST_F(PackedFiles, ABatchTellsWhereTheyAre) {
  for (int i = 0; i < 50; ++i) {
    const std::string path = "/f" + std::to_string(i);
    worker_->pack(path, hold(path, 4096));
  }
  const Client client = connect();
  std::vector<std::string> paths;
  for (const auto& [path, file] : files_) paths.push_back(path);
  std::vector<Result<File>> opened = client.open_many(paths);
  std::vector<std::vector<std::byte>> into(paths.size(), std::vector<std::byte>(4096));
  const auto read_all = [&] {
    std::vector<ReadItem> items;
    for (std::size_t i = 0; i < paths.size(); ++i) items.push_back({.file = *opened[i], .offset = 0, .into = into[i]});
    ASSERT_TRUE(client.read_many(items));
    for (std::size_t i = 0; i < paths.size(); ++i) {
      ASSERT_TRUE(items[i].result) << items[i].result.error().to_string();
      ASSERT_TRUE(std::memcmp(into[i].data(), files_[paths[i]].content.data(), 4096) == 0) << paths[i];
    }
  };
  read_all();
  read_until_mapped(client, "/f7");
  const int asked = worker_->calls(Method::read_many) + worker_->calls(Method::read);
  read_all();
  EXPECT_EQ(worker_->calls(Method::read_many) + worker_->calls(Method::read), asked);
  EXPECT_EQ(worker_->calls(Method::grant), 1) << "one descriptor for all of them";
}

TEST_F(PackedFiles, AnyRangeOfThemIsRead) {
  pack_many(20);
  const Client client = connect();
  expect_all(client);
  read_until_mapped(client, "/f19");
  const std::string& content = files_["/f19"].content;
  auto file = client.open("/f19");
  ASSERT_TRUE(file);
  std::mt19937 random(5);
  for (int i = 0; i < 1000; ++i) {
    const std::size_t offset = random() % (content.size() + 10);
    std::string into(random() % 70'000, '\0');
    const auto count = file->pread(std::as_writable_bytes(std::span(into)), offset);
    ASSERT_TRUE(count);
    ASSERT_EQ(into.substr(0, *count), offset < content.size() ? content.substr(offset, into.size()) : "");
  }
}

TEST_F(PackedFiles, AWrongByteIsReportedAndNeverGivenOut) {
  hold("/bad", 150'000);
  worker_->damage("/bad", files_["/bad"], 100'000);
  worker_->pack("/bad", files_["/bad"]);
  worker_->pack("/good", hold("/good", 1000));
  const Client client = connect();
  expect_all(client);
  read_until_mapped(client, "/good");
  expect_all(client);
  while (worker_->calls(Method::report_corrupt) == 0) std::this_thread::yield();
  EXPECT_EQ(client.counters().corrupt_chunks, 1U);
}

TEST_F(PackedFiles, AreReadThroughTheWorkerWhereTheSegmentIsRefused) {
  pack_many(3);
  worker_->refuse_grants(Code::overloaded);
  const Client client = connect();
  for (int round = 0; round < 20; ++round) expect_all(client);
  EXPECT_EQ(client.counters().mapped_bytes, 0U);
  EXPECT_LE(worker_->calls(Method::grant), 3) << "not once for every read";
}

TEST_F(PackedFiles, OfARecalledSegmentAreReadOn) {
  pack_many(50);
  const Client client = connect();
  expect_all(client);
  read_until_mapped(client, "/f2");
  auto file = client.open("/f49");
  const auto view = file->read_view(0, 1000);
  ASSERT_TRUE(view) << view.error().to_string();
  const std::string first(reinterpret_cast<const char*>(view->bytes.data()), view->bytes.size());
  worker_->recall_everything();
  while (client.read_file("/f2") && worker_->calls(Method::read) <= 50) std::this_thread::yield();
  expect_all(client);
  EXPECT_TRUE(worker_->released().empty()) << "the view still shows its bytes";
  EXPECT_TRUE(std::memcmp(view->bytes.data(), first.data(), first.size()) == 0);
  EXPECT_EQ(first, files_["/f49"].content.substr(0, first.size()));
}

TEST_F(PackedFiles, AViewStaysInAForkedChild) {
  pack_many(5);
  const Client client = connect();
  expect_all(client);
  read_until_mapped(client, "/f2");
  auto file = client.open("/f4");
  auto view = file->read_view(0, 3000);
  ASSERT_TRUE(view) << view.error().to_string();
  const std::string expected = files_["/f4"].content.substr(0, 3000);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool same = std::memcmp(view->bytes.data(), expected.data(), expected.size()) == 0;
    std::vector<std::byte> into(10);
    const bool refused = !file->pread(into, 0);
    ::_exit(same && refused ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  expect_all(client);
}

TEST_F(PackedFiles, ALeaseEndsWhenNobodyLooksAnyMore) {
  pack_many(5);
  const Client client = connect();
  expect_all(client);
  read_until_mapped(client, "/f2");
  worker_->recall_everything();
  while (worker_->released().empty()) std::this_thread::yield();
  expect_all(client);
  read_until_mapped(client, "/f3");  // granted again
}

TEST_F(PackedFiles, AreFoundInANewSegmentOfARestartedWorker) {
  pack_many(30);
  const Client client = connect();
  expect_all(client);
  read_until_mapped(client, "/f2");
  worker_->stop();
  worker_->start_a_segment();
  for (const auto& [path, file] : files_) worker_->pack(path, file);
  worker_->start_again();
  expect_all(client);
  read_until_mapped(client, "/f2");
  expect_all(client);
}

TEST_F(PackedFiles, NothingIsReadOutsideOfTheSegment) {
  pack_many(10);
  worker_->move_packed(1ULL << 40);
  const Client client = connect();
  for (int round = 0; round < 10; ++round) expect_all(client);
  EXPECT_EQ(client.counters().mapped_bytes, 0U);
}

TEST_F(PackedFiles, AWrongPlaceGivesNoWrongBytes) {
  pack_many(10);
  worker_->move_packed(64);
  const Client client = connect();
  for (int round = 0; round < 10; ++round) expect_all(client);
  EXPECT_EQ(client.counters().mapped_bytes, 0U);
}

TEST_F(PackedFiles, PlacesAreBounded) {
  pack_many(200);
  ClientOptions options;
  options.max_cached_paths = 32;
  const Client client = connect(options);
  for (int round = 0; round < 3; ++round) expect_all(client);
  EXPECT_GT(worker_->calls(Method::read), 400) << "most places were forgotten";
}

TEST_F(PackedFiles, ManyThreadsReadThemAtOnce) {
  pack_many(100);
  ClientOptions options;
  options.max_cached_paths = 64;  // places come and go meanwhile
  const Client client = connect(options);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 2000; ++i) {
        const std::string path = "/f" + std::to_string(random() % 100);
        const auto read = client.read_file(path);
        if (!read || *read != files_.at(path).content) ++wrong;
        if (t == 0 && i % 200 == 0) worker_->recall_everything();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace hearth::client::testing

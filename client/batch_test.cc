// Calls for many names and ranges, against a scripted master and scripted workers: round trips are counted exactly.
#include <hearth/client.h>

#include "client/src/testing_cluster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <map>
#include <random>

namespace hearth::client::testing {
namespace {

std::string pattern(std::size_t length, unsigned seed) {
  std::string out(length, '\0');
  for (std::size_t i = 0; i < length; ++i) out[i] = static_cast<char>((i * 2654435761U + seed * 40503U) >> 11);
  return out;
}

class Batches : public ::testing::Test {
 protected:
  Batches() {
    char made[] = "/tmp/hearth-batch-XXXXXX";
    directory_ = ::mkdtemp(made);
    near_ = std::make_unique<FakeWorker>(11, directory_ + "/near.sock");
    far_ = std::make_unique<FakeWorker>(22, "");
    other_ = std::make_unique<FakeWorker>(33, "");
  }
  ~Batches() override { std::filesystem::remove_all(directory_); }

  Client connect(std::vector<proto::WorkerInfo> workers, ClientOptions options = {}) {
    master_.set_workers(std::move(workers));
    options.master = master_.tcp_address();
    auto client = Client::connect(options);
    EXPECT_TRUE(client) << client.error().to_string();
    return *client;
  }
  void publish(const std::string& path, std::string content) {
    FakeFile file;
    file.content = std::move(content);
    master_.put(path, file);
    for (FakeWorker* worker : {near_.get(), far_.get(), other_.get()}) worker->hold(path, file);
    files_[path] = std::move(file);
  }
  std::vector<std::string> publish_many(std::size_t count, std::size_t length) {
    std::vector<std::string> paths;
    for (std::size_t i = 0; i < count; ++i) {
      paths.push_back("/d/" + std::to_string(i));
      publish(paths.back(), pattern(length, static_cast<unsigned>(i)));
    }
    return paths;
  }

  // A batch with its buffers; each read is checked against the file.
  struct Wanted {
    std::string path;
    std::uint64_t offset;
    std::size_t length;
  };
  std::vector<ReadItem> items_for(const Client& client, const std::vector<Wanted>& wanted) {
    std::vector<ReadItem> items;
    buffers_.clear();
    std::map<std::string, File> opened;
    for (const Wanted& one : wanted) {
      if (!opened.contains(one.path)) opened[one.path] = *client.open(one.path);
      buffers_.emplace_back(one.length, std::byte{0x5a});
      items.push_back(ReadItem{.file = opened[one.path], .offset = one.offset, .into = buffers_.back()});
    }
    return items;
  }
  void expect_right(const ReadItem& item) {
    ASSERT_TRUE(item.result) << item.result.error().to_string();
    const std::string& content = files_[item.file.path()].content;
    const std::string expected = item.offset < content.size() ? content.substr(item.offset, item.into.size()) : "";
    ASSERT_EQ(*item.result, expected.size()) << item.file.path() << " at " << item.offset;
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), reinterpret_cast<const char*>(item.into.data()))) << item.file.path() << " at " << item.offset;
  }

  std::string directory_;
  FakeMaster master_;
  std::unique_ptr<FakeWorker> near_;
  std::unique_ptr<FakeWorker> far_;
  std::unique_ptr<FakeWorker> other_;
  std::map<std::string, FakeFile> files_;
  std::deque<std::vector<std::byte>> buffers_;
};

// ---- names

TEST_F(Batches, StatsOfManyNamesAreOneRoundTripAndThenNone) {
  auto paths = publish_many(900, 10);
  const Client client = connect({far_->info()});
  const auto stats = client.stat_many(paths);
  ASSERT_EQ(stats.size(), paths.size());
  for (const auto& status : stats) ASSERT_TRUE(status && status->length_bytes == 10);
  EXPECT_EQ(master_.calls(Method::stat_many), 1);
  for (const auto& status : client.stat_many(paths)) ASSERT_TRUE(status);
  EXPECT_TRUE(client.stat(paths[5]));
  EXPECT_EQ(master_.calls(Method::stat_many), 1);
  EXPECT_EQ(master_.calls(Method::stat), 0);
}

TEST_F(Batches, OnlyWhatIsNotCachedIsAskedFor) {
  auto paths = publish_many(10, 10);
  const Client client = connect({far_->info()});
  ASSERT_TRUE(client.stat_many(std::span(paths).first(9))[8]);
  master_.remove(paths[0]);  // known here until its ttl ends
  for (const auto& status : client.stat_many(paths)) EXPECT_TRUE(status);
  EXPECT_EQ(master_.calls(Method::stat_many), 2);
}

TEST_F(Batches, EachNameHasAResultOfItsOwn) {
  publish("/a", "12345");
  FakeFile directory;
  directory.type = proto::DIRECTORY;
  master_.put("/dir", directory);
  const Client client = connect({far_->info()});
  const std::vector<std::string> paths{"/a", "/absent", "relative", "/dir", "/a/../b", "/a"};
  const auto stats = client.stat_many(paths);
  EXPECT_EQ(stats[0]->length_bytes, 5U);
  EXPECT_EQ(stats[1].code(), Code::not_found);
  EXPECT_EQ(stats[2].code(), Code::invalid_argument);
  EXPECT_EQ(stats[3]->type, EntryType::directory);
  EXPECT_EQ(stats[4].code(), Code::invalid_argument);
  EXPECT_EQ(stats[5]->length_bytes, 5U);
  const auto files = client.open_many(paths);
  EXPECT_EQ(files[0]->path(), "/a");
  EXPECT_EQ(files[1].code(), Code::not_found);
  EXPECT_NE(files[1].error().message().find("/absent"), std::string::npos);
  EXPECT_EQ(files[2].code(), Code::invalid_argument);
  EXPECT_EQ(files[3].code(), Code::is_directory);
  EXPECT_EQ(master_.calls(Method::stat_many) + master_.calls(Method::resolve_many), 2);
  EXPECT_TRUE(client.stat_many({}).empty());
  EXPECT_TRUE(client.open_many({}).empty());
}

TEST_F(Batches, TenThousandNamesAreTenMessages) {
  auto paths = publish_many(10'000, 1);
  const Client client = connect({far_->info()});
  const auto files = client.open_many(paths);
  ASSERT_EQ(files.size(), 10'000U);
  for (std::size_t i = 0; i < files.size(); ++i) {
    ASSERT_TRUE(files[i]);
    ASSERT_EQ(files[i]->path(), paths[i]);
  }
  EXPECT_EQ(master_.calls(Method::resolve_many), 10);
  EXPECT_EQ(master_.calls(Method::resolve), 0);
}

TEST_F(Batches, WhatAnAnswerHasNoRoomForIsAskedAgain) {
  auto paths = publish_many(25, 10);
  master_.answer_at_most(10);
  const Client client = connect({far_->info()});
  for (const auto& status : client.stat_many(paths)) EXPECT_TRUE(status);
  for (const auto& file : client.open_many(paths)) EXPECT_TRUE(file);
  EXPECT_EQ(master_.calls(Method::stat_many), 3);
  EXPECT_EQ(master_.calls(Method::resolve_many), 3);
}

TEST_F(Batches, AnEmptyAnswerEndsTheQuestions) {
  auto paths = publish_many(3, 10);
  master_.answer_at_most(0);
  const Client client = connect({far_->info()}, {.metadata_deadline = std::chrono::milliseconds(300)});
  EXPECT_EQ(client.stat_many(paths)[2].code(), Code::bad_frame);
  EXPECT_EQ(client.open_many(paths)[0].code(), Code::bad_frame);
}

TEST_F(Batches, AStatForOpeningIsTheOnlyQuestionToTheMaster) {
  auto paths = publish_many(3, 10);
  const Client client = connect({far_->info()}, {.stat_for_opening = true});
  for (const auto& path : paths) {
    const auto status = client.stat(path);
    ASSERT_TRUE(status) << status.error().to_string();
    EXPECT_EQ(status->length_bytes, 10U);
    EXPECT_EQ(status->version, "v1");
    ASSERT_TRUE(client.open(path));
  }
  EXPECT_EQ(master_.calls(Method::stat), 3);
  EXPECT_EQ(master_.calls(Method::resolve), 0);
  client.forget(paths[0]);
  ASSERT_TRUE(client.open(paths[0]));
  EXPECT_EQ(master_.calls(Method::resolve), 1) << "forget() forgets both";
}

TEST_F(Batches, AStatThatOpensNothingIsFollowedByAQuestionOfItsOwn) {
  auto paths = publish_many(1, 10);
  const Client client = connect({far_->info()});
  ASSERT_TRUE(client.stat(paths[0]));
  ASSERT_TRUE(client.open(paths[0]));
  EXPECT_EQ(master_.calls(Method::resolve), 1);
}

TEST_F(Batches, AMasterThatDoesNotKnowTheMessagesIsAskedOneByOne) {
  auto paths = publish_many(3, 10);
  master_.fail_with(Method::stat_many, Code::unsupported);
  master_.fail_with(Method::resolve_many, Code::unsupported);
  const Client client = connect({far_->info()});
  for (const auto& status : client.stat_many(paths)) EXPECT_TRUE(status);
  for (const auto& file : client.open_many(paths)) EXPECT_TRUE(file);
  EXPECT_EQ(master_.calls(Method::stat), 3);
  EXPECT_EQ(master_.calls(Method::resolve), 3);
}

TEST_F(Batches, ManyOpensFollowLinks) {
  publish("/real/a", "abc");
  FakeFile link;
  link.type = proto::SYMLINK;
  link.target = "real";
  master_.put("/link", link);
  link.target = "real/a";
  master_.put("/direct", link);
  const Client client = connect({far_->info()});
  const std::vector<std::string> paths{"/link/a", "/direct", "/real/a"};
  for (const auto& file : client.open_many(paths)) {
    ASSERT_TRUE(file) << file.error().to_string();
    EXPECT_EQ(file->status().length_bytes, 3U);
  }
}

TEST_F(Batches, WithoutAMasterEveryNameSaysSo) {
  const Client client = connect({far_->info()}, {.metadata_deadline = std::chrono::milliseconds(200)});
  master_.stop();
  const std::vector<std::string> paths{"/a", "/b"};
  for (const auto& status : client.stat_many(paths)) EXPECT_EQ(status.code(), Code::unavailable);
  for (const auto& file : client.open_many(paths)) EXPECT_EQ(file.code(), Code::unavailable);
}

// ---- ranges

TEST_F(Batches, SmallReadsOfManyFilesAreOneRoundTrip) {
  auto paths = publish_many(200, 4000);
  const Client client = connect({far_->info()});
  std::vector<Wanted> wanted;
  for (std::size_t i = 0; i < paths.size(); ++i) wanted.push_back({paths[i], i % 7, 1 + (i * 97) % 4100});
  auto items = items_for(client, wanted);
  ASSERT_TRUE(client.read_many(items));
  for (const ReadItem& item : items) expect_right(item);
  EXPECT_EQ(far_->calls(Method::read_many), 1);
  EXPECT_EQ(far_->calls(Method::read), 0);
}

TEST_F(Batches, EachWorkerIsAskedOnce) {
  auto paths = publish_many(300, 500);
  const Client client = connect({far_->info(), other_->info()});
  std::vector<Wanted> wanted;
  for (const auto& path : paths) wanted.push_back({path, 0, 500});
  auto items = items_for(client, wanted);
  ASSERT_TRUE(client.read_many(items));
  for (const ReadItem& item : items) expect_right(item);
  EXPECT_EQ(far_->calls(Method::read_many), 1);
  EXPECT_EQ(other_->calls(Method::read_many), 1);
}

TEST_F(Batches, TenThousandReadsAreCutByCountAndByBytes) {
  auto paths = publish_many(100, 20'000);
  const Client client = connect({far_->info()});
  std::mt19937_64 random(3);
  std::vector<Wanted> wanted;
  for (int i = 0; i < 10'000; ++i) wanted.push_back({paths[random() % paths.size()], random() % 20'100, random() % 30});
  auto items = items_for(client, wanted);
  ASSERT_TRUE(client.read_many(items));
  std::size_t asked = 0;
  for (const ReadItem& item : items) {
    expect_right(item);
    if (*item.result != 0) ++asked;
  }
  EXPECT_EQ(far_->calls(Method::read_many), static_cast<int>((asked + 1023) / 1024));  // 16 bytes on average: by count
  wanted.clear();
  for (int i = 0; i < 400; ++i) wanted.push_back({paths[static_cast<std::size_t>(i) % paths.size()], 0, 20'000});
  auto larger = items_for(client, wanted);
  const int before = far_->calls(Method::read_many);
  ASSERT_TRUE(client.read_many(larger));
  for (const ReadItem& item : larger) expect_right(item);
  EXPECT_EQ(far_->calls(Method::read_many) - before, 8);  // 52 of 20,000 bytes fit into 1 MiB
  EXPECT_EQ(far_->calls(Method::read), 0);
}

TEST_F(Batches, NothingToReadAsksNobody) {
  publish("/a", pattern(100, 1));
  publish("/empty", "");
  const Client client = connect({far_->info()});
  EXPECT_TRUE(client.read_many({}));
  auto items = items_for(client, {{"/a", 100, 10}, {"/a", 1ULL << 60, 10}, {"/a", 0, 0}, {"/empty", 0, 10}});
  ASSERT_TRUE(client.read_many(items));
  for (const ReadItem& item : items) EXPECT_EQ(*item.result, 0U);
  EXPECT_EQ(far_->calls(Method::read_many), 0);
}

TEST_F(Batches, MappedBytesAreCopiedWithoutAnybody) {
  publish("/big", pattern(2 << 20, 1));
  const Client client = connect({near_->info()});
  auto items = items_for(client, {{"/big", 0, 4096}, {"/big", 1'000'003, 70'000}, {"/big", (2 << 20) - 5, 10}});
  ASSERT_TRUE(items[0].file.pread(items[0].into, 0));  // maps it
  ASSERT_TRUE(client.read_many(items));
  for (const ReadItem& item : items) expect_right(item);
  EXPECT_EQ(near_->calls(Method::read_many) + near_->calls(Method::read), 0);
}

TEST_F(Batches, BlocksThatCouldBeMappedAreMappedForTheNextTime) {
  publish("/big", pattern(2 << 20, 1));
  const Client client = connect({near_->info()});
  auto items = items_for(client, {{"/big", 7, 4096}, {"/big", 500'000, 4096}});
  ASSERT_TRUE(client.read_many(items));
  for (const ReadItem& item : items) expect_right(item);
  EXPECT_EQ(near_->calls(Method::read_many), 1);
  while (client.counters().mapped_bytes == 0) ASSERT_TRUE(client.read_many(items));
  EXPECT_EQ(near_->calls(Method::grant), 1);
  for (const ReadItem& item : items) expect_right(item);
}

TEST_F(Batches, LargeReadsAndThoseOverTwoBlocksGoAsAnyRead) {
  FakeFile blocks;
  blocks.content = pattern(300'000, 5);
  blocks.block_size_bytes = 100'000;
  master_.put("/blocks", blocks);
  far_->hold("/blocks", blocks);
  files_["/blocks"] = blocks;
  publish("/small", pattern(100, 6));
  const Client client = connect({far_->info()});
  auto items = items_for(client, {{"/blocks", 0, 300'000}, {"/blocks", 99'990, 20}, {"/blocks", 150'000, 1000}, {"/small", 0, 100}});
  ASSERT_TRUE(client.read_many(items));
  for (const ReadItem& item : items) expect_right(item);
  EXPECT_EQ(far_->calls(Method::read_many), 1);
  EXPECT_EQ(far_->calls(Method::read), 3 + 2);
}

TEST_F(Batches, ItemsThatFailAreReadInEveryOtherWay) {
  auto paths = publish_many(20, 1000);
  master_.set_holders({22});
  far_->fail_ranges(paths[3], files_[paths[3]], Code::unavailable);
  far_->fail_ranges(paths[7], files_[paths[7]], Code::corrupt);
  const Client client = connect({far_->info(), other_->info()});
  std::vector<Wanted> wanted;
  for (const auto& path : paths) wanted.push_back({path, 0, 1000});
  auto items = items_for(client, wanted);
  ASSERT_TRUE(client.read_many(items));
  for (const ReadItem& item : items) expect_right(item);
  EXPECT_EQ(far_->calls(Method::read_many), 1);
  EXPECT_EQ(far_->calls(Method::read), 2);
}

TEST_F(Batches, StaleFilesAreStaleAndTheOthersAreRead) {
  auto paths = publish_many(10, 1000);
  const Client client = connect({far_->info()});
  std::vector<Wanted> wanted;
  for (const auto& path : paths) wanted.push_back({path, 0, 1000});
  auto items = items_for(client, wanted);
  far_->fail_ranges(paths[4], files_[paths[4]], Code::stale);
  ASSERT_TRUE(client.read_many(items));
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i == 4) { EXPECT_EQ(items[i].result.code(), Code::stale); }
    if (i != 4) expect_right(items[i]);
  }
  EXPECT_EQ(far_->calls(Method::read), 0) << "stale is never retried elsewhere";
  const int resolved = master_.calls(Method::resolve);
  EXPECT_TRUE(client.open(paths[4]));
  EXPECT_EQ(master_.calls(Method::resolve), resolved + 1) << "what is stale is forgotten";
}

TEST_F(Batches, AWorkerThatDiedOrDoesNotKnowTheMessageCostsNoRead) {
  auto paths = publish_many(30, 1000);
  const Client client = connect({far_->info(), other_->info()});
  std::vector<Wanted> wanted;
  for (const auto& path : paths) wanted.push_back({path, 10, 500});
  auto items = items_for(client, wanted);
  far_->fail_with(Method::read_many, Code::unsupported);
  ASSERT_TRUE(client.read_many(items));
  for (const ReadItem& item : items) expect_right(item);
  far_->stop();
  ASSERT_TRUE(client.read_many(items));
  for (const ReadItem& item : items) expect_right(item);
}

TEST_F(Batches, FilesOfAnotherClientAndNoneAreRefusedAlone) {
  publish("/a", pattern(100, 1));
  const Client client = connect({far_->info()});
  const Client stranger = connect({far_->info()});
  auto items = items_for(client, {{"/a", 0, 100}, {"/a", 0, 100}, {"/a", 0, 100}});
  items[0].file = File();
  items[1].file = *stranger.open("/a");
  ASSERT_TRUE(client.read_many(items));
  EXPECT_EQ(items[0].result.code(), Code::invalid_argument);
  EXPECT_EQ(items[1].result.code(), Code::invalid_argument);
  EXPECT_NE(items[1].result.error().message().find("another client"), std::string::npos);
  expect_right(items[2]);
}

TEST_F(Batches, WithoutAnybodyEachReadEndsAtTheDeadline) {
  publish("/a", pattern(100, 1));
  publish("/b", pattern(100, 2));
  const Client client = connect({}, {.read_deadline = std::chrono::milliseconds(300)});
  auto items = items_for(client, {{"/a", 0, 100}, {"/b", 0, 100}});
  ASSERT_TRUE(client.read_many(items));
  for (const ReadItem& item : items) EXPECT_EQ(item.result.code(), Code::unavailable);
}

}  // namespace
}  // namespace hearth::client::testing

// The client against a scripted master and scripted workers over real sockets.
#include <hearth/client.h>

#include "client/src/testing_cluster.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <semaphore>
#include <thread>

namespace hearth::client::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string pattern(std::size_t length, unsigned seed = 1) {
  std::string out(length, '\0');
  for (std::size_t i = 0; i < length; ++i) out[i] = static_cast<char>((i * 2654435761U + seed * 97) >> 11);
  return out;
}

class ScriptedCluster : public ::testing::Test {
 protected:
  ScriptedCluster() {
    char made[] = "/tmp/hearth-client-XXXXXX";
    directory_ = ::mkdtemp(made);
    near_ = std::make_unique<FakeWorker>(11, directory_ + "/near.sock");
    far_ = std::make_unique<FakeWorker>(22, "");
  }
  ~ScriptedCluster() override { std::filesystem::remove_all(directory_); }

  Client connect(std::vector<proto::WorkerInfo> workers, ClientOptions options = {}) {
    master_.set_workers(std::move(workers));
    options.master = master_.tcp_address();
    auto client = Client::connect(options);
    EXPECT_TRUE(client) << client.error().to_string();
    return *client;
  }
  FakeFile& file(const std::string& path, std::size_t length) {
    FakeFile made;
    made.content = pattern(length);
    files_[path] = made;
    return files_[path];
  }
  void publish(const std::string& path) {
    master_.put(path, files_[path]);
    near_->hold(path, files_[path]);
    far_->hold(path, files_[path]);
  }
  static void expect_content(const Client& client, const std::string& path, const std::string& content) {
    auto read = client.read_file(path);
    ASSERT_TRUE(read) << read.error().to_string();
    EXPECT_TRUE(*read == content) << path << " has other bytes";
  }
  // Until the other side has seen it; bounded by the test's own timeout.
  template <class Condition>
  static void eventually(Condition condition) {
    while (!condition()) std::this_thread::yield();
  }

  std::string directory_;
  FakeMaster master_;
  std::unique_ptr<FakeWorker> near_;
  std::unique_ptr<FakeWorker> far_;
  std::map<std::string, FakeFile> files_;
};

TEST_F(ScriptedCluster, ReadsASmallFileThroughAWorker) {
  file("/a", 1000);
  publish("/a");
  const Client client = connect({near_->info()});
  expect_content(client, "/a", files_["/a"].content);
  EXPECT_EQ(client.counters().worker_hit_bytes, 1000U);
  EXPECT_EQ(near_->calls(Method::grant), 0);  // too small to be worth a mapping
}

TEST_F(ScriptedCluster, ReadsFromAnyOffsetAndStopsAtTheEnd) {
  file("/a", 100'000).block_size_bytes = 30'000;
  publish("/a");
  const Client client = connect({far_->info()});
  auto opened = client.open("/a");
  ASSERT_TRUE(opened);
  const std::string& content = files_["/a"].content;
  for (const std::size_t offset : {0UL, 1UL, 29'999UL, 30'000UL, 59'000UL, 99'999UL, 100'000UL, 1UL << 40}) {
    std::string into(50'000, 'x');
    auto count = opened->pread(std::as_writable_bytes(std::span(into)), offset);
    ASSERT_TRUE(count) << count.error().to_string();
    const std::string expected = offset < content.size() ? content.substr(offset, 50'000) : "";
    EXPECT_EQ(*count, expected.size());
    EXPECT_TRUE(into.substr(0, *count) == expected) << offset;
  }
}

TEST_F(ScriptedCluster, ReadsWarmBytesFromSharedMemoryWithoutTheWorker) {
  file("/big", 3 << 20);
  publish("/big");
  const Client client = connect({near_->info()});
  for (int round = 0; round < 3; ++round) expect_content(client, "/big", files_["/big"].content);
  EXPECT_EQ(client.counters().mapped_bytes, 3U * (3U << 20));
  EXPECT_EQ(near_->calls(Method::grant), 1);
  EXPECT_EQ(near_->calls(Method::read), 0);
}

TEST_F(ScriptedCluster, OneGrantServesManyThreadsAndHandles) {
  file("/big", 2 << 20);
  publish("/big");
  const Client client = connect({near_->info()});
  std::vector<std::thread> readers;
  for (int i = 0; i < 8; ++i) {
    readers.emplace_back([&] {
      for (int round = 0; round < 5; ++round) expect_content(client, "/big", files_["/big"].content);
    });
  }
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(near_->calls(Method::grant), 1);
}

TEST_F(ScriptedCluster, GoesThroughTheWorkerWhenGrantsAreRefused) {
  file("/big", 3 << 20);
  publish("/big");
  near_->refuse_grants(Code::unsupported);
  const Client client = connect({near_->info()});
  for (int round = 0; round < 3; ++round) expect_content(client, "/big", files_["/big"].content);
  EXPECT_EQ(client.counters().mapped_bytes, 0U);
  EXPECT_EQ(near_->calls(Method::grant), 3);  // once per open handle, not per read
}

TEST_F(ScriptedCluster, NeverGivesOutABlockWithAFlippedByte) {
  file("/big", 1 << 20);
  publish("/big");
  near_->damage("/big", files_["/big"], 700'000);
  const Client client = connect({near_->info()});
  expect_content(client, "/big", files_["/big"].content);
  EXPECT_GE(client.counters().corrupt_chunks, 1U);
  eventually([&] { return near_->calls(Method::report_corrupt) > 0; });
  eventually([&] { return !near_->released().empty(); });
}

TEST_F(ScriptedCluster, ReturnsLeasesThatAreRecalled) {
  file("/big", 1 << 20);
  publish("/big");
  const Client client = connect({near_->info()});
  auto opened = client.open("/big");
  std::string into(1 << 20, '\0');
  ASSERT_TRUE(opened->pread(std::as_writable_bytes(std::span(into)), 0));
  near_->recall_everything();
  eventually([&] { return near_->released() == std::vector<std::uint64_t>{1}; });
  ASSERT_TRUE(opened->pread(std::as_writable_bytes(std::span(into)), 0));  // asks anew or goes through the worker
  EXPECT_TRUE(into == files_["/big"].content);
}

TEST_F(ScriptedCluster, AMappingOutlivesTheWorkerThatGrantedIt) {
  file("/big", 1 << 20);
  publish("/big");
  const Client client = connect({near_->info(), far_->info()});
  auto opened = client.open("/big");
  auto mapped = opened->map();
  ASSERT_TRUE(mapped) << mapped.error().to_string();
  near_->stop();
  EXPECT_TRUE(std::memcmp(mapped->bytes.data(), files_["/big"].content.data(), 1 << 20) == 0);
  expect_content(client, "/big", files_["/big"].content);
}

TEST_F(ScriptedCluster, SaysWhyAFileCanNotBeMapped) {
  file("/two", 100'000).block_size_bytes = 60'000;
  publish("/two");
  file("/empty", 0);
  publish("/empty");
  const Client client = connect({far_->info()});
  EXPECT_EQ(client.open("/two")->map().code(), Code::unsupported);
  EXPECT_EQ(client.open("/empty")->map().code(), Code::unsupported);
  file("/one", 1 << 20);
  publish("/one");
  EXPECT_EQ(client.open("/one")->map().code(), Code::unavailable);  // no local worker
}

TEST_F(ScriptedCluster, AWorkerThatDiedCostsNoRead) {
  file("/a", 200'000);
  publish("/a");
  const Client client = connect({near_->info(), far_->info()});
  master_.set_holders({11});
  expect_content(client, "/a", files_["/a"].content);
  near_->stop();
  for (int i = 0; i < 20; ++i) expect_content(client, "/a", files_["/a"].content);
  eventually([&] { return master_.calls(Method::bad_location) > 0; });
}

TEST_F(ScriptedCluster, TakesTheHolderRatherThanAnyOther) {
  file("/a", 200'000);
  master_.put("/a", files_["/a"]);
  far_->hold("/a", files_["/a"]);  // near does not have it and could not get it
  master_.set_holders({22});
  const Client client = connect({near_->info(), far_->info()});
  expect_content(client, "/a", files_["/a"].content);
  EXPECT_EQ(near_->calls(Method::read), 0);
}

TEST_F(ScriptedCluster, AnErrorOfOneWorkerIsServedByAnother) {
  file("/a", 200'000);
  publish("/a");
  near_->fail_with(Code::overloaded);
  const Client client = connect({near_->info(), far_->info()});
  expect_content(client, "/a", files_["/a"].content);
}

TEST_F(ScriptedCluster, StaleIsNeverRetriedElsewhere) {
  file("/a", 200'000);
  publish("/a");
  master_.set_holders({11});
  const Client client = connect({near_->info(), far_->info()});
  auto opened = client.open("/a");
  near_->fail_with(Code::stale);
  std::string into(100, '\0');
  EXPECT_EQ(opened->pread(std::as_writable_bytes(std::span(into)), 0).code(), Code::stale);
  EXPECT_EQ(far_->calls(Method::read), 0);
}

TEST_F(ScriptedCluster, WithoutAnybodyTheReadEndsAtItsDeadlineAndSaysSo) {
  file("/a", 1000);
  publish("/a");
  ClientOptions options;
  options.read_deadline = milliseconds(300);
  const Client client = connect({}, options);
  auto read = client.read_file("/a");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.code(), Code::unavailable) << read.error().to_string();
  EXPECT_NE(read.error().message().find("/a"), std::string::npos);
}

TEST_F(ScriptedCluster, AWarmOpenAsksNobodyUntilTheTtlEnds) {
  file("/a", 1000);
  publish("/a");
  const Client client = connect({far_->info()});
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(client.open("/a"));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(client.stat("/a"));
  EXPECT_EQ(master_.calls(Method::resolve), 1);
  EXPECT_EQ(master_.calls(Method::stat), 0);
  client.forget("/a");
  ASSERT_TRUE(client.open("/a"));
  EXPECT_EQ(master_.calls(Method::resolve), 2);
}

TEST_F(ScriptedCluster, WithATtlOfZeroEveryOpenSeesTheChangeBeforeIt) {
  file("/a", 1000).ttl_ms = 0;
  publish("/a");
  const Client client = connect({far_->info()});
  for (int version = 1; version < 20; ++version) {
    files_["/a"].version = "v" + std::to_string(version);
    publish("/a");
    auto opened = client.open("/a");
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->status().version, files_["/a"].version);
  }
}

TEST_F(ScriptedCluster, ANewFileIsSeenAtOnce) {
  const Client client = connect({far_->info()});
  EXPECT_EQ(client.open("/new").code(), Code::not_found);
  file("/new", 10);
  publish("/new");
  EXPECT_TRUE(client.open("/new"));
}

TEST_F(ScriptedCluster, ListingsFeedTheStatCache) {
  file("/d/a", 10);
  publish("/d/a");
  file("/d/b", 20);
  publish("/d/b");
  const Client client = connect({});
  auto page = client.list("/d");
  ASSERT_TRUE(page);
  ASSERT_EQ(page->items.size(), 2U);
  EXPECT_EQ(client.stat("/d/b")->length_bytes, 20U);
  EXPECT_EQ(master_.calls(Method::stat), 0);
}

TEST_F(ScriptedCluster, OpenFollowsLinksInsideOfTheNamespaceAndStatDoesNot) {
  file("/d/real", 1000);
  publish("/d/real");
  FakeFile link;
  link.type = proto::SYMLINK;
  link.target = "../d/real";
  master_.put("/x/link", link);
  link.target = "d";
  master_.put("/dirlink", link);
  link.target = "/etc/passwd";
  master_.put("/out", link);
  link.target = "loop";
  master_.put("/loop", link);
  const Client client = connect({far_->info()});
  expect_content(client, "/x/link", files_["/d/real"].content);
  expect_content(client, "/dirlink/real", files_["/d/real"].content);
  EXPECT_EQ(client.stat("/x/link")->type, EntryType::symlink);
  EXPECT_EQ(client.open("/out").code(), Code::invalid_argument);
  EXPECT_EQ(client.open("/loop").code(), Code::symlink_loop);
}

TEST_F(ScriptedCluster, DirectoriesAreNotOpenedAndBadPathsAreRefused) {
  FakeFile directory;
  directory.type = proto::DIRECTORY;
  master_.put("/d", directory);
  const Client client = connect({});
  EXPECT_EQ(client.open("/d").code(), Code::is_directory);
  EXPECT_EQ(client.open("d").code(), Code::invalid_argument);
  EXPECT_EQ(client.stat("/d/../e").code(), Code::invalid_argument);
}

TEST_F(ScriptedCluster, MetadataCallsSurviveARestartOfTheMaster) {
  file("/a", 1000);
  publish("/a");
  const Client client = connect({far_->info()});
  auto opened = client.open("/a");
  client.forget();
  master_.stop();
  std::string into(1000, '\0');
  ASSERT_TRUE(opened->pread(std::as_writable_bytes(std::span(into)), 0));  // open files need no master
  std::atomic<bool> started{false};
  auto stat = std::async(std::launch::async, [&] {
    started = true;
    return client.stat("/a");
  });
  eventually([&] { return started.load(); });
  master_.start_again();
  auto status = stat.get();
  EXPECT_TRUE(status) << status.error().to_string();
}

TEST_F(ScriptedCluster, ConnectingToNobodySaysWhereItTried) {
  ClientOptions options;
  options.master = "127.0.0.1:1";
  options.metadata_deadline = milliseconds(200);
  auto client = Client::connect(options);
  ASSERT_FALSE(client);
  EXPECT_EQ(client.code(), Code::unavailable);
  EXPECT_NE(client.error().message().find("127.0.0.1:1"), std::string::npos);
}

TEST_F(ScriptedCluster, CallbacksAnswerOnAThreadOfTheLibrary) {
  file("/a", 500'000);
  publish("/a");
  const Client client = connect({near_->info()});
  std::string into(500'000, '\0');
  std::promise<Result<std::size_t>> answer;
  std::thread::id thread;
  client.async_open("/a", [&](Result<File> opened) {
    ASSERT_TRUE(opened);
    opened->async_pread(std::as_writable_bytes(std::span(into)), 0, [&](Result<std::size_t> count) {
      thread = std::this_thread::get_id();
      answer.set_value(std::move(count));
    });
  });
  auto count = answer.get_future().get();
  ASSERT_TRUE(count);
  EXPECT_EQ(*count, 500'000U);
  EXPECT_TRUE(into == files_["/a"].content);
  EXPECT_NE(thread, std::this_thread::get_id());
}

TEST_F(ScriptedCluster, ASynchronousCallInACallbackIsRefusedInsteadOfHanging) {
  file("/a", 10);
  publish("/a");
  const Client client = connect({far_->info()});
  std::promise<Code> answer;
  client.async_stat("/a", [&](Result<FileStatus>) { answer.set_value(client.open("/b").code()); });
  EXPECT_EQ(answer.get_future().get(), Code::invalid_argument);
}

TEST_F(ScriptedCluster, TheLastHandleMayGoInACallback) {
  file("/a", 10);
  publish("/a");
  std::promise<void> done;
  auto client = std::make_shared<Client>(connect({far_->info()}));
  Client& handle = *client;
  handle.async_stat("/a", [client = std::move(client), &done](Result<FileStatus>) mutable {
    client.reset();
    done.set_value();
  });
  done.get_future().get();
}

TEST_F(ScriptedCluster, TheAwaitableResumesOnTheCallersExecutor) {
  file("/a", 300'000);
  publish("/a");
  IoThread thread("test");  // outlives the client, as client.h asks
  thread.start();
  const Client client = connect({far_->info()});
  auto opened = client.open("/a");
  std::string into(300'000, '\0');
  struct Read {
    static Task<bool> now(File file, std::span<std::byte> into, IoThread* home) {
      auto count = co_await file.co_pread(into, 0);
      co_return count && *count == into.size() && home->is_this_thread();
    }
  };
  auto right = thread.run_sync(Read::now(*opened, std::as_writable_bytes(std::span(into)), &thread));
  ASSERT_TRUE(right);
  EXPECT_TRUE(*right);
  EXPECT_TRUE(into == files_["/a"].content);
}

TEST_F(ScriptedCluster, SequentialReadsOfUnmappedBlocksAreFetchedAhead) {
  file("/a", 6 << 20);
  publish("/a");
  const Client client = connect({far_->info()});
  auto opened = client.open("/a");
  std::string all;
  std::string into(100'000, '\0');
  for (;;) {
    auto count = opened->pread(std::as_writable_bytes(std::span(into)), all.size());
    ASSERT_TRUE(count) << count.error().to_string();
    if (*count == 0) break;
    all.append(into, 0, *count);
  }
  EXPECT_TRUE(all == files_["/a"].content);
  EXPECT_LT(far_->calls(Method::read), 20);  // 63 without
}

TEST_F(ScriptedCluster, AForkedChildIsToldToConnectAnew) {
  file("/a", 1 << 20);
  publish("/a");
  const Client client = connect({near_->info()});
  auto opened = client.open("/a");
  std::string into(1 << 20, '\0');
  ASSERT_TRUE(opened->pread(std::as_writable_bytes(std::span(into)), 0));
  const pid_t child = ::fork();
  if (child == 0) {
    const bool refused = opened->pread(std::as_writable_bytes(std::span(into)), 0).code() == Code::invalid_argument &&
                         client.stat("/a").code() == Code::invalid_argument;
    ::_exit(refused ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(ScriptedCluster, LocationsNameReplicasAndWhyShortCircuitIsOff) {
  file("/a", 1 << 20);
  publish("/a");
  file("/small", 100);
  publish("/small");
  const Client client = connect({near_->info(), far_->info()});
  auto big = client.locations("/a");
  ASSERT_TRUE(big) << big.error().to_string();
  ASSERT_EQ(big->size(), 1U);
  EXPECT_EQ((*big)[0].replicas.size(), 2U);
  EXPECT_EQ((*big)[0].short_circuit, "yes");
  EXPECT_EQ((*big)[0].would_read_from, near_->tcp_address());
  auto small = client.locations("/small");
  EXPECT_EQ((*small)[0].short_circuit.substr(0, 3), "no:");
}

TEST_F(ScriptedCluster, LoadCountsWhatTheWorkersHave) {
  file("/a", 300'000).block_size_bytes = 100'000;
  publish("/a");
  const Client client = connect({far_->info()});
  auto opened = client.open("/a");
  EXPECT_EQ(*opened->load(50'000, 1'000'000), 250'000U);
  EXPECT_EQ(*opened->load(400'000, 10), 0U);
}

TEST_F(ScriptedCluster, ASocketThatBelongsToAnotherWorkerIsNotTakenForLocal) {
  file("/a", 1 << 20);
  publish("/a");
  auto elsewhere = far_->info();
  elsewhere.set_local_socket(near_->socket_path());  // the same path on another host
  const Client client = connect({elsewhere});
  expect_content(client, "/a", files_["/a"].content);
  EXPECT_EQ(client.counters().mapped_bytes, 0U);
  EXPECT_EQ(near_->calls(Method::read), 0);
  EXPECT_GE(far_->calls(Method::read), 1);
}

}  // namespace
}  // namespace hearth::client::testing

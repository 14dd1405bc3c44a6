// Calls that end before their time, against a scripted master and scripted workers that do not answer.
#include <hearth/client.h>

#include "client/src/testing_cluster.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <future>
#include <map>
#include <random>
#include <thread>

namespace hearth::client::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

class Terms : public ::testing::Test {
 protected:
  Terms() {
    char made[] = "/tmp/hearth-terms-XXXXXX";
    directory_ = ::mkdtemp(made);
    near_ = std::make_unique<FakeWorker>(11, directory_ + "/near.sock");
    far_ = std::make_unique<FakeWorker>(22, "");
  }
  ~Terms() override { std::filesystem::remove_all(directory_); }

  Client connect(std::vector<proto::WorkerInfo> workers, ClientOptions options = {}) {
    master_.set_workers(std::move(workers));
    options.master = master_.tcp_address();
    options.attempt_deadline = seconds(60);  // what ends a call here is its caller
    options.read_deadline = seconds(60);
    options.metadata_deadline = seconds(60);
    options.direct_store_reads = false;
    auto client = Client::connect(options);
    EXPECT_TRUE(client) << client.error().to_string();
    return *client;
  }
  void publish(const std::string& path, std::size_t length, std::uint64_t block_size_bytes = 1U << 30) {
    FakeFile file;
    file.content.resize(length);
    for (std::size_t i = 0; i < length; ++i) file.content[i] = static_cast<char>((i * 2654435761U) >> 10);
    file.block_size_bytes = block_size_bytes;
    master_.put(path, file);
    near_->hold(path, file);
    far_->hold(path, file);
    content_[path] = file.content;
  }
  template <class Condition>
  static void eventually(Condition condition) {
    while (!condition()) std::this_thread::yield();
  }
  // Cancels when `begun`, and answers what the call said.
  template <class Call, class Begun>
  static Code cancelled_when(Begun begun, Call call) {
    CallOptions options;
    options.cancellation.emplace();
    auto answer = std::async(std::launch::async, [&] { return call(options); });
    eventually(begun);
    options.cancellation->cancel();
    return answer.get();
  }
  static CallOptions within(milliseconds deadline) {
    CallOptions options;
    options.deadline = deadline;
    return options;
  }

  std::string directory_;
  FakeMaster master_;
  std::unique_ptr<FakeWorker> near_;
  std::unique_ptr<FakeWorker> far_;
  std::map<std::string, std::string> content_;
};

TEST_F(Terms, AReadEndsAtTheDeadlineOfItsCaller) {
  publish("/a", 100'000);
  const Client client = connect({far_->info()});
  auto file = client.open("/a");
  ASSERT_TRUE(file);
  std::vector<std::byte> into(100'000);
  far_->hang(Method::read);
  const auto began = steady_clock::now();
  const auto count = file->pread(into, 0, within(milliseconds(100)));
  EXPECT_EQ(count.code(), Code::deadline_exceeded);
  EXPECT_NE(count.error().message().find("100 ms"), std::string::npos) << count.error().message();
  EXPECT_LT(steady_clock::now() - began, seconds(20));
  EXPECT_GE(steady_clock::now() - began, milliseconds(100));
  const std::vector<std::byte> before = into;
  far_->resume();
  std::vector<std::byte> other(100'000);
  ASSERT_TRUE(file->pread(other, 0, within(seconds(50))));  // behind the late answer of the first, on the same connection
  EXPECT_TRUE(std::memcmp(other.data(), content_["/a"].data(), other.size()) == 0);
  EXPECT_TRUE(into == before) << "an answer that came too late was written to the caller's memory";
}

TEST_F(Terms, AReadIsCancelledFromAnotherThread) {
  publish("/a", 100'000);
  const Client client = connect({far_->info()});
  auto file = client.open("/a");
  far_->hang(Method::read);
  std::vector<std::byte> into(100'000);
  const auto read = [&](const CallOptions& options) { return file->pread(into, 0, options).code(); };
  EXPECT_EQ(cancelled_when([&] { return far_->calls(Method::read) > 0; }, read), Code::cancelled);
}

// Several requests are on their way at once, each in a task of its own.
TEST_F(Terms, ALargeReadOverManyBlocksIsCancelledAsAWhole) {
  publish("/a", 8 << 20, 1 << 20);
  const Client client = connect({far_->info()});
  auto file = client.open("/a");
  far_->hang(Method::read);
  std::vector<std::byte> into(8 << 20);
  const auto read = [&](const CallOptions& options) { return file->pread(into, 0, options).code(); };
  EXPECT_EQ(cancelled_when([&] { return far_->calls(Method::read) >= 4; }, read), Code::cancelled);
}

TEST_F(Terms, AReadThatWaitsForAGrantIsCancelled) {
  publish("/big", 2 << 20);
  const Client client = connect({near_->info()});
  auto file = client.open("/big");
  near_->hang(Method::grant);
  near_->hang(Method::read);
  std::vector<std::byte> into(4096);
  const auto read = [&](const CallOptions& options) { return file->pread(into, 0, options).code(); };
  EXPECT_EQ(cancelled_when([&] { return near_->calls(Method::grant) > 0; }, read), Code::cancelled);
}

TEST_F(Terms, AReadThatWaitsForTheReadaheadEndsInTime) {
  publish("/a", 32 << 20);
  const Client client = connect({far_->info()});
  auto file = client.open("/a");
  std::vector<std::byte> into(256 << 10);
  std::uint64_t offset = 0;
  for (; offset < 1U << 20; offset += into.size()) ASSERT_TRUE(file->pread(into, offset));
  far_->hang(Method::read);
  Code code = Code::ok;
  for (; code == Code::ok && offset < 31U << 20; offset += into.size()) code = file->pread(into, offset, within(milliseconds(100))).code();
  EXPECT_EQ(code, Code::deadline_exceeded);
  far_->resume();
  ASSERT_TRUE(file->pread(into, offset));
  EXPECT_TRUE(std::memcmp(into.data(), content_["/a"].data() + offset, into.size()) == 0);
}

TEST_F(Terms, WhatIsCancelledAlreadyAsksNobodyAndReadsNothing) {
  publish("/big", 1 << 20);
  const Client client = connect({near_->info()});
  auto file = client.open("/big");
  std::vector<std::byte> into(4096);
  ASSERT_TRUE(file->pread(into, 0));
  CallOptions options;
  options.cancellation.emplace();
  const Cancellation copy = *options.cancellation;
  EXPECT_TRUE(file->pread(into, 0, options));
  EXPECT_TRUE(client.stat("/big", options));
  copy.cancel();
  copy.cancel();
  EXPECT_TRUE(options.cancellation->is_cancelled());
  const int asked = master_.calls(Method::resolve) + master_.calls(Method::stat);
  EXPECT_EQ(file->pread(into, 0, options).code(), Code::cancelled);
  EXPECT_EQ(client.stat("/other", options).code(), Code::cancelled);
  EXPECT_EQ(client.open("/other", options).code(), Code::cancelled);
  EXPECT_EQ(master_.calls(Method::resolve) + master_.calls(Method::stat), asked);
}

TEST_F(Terms, OpenAndStatEndInTimeAndWhenCancelled) {
  publish("/a", 10);
  const Client client = connect({far_->info()});
  master_.hang(Method::resolve);
  master_.hang(Method::stat);
  EXPECT_EQ(client.open("/a", within(milliseconds(50))).code(), Code::deadline_exceeded);
  EXPECT_EQ(client.stat("/a", within(milliseconds(50))).code(), Code::deadline_exceeded);
  const int resolved = master_.calls(Method::resolve);
  EXPECT_EQ(cancelled_when([&] { return master_.calls(Method::resolve) > resolved; },
                           [&](const CallOptions& options) { return client.open("/a", options).code(); }), Code::cancelled);
  const int stats = master_.calls(Method::stat);
  EXPECT_EQ(cancelled_when([&] { return master_.calls(Method::stat) > stats; },
                           [&](const CallOptions& options) { return client.stat("/a", options).code(); }), Code::cancelled);
  master_.resume();
  EXPECT_TRUE(client.open("/a", within(seconds(50))));
  EXPECT_EQ(client.stat("/absent", within(seconds(50))).code(), Code::not_found) << "an answer is told as it is";
}

TEST_F(Terms, OneCallersCancellationIsNotAnotherCallersAnswer) {
  publish("/a", 10);
  const Client client = connect({far_->info()});
  master_.hang(Method::resolve);
  CallOptions options;
  options.cancellation.emplace();
  auto first = std::async(std::launch::async, [&] { return client.open("/a", options).code(); });
  eventually([&] { return master_.calls(Method::resolve) == 1; });
  std::vector<std::future<Code>> joined;
  for (int i = 0; i < 4; ++i) joined.push_back(std::async(std::launch::async, [&] { return client.open("/a").code(); }));
  auto in_time = std::async(std::launch::async, [&] { return client.open("/a", within(milliseconds(50))).code(); });
  EXPECT_EQ(in_time.get(), Code::deadline_exceeded) << "also who waits for the answer to another";
  options.cancellation->cancel();
  EXPECT_EQ(first.get(), Code::cancelled);
  master_.resume();
  for (auto& one : joined) EXPECT_EQ(one.get(), Code::ok);
}

TEST_F(Terms, CancelledReadsLeaveTheOthersRight) {
  publish("/a", 300'000, 50'000);
  const Client client = connect({far_->info()});
  auto file = client.open("/a");
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::atomic<int> cancelled{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      std::vector<std::byte> into(120'000);
      while (!stop) {
        CallOptions options;
        options.cancellation.emplace();
        std::thread canceller;
        if (t < 2) canceller = std::thread([token = *options.cancellation] { token.cancel(); });
        const std::uint64_t offset = random() % 200'000;
        const auto count = file->pread(into, offset, options);
        if (canceller.joinable()) canceller.join();
        if (!count) {
          ++cancelled;
          if (t >= 2 || count.code() != Code::cancelled) ++wrong;
        } else if (std::memcmp(into.data(), content_["/a"].data() + offset, *count) != 0) {
          ++wrong;
        }
      }
    });
  }
  eventually([&] { return cancelled > 200; });
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace hearth::client::testing

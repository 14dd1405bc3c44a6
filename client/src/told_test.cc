// Clients that are told of each other's changes, against a real master in one process. The ttl is an hour: what is seen of another
// client's change is seen because of a notice.
#include "tests/support/in_process_cluster.h"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hearth::testing::told {
namespace {

using Scope = ChangeNotice::Scope;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
Caller self() { return {.uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .umask = 022}; }

// A hook that keeps what it was told, and acts when the test says so.
class Listener {
 public:
  enum class Acts : std::uint8_t { at_once, when_told };
  explicit Listener(Acts acts) : acts_(acts) {}

  ChangeHook hook() {
    return [this](const ChangeNotice& notice, std::function<void()> acted) {
      const std::lock_guard lock(mutex_);
      notices_.push_back(notice);
      acts_ == Acts::at_once ? acted() : held_.push_back(std::move(acted));
      changed_.notify_all();
    };
  }
  // Bounded by the test's own timeout.
  ChangeNotice wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return notices_.size() >= count; });
    return notices_[count - 1];
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return notices_.size();
  }
  void act() {
    const std::lock_guard lock(mutex_);
    for (const auto& acted : std::exchange(held_, {})) acted();
  }

 private:
  const Acts acts_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ChangeNotice> notices_;
  std::vector<std::function<void()>> held_;
};

class Told : public ::testing::Test {
 protected:
  void SetUp() override {
    cluster_ = std::make_unique<InProcessCluster>(InProcessClusterOptions{.workers = 1});
    ASSERT_TRUE(cluster_->start());
    AttachmentOptions attachment;
    attachment.metadata_ttl = std::chrono::hours(1);
    ASSERT_TRUE(cluster_->attach("/data", attachment));
  }
  Client connect() const {
    auto client = cluster_->connect();
    EXPECT_TRUE(client) << client.error().to_string();
    return *client;
  }
  static void change(const Client& client, const Change& wanted) {
    const auto done = client.change(wanted, self());
    EXPECT_TRUE(done) << done.error().to_string();
  }
  static void write(const Client& client, const std::string& path, std::string_view text) {
    auto file = client.open_for_writing({.path = path, .create = true, .truncate = true, .mode = 0644}, self());
    ASSERT_TRUE(file) << file.error().to_string();
    ASSERT_TRUE(file->pwrite(bytes(text), 0));
    const auto closed = file->close();
    ASSERT_TRUE(closed) << closed.error().to_string();
  }
  static std::string content(const Client& client, const std::string& path) {
    auto read = client.read_file(path);
    return read ? *read : read.error().to_string();
  }

  std::unique_ptr<InProcessCluster> cluster_;
};

TEST_F(Told, WhatOneClientChangesAnotherSeesAtOnce) {
  const Client writer = connect();
  const Client reader = connect();
  ASSERT_EQ(reader.stat("/data/f").code(), Code::not_found);
  for (int version = 1; version <= 20; ++version) {
    const std::string text = "version " + std::to_string(version);
    write(writer, "/data/f", text);
    ASSERT_EQ(content(reader, "/data/f"), text);
    ASSERT_EQ(reader.stat("/data/f")->length_bytes, text.size());
  }
  change(writer, SetAttributes{.path = "/data/f", .mode = 0600, .uid = {}, .gid = {}, .atime = {}, .mtime = {}});
  EXPECT_EQ(reader.stat("/data/f")->mode, 0600U);
  change(writer, Rename{.from = "/data/f", .to = "/data/g", .target = Rename::Target::replace});
  EXPECT_EQ(reader.stat("/data/f").code(), Code::not_found);
  EXPECT_EQ(content(reader, "/data/g"), "version 20");
  change(writer, RemoveFile{.path = "/data/g"});
  EXPECT_EQ(reader.stat("/data/g").code(), Code::not_found);
}

TEST_F(Told, WhatIsBelowAMovedDirectoryIsForgottenEverywhere) {
  const Client writer = connect();
  const Client reader = connect();
  for (const std::string path : {"/data/d", "/data/d/e", "/data/dd"}) change(writer, MakeDirectory{.path = path, .mode = 0755});
  write(writer, "/data/d/e/f", "below");
  write(writer, "/data/dd/f", "beside");
  ASSERT_EQ(content(reader, "/data/d/e/f"), "below");
  ASSERT_EQ(content(reader, "/data/dd/f"), "beside");
  change(writer, Rename{.from = "/data/d", .to = "/data/x", .target = Rename::Target::replace});
  EXPECT_EQ(reader.stat("/data/d/e/f").code(), Code::not_found);
  EXPECT_EQ(content(reader, "/data/x/e/f"), "below");
  EXPECT_EQ(content(reader, "/data/dd/f"), "beside");
}

TEST_F(Told, TheHookNamesWhatChangedAndTheAuthorIsNotTold) {
  Listener of_reader(Listener::Acts::at_once);
  Listener of_writer(Listener::Acts::at_once);
  const Client writer = connect();
  const Client reader = connect();
  ASSERT_TRUE(reader.on_changes(of_reader.hook()));
  ASSERT_TRUE(writer.on_changes(of_writer.hook()));
  change(writer, MakeDirectory{.path = "/data/d", .mode = 0755});
  ASSERT_EQ(of_reader.count(), 1U) << "before the change was answered";
  std::vector<std::string> paths;
  for (const auto& one : of_reader.wait_for(1).paths) paths.push_back(one.path);
  std::sort(paths.begin(), paths.end());
  EXPECT_EQ(paths, (std::vector<std::string>{"/data", "/data/d"})) << "the name, and its directory";
  EXPECT_EQ(of_writer.count(), 0U);
  ASSERT_TRUE(reader.on_changes(nullptr));
  ASSERT_TRUE(writer.on_changes(nullptr));
}

TEST_F(Told, AClientThatDoesNotActHoldsUpOneChangeAndThenDropsEverything) {
  Listener slow(Listener::Acts::when_told);
  const Client writer = connect();
  const Client reader = connect();
  ASSERT_TRUE(reader.on_changes(slow.hook()));
  write(writer, "/data/f", "one");
  ASSERT_EQ(slow.count(), 1U);
  for (int i = 0; i < 50; ++i) change(writer, MakeDirectory{.path = "/data/d" + std::to_string(i), .mode = 0755});
  EXPECT_EQ(slow.count(), 1U) << "nothing is sent to who did not acknowledge";
  slow.act();
  EXPECT_EQ(slow.wait_for(2).scope, Scope::everything);
  slow.act();
  EXPECT_TRUE(reader.stat("/data/d49"));
  ASSERT_TRUE(reader.on_changes(nullptr));
  write(writer, "/data/f", "other");
  EXPECT_EQ(content(reader, "/data/f"), "other");
}

TEST_F(Told, AnotherMasterIsSubscribedToAndEverythingDropped) {
  Listener listener(Listener::Acts::at_once);
  const Client writer = connect();
  const Client reader = connect();
  write(writer, "/data/f", "before");
  ASSERT_EQ(content(reader, "/data/f"), "before");
  ASSERT_TRUE(reader.on_changes(listener.hook()));
  cluster_->kill_master();
  EXPECT_EQ(content(reader, "/data/f"), "before") << "what is known is served while the master is away";
  ASSERT_TRUE(cluster_->start_master());
  EXPECT_EQ(listener.wait_for(1).scope, Scope::everything) << "subscribed again: it may have missed some";
  ASSERT_TRUE(cluster_->wait_for_live_workers(1));
  write(writer, "/data/f", "after");
  EXPECT_EQ(content(reader, "/data/f"), "after");
  ASSERT_TRUE(reader.on_changes(nullptr));
}

TEST_F(Told, AClientThatDidNotSubscribeIsNotTold) {
  ClientOptions options = cluster_->client_options();
  options.subscribe = false;
  const auto deaf = Client::connect(options);
  ASSERT_TRUE(deaf);
  const Client writer = connect();
  write(writer, "/data/f", "one");
  ASSERT_EQ(deaf->stat("/data/f")->length_bytes, 3U);
  write(writer, "/data/f", "other");
  EXPECT_EQ(deaf->stat("/data/f")->length_bytes, 3U) << "for as long as the ttl allows";
}

}  // namespace
}  // namespace hearth::testing::told

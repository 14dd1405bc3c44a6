// Files of a store that takes objects whole, written through a real master and worker in one process.
#include "common/clock.h"
#include "tests/support/in_process_cluster.h"
#include "understore/sim_store.h"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace hearth::testing::staged_writing {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
Caller self() { return {.uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .umask = 022}; }

class StagedWriting : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(store_->put_text("old", "what was there"));
    InProcessClusterOptions options;
    options.open_store = [store = store_](const std::string&) { return Result<std::shared_ptr<UnderStore>>(store); };
    cluster_ = std::make_unique<InProcessCluster>(std::move(options));
    ASSERT_TRUE(cluster_->start());
    AttachmentOptions attachment;
    attachment.metadata_ttl = std::chrono::milliseconds(3'600'000);
    const Status attached = cluster_->attach("/s", "sim://one", attachment);
    ASSERT_TRUE(attached) << attached.error().to_string();
    auto client = cluster_->connect();
    ASSERT_TRUE(client) << client.error().to_string();
    client_ = *client;
  }
  WritableFile open(const OpenForWriting& how) {
    auto file = client_->open_for_writing(how, self());
    EXPECT_TRUE(file) << how.path << ": " << file.error().to_string();
    return file ? *file : WritableFile();
  }
  std::string content(const std::string& path) {
    auto read = client_->read_file(path);
    return read ? *read : read.error().to_string();
  }

  std::shared_ptr<SimStore> store_ = std::make_shared<SimStore>(real_clock(), "sim://one");
  std::unique_ptr<InProcessCluster> cluster_;
  std::optional<Client> client_;
};

TEST_F(StagedWriting, AFileIsThereWholeWhenItIsClosedAndNotBefore) {
  EXPECT_EQ(client_->stat("/s/new").code(), Code::not_found);
  WritableFile file = open({.path = "/s/new", .create = true, .mode = 0640});
  EXPECT_TRUE(file.is_staged());
  EXPECT_TRUE(file.is_new());
  ASSERT_TRUE(file.pwrite(bytes("hello"), 0));
  ASSERT_TRUE(file.append(bytes(" world")));
  EXPECT_EQ(client_->stat("/s/new").code(), Code::not_found);
  ASSERT_EQ(::fchmod(file.fd(), 0640), 0);
  const auto closed = file.close();
  ASSERT_TRUE(closed) << closed.error().to_string();
  EXPECT_EQ(closed->length_bytes, 11U);
  EXPECT_EQ(closed->mode, 0640U) << "the copy's";
  EXPECT_EQ(content("/s/new"), "hello world");
  EXPECT_EQ(client_->stat("/s/new")->version, closed->version);
}

TEST_F(StagedWriting, AnExistingFileIsChangedInACopy) {
  WritableFile file = open({.path = "/s/old"});
  EXPECT_FALSE(file.is_new());
  ASSERT_TRUE(file.pwrite(bytes("WHAT"), 0));
  EXPECT_EQ(content("/s/old"), "what was there");
  ASSERT_TRUE(file.sync());
  EXPECT_EQ(content("/s/old"), "WHAT was there");
  ASSERT_TRUE(file.truncate(4));
  ASSERT_TRUE(file.close());
  EXPECT_EQ(content("/s/old"), "WHAT");
  WritableFile empty = open({.path = "/s/old", .without_content = true});
  ASSERT_TRUE(empty.pwrite(bytes("x"), 0));
  ASSERT_TRUE(empty.close());
  EXPECT_EQ(content("/s/old"), "x");
}

TEST_F(StagedWriting, WhatIsNotChangedOrDroppedIsNotUploaded) {
  const std::uint64_t before = store_->calls(SimOp::upload);
  WritableFile same = open({.path = "/s/old"});
  ASSERT_TRUE(same.close());
  {
    WritableFile dropped = open({.path = "/s/dropped", .create = true});
    ASSERT_TRUE(dropped.pwrite(bytes("x"), 0));
  }
  EXPECT_EQ(store_->calls(SimOp::upload), before);
  EXPECT_EQ(client_->stat("/s/dropped").code(), Code::not_found);
}

TEST_F(StagedWriting, OfAnAbortedFileOnlyWhatWasPublishedIsThere) {
  WritableFile file = open({.path = "/s/new", .create = true});
  ASSERT_TRUE(file.pwrite(bytes("one"), 0));
  ASSERT_TRUE(file.sync());
  ASSERT_TRUE(file.append(bytes("two")));
  const std::uint64_t before = store_->calls(SimOp::upload);
  ASSERT_TRUE(file.abort());
  EXPECT_EQ(store_->calls(SimOp::upload), before);
  EXPECT_EQ(content("/s/new"), "one");
}

TEST_F(StagedWriting, OfTwoWritersTheLastWinsUnlessOneMustBeFirst) {
  WritableFile one = open({.path = "/s/both", .create = true});
  WritableFile other = open({.path = "/s/both", .create = true});
  WritableFile first = open({.path = "/s/both", .create = true, .exclusive = true});
  ASSERT_TRUE(one.pwrite(bytes("one"), 0));
  ASSERT_TRUE(other.pwrite(bytes("other"), 0));
  ASSERT_TRUE(other.close());
  ASSERT_TRUE(one.close());
  EXPECT_EQ(content("/s/both"), "one");
  EXPECT_EQ(first.close().code(), Code::already_exists);
  EXPECT_EQ(content("/s/both"), "one");
  EXPECT_EQ(client_->open_for_writing({.path = "/s/both", .create = true, .exclusive = true}, self()).code(), Code::already_exists);
  EXPECT_EQ(client_->open_for_writing({.path = "/s/absent"}, self()).code(), Code::not_found);
  EXPECT_EQ(client_->open_for_writing({.path = "/s"}, self()).code(), Code::is_directory);
}

TEST_F(StagedWriting, ACloseThatFailedLosesNothingAndMayBeTriedAgain) {
  WritableFile file = open({.path = "/s/old"});
  ASSERT_TRUE(file.pwrite(bytes("later"), 0));
  store_->at_next_call(SimOp::upload, {.kind = SimFault::Kind::fail, .code = Code::permission_denied, .delay = {}});
  const auto refused = file.close();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.code(), Code::permission_denied) << refused.error().to_string();
  EXPECT_EQ(content("/s/old"), "what was there");
  const auto closed = file.close();
  ASSERT_TRUE(closed) << closed.error().to_string();
  EXPECT_EQ(content("/s/old"), "laterwas there");
}

TEST_F(StagedWriting, AWorkerThatWasStartedAgainPublishesWhatTheOneBeforeOpened) {
  WritableFile file = open({.path = "/s/new", .create = true});
  ASSERT_TRUE(file.pwrite(bytes("kept"), 0));
  cluster_->kill_worker(0);
  ASSERT_TRUE(cluster_->start_worker(0));
  ASSERT_TRUE(cluster_->wait_for_live_workers(1));
  Result<FileStatus> closed = file.close();
  for (int i = 0; !closed && i < 100; ++i) closed = file.close();  // its connection may not be known to be gone
  ASSERT_TRUE(closed) << closed.error().to_string();
  EXPECT_EQ(content("/s/new"), "kept");
}

}  // namespace
}  // namespace hearth::testing::staged_writing

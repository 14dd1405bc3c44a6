// Questions about many names in one message, to a master over real sockets in front of a real directory.
#include "master/master.h"

#include "common/outcome_wire.h"
#include "master/testing/rpc_client.h"
#include "master/testing/temporary_directory.h"
#include "master/wire.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace hearth::master {
namespace {

class ManyNames : public ::testing::Test {
 protected:
  void SetUp() override {
    MasterOptions options;
    options.data_dir = (directory_ / "data").string();
    options.listen = {"127.0.0.1:0"};
    options.version = "test";
    auto started = Master::start(options);
    ASSERT_TRUE(started) << started.error().to_string();
    master_ = std::move(*started);
    client_ = std::make_unique<RpcClient>(master_->bound().front());
  }
  void TearDown() override {
    client_.reset();
    const Status stopped = master_->stop(std::chrono::seconds(5));
    EXPECT_TRUE(stopped) << stopped.error().to_string();
  }
  void write(const std::string& name, std::uint64_t length) {
    const std::filesystem::path path = directory_ / "source" / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << "x";
    std::filesystem::resize_file(path, length);
  }
  void attach(std::uint64_t block_size_bytes = 64U << 20) {
    proto::AttachRequest request;
    request.set_path("/data");
    request.set_uri("file://" + (directory_ / "source").string());
    request.mutable_options()->set_block_size_bytes(block_size_bytes);
    const auto attached = client_->call<proto::AttachReply>(Method::attach, request);
    ASSERT_TRUE(attached) << attached.error().to_string();
  }
  template <class Reply, class Request>
  Result<Reply> ask(Method method, const std::vector<std::string>& paths) {
    Request request;
    for (const std::string& path : paths) request.add_paths(path);
    return client_->call<Reply>(method, request);
  }
  Result<proto::StatManyReply> stat(const std::vector<std::string>& paths) {
    return ask<proto::StatManyReply, proto::StatManyRequest>(Method::stat_many, paths);
  }
  Result<proto::ResolveManyReply> resolve(const std::vector<std::string>& paths) {
    return ask<proto::ResolveManyReply, proto::ResolveManyRequest>(Method::resolve_many, paths);
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Master> master_;
  std::unique_ptr<RpcClient> client_;
};

TEST_F(ManyNames, AreAnsweredInTheirOrderEachWithItsOutcome) {
  write("a", 100);
  write("d/b", 3 << 20);
  attach(1U << 20);
  const std::vector<std::string> paths{"/data/d/b", "/data/absent", "relative", "/data/a", "/data/d", "/", "/data/a/below"};
  const auto stats = stat(paths);
  ASSERT_TRUE(stats) << stats.error().to_string();
  ASSERT_EQ(stats->items_size(), 7);
  EXPECT_EQ(stats->items(0).info().length_bytes(), 3U << 20);
  EXPECT_EQ(outcome_from_wire(stats->items(1).outcome()).code(), Code::not_found);
  EXPECT_EQ(outcome_from_wire(stats->items(2).outcome()).code(), Code::invalid_argument);
  EXPECT_EQ(stats->items(3).info().length_bytes(), 100U);
  EXPECT_EQ(stats->items(4).info().type(), proto::DIRECTORY);
  EXPECT_EQ(stats->items(5).info().inode(), 1U);
  EXPECT_EQ(outcome_from_wire(stats->items(6).outcome()).code(), Code::not_directory);
  EXPECT_NE(stats->items(1).outcome().why().find("absent"), std::string::npos);
  const auto resolved = resolve(paths);
  ASSERT_TRUE(resolved) << resolved.error().to_string();
  ASSERT_EQ(resolved->items_size(), 7);
  EXPECT_EQ(resolved->items(0).file().blocks_size(), 3);
  EXPECT_EQ(resolved->items(0).file().locations_size(), 3);
  EXPECT_EQ(resolved->items(1).outcome().code(), static_cast<std::uint32_t>(Code::not_found));
  EXPECT_EQ(resolved->items(3).file().blocks_size(), 1);
  EXPECT_FALSE(resolved->items(3).file().store_uri().empty());
}

TEST_F(ManyNames, SayWhatSingleQuestionsSay) {
  for (int i = 0; i < 300; ++i) write("d" + std::to_string(i % 7) + "/f" + std::to_string(i), static_cast<std::uint64_t>(i) * 1000);
  attach();
  std::vector<std::string> paths;
  for (int i = 0; i < 300; ++i) paths.push_back("/data/d" + std::to_string(i % 7) + "/f" + std::to_string(i));
  const auto many = resolve(paths);
  ASSERT_TRUE(many);
  ASSERT_EQ(many->items_size(), 300);
  for (int i = 0; i < 300; ++i) {
    proto::ResolveRequest request;
    request.set_path(paths[static_cast<std::size_t>(i)]);
    auto one = client_->call<proto::ResolveReply>(Method::resolve, request);
    ASSERT_TRUE(one);
    proto::ResolveReply other = many->items(i).file();
    one->mutable_info()->clear_ttl_ms();  // the time that is left
    other.mutable_info()->clear_ttl_ms();
    EXPECT_EQ(one->SerializeAsString(), other.SerializeAsString()) << paths[static_cast<std::size_t>(i)];
  }
}

TEST_F(ManyNames, AThousandAreAnsweredAndMoreAreRefused) {
  write("a", 1);
  attach();
  const auto most = stat(std::vector<std::string>(1000, "/data/a"));
  ASSERT_TRUE(most);
  EXPECT_EQ(most->items_size(), 1000);
  EXPECT_EQ(stat(std::vector<std::string>(1001, "/data/a")).code(), Code::invalid_argument);
  EXPECT_EQ(resolve(std::vector<std::string>(1001, "/data/a")).code(), Code::invalid_argument);
  EXPECT_EQ(stat({})->items_size(), 0);
  EXPECT_EQ(resolve({})->items_size(), 0);
}

// A body may have 8 MiB: 5,000 blocks of one file take about 0.7 MiB.
TEST_F(ManyNames, TheAnswerHoldsTheFirstOnesThatFit) {
  std::vector<std::string> paths;
  for (int i = 0; i < 20; ++i) {
    const std::string name = "large" + std::to_string(i);
    write(name, 5000ULL << 20);
    paths.push_back("/data/" + name);
  }
  attach(1U << 20);
  std::size_t answered = 0;
  int messages = 0;
  while (answered < paths.size()) {
    const auto reply = resolve({paths.begin() + static_cast<std::ptrdiff_t>(answered), paths.end()});
    ASSERT_TRUE(reply) << reply.error().to_string();
    ASSERT_GT(reply->items_size(), 0);
    for (const auto& item : reply->items()) ASSERT_EQ(item.file().blocks_size(), 5000);
    answered += static_cast<std::size_t>(reply->items_size());
    ++messages;
  }
  EXPECT_EQ(answered, paths.size());
  EXPECT_GT(messages, 1);
}

TEST_F(ManyNames, ATenantThatIsNoneIsRefused) {
  proto::ResolveManyRequest request;
  request.add_paths("/");
  request.set_tenant(std::string(65, 't'));
  EXPECT_EQ(client_->call<proto::ResolveManyReply>(Method::resolve_many, request).code(), Code::invalid_argument);
}

}  // namespace
}  // namespace hearth::master

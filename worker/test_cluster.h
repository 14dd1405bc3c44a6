// For the tests of the worker: a shard behind real loopback sockets, a master that answers it, and a client.
#pragma once

#include "common/net/rpc.h"
#include "proto/hearth.pb.h"
#include "worker/shard.h"
#include "worker/testing.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

namespace hearth::worker::testing {

// Registers whoever comes, knows one attachment, keeps the reported blocks.
class TestMaster {
 public:
  explicit TestMaster(Loop& loop);
  Status listen(const std::string& address);
  Status stop();
  std::string address() const { return server_->bound().front().to_string(); }

  bool knows_attachment = true;
  std::uint64_t attachments_version = 1;
  std::set<BlockId> blocks;
  int heartbeats = 0;
  int deregistered = 0;
  proto::WorkerInfo::State state = proto::WorkerInfo::UNKNOWN;

 private:
  Task<ServerReply> registered(std::shared_ptr<ServerCall> call);
  Task<ServerReply> heartbeat(std::shared_ptr<ServerCall> call);
  Task<ServerReply> gone(std::shared_ptr<ServerCall> call);

  Loop& loop_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<RpcServer> server_;
};

struct ReadBytes {
  Status status = ok();
  std::vector<std::byte> bytes;
  std::uint64_t hit_bytes = 0;
  std::uint64_t miss_bytes = 0;
};

// Everything on one loop, in this process.
class Cluster : public ::testing::Test {
 protected:
  void start(WorkerOptions options);
  void start() { start(small_options()); }
  // Another one after stop_shard(), beside the same master and store.
  void start_shard(WorkerOptions options);
  void TearDown() override;
  static WorkerOptions small_options();

  BlockRef file(const std::string& path, std::uint64_t length, const std::string& version = "v1");
  // Shared only for its deleter: a channel is confined to the loop, its end too.
  using Channel = std::shared_ptr<RpcChannel>;
  Channel connect(const Address& address);
  Channel connect_tcp() { return connect(shard_->bound().front()); }
  Channel connect_local();
  Result<RpcReply> call(RpcChannel& channel, Method method, const google::protobuf::MessageLite& body,
                        std::span<std::byte> into = {});
  Task<RpcReply> call_task(RpcChannel* channel, Method method, std::string body, std::span<std::byte> into);
  ReadBytes read(RpcChannel& channel, const BlockRef& block, std::uint64_t offset, std::uint64_t length);
  bool reads_right(RpcChannel& channel, const BlockRef& block);
  Result<RpcReply> grant(RpcChannel& channel, const BlockRef& block, std::span<std::byte> checksums = {});
  Status load(RpcChannel& channel, const BlockRef& block);
  Status stop_shard(Duration grace);
  void use_policy(const std::string& text);
  // No eviction ahead of need: tests of a few pages count them all.
  void keep_memory_full() { use_policy("[tier.memory]\nhigh_watermark = \"100%\"\nlow_watermark = \"99%\"\n"); }

  Loop loop_;
  BlockingPool pool_{2, 65'536};
  std::unique_ptr<Transport> transport_ = make_socket_transport(loop_.executor());
  TestMaster master_{loop_};
  std::shared_ptr<OracleStore> store_ = std::make_shared<OracleStore>(loop_.executor(), "sim://one");
  std::string directory_;
  DiskOpener open_device_;  // set before start() for tests with devices
  std::unique_ptr<Shard> shard_;
};

}  // namespace hearth::worker::testing

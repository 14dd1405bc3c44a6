#include "worker/test_cluster.h"

#include "common/block_wire.h"
#include "common/rng.h"
#include "worker/wire.h"

#include <cstdlib>
#include <filesystem>
#include <utility>

namespace hearth::worker::testing {

TestMaster::TestMaster(Loop& loop) : loop_(loop), transport_(make_socket_transport(loop.executor())) {}

Status TestMaster::listen(const std::string& address) {
  server_ = make_rpc_server(RpcContext{loop_.executor(), *transport_, real_clock(), RpcLimits{}});
  using Call = std::shared_ptr<ServerCall>;
  server_->handle(Method::register_worker, [this](Call call) { return registered(std::move(call)); });
  server_->handle(Method::heartbeat, [this](Call call) { return heartbeat(std::move(call)); });
  server_->handle(Method::deregister_worker, [this](Call call) { return gone(std::move(call)); });
  TRY(parsed, Address::parse(address));
  return server_->listen(parsed);
}

Status TestMaster::stop() {
  if (!server_) return ok();
  Status stopped = loop_.run(server_->stop(Deadline::after(real_clock(), std::chrono::seconds(1))));
  server_.reset();
  return stopped;
}

namespace {
void describe_attachment(proto::Attachment& attachment) {
  attachment.set_id(test_attachment.value);
  attachment.set_uri("sim://one");
  attachment.mutable_options()->set_page_size_bytes(test_page);
}
}  // namespace

Task<ServerReply> TestMaster::registered(std::shared_ptr<ServerCall> call) {
  proto::RegisterWorkerRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  state = request.worker().state();
  proto::RegisterWorkerReply reply;
  reply.set_epoch(1);
  reply.set_heartbeat_interval_ms(200);
  reply.set_attachments_version(attachments_version);
  if (knows_attachment) describe_attachment(*reply.add_attachments());
  co_return reply_with(reply);
}

Task<ServerReply> TestMaster::heartbeat(std::shared_ptr<ServerCall> call) {
  proto::HeartbeatRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  heartbeats += 1;
  state = request.worker().state();
  if (request.full_begin()) blocks.clear();
  const auto added = block_ids_from_wire(request.added_block_ids());
  const auto removed = block_ids_from_wire(request.removed_block_ids());
  blocks.insert(added->begin(), added->end());
  for (const BlockId& id : *removed) blocks.erase(id);
  proto::HeartbeatReply reply;
  if (request.attachments_version() != attachments_version) {
    reply.set_attachments_changed(true);
    reply.set_attachments_version(attachments_version);
    if (knows_attachment) describe_attachment(*reply.add_attachments());
  }
  co_return reply_with(reply);
}

Task<ServerReply> TestMaster::gone(std::shared_ptr<ServerCall>) {
  deregistered += 1;
  co_return reply_with(proto::DeregisterWorkerReply());
}

WorkerOptions Cluster::small_options() {
  WorkerOptions options;
  options.memory.capacity_bytes = 64 * test_page;
  options.memory.huge_pages = HugePages::off;
  options.memory.grant_max_fraction = 1.0;
  options.memory.max_blocks = 512;
  options.readahead_pages = 0;
  return options;
}

void Cluster::start(WorkerOptions options) {
  char name[] = "/tmp/hearth-worker-test-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  directory_ = name;
  Status listening = master_.listen("127.0.0.1:0");
  ASSERT_TRUE(listening) << listening.error().message();
  start_shard(std::move(options));
}

void Cluster::start_shard(WorkerOptions options) {
  options.master = master_.address();
  options.local_socket = directory_ + "/worker.sock";
  auto opener = [this](const std::string&, const StoreOptions&) { return Result<std::shared_ptr<UnderStore>>(store_); };
  ShardContext context{loop_.executor(), real_clock(), system_rng(), pool_, pool_, opener, open_device_,
                       make_socket_transport(loop_.executor())};
  shard_ = std::make_unique<Shard>(std::move(context), std::move(options));
  Status started = loop_.run(shard_->start());
  ASSERT_TRUE(started) << started.error().message();
  ASSERT_TRUE(loop_.work_until([&] { return shard_->status().registered; }));
}

Status Cluster::stop_shard(Duration grace) {
  Status stopped = loop_.run(shard_->stop(grace));
  shard_.reset();
  return stopped;
}

void Cluster::use_policy(const std::string& text) {
  auto parsed = policy::parse_policy(text, "test");
  ASSERT_TRUE(parsed) << parsed.error().message();
  shard_->tiers().set_policy(std::make_shared<const policy::Policy>(*parsed));
}

void Cluster::TearDown() {
  store_->open_gate();
  if (shard_) {
    Status stopped = stop_shard(std::chrono::seconds(1));
    EXPECT_TRUE(stopped) << stopped.error().message();
  }
  Status stopped = master_.stop();
  EXPECT_TRUE(stopped) << stopped.error().message();
  loop_.settle();
  std::filesystem::remove_all(directory_);
}

BlockRef Cluster::file(const std::string& path, std::uint64_t length, const std::string& version) {
  store_->put(path, version, length);
  return block_of("sim://one", path, version, length);
}

namespace {
Task<> destroy(std::unique_ptr<RpcChannel> channel) {
  channel.reset();
  co_return ok();
}
}  // namespace

Cluster::Channel Cluster::connect(const Address& address) {
  auto made = make_rpc_channel(RpcContext{loop_.executor(), *transport_, real_clock(), RpcLimits{}}, address);
  return Channel(made.release(), [this](RpcChannel* channel) { 
    EXPECT_TRUE(loop_.run(destroy(std::unique_ptr<RpcChannel>(channel))));
  });
}

Cluster::Channel Cluster::connect_local() {
  Address address;
  address.kind = Address::Kind::unix_socket;
  address.host = directory_ + "/worker.sock";
  return connect(address);
}

Task<RpcReply> Cluster::call_task(RpcChannel* channel, Method method, std::string body, std::span<std::byte> into) {
  RpcCall request;
  request.method = method;
  request.body = std::move(body);
  request.into = into;
  const Deadline deadline = Deadline::after(real_clock(), std::chrono::seconds(10));
  Result<RpcReply> reply = co_await channel->call(std::move(request), deadline);
  co_return reply;
}

Result<RpcReply> Cluster::call(RpcChannel& channel, Method method, const google::protobuf::MessageLite& body,
                               std::span<std::byte> into) {
  return loop_.run(call_task(&channel, method, body.SerializeAsString(), into));
}

ReadBytes Cluster::read(RpcChannel& channel, const BlockRef& block, std::uint64_t offset, std::uint64_t length) {
  proto::ReadRequest request;
  block_to_wire(block, *request.mutable_block());
  request.set_offset_bytes(offset);
  request.set_length_bytes(length);
  ReadBytes out;
  out.bytes.resize(length <= max_read_bytes ? length : 0);
  Result<RpcReply> reply = call(channel, Method::read, request, out.bytes);
  if (!reply) {
    out.status = std::move(reply).error();
    return out;
  }
  EXPECT_EQ(reply->payload_bytes, length);
  proto::ReadReply body;
  EXPECT_TRUE(body.ParseFromString(reply->body));
  out.hit_bytes = body.hit_bytes();
  out.miss_bytes = body.miss_bytes();
  return out;
}

bool Cluster::reads_right(RpcChannel& channel, const BlockRef& block) {
  const ReadBytes all = read(channel, block, 0, block.length_bytes);
  EXPECT_TRUE(all.status) << all.status.error().to_string();
  return all.status && is_oracle(all.bytes, block.store_path, block.version, 0);
}

Result<RpcReply> Cluster::grant(RpcChannel& channel, const BlockRef& block, std::span<std::byte> checksums) {
  std::vector<std::byte> room(checksums.empty() ? 4 * 4096 : 0);
  proto::GrantRequest request;
  block_to_wire(block, *request.mutable_block());
  return call(channel, Method::grant, request, checksums.empty() ? std::span<std::byte>(room) : checksums);
}

Status Cluster::load(RpcChannel& channel, const BlockRef& block) {
  proto::LoadRequest request;
  block_to_wire(block, *request.mutable_block());
  request.set_length_bytes(block.length_bytes);
  Result<RpcReply> reply = call(channel, Method::load, request);
  if (!reply) return std::move(reply).error();
  return ok();
}

}  // namespace hearth::worker::testing

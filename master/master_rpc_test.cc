// The master over real sockets, a real database and a real directory.
#include "master/master.h"

#include "common/block_wire.h"
#include "common/fd.h"
#include "master/testing/rpc_client.h"
#include "master/testing/temporary_directory.h"
#include "master/wire.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <fstream>

namespace hearth::master {
namespace {

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary);
  out << content;
}

// A worker that frees what it is told to and keeps the ids.
Task<ServerReply> answer_free(std::shared_ptr<ServerCall> call, std::string* freed_ids) {
  CO_TRY(request, parse_body<proto::FreeBlocksRequest>(*call));
  *freed_ids = request.block_ids();
  proto::FreeBlocksReply reply;
  reply.set_blocks(1);
  reply.set_bytes(3);
  co_return reply_with(reply);
}

class MasterRpc : public ::testing::Test {
 protected:
  void SetUp() override { start(); }

  void start() {
    MasterOptions options;
    options.data_dir = (directory_ / "data").string();
    options.listen = {"127.0.0.1:0", "unix:" + (directory_ / "m.sock").string()};
    options.version = "test";
    options.lost_after = lost_after_;
    Result<std::unique_ptr<Master>> started = Master::start(options);
    ASSERT_TRUE(started) << started.error().to_string();
    master_ = std::move(*started);
    client_ = std::make_unique<RpcClient>(master_->bound().front());
  }
  void stop() {
    client_.reset();
    const Status stopped = master_->stop(std::chrono::seconds(5));
    EXPECT_TRUE(stopped) << stopped.error().to_string();
    master_.reset();
  }
  void TearDown() override {
    if (master_) stop();
  }

  Result<proto::AttachReply> attach(const std::string& path, const std::string& uri, std::uint64_t ttl_ms = 0) {
    proto::AttachRequest request;
    request.set_path(path);
    request.set_uri(uri);
    request.mutable_options()->set_metadata_ttl_ms(ttl_ms);
    return client_->call<proto::AttachReply>(Method::attach, request);
  }
  Result<proto::FileInfo> stat(const std::string& path) {
    proto::StatRequest request;
    request.set_path(path);
    TRY(reply, client_->call<proto::StatReply>(Method::stat, request));
    return reply.info();
  }
  Result<proto::ListReply> list(const std::string& path, const std::string& after = "", std::uint32_t limit = 0) {
    proto::ListRequest request;
    request.set_path(path);
    request.set_after(after);
    request.set_limit(limit);
    return client_->call<proto::ListReply>(Method::list, request);
  }
  Result<proto::ResolveReply> resolve(const std::string& path, const std::string& tenant = "") {
    proto::ResolveRequest request;
    request.set_path(path);
    request.set_tenant(tenant);
    return client_->call<proto::ResolveReply>(Method::resolve, request);
  }
  std::vector<std::string> names(const std::string& path) {
    std::vector<std::string> out;
    const Result<proto::ListReply> page = list(path);
    EXPECT_TRUE(page) << page.error().to_string();
    if (!page) return out;
    for (const proto::DirectoryEntry& entry : page->entries()) out.push_back(entry.name());
    return out;
  }
  Result<proto::RegisterWorkerReply> register_worker(std::uint64_t id, const std::string& address) {
    proto::RegisterWorkerRequest registration;
    registration.mutable_worker()->set_worker_id(id);
    registration.mutable_worker()->set_address(address);
    return client_->call<proto::RegisterWorkerReply>(Method::register_worker, registration);
  }
  Result<proto::FreeReply> free(const std::string& path, Duration timeout = std::chrono::seconds(20)) {
    proto::FreeRequest request;
    request.set_path(path);
    request.set_recursive(true);
    return client_->call<proto::FreeReply>(Method::free_path, request, timeout);
  }
  std::string source_uri() const { return "file://" + (directory_ / "source").string(); }

  TemporaryDirectory directory_;
  Duration lost_after_ = std::chrono::seconds(5);
  std::unique_ptr<Master> master_;
  std::unique_ptr<RpcClient> client_;
};

TEST_F(MasterRpc, AStatForOpeningSaysWhatAResolveWould) {
  write_file(directory_ / "source/a/one.txt", std::string(3 << 20, 'x'));
  ASSERT_TRUE(attach("/data", source_uri()));
  proto::StatRequest request;
  request.set_path("/data/a/one.txt");
  request.set_tenant("team");
  request.set_for_opening(true);
  auto both = client_->call<proto::StatReply>(Method::stat, request);
  auto resolved = resolve("/data/a/one.txt", "team");
  ASSERT_TRUE(both && resolved);
  EXPECT_EQ(both->info().version(), resolved->info().version());
  resolved->clear_info();
  EXPECT_EQ(both->resolved().SerializeAsString(), resolved->SerializeAsString());

  request.set_path("/data/a");
  const auto directory = client_->call<proto::StatReply>(Method::stat, request);
  ASSERT_TRUE(directory);
  EXPECT_EQ(directory->info().type(), proto::DIRECTORY);
  EXPECT_FALSE(directory->has_resolved());
  request.set_path("/data/a/none");
  EXPECT_EQ(client_->call<proto::StatReply>(Method::stat, request).code(), Code::not_found);
}

TEST_F(MasterRpc, AnswersStatListAndResolveOfAnAttachedDirectory) {
  write_file(directory_ / "source/a/one.txt", "hello");
  write_file(directory_ / "source/b.txt", std::string(3 << 20, 'x'));
  const auto attached = attach("/data", source_uri());
  ASSERT_TRUE(attached) << attached.error().to_string();
  EXPECT_EQ(attached->attachment().path(), "/data");

  const auto root = stat("/");
  ASSERT_TRUE(root) << root.error().to_string();
  EXPECT_EQ(root->inode(), 1u);
  EXPECT_EQ(root->type(), proto::DIRECTORY);
  EXPECT_EQ(names("/"), (std::vector<std::string>{"data"}));
  EXPECT_EQ(names("/data"), (std::vector<std::string>{"a", "b.txt"}));
  const auto file = stat("/data/a/one.txt");
  ASSERT_TRUE(file) << file.error().to_string();
  EXPECT_EQ(file->length_bytes(), 5u);
  EXPECT_EQ(file->type(), proto::REGULAR);

  const auto resolved = resolve("/data/b.txt");
  ASSERT_TRUE(resolved) << resolved.error().to_string();
  ASSERT_EQ(resolved->blocks_size(), 1);
  EXPECT_EQ(resolved->blocks(0).store_path(), "b.txt");
  EXPECT_EQ(resolved->blocks(0).length_bytes(), 3u << 20);
  EXPECT_EQ(resolved->store_uri(), source_uri());
  EXPECT_EQ(resolve("/data/a").code(), Code::is_directory);
  EXPECT_EQ(stat("/data/b.txt/x").code(), Code::not_directory);
  EXPECT_EQ(stat("/data/none/x").code(), Code::not_found);
  EXPECT_EQ(stat("/nowhere").code(), Code::not_found);
  EXPECT_EQ(stat("/data/../x").code(), Code::invalid_argument);
}

TEST_F(MasterRpc, BlocksSayWhatRulesMatchOn) {
  write_file(directory_ / "source/a", std::string(3 << 20, 'x'));
  proto::AttachRequest attaching;
  attaching.set_path("/data");
  attaching.set_uri(source_uri());
  attaching.mutable_options()->set_block_size_bytes(1 << 20);
  ASSERT_TRUE(client_->call<proto::AttachReply>(Method::attach, attaching));
  const auto resolved = resolve("/data/a", "ml");
  ASSERT_TRUE(resolved) << resolved.error().to_string();
  ASSERT_EQ(resolved->blocks_size(), 3);
  for (const proto::BlockRef& block : resolved->blocks()) {
    EXPECT_EQ(block.file_length_bytes(), 3u << 20) << "of the file, not of the block";
    ASSERT_TRUE(block.has_uid() && block.has_gid());
    EXPECT_EQ(block.uid(), ::geteuid());
    EXPECT_EQ(block.gid(), resolved->info().gid());
    EXPECT_TRUE(block.has_mode());
    EXPECT_EQ(block.mode(), resolved->info().mode() & 07777);
    EXPECT_EQ(block.tenant(), "ml");
  }
  const auto nobody = resolve("/data/a");
  ASSERT_TRUE(nobody);
  EXPECT_EQ(nobody->blocks(0).tenant(), "");
  EXPECT_EQ(nobody->blocks(0).id_high(), resolved->blocks(0).id_high()) << "the same block for every tenant";
  EXPECT_EQ(resolve("/data/a", std::string(65, 't')).code(), Code::invalid_argument);
  EXPECT_EQ(resolve("/data/a", "a\nb").code(), Code::invalid_argument);
}

TEST_F(MasterRpc, APolicyComesWithTheUsersThatItNames) {
  proto::PolicyApplyRequest request;
  request.set_text("[[rule]]\nname = \"r\"\nowner = [\"root\", \"77\", \"nobody-has-this-name\"]\nttl = \"1d\"\n");
  ASSERT_TRUE(client_->call<proto::PolicyApplyReply>(Method::policy_apply, request));
  const auto got = client_->call<proto::PolicyGetReply>(Method::policy_get, proto::PolicyGetRequest());
  ASSERT_TRUE(got) << got.error().to_string();
  ASSERT_EQ(got->users_size(), 1);
  EXPECT_EQ(got->users(0).name(), "root");
  EXPECT_EQ(got->users(0).uid(), 0u);
}

TEST_F(MasterRpc, ShowsChangesOfTheSourceAtOnceWhenTheTtlIsZero) {
  write_file(directory_ / "source/f", "one");
  ASSERT_TRUE(attach("/d", source_uri()));
  const auto before = stat("/d/f");
  ASSERT_TRUE(before);
  write_file(directory_ / "source/f", "two!");
  const auto after = stat("/d/f");
  ASSERT_TRUE(after);
  EXPECT_NE(before->version(), after->version());
  EXPECT_EQ(before->inode(), after->inode());
  EXPECT_EQ(after->length_bytes(), 4u);
  std::filesystem::remove(directory_ / "source/f");
  EXPECT_EQ(stat("/d/f").code(), Code::not_found);
  EXPECT_TRUE(names("/d").empty());
}

TEST_F(MasterRpc, KeepsAttachmentsAndInodeIdsAcrossARestart) {
  write_file(directory_ / "source/f", "one");
  ASSERT_TRUE(attach("/x/y", source_uri()));
  const auto before = stat("/x/y/f");
  ASSERT_TRUE(before);
  stop();
  start();
  const auto after = stat("/x/y/f");
  ASSERT_TRUE(after) << after.error().to_string();
  EXPECT_EQ(before->inode(), after->inode());
  EXPECT_EQ(names("/x"), (std::vector<std::string>{"y"}));
  proto::DetachRequest request;
  request.set_path("/x/y");
  ASSERT_TRUE(client_->call<proto::DetachReply>(Method::detach, request));
  stop();
  start();
  EXPECT_EQ(stat("/x/y").code(), Code::not_found);
}

TEST_F(MasterRpc, RefusesASecondMasterOnTheSameDirectory) {
  MasterOptions options;
  options.data_dir = (directory_ / "data").string();
  options.listen = {"127.0.0.1:0"};
  const auto second = Master::start(options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.code(), Code::busy);
  EXPECT_NE(second.error().message().find("another master"), std::string::npos) << second.error().message();
}

TEST_F(MasterRpc, RefusesAnAddressThatIsTakenAndLeavesNothingRunning) {
  for (const Address& taken : master_->bound()) {
    MasterOptions options;
    options.data_dir = (directory_ / "other").string();
    options.listen = {taken.to_string()};
    const auto second = Master::start(options);
    ASSERT_FALSE(second) << taken.to_string();
    EXPECT_NE(second.error().message().find("cannot listen"), std::string::npos) << second.error().message();
  }
}

TEST_F(MasterRpc, RefusesAttachmentsThatCannotWork) {
  EXPECT_EQ(attach("/a", "nonsense").code(), Code::invalid_argument);
  EXPECT_EQ(attach("/a", "gopher://x/y").code(), Code::unsupported);
  EXPECT_FALSE(attach("/a", "file://" + (directory_ / "missing").string()));
  write_file(directory_ / "source/f", "one");
  ASSERT_TRUE(attach("/a", source_uri()));
  EXPECT_EQ(attach("/a", source_uri()).code(), Code::already_exists);
  EXPECT_EQ(attach("/a/f/g", source_uri()).code(), Code::not_directory);
  ASSERT_TRUE(attach("/a/n", source_uri()));
  proto::DetachRequest request;
  request.set_path("/a");
  const auto detached = client_->call<proto::DetachReply>(Method::detach, request);
  ASSERT_FALSE(detached);
  EXPECT_EQ(detached.code(), Code::busy);
  EXPECT_NE(detached.error().message().find("/a/n"), std::string::npos);
  EXPECT_EQ(names("/a"), (std::vector<std::string>{"f", "n"}));
}

// A worker that frees what it is told to.
class FakeWorker {
 public:
  FakeWorker() {
    thread_.start();
    server_->handle(Method::free_blocks, [this](std::shared_ptr<ServerCall> call) { return answer_free(std::move(call), &freed_ids_); });
    EXPECT_TRUE(server_->listen(*Address::parse("127.0.0.1:0")));
  }
  ~FakeWorker() {
    EXPECT_TRUE(thread_.run_sync(server_->stop(Deadline::after(real_clock(), std::chrono::seconds(5)))));
    thread_.stop();
  }
  std::string address() const { return server_->bound().front().to_string(); }
  const std::string& freed_ids() const { return freed_ids_; }  // after the free was answered

 private:
  IoThread thread_{"test-worker"};
  std::unique_ptr<Transport> transport_ = make_socket_transport(thread_.executor());
  std::unique_ptr<RpcServer> server_ =
      make_rpc_server(RpcContext{thread_.executor(), *transport_, real_clock(), RpcLimits()});
  std::string freed_ids_;
};

TEST_F(MasterRpc, TellsWhereAWorkerHoldsABlockAndFreesIt) {
  write_file(directory_ / "source/f", "one");
  ASSERT_TRUE(attach("/a", source_uri()));
  const FakeWorker worker;
  const auto registered = register_worker(77, worker.address());
  ASSERT_TRUE(registered) << registered.error().to_string();
  ASSERT_EQ(registered->attachments_size(), 1);

  const auto resolved = resolve("/a/f");
  ASSERT_TRUE(resolved);
  const BlockId block = block_id_from_wire(resolved->blocks(0));
  proto::HeartbeatRequest heartbeat;
  heartbeat.set_worker_id(77);
  heartbeat.set_epoch(registered->epoch());
  heartbeat.set_sequence(1);
  heartbeat.set_full_begin(true);
  heartbeat.set_full_end(true);
  heartbeat.set_added_block_ids(block_ids_to_wire({block}));
  heartbeat.set_attachments_version(registered->attachments_version());
  heartbeat.mutable_worker()->set_address(worker.address());
  heartbeat.mutable_worker()->set_fetched_bytes(300);
  heartbeat.mutable_worker()->set_fetches(3);
  const auto beaten = client_->call<proto::HeartbeatReply>(Method::heartbeat, heartbeat);
  ASSERT_TRUE(beaten) << beaten.error().to_string();
  EXPECT_FALSE(beaten->send_full_report());
  EXPECT_FALSE(beaten->attachments_changed());
  const auto workers = client_->call<proto::WorkersReply>(Method::workers, proto::WorkersRequest());
  ASSERT_TRUE(workers && workers->workers_size() == 1);
  EXPECT_EQ(workers->workers(0).fetched_bytes(), 300u);
  EXPECT_EQ(workers->workers(0).fetches(), 3u);

  const auto located = resolve("/a/f");
  ASSERT_EQ(located->locations(0).worker_ids_size(), 1);
  EXPECT_EQ(located->locations(0).worker_ids(0), 77u);

  const auto freed = free("/a");
  ASSERT_TRUE(freed) << freed.error().to_string();
  EXPECT_EQ(freed->blocks(), 1u);
  EXPECT_EQ(worker.freed_ids(), block_ids_to_wire({block}));
  const auto gone = resolve("/a/f");
  EXPECT_EQ(gone->locations(0).worker_ids_size(), 0);

  heartbeat.set_epoch(registered->epoch() + 1);
  EXPECT_EQ(client_->call<proto::HeartbeatReply>(Method::heartbeat, heartbeat).code(), Code::wrong_epoch);
}

// Story: `hearth free` right after `hearth load` freed nothing, because the worker had not reported its blocks yet.
TEST_F(MasterRpc, FreesAtWorkersThatDidNotReportTheBlocksYet) {
  write_file(directory_ / "source/f", "one");
  ASSERT_TRUE(attach("/a", source_uri()));
  const FakeWorker first;
  const FakeWorker second;
  ASSERT_TRUE(register_worker(77, first.address()));
  ASSERT_TRUE(register_worker(78, second.address()));
  const auto resolved = resolve("/a/f");
  ASSERT_TRUE(resolved);
  ASSERT_EQ(resolved->locations(0).worker_ids_size(), 0) << "no worker has reported it";
  const std::string ids = block_ids_to_wire({block_id_from_wire(resolved->blocks(0))});
  const auto freed = free("/a");
  ASSERT_TRUE(freed) << freed.error().to_string();
  EXPECT_EQ(freed->blocks(), 2u);
  EXPECT_EQ(freed->bytes(), 6u);
  EXPECT_EQ(first.freed_ids(), ids);
  EXPECT_EQ(second.freed_ids(), ids);
}

TEST_F(MasterRpc, FreesAtTheOthersWhenAWorkerDoesNotAnswerAndNamesIt) {
  write_file(directory_ / "source/f", "one");
  ASSERT_TRUE(attach("/a", source_uri()));
  // A frozen worker: the kernel accepts connections for it, and nobody answers.
  const UniqueFd frozen(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof at;
  ASSERT_EQ(::bind(frozen.get(), reinterpret_cast<sockaddr*>(&at), length), 0);
  ASSERT_EQ(::listen(frozen.get(), 8), 0);
  ASSERT_EQ(::getsockname(frozen.get(), reinterpret_cast<sockaddr*>(&at), &length), 0);
  const std::string frozen_address = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
  ASSERT_TRUE(register_worker(1, frozen_address));  // asked first
  const FakeWorker worker;
  ASSERT_TRUE(register_worker(2, worker.address()));
  ASSERT_TRUE(resolve("/a/f"));
  const auto freed = free("/a", std::chrono::seconds(1));
  ASSERT_FALSE(freed);
  EXPECT_FALSE(worker.freed_ids().empty());
  const std::string& message = freed.error().message();
  EXPECT_NE(message.find(frozen_address), std::string::npos) << message;
  EXPECT_NE(message.find("freed 1 blocks (3 bytes)"), std::string::npos) << message;
  EXPECT_EQ(message.find(worker.address()), std::string::npos) << message;
}

TEST_F(MasterRpc, PoliciesAreAppliedListedRolledBackAndSurviveARestart) {
  const auto apply = [&](const std::string& text, std::uint64_t expected) {
    proto::PolicyApplyRequest request;
    request.set_text(text);
    request.set_expected_version(expected);
    request.set_by("alice@host");
    request.set_comment("first");
    return client_->call<proto::PolicyApplyReply>(Method::policy_apply, request);
  };
  const auto current = [&] { return client_->call<proto::PolicyGetReply>(Method::policy_get, proto::PolicyGetRequest()); };
  ASSERT_TRUE(current());
  EXPECT_EQ(current()->policy().version(), 0u);
  const std::string good = "[[rule]]\nname = \"r\"\ntier = \"nvme\"\n[[rule]]\nname = \"s\"\ntier = \"memory\"\n";
  const auto applied = apply(good, 0);
  ASSERT_TRUE(applied) << applied.error().to_string();
  EXPECT_EQ(applied->policy().version(), 1u);
  ASSERT_EQ(applied->warnings_size(), 1);
  EXPECT_EQ(applied->warnings(0).line(), 4u);
  const auto refused = apply("[defaults]\ntier = 3\n", 1);
  EXPECT_EQ(refused.code(), Code::invalid_argument);
  EXPECT_NE(refused.error().message().find("policy.toml:2:1: error: tier wants one of"), std::string::npos) << refused.error().message();
  EXPECT_EQ(apply("# late", 0).code(), Code::stale);
  proto::PolicyApplyRequest dry;
  dry.set_text("# dry");
  dry.set_dry_run(true);
  ASSERT_TRUE(client_->call<proto::PolicyApplyReply>(Method::policy_apply, dry));
  EXPECT_EQ(current()->policy().text(), good);
  ASSERT_TRUE(apply("# second", 1));

  stop();
  start();
  EXPECT_EQ(current()->policy().text(), "# second");
  proto::PolicyRollbackRequest back;
  back.set_version(1);
  const auto rolled = client_->call<proto::PolicyRollbackReply>(Method::policy_rollback, back);
  ASSERT_TRUE(rolled) << rolled.error().to_string();
  EXPECT_EQ(rolled->policy().version(), 3u);
  EXPECT_EQ(rolled->policy().restored_from(), 1u);
  EXPECT_EQ(current()->policy().text(), good);
  const auto kept = client_->call<proto::PolicyListReply>(Method::policy_list, proto::PolicyListRequest());
  ASSERT_EQ(kept->versions_size(), 3);
  EXPECT_EQ(kept->versions(0).version(), 3u);
  EXPECT_EQ(kept->versions(2).by(), "alice@host");
  EXPECT_EQ(kept->versions(2).text(), "");

  const auto registered = register_worker(1, "127.0.0.1:9");
  ASSERT_TRUE(registered);
  EXPECT_EQ(registered->policy_version(), 3u);
  proto::HeartbeatRequest beat;
  beat.set_worker_id(1);
  beat.set_epoch(registered->epoch());
  beat.set_sequence(1);
  beat.mutable_worker()->set_address("127.0.0.1:9");
  beat.mutable_worker()->set_policy_version(2);
  beat.mutable_worker()->set_policy_problem("too new");
  const auto answered = client_->call<proto::HeartbeatReply>(Method::heartbeat, beat);
  ASSERT_TRUE(answered) << answered.error().to_string();
  EXPECT_EQ(answered->policy_version(), 3u);
  const auto workers = client_->call<proto::WorkersReply>(Method::workers, proto::WorkersRequest());
  EXPECT_EQ(workers->workers(0).policy_version(), 2u);
  EXPECT_EQ(workers->workers(0).policy_problem(), "too new");
}

TEST_F(MasterRpc, AttachmentsKeepTheirStoreOptionsAndTheStoreRefusesWhatItDoesNotKnow) {
  write_file(directory_ / "source/f", "one");
  proto::AttachRequest request;
  request.set_path("/a");
  request.set_uri(source_uri());
  (*request.mutable_options()->mutable_store_options())["endpoint"] = "http://127.0.0.1:9";
  const auto refused = client_->call<proto::AttachReply>(Method::attach, request);
  EXPECT_EQ(refused.code(), Code::invalid_argument);
  EXPECT_NE(refused.error().message().find("does not know the option \"endpoint\"; it takes none"), std::string::npos) << refused.error().message();
  request.mutable_options()->clear_store_options();
  (*request.mutable_options()->mutable_store_options())["End Point"] = "x";
  EXPECT_NE(client_->call<proto::AttachReply>(Method::attach, request).error().message().find("is not the name of a store option"), std::string::npos);
}

TEST_F(MasterRpc, ReportsItsStatus) {
  write_file(directory_ / "source/f", "one");
  ASSERT_TRUE(attach("/a", source_uri()));
  const auto status = client_->call<proto::MasterStatusReply>(Method::master_status, proto::MasterStatusRequest());
  ASSERT_TRUE(status);
  EXPECT_EQ(status->version(), "test");
  EXPECT_EQ(status->attachment_count(), 1u);
  const auto health = master_->health();
  ASSERT_TRUE(health);
  EXPECT_EQ(health->cluster_id, status->cluster_id());
}

}  // namespace
}  // namespace hearth::master

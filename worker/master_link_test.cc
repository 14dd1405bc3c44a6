#include "worker/master_link.h"

#include "common/block_wire.h"
#include "common/manual_clock.h"
#include "proto/hearth.pb.h"
#include "understore/sim_store.h"
#include "worker/testing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace hearth::worker {
namespace {

using namespace std::chrono_literals;

// The master, as one side of a channel: keeps the block map as a real one would, and fails on request.
struct FakeMaster {
  Result<std::string> answer(Method method, const std::string& body) {
    calls.push_back(method);
    if (away) return Error(Code::unavailable, "nobody listens");
    if (method == Method::register_worker) return registered(body);
    if (method == Method::heartbeat) return heartbeat(body);
    if (method == Method::policy_get) {
      proto::PolicyGetReply reply;
      reply.mutable_policy()->set_version(policy_version);
      reply.mutable_policy()->set_text(policy_text);
      return reply.SerializeAsString();
    }
    deregistered += 1;
    return proto::DeregisterWorkerReply().SerializeAsString();
  }
  Result<std::string> registered(const std::string&) {
    epoch += 1;
    registrations += 1;
    last_sequence = 0;
    proto::RegisterWorkerReply reply;
    reply.set_epoch(epoch);
    reply.set_heartbeat_interval_ms(1000);
    reply.set_attachments_version(attachments_version);
    return reply.SerializeAsString();
  }
  Result<std::string> heartbeat(const std::string& body) {
    proto::HeartbeatRequest request;
    EXPECT_TRUE(request.ParseFromString(body));
    if (request.epoch() != epoch) return Error(Code::wrong_epoch, "register again");
    const bool repeated = request.sequence() == last_sequence;
    EXPECT_TRUE(repeated || request.sequence() == last_sequence + 1) << request.sequence();
    last_sequence = request.sequence();
    heartbeats += 1;
    if (request.full_begin()) {
      blocks.clear();
      full_reports += 1;
    }
    const auto added = block_ids_from_wire(request.added_block_ids());
    const auto removed = block_ids_from_wire(request.removed_block_ids());
    blocks.insert(added->begin(), added->end());
    for (const BlockId& id : *removed) blocks.erase(id);
    state = request.worker().state();
    runs_policy = request.worker().policy_version();
    policy_problem = request.worker().policy_problem();
    if (lose_answers > 0) {
      lose_answers -= 1;
      return Error(Code::unavailable, "the answer was lost");
    }
    proto::HeartbeatReply reply;
    reply.set_policy_version(policy_version);
    reply.set_send_full_report(want_full);
    want_full = false;
    if (request.attachments_version() != attachments_version) {
      reply.set_attachments_changed(true);
      reply.set_attachments_version(attachments_version);
      proto::Attachment& attachment = *reply.add_attachments();
      attachment.set_id(7);
      attachment.set_uri("sim://one");
      (*attachment.mutable_options()->mutable_store_options())["region"] = "eu";
    }
    return reply.SerializeAsString();
  }

  std::vector<Method> calls;
  std::set<BlockId> blocks;
  std::uint64_t epoch = 40;
  std::uint64_t last_sequence = 0;
  std::uint64_t attachments_version = 1;
  std::uint64_t policy_version = 0;
  std::string policy_text;
  std::uint64_t runs_policy = 0;  // as the worker says
  std::string policy_problem;
  int registrations = 0;
  int heartbeats = 0;
  int full_reports = 0;
  int deregistered = 0;
  int lose_answers = 0;
  bool want_full = false;
  bool away = false;
  proto::WorkerInfo::State state = proto::WorkerInfo::UNKNOWN;
};

class FakeChannel final : public RpcChannel {
 public:
  explicit FakeChannel(FakeMaster& master) : master_(master) {}
  Task<RpcReply> call(RpcCall call, Deadline) override {
    Result<std::string> answered = master_.answer(call.method, call.body);
    if (!answered) co_return std::move(answered).error();
    RpcReply reply;
    reply.body = std::move(answered).value();
    co_return reply;
  }
  void on_notice(NoticeHandler) override {}
  void on_disconnect(std::function<void()>) override {}
  bool connected() const override { return !master_.away; }
  std::uint64_t connections_made() const override { return 1; }
  void close() override {}

 private:
  FakeMaster& master_;
};

class Link : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.master = "fake:1";
    options_.report_page_ids = 3;
    LinkSource source;
    source.describe = [this](proto::WorkerInfo& info) {
      info.set_state(link_->draining() ? proto::WorkerInfo::DRAINING : proto::WorkerInfo::LIVE);
    };
    source.take_changes = [this] { return std::exchange(changes_, PresenceChanges{}); };
    source.all_blocks = [this] { return std::vector<BlockId>(here_.begin(), here_.end()); };
    source.policy_changed = [this](std::shared_ptr<const policy::Policy> changed) { policy_ = std::move(changed); };
    link_ = std::make_unique<MasterLink>(options_, WorkerId{5}, std::make_unique<FakeChannel>(master_),
                                         std::move(source), attachments_, tasks_, clock_, rng_, counters_);
  }
  void TearDown() override {
    Status stopped;
    bool over = false;
    ASSERT_TRUE(stopping_.spawn(stop_link(&over)));
    ASSERT_TRUE(loop_.work_until([&] { return over; }));
    EXPECT_TRUE(loop_.run(stopping_.join()));
    EXPECT_TRUE(loop_.run(tasks_.join()));
  }
  Task<> stop_link(bool* over) {
    Status stopped = co_await link_->stop(Deadline::after(clock_, 1s));
    *over = true;
    co_return stopped;
  }
  void start() {
    link_->start();
    loop_.settle();
  }
  void advance(Duration by) {
    clock_.advance(by);
    loop_.settle();
  }
  void appear(std::uint64_t number) {
    here_.insert(BlockId{number, 0});
    changes_.added.push_back(BlockId{number, 0});
    link_->note_changes();
    loop_.settle();
  }
  void vanish(std::uint64_t number) {
    here_.erase(BlockId{number, 0});
    changes_.removed.push_back(BlockId{number, 0});
    link_->note_changes();
    loop_.settle();
  }

  testing::Loop loop_;
  ManualClock clock_;
  SeededRng rng_{1};
  WorkerOptions options_;
  WorkerCounters counters_;
  BlockingPool pool_{1, 16};
  FakeMaster master_;
  std::shared_ptr<const policy::Policy> policy_;
  StoreOptions opened_with_;
  std::shared_ptr<UnderStore> open_as_;
  WorkerAttachments attachments_{loop_.executor(), pool_, [this](const std::string&, const StoreOptions& options) {
                                   opened_with_ = options;
                                   if (open_as_) return Result<std::shared_ptr<UnderStore>>(open_as_);
                                   return Result<std::shared_ptr<UnderStore>>(Error(Code::unsupported, "no store"));
                                 }, {}};
  TaskGroup tasks_{loop_.executor(), clock_};
  TaskGroup stopping_{loop_.executor(), clock_};
  std::set<BlockId> here_;
  PresenceChanges changes_;
  std::unique_ptr<MasterLink> link_;
};

TEST_F(Link, ABlockOfTheSameUriAtAnotherEndpointIsNotThisAttachments) {
  AttachedStore attached{.id = AttachmentId{1}, .uri = "s3://lake/raw", .path = "/lake"};
  attached.options["endpoint"] = "https://one.example";
  attachments_.replace({attached}, 1);
  // Opened, or the worker would ask again then.
  const auto block_at = [&](const StoreOptions& options) {
    return cut_into_blocks(store_identity(attached.uri, options), attached.id, "f", "v", 10, default_block_size_bytes, default_page_size_bytes).front();
  };
  EXPECT_TRUE(attachments_.check(block_at(attached.options)));
  open_as_ = std::make_shared<SimStore>(clock_, attached.uri);
  ASSERT_TRUE(loop_.run(attachments_.open(attached.id)));
  EXPECT_TRUE(attachments_.check(block_at(attached.options)));
  EXPECT_EQ(attachments_.check(block_at({{"endpoint", "https://two.example"}})).code(), Code::invalid_argument);
  EXPECT_EQ(attachments_.check(block_at({})).code(), Code::invalid_argument);
}

TEST_F(Link, RegistersAndTellsEverythingItHolds) {
  for (std::uint64_t i = 0; i < 8; ++i) here_.insert(BlockId{i, 0});
  start();
  EXPECT_TRUE(link_->registered());
  EXPECT_EQ(master_.blocks, here_);
  EXPECT_EQ(master_.heartbeats, 3);  // pages of three ids
  EXPECT_EQ(master_.state, proto::WorkerInfo::LIVE);
}

TEST_F(Link, ReportsAChangeWithinTwoHundredMilliseconds) {
  start();
  appear(1);
  appear(2);
  advance(100ms);
  EXPECT_EQ(master_.blocks, here_);
  EXPECT_EQ(master_.heartbeats, 2);  // the full report and one delta for both
  vanish(1);
  advance(100ms);
  EXPECT_EQ(master_.blocks, here_);
}

TEST_F(Link, HeartbeatsComeAtTheIntervalOfTheMaster) {
  start();
  const int before = master_.heartbeats;
  for (int i = 0; i < 10; ++i) advance(1s);
  EXPECT_EQ(master_.heartbeats, before + 10);
}

TEST_F(Link, WrongEpochMeansRegisterAgainAndTellEverything) {
  start();
  appear(1);
  advance(100ms);
  master_.epoch += 100;
  master_.blocks.clear();
  advance(1s);
  EXPECT_EQ(master_.registrations, 2);
  EXPECT_EQ(master_.blocks, here_);
  EXPECT_TRUE(link_->registered());
}

TEST_F(Link, NeverGivesUpOnAMasterThatIsAwayAndWaitsLongerEachTime) {
  master_.away = true;
  start();
  for (int i = 0; i < 600; ++i) advance(100ms);
  EXPECT_FALSE(link_->registered());
  // A minute with pauses of 0.1, 0.2, ... 5 s, half of each by chance: between 12 and 30 tries.
  EXPECT_GE(master_.calls.size(), 12U);
  EXPECT_LE(master_.calls.size(), 30U);
  master_.away = false;
  advance(5s);
  EXPECT_TRUE(link_->registered());
}

TEST_F(Link, ALostAnswerCostsARepetitionNotAChange) {
  start();
  master_.lose_answers = 2;
  appear(1);
  advance(100ms);
  appear(2);
  for (int i = 0; i < 20; ++i) advance(100ms);
  EXPECT_EQ(master_.blocks, here_);
  EXPECT_EQ(master_.registrations, 1);
  EXPECT_EQ(master_.full_reports, 1);
}

TEST_F(Link, SendsAFullReportWhenAsked) {
  start();
  here_.insert(BlockId{77, 0});  // the master missed it
  master_.want_full = true;
  advance(1s);
  EXPECT_EQ(master_.full_reports, 2);
  EXPECT_EQ(master_.blocks, here_);
}

TEST_F(Link, AMasterThatAlwaysAsksForFullReportsGetsOnePerInterval) {
  start();
  for (int i = 0; i < 10; ++i) {
    master_.want_full = true;
    advance(1s);
  }
  EXPECT_LE(master_.full_reports, 11);
  EXPECT_LE(master_.heartbeats, 25);
}

TEST_F(Link, LearnsNewAttachmentsAtOnceWhenARequestNeedsThem) {
  start();
  master_.attachments_version = 2;
  EXPECT_FALSE(attachments_.knows(AttachmentId{7}));
  EXPECT_TRUE(loop_.run(link_->refresh_attachments(Deadline::after(clock_, 1s))));
  EXPECT_TRUE(attachments_.knows(AttachmentId{7}));
}

TEST_F(Link, LearnsANewPolicyWithTheNextHeartbeatAndSaysThatItRunsIt) {
  start();
  EXPECT_EQ(policy_, nullptr) << "nothing was applied yet";
  master_.policy_version = 4;
  master_.policy_text = "[[rule]]\nname = \"r\"\nreplicas = 3\n";
  advance(1s);
  ASSERT_NE(policy_, nullptr);
  EXPECT_EQ(policy_->decide({.path = "/a"}).values.replicas, 3u);
  advance(1s);
  EXPECT_EQ(master_.runs_policy, 4u);
  const auto asked = std::count(master_.calls.begin(), master_.calls.end(), Method::policy_get);
  for (int i = 0; i < 5; ++i) advance(1s);
  EXPECT_EQ(std::count(master_.calls.begin(), master_.calls.end(), Method::policy_get), asked) << "one that is known is not asked for";
}

TEST_F(Link, KeepsItsLastGoodPolicyWhenItCannotReadTheNewOneAndSaysSo) {
  master_.policy_version = 4;
  master_.policy_text = "[defaults]\nreplicas = 3\n";
  start();
  advance(1s);
  master_.policy_version = 5;
  master_.policy_text = "[defaults]\nspin = 3\n";
  advance(1s);
  advance(1s);
  EXPECT_EQ(policy_->decide({.path = "/a"}).values.replicas, 3u);
  EXPECT_EQ(master_.runs_policy, 4u);
  EXPECT_NE(master_.policy_problem.find("version 5:2:1: error: unknown key 'spin'"), std::string::npos) << master_.policy_problem;
  master_.policy_version = 6;
  master_.policy_text = "";
  advance(1s);
  advance(1s);
  EXPECT_EQ(master_.runs_policy, 6u);
  EXPECT_EQ(master_.policy_problem, "");
}

TEST_F(Link, KeepsItsPolicyWhileTheMasterIsAway) {
  master_.policy_version = 4;
  master_.policy_text = "[defaults]\nreplicas = 3\n";
  start();
  advance(1s);
  ASSERT_NE(policy_, nullptr);
  master_.away = true;
  for (int i = 0; i < 10; ++i) advance(1s);
  EXPECT_EQ(policy_->decide({.path = "/a"}).values.replicas, 3u);
}

TEST_F(Link, OpensAStoreWithTheOptionsOfItsAttachment) {
  start();
  master_.attachments_version = 2;
  advance(1s);
  EXPECT_FALSE(loop_.run(attachments_.open(AttachmentId{7})));
  EXPECT_EQ(opened_with_, (StoreOptions{{"region", "eu"}}));
}

TEST_F(Link, CannotAskAMasterThatIsAway) {
  master_.away = true;
  start();
  EXPECT_EQ(loop_.run(link_->refresh_attachments(Deadline::after(clock_, 1s))).code(), Code::unavailable);
}

TEST_F(Link, KeepsItsAttachmentsWhileTheMasterIsAway) {
  start();
  master_.attachments_version = 2;
  advance(1s);
  ASSERT_TRUE(attachments_.knows(AttachmentId{7}));
  master_.away = true;
  for (int i = 0; i < 30; ++i) advance(1s);
  EXPECT_FALSE(link_->registered());
  EXPECT_TRUE(attachments_.knows(AttachmentId{7}));
}

TEST_F(Link, DrainingIsToldAtOnceAndStoppingDeregisters) {
  start();
  EXPECT_TRUE(loop_.run(link_->announce_draining(Deadline::after(clock_, 1s))));
  EXPECT_EQ(master_.state, proto::WorkerInfo::DRAINING);
  EXPECT_TRUE(loop_.run(link_->stop(Deadline::after(clock_, 1s))));
  EXPECT_EQ(master_.deregistered, 1);
}

}  // namespace
}  // namespace hearth::worker

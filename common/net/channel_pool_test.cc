// Several connections to one peer, over the simulated network and on a clock that the test moves.
#include "common/net/channel_pool.h"

#include "common/manual_clock.h"
#include "common/net/rpc_test_support.h"
#include "common/net/sim_transport.h"
#include "common/net/waiter.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <list>
#include <map>
#include <set>

namespace hearth {
namespace {

using namespace std::chrono_literals;
using namespace test;

const Address place{.host = "worker-1", .port = 1};
constexpr std::size_t large = 1U << 20;

class ChannelPools : public testing::Test {
 protected:
  ChannelPools() {
    serve();
    make(3);
  }
  ~ChannelPools() override {
    pool_.reset();
    transport_.set_faults(place, SimDirection::to_connector, {});
    transport_.set_faults(place, SimDirection::to_listener, {});
    stop();
    loop_.settle();
    EXPECT_EQ(clock_.sleepers(), 0U) << "a timer was left behind";
  }

  RpcContext context() {
    return {.executor = loop_.executor(), .transport = transport_, .clock = clock_, .limits = limits_};
  }
  void make(std::uint32_t connections) {
    pool_ = make_channel_pool(context(), place,
                              {.max_connections = connections, .large_bytes = large, .busy_bytes = 2 * large, .idle_after = 30s});
  }
  void serve() {
    server_ = make_rpc_server(context());
    server_->handle(Method::stat, [this](std::shared_ptr<ServerCall> call) { return where(this, call); });
    server_->handle(Method::load, [this](std::shared_ptr<ServerCall> call) { return hold(this, call); });
    server_->handle(Method::read, [this](std::shared_ptr<ServerCall> call) { return send_pages(this, call); });
    server_->on_disconnect([this](ConnectionId id) { open_.erase(id); });
    ASSERT_TRUE(server_->listen(place));
  }
  void stop() {
    auto stopping = loop_.start(server_->stop(after(1s)));
    for (int i = 0; i < 100 && !stopping.done(); ++i) advance(100ms);
    ASSERT_TRUE(stopping.done());
    server_.reset();
  }
  void advance(Duration by) {
    loop_.settle();
    clock_.advance(by);
    loop_.settle();
  }
  Deadline after(Duration duration) { return Deadline::after(clock_, duration); }
  Started<RpcReply> start(RpcCall call, Duration within = 60s) {
    auto started = loop_.start(pool_->call(std::move(call), after(within)));
    loop_.settle();
    return started;
  }
  // A call that asks for `bytes` and stays until release().
  Started<RpcReply> start_held(std::size_t bytes) {
    room_.push_back(std::string(bytes, '\0'));
    return start(call_of(Method::load, "", writable_bytes(room_.back())));
  }
  // On which connection a call that asks for `bytes` is answered.
  ConnectionId ask(std::size_t bytes = 0) {
    std::string room(bytes, '\0');
    auto asked = start(call_of(Method::stat, "", writable_bytes(room)));
    if (!asked.done() || !asked.result()) {
      ADD_FAILURE() << (asked.done() ? asked.result().error().to_string() : "no answer");
      return 0;
    }
    return std::stoull(asked.result()->body);
  }
  void release() {
    held_.clear();
    for (Waiter* waiter : std::exchange(waiting_, {})) waiter->wake();
    loop_.settle();
  }

  static Task<ServerReply> where(ChannelPools* test, std::shared_ptr<ServerCall> call) {
    test->open_.insert(call->connection());
    ServerReply reply;
    reply.body = std::to_string(call->connection());
    co_return std::move(reply);
  }
  static Task<ServerReply> hold(ChannelPools* test, std::shared_ptr<ServerCall> call) {
    test->open_.insert(call->connection());
    ++test->held_[call->connection()];
    Waiter waiter;
    test->waiting_.insert(&waiter);
    std::function<void()> on_cancel = [&waiter] { waiter.wake(); };
    co_await waiter.wait(std::move(on_cancel));
    test->waiting_.erase(&waiter);
    ServerReply reply;
    reply.body = std::to_string(call->connection());
    co_return std::move(reply);
  }
  // As many bytes as the request says, in pages of 1 MiB.
  static Task<ServerReply> send_pages(ChannelPools* test, std::shared_ptr<ServerCall> call) {
    test->open_.insert(call->connection());
    const std::string page(1U << 20, 'p');
    const std::uint32_t checksum = crc32c(bytes_of(page));
    const std::uint64_t pages = std::stoull(call->body()) >> 20;
    for (std::uint64_t i = 0; i < pages; ++i) {
      std::vector<std::span<const std::byte>> parts{bytes_of(page)};
      auto sent = co_await call->send_part(i << 20, std::move(parts), checksum);
      if (!sent) co_return std::move(sent).error();
    }
    co_return ServerReply();
  }

  Loop loop_;
  ManualClock clock_;
  RpcLimits limits_;
  SimTransport transport_{loop_.executor(), clock_, 64U << 10};
  std::set<ConnectionId> open_;  // that carried a call and are not gone
  std::map<ConnectionId, int> held_;
  std::set<Waiter*> waiting_;
  std::list<std::string> room_;
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<RpcChannel> pool_;
};

TEST_F(ChannelPools, ASmallCallIsAnsweredWhile64MiBWaitForASlowReader) {
  ASSERT_NE(ask(), 0U);
  std::string into(64U << 20, '\0');
  // A network that carries 64 KiB per 10 ms: the read takes 10 s, the small call 20 ms.
  transport_.set_faults(place, SimDirection::to_connector, {.delay = 10ms});
  auto reading = loop_.start(pool_->call(call_of(Method::read, std::to_string(into.size()), writable_bytes(into)), after(60s)));
  for (int i = 0; i < 20; ++i) advance(10ms);
  ASSERT_FALSE(reading.done());
  auto asked = start(call_of(Method::stat, ""));
  advance(10ms);
  advance(10ms);
  EXPECT_TRUE(asked.done()) << "the small call waits behind the large reply";
  EXPECT_FALSE(reading.done());
}

TEST_F(ChannelPools, OneConnectionLetsASmallCallWaitSoTheTestAboveCanFail) {
  make(1);
  ASSERT_NE(ask(), 0U);
  std::string into(64U << 20, '\0');
  transport_.set_faults(place, SimDirection::to_connector, {.delay = 10ms});
  auto reading = loop_.start(pool_->call(call_of(Method::read, std::to_string(into.size()), writable_bytes(into)), after(60s)));
  for (int i = 0; i < 20; ++i) advance(10ms);
  auto asked = start(call_of(Method::stat, ""));
  advance(10ms);
  advance(10ms);
  EXPECT_FALSE(asked.done());
}

// A stream that always has bytes once kept the thread until its whole reply was read: small calls on other connections
// waited 6 ms.
TEST_F(ChannelPools, AConnectionThatAlwaysHasBytesGivesTheOthersTheirTurn) {
  const Address wide{.host = "worker-2", .port = 1};
  SimTransport transport(loop_.executor(), clock_, 256U << 20);
  const RpcContext context{.executor = loop_.executor(), .transport = transport, .clock = clock_, .limits = limits_};
  auto server = make_rpc_server(context);
  server->handle(Method::read, [this](std::shared_ptr<ServerCall> call) { return send_pages(this, call); });
  ASSERT_TRUE(server->listen(wide));
  auto channel = make_rpc_channel(context, wide);
  std::string into(8U << 20, '\0');
  auto reading = loop_.start(channel->call(call_of(Method::read, std::to_string(into.size()), writable_bytes(into)), after(60s)));
  std::uint64_t carried = 0;
  std::uint64_t longest = 0;
  while (!reading.done() && loop_.step()) {
    const std::uint64_t now = transport.carried_bytes(wide, SimDirection::to_connector);
    longest = std::max(longest, now - std::exchange(carried, now));
  }
  ASSERT_TRUE(reading.done() && reading.result());
  EXPECT_GT(carried, into.size());
  EXPECT_LE(longest, 512U << 10);
  channel.reset();
  auto stopping = loop_.start(server->stop(after(1s)));
  loop_.settle();
  EXPECT_TRUE(stopping.done());
}

TEST_F(ChannelPools, OpensAConnectionOnlyWhenTheOpenOnesAreBusy) {
  EXPECT_EQ(open_.size(), 0U) << "nothing is opened before it is needed";
  const ConnectionId first = ask(large);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask(large), first) << "one call at a time needs one connection";
  auto one = start_held(large);
  EXPECT_EQ(held_[first], 1);
  auto two = start_held(large);
  EXPECT_EQ(held_[first], 2) << "busy_bytes is two of them";
  auto three = start_held(large);
  EXPECT_EQ(held_[first], 2);
  EXPECT_EQ(open_.size(), 2U);
  release();
  EXPECT_TRUE(one.done() && two.done() && three.done());
}

TEST_F(ChannelPools, NeverOpensMoreThanItsBoundAndSpreadsByBytesOutstanding) {
  auto big = start_held(40 * large);
  std::vector<Started<RpcReply>> calls;
  for (int i = 0; i < 20; ++i) calls.push_back(start_held(large));
  for (int i = 0; i < 20; ++i) calls.push_back(start_held(1));
  EXPECT_EQ(open_.size(), 3U) << "one for small calls, two for large ones";
  std::multiset<int> counts;
  for (const auto& [connection, count] : held_) counts.insert(count);
  EXPECT_EQ(counts, (std::multiset<int>{1, 20, 20})) << "40 MiB on one connection weigh as much as 20 calls of 1 MiB";
  release();
  for (auto& call : calls) ASSERT_TRUE(call.done() && call.result());
  EXPECT_TRUE(big.done());
}

TEST_F(ChannelPools, ClosesConnectionsThatWereIdleButForOne) {
  std::vector<Started<RpcReply>> calls;
  for (int i = 0; i < 6; ++i) calls.push_back(start_held(large));
  ASSERT_NE(ask(), 0U);
  EXPECT_EQ(open_.size(), 3U);
  int lost = 0;
  pool_->on_disconnect([&] { ++lost; });
  for (int i = 0; i < 40; ++i) advance(1s);
  EXPECT_EQ(open_.size(), 3U) << "large calls are outstanding, and one connection is kept anyway";
  release();
  for (int i = 0; i < 20; ++i) advance(1s);
  EXPECT_EQ(open_.size(), 3U) << "idle_after is 30 s";
  const ConnectionId used = ask(large);
  for (int i = 0; i < 15; ++i) advance(1s);
  EXPECT_EQ(open_.size(), 2U);
  EXPECT_TRUE(open_.contains(used)) << "it was used 15 s ago";
  for (int i = 0; i < 40; ++i) advance(1s);
  EXPECT_EQ(open_.size(), 1U);
  EXPECT_TRUE(pool_->connected());
  EXPECT_EQ(lost, 0) << "an idle connection that was closed is not a lost one";
  const std::uint64_t made = pool_->connections_made();
  EXPECT_NE(ask(large), 0U);
  EXPECT_EQ(pool_->connections_made(), made + 1) << "closed connections are counted, and opened again when needed";
}

TEST_F(ChannelPools, ReplacesAConnectionThatBroke) {
  const ConnectionId small = ask();
  const ConnectionId first = ask(large);
  int lost = 0;
  pool_->on_disconnect([&] { ++lost; });
  transport_.set_reachable(place, SimTransport::Reachable::no);
  loop_.settle();
  EXPECT_EQ(lost, 2);
  EXPECT_FALSE(pool_->connected());
  transport_.set_reachable(place, SimTransport::Reachable::yes);
  EXPECT_NE(ask(large), first);
  EXPECT_NE(ask(), small);
}

TEST_F(ChannelPools, NoticesAFrozenPeerOnEveryConnection) {
  auto small = start_held(1);
  auto one = start_held(2 * large);
  auto two = start_held(large);
  ASSERT_EQ(open_.size(), 3U);
  for (int i = 0; i < 100; ++i) advance(100ms);
  EXPECT_FALSE(small.done() || one.done() || two.done()) << "it answers pings, so it lives";
  transport_.set_faults(place, SimDirection::to_listener, {.cut = true});
  for (int i = 0; i < 25; ++i) advance(100ms);
  for (auto* call : {&small, &one, &two}) {
    ASSERT_TRUE(call->done()) << "dead_after is 2 s";
    EXPECT_EQ(call->result().code(), Code::unavailable);
  }
}

TEST_F(ChannelPools, ACallEndsAtItsDeadlineAndFreesItsPlace) {
  room_.push_back(std::string(8 * large, '\0'));
  auto slow = start(call_of(Method::load, "", writable_bytes(room_.back())), 700ms);
  advance(699ms);
  EXPECT_FALSE(slow.done());
  advance(1ms);
  ASSERT_TRUE(slow.done());
  EXPECT_EQ(slow.result().code(), Code::deadline_exceeded);
  EXPECT_NE(ask(large), 0U);
  EXPECT_EQ(open_.size(), 1U) << "its bytes count no longer";
}

TEST_F(ChannelPools, ACancelledCallFreesItsPlace) {
  asio::cancellation_signal signal;
  std::string room(8 * large, '\0');
  std::optional<Result<RpcReply>> result;
  auto done = [&](std::exception_ptr, Result<RpcReply> value) { result = std::move(value); };
  asio::co_spawn(loop_.executor(), pool_->call(call_of(Method::load, "", writable_bytes(room)), after(10s)),
                 asio::bind_cancellation_slot(signal.slot(), done));
  loop_.settle();
  ASSERT_EQ(held_.size(), 1U);
  signal.emit(asio::cancellation_type::terminal);
  loop_.settle();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->code(), Code::cancelled);
  EXPECT_NE(ask(large), 0U);
  EXPECT_EQ(open_.size(), 1U);
}

TEST_F(ChannelPools, AnAdditionalConnectionThatCannotBeOpenedFailsNoCall) {
  const ConnectionId first = ask(large);
  auto held = start_held(4 * large);
  transport_.set_reachable(place, SimTransport::Reachable::full);
  EXPECT_EQ(ask(large), first);
  EXPECT_EQ(ask(), first) << "the small ones too";
  transport_.set_reachable(place, SimTransport::Reachable::yes);
  EXPECT_EQ(ask(large), first) << "a second without another try";
  advance(1s);
  EXPECT_NE(ask(large), first);
  release();
  EXPECT_TRUE(held.done());
}

TEST_F(ChannelPools, CloseFailsWhatIsOutstandingAndLaterCalls) {
  auto small = start_held(1);
  auto one = start_held(large);
  pool_->close();
  loop_.settle();
  ASSERT_TRUE(small.done() && one.done());
  EXPECT_EQ(small.result().code(), Code::cancelled);
  EXPECT_EQ(one.result().code(), Code::cancelled);
  auto late = start(call_of(Method::stat, ""));
  ASSERT_TRUE(late.done());
  EXPECT_EQ(late.result().code(), Code::cancelled);
}

TEST_F(ChannelPools, DeliversNoticesOfEveryConnection) {
  std::vector<std::string> heard;
  pool_->on_notice([&](Method, std::string body) { heard.push_back(std::move(body)); });
  const ConnectionId small = ask();
  const ConnectionId first = ask(large);
  server_->notify(small, Method::recall, "a");
  server_->notify(first, Method::recall, "b");
  loop_.settle();
  EXPECT_EQ(heard, (std::vector<std::string>{"a", "b"}));
}

}  // namespace
}  // namespace hearth

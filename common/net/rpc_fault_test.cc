// Calls over a network that breaks, on a clock that the test moves.
#include "common/manual_clock.h"
#include "common/net/frame.h"
#include "common/net/rpc_test_support.h"
#include "common/net/sim_transport.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <cstring>

namespace hearth {
namespace {

using namespace std::chrono_literals;
using namespace test;

const Address far_end{.host = "worker-1", .port = 1};

class RpcFaults : public testing::Test {
 protected:
  RpcFaults() {
    limits_.max_queued_bytes = 1U << 20;
    limits_.max_body_bytes = 1U << 20;
    limits_.max_payload_bytes = 1U << 20;
    serve();
    channel_ = make_rpc_channel(context(), far_end);
  }
  ~RpcFaults() override {
    channel_.reset();
    transport_.set_faults(far_end, SimDirection::to_connector, {});
    transport_.set_faults(far_end, SimDirection::to_listener, {});
    stop();
    loop_.settle();
    EXPECT_EQ(clock_.sleepers(), 0U) << "a timer was left behind";
  }

  RpcContext context() {
    return {.executor = loop_.executor(), .transport = transport_, .clock = clock_, .limits = limits_};
  }
  void serve() {
    server_ = make_rpc_server(context());
    server_->handle(Method::stat, echo);
    server_->handle(Method::load, [this](std::shared_ptr<ServerCall> call) { return hang(this, call); });
    server_->handle(Method::read, [this](std::shared_ptr<ServerCall> call) { return send_page(this, call); });
    server_->on_disconnect([this](ConnectionId) { ++gone_; });
    ASSERT_TRUE(server_->listen(far_end));
  }
  // Ends the server, with as much time as it wants.
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
    auto started = loop_.start(channel_->call(std::move(call), after(within)));
    loop_.settle();
    return started;
  }
  void expect_answer() {
    auto echoed = start(call_of(Method::stat, "alive"));
    ASSERT_TRUE(echoed.done());
    ASSERT_TRUE(echoed.result()) << echoed.result().error().to_string();
    EXPECT_EQ(echoed.result()->body, "alive");
  }

  static Task<ServerReply> hang(RpcFaults* test, std::shared_ptr<ServerCall> call) {
    ++test->hanging_;
    test->remaining_ = call->deadline().remaining(test->clock_.now());
    auto slept = co_await test->clock_.sleep_for(1h);
    --test->hanging_;
    if (!slept) co_return std::move(slept).error();
    co_return ServerReply();
  }
  static Task<ServerReply> send_page(RpcFaults* test, std::shared_ptr<ServerCall> call) {
    const std::string page(std::stoul(call->body()), 'p');
    std::vector<std::span<const std::byte>> parts{bytes_of(page)};
    const std::uint32_t checksum = crc32c(bytes_of(page));
    ++test->sending_;
    auto sent = co_await call->send_part(0, std::move(parts), checksum);
    --test->sending_;
    if (!sent) co_return std::move(sent).error();
    co_return ServerReply();
  }

  Loop loop_;
  ManualClock clock_;
  RpcLimits limits_;
  SimTransport transport_{loop_.executor(), clock_, 64U << 10};
  int gone_ = 0;
  int hanging_ = 0;
  int sending_ = 0;
  Duration remaining_{};
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<RpcChannel> channel_;
};

// ---- deadlines and cancellation ----------------------------------------------------------

TEST_F(RpcFaults, EndsACallAtItsDeadlineAtBothEnds) {
  auto slow = start(call_of(Method::load, ""), 700ms);
  EXPECT_EQ(hanging_, 1);
  EXPECT_EQ(remaining_, Duration(700ms)) << "the remaining time travels in the header";
  advance(699ms);
  EXPECT_FALSE(slow.done());
  advance(1ms);
  ASSERT_TRUE(slow.done());
  EXPECT_EQ(slow.result().code(), Code::deadline_exceeded);
  EXPECT_EQ(hanging_, 0) << "the handler still runs for nobody";
  expect_answer();
}

TEST_F(RpcFaults, DoesNotSendACallWhoseTimeIsOver) {
  auto late = start(call_of(Method::load, ""), 0s);
  ASSERT_TRUE(late.done());
  EXPECT_EQ(late.result().code(), Code::deadline_exceeded);
  EXPECT_EQ(hanging_, 0);
}

TEST_F(RpcFaults, CancelsTheHandlerWhenTheCallerIsCancelled) {
  asio::cancellation_signal signal;
  std::optional<Result<RpcReply>> result;
  auto done = [&](std::exception_ptr, Result<RpcReply> value) { result = std::move(value); };
  asio::co_spawn(loop_.executor(), channel_->call(call_of(Method::load, ""), after(10s)),
                 asio::bind_cancellation_slot(signal.slot(), done));
  loop_.settle();
  ASSERT_EQ(hanging_, 1);
  signal.emit(asio::cancellation_type::terminal);
  loop_.settle();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->code(), Code::cancelled);
  EXPECT_EQ(hanging_, 0);
  expect_answer();
}

TEST_F(RpcFaults, WritesNothingIntoMemoryOfACallThatEnded) {
  std::string into(200'000, 'z');
  ASSERT_NO_FATAL_FAILURE(expect_answer());
  auto reading = start(call_of(Method::read, "200000", writable_bytes(into)), 400ms);
  (void)reading;
  // Now stop it in the middle of the payload: half arrives, the rest waits in the pipe.
  auto middle = std::make_unique<std::string>(200'000, 'z');
  SimFaults hold{.max_read_bytes = 50'000};
  transport_.set_faults(far_end, SimDirection::to_connector, hold);
  hold.delay = 300ms;
  transport_.set_faults(far_end, SimDirection::to_connector, hold);
  auto slow = start(call_of(Method::read, "200000", writable_bytes(*middle)), 500ms);
  advance(300ms);  // the first pipe full of it arrives
  EXPECT_FALSE(slow.done());
  EXPECT_NE(middle->find('p'), std::string::npos);
  advance(200ms);
  ASSERT_TRUE(slow.done()) << "a call must end at its deadline even while its payload arrives";
  EXPECT_EQ(slow.result().code(), Code::deadline_exceeded);
  middle.reset();  // under ASan, a late write is found
  for (int i = 0; i < 10; ++i) advance(300ms);
  transport_.set_faults(far_end, SimDirection::to_connector, {});
  expect_answer();
}

// ---- dead peers --------------------------------------------------------------------------

TEST_F(RpcFaults, NoticesAPeerThatAcceptsBytesAndNeverAnswers) {
  int lost = 0;
  channel_->on_disconnect([&] { ++lost; });
  auto slow = start(call_of(Method::load, ""));
  for (int i = 0; i < 100; ++i) advance(100ms);
  EXPECT_FALSE(slow.done()) << "it answers pings, so it lives";
  transport_.set_faults(far_end, SimDirection::to_listener, {.cut = true});
  for (int i = 0; i < 25 && !slow.done(); ++i) advance(100ms);
  ASSERT_TRUE(slow.done()) << "dead_after is 2 s";
  EXPECT_EQ(slow.result().code(), Code::unavailable);
  EXPECT_FALSE(slow.result().error().is_answer());
  EXPECT_EQ(lost, 1);
  transport_.set_faults(far_end, SimDirection::to_listener, {});
  expect_answer();
}

TEST_F(RpcFaults, NoticesAPeerWhoseAnswersAreLost) {
  auto slow = start(call_of(Method::load, ""));
  transport_.set_faults(far_end, SimDirection::to_connector, {.cut = true});
  for (int i = 0; i < 25 && !slow.done(); ++i) advance(100ms);
  ASSERT_TRUE(slow.done());
  EXPECT_EQ(slow.result().code(), Code::unavailable);
  EXPECT_EQ(hanging_, 0) << "the server heard the disconnect and cancelled the handler";
}

TEST_F(RpcFaults, FailsACallToAHostThatDoesNotAnswerAtAll) {
  transport_.set_reachable(far_end, SimTransport::Reachable::no);
  auto lost = start(call_of(Method::stat, ""));
  for (int i = 0; i < 31 && !lost.done(); ++i) advance(100ms);
  ASSERT_TRUE(lost.done());
  EXPECT_EQ(lost.result().code(), Code::unavailable);
  auto hurried = start(call_of(Method::stat, ""), 200ms);
  advance(200ms);
  ASSERT_TRUE(hurried.done()) << "a call does not wait longer than its own deadline";
  EXPECT_EQ(hurried.result().code(), Code::deadline_exceeded);
  transport_.set_reachable(far_end, SimTransport::Reachable::yes);
  for (int i = 0; i < 31; ++i) advance(100ms);
  expect_answer();
}

TEST_F(RpcFaults, FailsACallToAPeerThatAcceptsAndSaysNoHello) {
  transport_.set_faults(far_end, SimDirection::to_connector, {.cut = true});
  auto lost = start(call_of(Method::stat, ""));
  for (int i = 0; i < 31 && !lost.done(); ++i) advance(100ms);
  ASSERT_TRUE(lost.done());
  EXPECT_EQ(lost.result().code(), Code::unavailable);
}

TEST_F(RpcFaults, SurvivesAConnectionThatBreaksAfterAnyByte) {
  // Of both directions together: hello, one call with a body, one payload.
  for (const SimDirection direction : {SimDirection::to_listener, SimDirection::to_connector}) {
    for (std::uint64_t bytes = 1; bytes < 400; ++bytes) {
      transport_.set_faults(far_end, direction, {.drop_after_bytes = bytes});
      channel_ = make_rpc_channel(context(), far_end);
      std::string into(100, '\0');
      auto broken = start(call_of(Method::read, "100", writable_bytes(into)));
      ASSERT_TRUE(broken.done()) << "after " << bytes << " bytes";
      ASSERT_TRUE(broken.result() || broken.result().code() == Code::unavailable)
          << broken.result().error().to_string();
      if (broken.result()) {
        EXPECT_EQ(into, std::string(100, 'p'));
      }
    }
    transport_.set_faults(far_end, direction, {});
  }
  channel_ = make_rpc_channel(context(), far_end);
  expect_answer();
}

TEST_F(RpcFaults, WorksWhenEveryReadGetsOneByte) {
  transport_.set_faults(far_end, SimDirection::to_listener, {.max_read_bytes = 1});
  transport_.set_faults(far_end, SimDirection::to_connector, {.max_read_bytes = 1});
  std::string into(3000, '\0');
  auto read = start(call_of(Method::read, "3000", writable_bytes(into)));
  ASSERT_TRUE(read.done());
  ASSERT_TRUE(read.result());
  EXPECT_EQ(into, std::string(3000, 'p'));
}

TEST_F(RpcFaults, NeverDeliversAFlippedBit) {
  for (std::uint64_t at = 0; at < 330; at += 3) {
    channel_ = make_rpc_channel(context(), far_end);
    transport_.set_faults(far_end, SimDirection::to_connector, {.flip_at_byte = at});
    std::string into(100, '\0');
    auto read = start(call_of(Method::read, "100", writable_bytes(into)), 1s);
    for (int i = 0; i < 12 && !read.done(); ++i) advance(100ms);
    ASSERT_TRUE(read.done()) << at;
    if (read.result()) {
      EXPECT_EQ(into, std::string(100, 'p')) << "flip at byte " << at;
    }
  }
  transport_.set_faults(far_end, SimDirection::to_connector, {});
}

// ---- bounds ------------------------------------------------------------------------------

TEST_F(RpcFaults, AnswersOverloadedAboveTheBoundOfCallsInFlight) {
  limits_.max_in_flight = 2;
  stop();
  serve();
  limits_.max_in_flight = 10;  // of the caller
  channel_ = make_rpc_channel(context(), far_end);
  auto first = start(call_of(Method::load, ""), 5s);
  auto second = start(call_of(Method::load, ""), 5s);
  auto third = start(call_of(Method::load, ""), 5s);
  ASSERT_TRUE(third.done());
  EXPECT_EQ(third.result().code(), Code::overloaded);
  EXPECT_FALSE(first.done() || second.done());
  advance(5s);
  expect_answer();
}

TEST_F(RpcFaults, MakesSendPartWaitForASlowReaderAndClosesOneThatStoppedReading) {
  expect_answer();
  transport_.set_faults(far_end, SimDirection::to_connector, {.stall = true});
  std::string into(1U << 20, '\0');
  std::vector<Started<RpcReply>> reads;
  for (int i = 0; i < 3; ++i) reads.push_back(start(call_of(Method::read, "900000", writable_bytes(into)), 60s));
  EXPECT_EQ(sending_, 3) << "all three wait: 64 KiB of pipe, 1 MiB of queue";
  channel_.reset();  // the caller is gone without a word as far as the server can see
  transport_.set_faults(far_end, SimDirection::to_connector, {});
  loop_.settle();
  EXPECT_EQ(sending_, 0);
}

TEST_F(RpcFaults, DisconnectsAReaderThatMakesNoProgress) {
  RpcLimits patient = limits_;
  patient.dead_after = 1h;
  RpcContext caller = context();
  caller.limits = patient;
  channel_ = make_rpc_channel(caller, far_end);
  expect_answer();
  transport_.set_faults(far_end, SimDirection::to_connector, {.stall = true});
  std::string into(1U << 20, '\0');
  auto read = start(call_of(Method::read, "900000", writable_bytes(into)), 1h);
  for (int i = 0; i < 90; ++i) advance(100ms);
  EXPECT_EQ(sending_, 1);
  for (int i = 0; i < 40; ++i) advance(100ms);
  EXPECT_EQ(sending_, 0) << "dead_after * 5 is 10 s";
  EXPECT_EQ(gone_, 1);
}

// ---- hostile peers -----------------------------------------------------------------------

Task<std::string> talk(SimTransport* transport, std::string bytes) {
  const Deadline never = Deadline::never();
  auto stream = co_await transport->connect(far_end, never);
  if (!stream) co_return std::move(stream).error();
  std::vector<std::span<const std::byte>> parts{bytes_of(bytes)};
  std::vector<int> no_fds;
  auto written = co_await (*stream)->write_all(std::move(parts), std::move(no_fds));
  if (!written) co_return std::move(written).error();
  std::string answer;
  std::string buffer(4096, '\0');
  std::vector<UniqueFd> fds;
  for (;;) {
    auto count = co_await (*stream)->read_some(writable_bytes(buffer), fds);
    if (!count || *count == 0) break;
    answer.append(buffer, 0, *count);
  }
  co_return std::move(answer);
}

std::string frame_bytes(FrameHeader header, const std::string& body) {
  header.body_length_bytes =
      header.body_length_bytes == 0 ? static_cast<std::uint32_t>(body.size()) : header.body_length_bytes;
  const FrameHeaderBytes bytes = encode(header);
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) + body;
}

FrameHeader header_of(FrameKind kind) {
  FrameHeader header;
  header.kind = kind;
  return header;
}

std::string hello_bytes() {
  return frame_bytes(header_of(FrameKind::hello), encode(Hello{.build = "test"}));
}

TEST_F(RpcFaults, TellsAPeerOfAnotherVersionWhatToDo) {
  const Hello future{.min_version = 7, .max_version = 9, .build = "9.9.9"};
  auto talking = loop_.start(talk(&transport_, frame_bytes(header_of(FrameKind::hello), encode(future))));
  loop_.settle();
  ASSERT_TRUE(talking.done()) << "the connection is closed after the answer";
  const std::string answer = *talking.result();
  ASSERT_GT(answer.size(), frame_header_bytes);
  FrameHeaderBytes head;
  std::memcpy(head.data(), answer.data(), head.size());
  const auto header = decode_frame_header(head);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->kind, FrameKind::hello_reply);
  EXPECT_EQ(header->code, Code::version_mismatch);
  for (const std::string_view word : {"7 to 9", "9.9.9", "upgrade"})
    EXPECT_NE(answer.find(word), std::string::npos) << answer;
}

// A server of another release, as far as its hello.
Task<> refuse_version(Listener* listener) {
  auto stream = co_await listener->accept();
  if (!stream) co_return std::move(stream).error();
  std::string hello(1000, '\0');
  std::vector<UniqueFd> fds;
  auto count = co_await (*stream)->read_some(writable_bytes(hello), fds);
  if (!count) co_return std::move(count).error();
  FrameHeader header = header_of(FrameKind::hello_reply);
  header.code = Code::version_mismatch;
  const std::string reply = frame_bytes(header, "this process speaks protocol version 7; upgrade the peer");
  std::vector<std::span<const std::byte>> parts{bytes_of(reply)};
  std::vector<int> no_fds;
  co_return co_await (*stream)->write_all(std::move(parts), std::move(no_fds));
}

TEST_F(RpcFaults, PassesTheSentenceAboutVersionsToTheCaller) {
  const Address other{.host = "worker-2", .port = 2};
  auto listener = transport_.listen(other, 0);
  ASSERT_TRUE(listener);
  auto refusing = loop_.start(refuse_version(listener->get()));
  channel_ = make_rpc_channel(context(), other);
  auto refused = start(call_of(Method::stat, ""));
  ASSERT_TRUE(refused.done());
  EXPECT_EQ(refused.result().code(), Code::version_mismatch);
  EXPECT_NE(refused.result().error().message().find("version 7; upgrade"), std::string::npos);
}

TEST_F(RpcFaults, ClosesAPeerThatDoesNotSpeakTheProtocol) {
  FrameHeader long_hello = header_of(FrameKind::hello);
  long_hello.body_length_bytes = 16U << 10;
  FrameHeader huge = header_of(FrameKind::request);
  huge.body_length_bytes = ~0U;
  const std::string after_hello = hello_bytes();
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1\r\nHost: worker-1\r\nAccept: text/html, text/plain, */*\r\n\r\n"),
        frame_bytes(header_of(FrameKind::request), "before hello"), frame_bytes(long_hello, ""),
        after_hello + frame_bytes(huge, ""), after_hello + after_hello,
        after_hello + frame_bytes(header_of(FrameKind::reply), "")}) {
    auto talking = loop_.start(talk(&transport_, bytes));
    loop_.settle();
    EXPECT_TRUE(talking.done()) << "still connected after: " << bytes.substr(0, 20);
  }
  expect_answer();
}

TEST_F(RpcFaults, DoesNotWaitForeverForAHello) {
  std::vector<Started<std::string>> silent;
  for (int i = 0; i < 50; ++i) silent.push_back(loop_.start(talk(&transport_, hello_bytes().substr(0, 1 + i))));
  advance(2s);
  for (auto& peer : silent) EXPECT_FALSE(peer.done());
  advance(1s);
  for (auto& peer : silent) EXPECT_TRUE(peer.done()) << "hello_within is 3 s";
  expect_answer();
}

TEST_F(RpcFaults, DropsAPeerThatNeverEndsItsFrame) {
  FrameHeader request = header_of(FrameKind::request);
  request.body_length_bytes = 1000;
  auto talking = loop_.start(talk(&transport_, hello_bytes() + frame_bytes(request, "half")));
  for (int i = 0; i < 210 && !talking.done(); ++i) advance(100ms);
  EXPECT_TRUE(talking.done());
}

TEST_F(RpcFaults, DropsAPeerThatFloodsPingsAndDoesNotReadTheAnswers) {
  limits_.max_queued_bytes = 100'000;
  stop();
  serve();
  transport_.set_faults(far_end, SimDirection::to_connector, {.stall = true});
  std::string pings = hello_bytes();
  for (int i = 0; i < 10'000; ++i) pings += frame_bytes(header_of(FrameKind::ping), "");
  auto talking = loop_.start(talk(&transport_, pings));
  loop_.settle();
  EXPECT_EQ(gone_, 1);
}

// ---- stopping ----------------------------------------------------------------------------

TEST_F(RpcFaults, StopLetsRunningCallsEnd) {
  auto slow = start(call_of(Method::load, ""), 2h);
  auto stopping = loop_.start(server_->stop(after(2h)));
  loop_.settle();
  auto refused = start(call_of(Method::stat, ""));
  ASSERT_TRUE(refused.done());
  EXPECT_EQ(refused.result().code(), Code::unavailable) << "the server said that it is leaving";
  EXPECT_FALSE(stopping.done());
  for (int i = 0; i < 3600 && !slow.done(); ++i) advance(1s);
  ASSERT_TRUE(slow.done());
  EXPECT_TRUE(slow.result()) << slow.result().error().to_string();
  advance(1s);
  EXPECT_TRUE(stopping.done() && stopping.result());
  serve();
}

TEST_F(RpcFaults, StopCancelsCallsAtItsDeadline) {
  auto slow = start(call_of(Method::load, ""), 2h);
  auto stopping = loop_.start(server_->stop(after(3s)));
  advance(2900ms);
  EXPECT_EQ(hanging_, 1);
  advance(100ms);
  EXPECT_EQ(hanging_, 0);
  advance(1s);
  ASSERT_TRUE(stopping.done());
  EXPECT_EQ(stopping.result().code(), Code::deadline_exceeded);
  ASSERT_TRUE(slow.done());
  EXPECT_EQ(slow.result().code(), Code::unavailable);
  serve();
}

TEST_F(RpcFaults, BehavesTheSameEachTime) {
  std::vector<std::string> runs;
  for (int run = 0; run < 2; ++run) {
    std::string log;
    transport_.set_faults(far_end, SimDirection::to_connector,
                          {.drop_after_bytes = 777, .delay = 5ms, .max_read_bytes = 13});
    channel_ = make_rpc_channel(context(), far_end);
    std::vector<Started<RpcReply>> calls;
    for (int i = 0; i < 20; ++i)
      calls.push_back(loop_.start(channel_->call(call_of(Method::stat, std::to_string(i)), after(1s))));
    for (int step = 0; step < 100; ++step) {
      advance(1ms);
      for (auto& call : calls) log += call.done() ? name(call.result().code()) : ".";
    }
    runs.push_back(log);
  }
  EXPECT_EQ(runs[0], runs[1]);
  transport_.set_faults(far_end, SimDirection::to_connector, {});
}

}  // namespace
}  // namespace hearth

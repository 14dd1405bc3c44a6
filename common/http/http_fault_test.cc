// What goes wrong on the way, and what it is called then.
#include "common/http/http_test_support.h"
#include "common/http/test_server.h"
#include "common/fd.h"
#include "common/manual_clock.h"

#include <netinet/in.h>
#include <sys/socket.h>

namespace hearth {
namespace {

using namespace std::chrono_literals;

class HttpFault : public HttpTest {
 protected:
  // What a GET of that reply ends with.
  Result<HttpReply> answer(TestReply reply, std::span<std::byte> into = {}) {
    TestServer server([&reply](const TestRequest&) { return reply; });
    HttpRequest request = get(server.origin() + "/x?token=secret");
    request.timeouts = timeouts_;
    request.into = into;
    auto result = send(std::move(request));
    if (!result) {
      EXPECT_EQ(result.error().message().find("secret"), std::string::npos) << result.error().message();
    }
    return result;
  }

  HttpTimeouts timeouts_;
};

TEST_F(HttpFault, ACutBodyIsNeverTakenForAWholeOne) {
  const std::string body(100'000, 'x');
  for (const auto framing : {TestFraming::content_length, TestFraming::chunked}) {
    for (const std::uint64_t cut : {0U, 1U, 4096U, 50'000U, 99'999U}) {
      for (const auto ending : {TestEnding::close, TestEnding::reset}) {
        std::vector<std::byte> into(body.size());
        TestReply reply{.body = body, .framing = framing, .chunk_bytes = 4096, .ending = ending, .cut_body_at = cut};
        const auto result = answer(reply, into);
        ASSERT_FALSE(result) << cut;
        const Code code = result.code();
        // A reset may overtake what was sent before it; an orderly end may not.
        const bool may_be_unavailable = ending == TestEnding::reset && code == Code::unavailable;
        EXPECT_TRUE(code == Code::corrupt || may_be_unavailable) << result.error().to_string();
        const bool before_the_head = result.error().message().find("before the answer") != std::string::npos;
        const bool cut_off = result.error().message().find("cut off") != std::string::npos;
        EXPECT_TRUE(cut_off || (may_be_unavailable && before_the_head)) << result.error().message();
      }
    }
  }
}

TEST_F(HttpFault, WithoutALengthTheCallerSeesHowMuchCame) {
  std::vector<std::byte> into(10);
  TestReply reply{.body = "0123456789", .framing = TestFraming::until_close, .cut_body_at = 4};
  const auto result = answer(reply, into);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->body_bytes, 4U);
  EXPECT_EQ(result->head.content_length, std::nullopt);
}

TEST_F(HttpFault, MoreThanWasAskedForIsCorrupt) {
  for (const auto framing : {TestFraming::content_length, TestFraming::chunked, TestFraming::until_close}) {
    std::vector<std::byte> into(9);
    const auto result = answer({.body = "0123456789", .framing = framing}, into);
    EXPECT_EQ(result.code(), Code::corrupt);
  }
}

TEST_F(HttpFault, AWrongContentLengthIsCorruptOrCutShort) {
  const auto longer = answer({.headers = {{"Content-Length", "11"}}, .body = "0123456789", .ending = TestEnding::close});
  EXPECT_EQ(longer.code(), Code::corrupt);
  const auto words = answer({.headers = {{"Content-Length", "ten"}}, .body = "0123456789", .ending = TestEnding::close});
  EXPECT_FALSE(words) << words->body;
}

TEST_F(HttpFault, CollectedBodiesAreBounded) {
  for (const auto framing : {TestFraming::content_length, TestFraming::chunked}) {
    TestServer server([&](const TestRequest& request) {
      return TestReply{.status = request.target == "/error" ? 500 : 200, .body = std::string(5000, 'x'), .framing = framing};
    });
    for (const char* target : {"/", "/error"}) {
      HttpRequest request = get(server.origin() + target);
      request.max_body_bytes = 4999;
      EXPECT_EQ(send(request).code(), Code::overloaded) << target;
      request.max_body_bytes = 5000;
      EXPECT_TRUE(send(request)) << target;
    }
  }
}

TEST_F(HttpFault, HeadersAreBounded) {
  TestReply one_long{.headers = {{"X", std::string(90'000, 'x')}}};
  EXPECT_TRUE(answer(one_long));
  TestReply many;
  for (int i = 0; i < 300; ++i) many.headers.push_back({"X-" + std::to_string(i), std::string(1000, 'x')});
  EXPECT_EQ(answer(many).code(), Code::overloaded);
}

TEST_F(HttpFault, GarbageInsteadOfAStatusLineIsCorrupt) {
  for (const char* head : {"garbage\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "SSH-2.0-OpenSSH\r\n"}) {
    const auto result = answer({.ending = TestEnding::close, .raw_head = head});
    EXPECT_EQ(result.code(), Code::corrupt) << head;
  }
  EXPECT_EQ(answer({.ending = TestEnding::close, .raw_head = ""}).code(), Code::unavailable);
}

TEST_F(HttpFault, SkipsInformationalHeads) {
  TestReply reply{.ending = TestEnding::close, .raw_head = "HTTP/1.1 102 Processing\r\nX: 1\r\n\r\n"
                                                           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nY: 2\r\n\r\nok"};
  const auto result = answer(reply);
  ASSERT_TRUE(result) << result.error().to_string();
  EXPECT_EQ(result->head.status, 200);
  EXPECT_EQ(result->head.header("X"), std::nullopt);
  EXPECT_EQ(result->head.header("Y"), "2");
  EXPECT_EQ(result->body, "ok");
}

TEST_F(HttpFault, InformationalHeadsWithoutEndAreALongHead) {
  std::string heads;
  while (heads.size() < 300'000) heads += "HTTP/1.1 102 Processing\r\nX: " + std::string(1000, 'x') + "\r\n\r\n";
  EXPECT_EQ(answer({.ending = TestEnding::close, .raw_head = heads}).code(), Code::overloaded);
}

TEST_F(HttpFault, AResetBeforeTheAnswerIsUnavailable) {
  const auto result = answer({.ending = TestEnding::reset, .raw_head = ""});
  EXPECT_EQ(result.code(), Code::unavailable);
}

TEST_F(HttpFault, NobodyListeningIsUnavailableAndSoIsANameThatDoesNotExist) {
  std::uint16_t port = 0;
  {
    TestServer gone([](const TestRequest&) { return TestReply{}; });
    port = gone.port();
  }
  const auto refused = send(get("http://127.0.0.1:" + std::to_string(port) + "/"));
  EXPECT_EQ(refused.code(), Code::unavailable);
  const auto unresolved = send(get("http://no-such-host.invalid/"));
  EXPECT_EQ(unresolved.code(), Code::unavailable);
  EXPECT_NE(unresolved.error().message().find("resolved"), std::string::npos) << unresolved.error().message();
}

TEST_F(HttpFault, EachPhaseHasItsTimeout) {
  timeouts_ = {.connect = 10s, .first_byte = 100ms, .stall = 10s};
  const auto first = answer({.body = "x", .delay_head = 30s});
  EXPECT_EQ(first.code(), Code::unavailable);
  EXPECT_NE(first.error().message().find("no answer within 100 ms"), std::string::npos) << first.error().message();
  timeouts_ = {.connect = 10s, .first_byte = 10s, .stall = 100ms};
  const auto stalled = answer({.body = "x", .delay_body = 30s});
  EXPECT_EQ(stalled.code(), Code::unavailable);
  EXPECT_NE(stalled.error().message().find("no byte for 100 ms"), std::string::npos) << stalled.error().message();
}

TEST_F(HttpFault, ATrickleIsNoStall) {
  // It lasts longer than the stall that is allowed, but never pauses so long.
  timeouts_ = {.connect = 10s, .first_byte = 10s, .stall = 1500ms};
  const auto result = answer({.body = std::string(40, 'x'), .chunk_bytes = 1, .pause = 50ms});
  ASSERT_TRUE(result) << result.error().to_string();
  EXPECT_EQ(result->body.size(), 40U);
  EXPECT_GT(result->total, timeouts_.stall);
}

TEST_F(HttpFault, AConnectionThatNeverComesHasItsTimeout) {
  // Nobody accepts and the queue is full: the kernel drops what else asks.
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(listener.get(), generic, length), 0);
  ASSERT_EQ(::listen(listener.get(), 0), 0);
  ASSERT_EQ(::getsockname(listener.get(), generic, &length), 0);
  std::vector<UniqueFd> fillers;
  for (int i = 0; i < 4; ++i) {
    fillers.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    static_cast<void>(::connect(fillers.back().get(), generic, length));
  }
  HttpRequest request = get("http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/");
  request.timeouts.connect = 100ms;
  const auto result = send(std::move(request));
  ASSERT_EQ(result.code(), Code::unavailable);
  EXPECT_NE(result.error().message().find("no connection within 100 ms"), std::string::npos) << result.error().message();
}

TEST_F(HttpFault, TheDeadlineEndsARequestWhereverItIs) {
  TestServer server([](const TestRequest&) { return TestReply{.body = "x", .delay_head = 30s}; });
  const Deadline in_a_moment = Deadline::after(real_clock(), 100ms);
  const auto late = io_.run_sync(client_->send(get(server.origin() + "/"), in_a_moment));
  EXPECT_EQ(late.code(), Code::deadline_exceeded);
  const Deadline past = Deadline::at(real_clock().now());
  const std::uint64_t before = server.requests();
  EXPECT_EQ(io_.run_sync(client_->send(get(server.origin() + "/"), past)).code(), Code::deadline_exceeded);
  EXPECT_EQ(server.requests(), before);
}

TEST_F(HttpFault, ADeadlineOfAnotherClockCountsByWhatRemains) {
  ManualClock manual;
  const auto client = make_http_client({}, manual);
  TestServer server([](const TestRequest&) { return TestReply{.body = "x", .delay_head = 30s}; });
  const auto late = io_.run_sync(client->send(get(server.origin() + "/"), Deadline::after(manual, 100ms)));
  EXPECT_EQ(late.code(), Code::deadline_exceeded);
}

TEST_F(HttpFault, AKeptConnectionThatDiesIsAskedAgainOnlyWhereThatIsHarmless) {
  for (const char* method : {"GET", "PUT", "POST", "DELETE"}) {
    client_ = make_http_client({}, real_clock());
    TestServer one([&](const TestRequest& request) {
      const bool dies = request.number == 1;
      if (dies) return TestReply{.ending = TestEnding::close, .raw_head = ""};
      return TestReply{.body = "x"};
    });
    ASSERT_TRUE(send(get(one.origin() + "/")));
    HttpRequest request = get(one.origin() + "/");
    request.method = method;
    const auto result = send(std::move(request));
    const bool is_get = std::string_view(method) == "GET";
    EXPECT_EQ(result.code(), is_get ? Code::ok : Code::unavailable) << method;
    EXPECT_EQ(one.requests(), is_get ? 3U : 2U) << method;
  }
}

}  // namespace
}  // namespace hearth

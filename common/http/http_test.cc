#include "common/http/http_test_support.h"
#include "common/http/test_server.h"
#include "common/metrics.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>

#include <atomic>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <set>

namespace hearth {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

// Holds handlers until opened.
class Door {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void await_arrivals(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= count; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t arrived_ = 0;
  bool open_ = false;
};

// What replies said, in any order. Shared with their handlers: one that just gathered the last is still unlocking when
// the test goes on, and a test that gave up leaves some behind.
class Gathered {
 public:
  void add(std::string text) const {
    const std::lock_guard lock(state_->mutex);
    state_->texts.insert(std::move(text));
    state_->changed.notify_all();
  }
  // All of them; an answer comes to each request within its deadline.
  std::multiset<std::string> wait_for(std::size_t count) const {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [&] { return state_->texts.size() >= count; });
    return state_->texts;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::multiset<std::string> texts;
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

TEST_F(HttpTest, GetsWhatTheServerSends) {
  TestServer server([](const TestRequest&) {
    return TestReply{.status = 200, .headers = {{"X-Thing", "one"}, {"ETag", "\"e\""}}, .body = "hello"};
  });
  const auto reply = send(get(server.origin() + "/a?b=c"));
  ASSERT_TRUE(reply) << reply.error().to_string();
  EXPECT_EQ(reply->head.status, 200);
  EXPECT_EQ(reply->head.header("x-thing"), "one");
  EXPECT_EQ(reply->head.header("etag"), "\"e\"");
  EXPECT_EQ(reply->head.header("missing"), std::nullopt);
  EXPECT_EQ(reply->head.content_length, 5U);
  EXPECT_EQ(reply->body, "hello");
  EXPECT_EQ(reply->body_bytes, 5U);
  EXPECT_GT(reply->first_byte, Duration{});
  EXPECT_GE(reply->total, reply->first_byte);
}

TEST_F(HttpTest, SendsTheTargetByteForByte) {
  TestServer server([](const TestRequest&) { return TestReply{}; });
  const std::vector<std::string> targets{"/a/../b", "/./x//y", "/%2e%2E/", "/a+b%20c=,()?x=%26&y", "/caf%C3%A9?", "/?a;b"};
  for (const std::string& target : targets) ASSERT_TRUE(send(get(server.origin() + target))) << target;
  const auto log = server.log();
  ASSERT_EQ(log.size(), targets.size());
  for (std::size_t i = 0; i < targets.size(); ++i) EXPECT_EQ(log[i].target, targets[i]);
}

TEST_F(HttpTest, SendsNoHeaderThatWasNotAskedFor) {
  TestServer server([](const TestRequest&) { return TestReply{}; });
  HttpRequest request = get(server.origin() + "/");
  request.headers = {{"x-amz-date", "now"}, {"x-empty", ""}};
  ASSERT_TRUE(send(std::move(request)));
  const auto log = server.log();
  std::set<std::string> names;
  for (const HttpHeader& each : log[0].headers) names.insert(each.name);
  EXPECT_EQ(names, (std::set<std::string>{"Host", "User-Agent", "x-amz-date", "x-empty"}));
  EXPECT_EQ(log[0].header("x-empty"), "");
}

TEST_F(HttpTest, SendsABodyFromSpansInOrder) {
  std::string received;
  TestServer server([&](const TestRequest& request) {
    received = request.body;
    return TestReply{.status = 201};
  });
  const std::string first(300'000, 'a');
  const std::string second(2'000'000, 'b');
  HttpRequest request = get(server.origin() + "/x");
  request.method = "PUT";
  request.body = {bytes_of(first), {}, bytes_of(second)};
  const auto reply = send(std::move(request));
  ASSERT_TRUE(reply) << reply.error().to_string();
  EXPECT_EQ(reply->head.status, 201);
  EXPECT_TRUE(received == first + second);
  const auto log = server.log();
  EXPECT_EQ(log[0].header("Content-Length"), "2300000");
  EXPECT_EQ(log[0].header("Expect"), std::nullopt);
  EXPECT_EQ(log[0].header("Transfer-Encoding"), std::nullopt);
  EXPECT_EQ(log[0].header("Content-Type"), std::nullopt);
}

TEST_F(HttpTest, SaysTheLengthOfAnEmptyBody) {
  TestServer server([](const TestRequest&) { return TestReply{}; });
  for (const char* method : {"PUT", "POST", "DELETE", "HEAD", "GET"}) {
    HttpRequest request = get(server.origin() + "/");
    request.method = method;
    ASSERT_TRUE(send(std::move(request))) << method;
  }
  const auto log = server.log();
  EXPECT_EQ(log[0].method, "PUT");
  EXPECT_EQ(log[0].header("Content-Length"), "0");
  EXPECT_EQ(log[1].method, "POST");
  EXPECT_EQ(log[1].header("Content-Length"), "0");
  EXPECT_EQ(log[2].method, "DELETE");
  EXPECT_EQ(log[2].header("Content-Length"), std::nullopt);
  EXPECT_EQ(log[3].method, "HEAD");
  EXPECT_EQ(log[4].method, "GET");
}

TEST_F(HttpTest, AHeadKnowsTheLengthAndHasNoBody) {
  TestServer server([](const TestRequest&) { return TestReply{.body = std::string(1'000'000, 'x')}; });
  HttpRequest request = get(server.origin() + "/");
  request.method = "HEAD";
  request.max_body_bytes = 10;
  const auto reply = send(std::move(request));
  ASSERT_TRUE(reply) << reply.error().to_string();
  EXPECT_EQ(reply->head.content_length, 1'000'000U);
  EXPECT_EQ(reply->body_bytes, 0U);
}

TEST_F(HttpTest, WritesTheBodyStraightIntoTheCallersMemory) {
  for (const auto framing : {TestFraming::content_length, TestFraming::chunked, TestFraming::until_close}) {
    TestServer server([&](const TestRequest&) {
      return TestReply{.generator = [](std::uint64_t position, std::size_t room) {
                         return std::string(room, static_cast<char>('a' + (position >> 16) % 26));
                       },
                       .generated_length = 1U << 20,
                       .framing = framing};
    });
    std::vector<std::byte> into(1U << 20);
    std::vector<std::uint64_t> progress;
    HttpRequest request = get(server.origin() + "/");
    request.into = into;
    request.progress = [&](std::uint64_t have) { progress.push_back(have); };
    const auto reply = send(std::move(request));
    ASSERT_TRUE(reply) << reply.error().to_string();
    EXPECT_EQ(reply->body_bytes, into.size());
    EXPECT_TRUE(reply->body.empty());
    for (std::size_t i = 0; i < into.size(); i += 4096) {
      ASSERT_EQ(static_cast<char>(into[i]), static_cast<char>('a' + (i >> 16) % 26));
    }
    ASSERT_FALSE(progress.empty());
    EXPECT_TRUE(std::is_sorted(progress.begin(), progress.end()));
    EXPECT_EQ(progress.back(), into.size());
  }
}

TEST_F(HttpTest, AsksForTheHeadsApprovalBeforeAnyByte) {
  TestServer server([](const TestRequest&) { return TestReply{.headers = {{"ETag", "new"}}, .body = "0123456789"}; });
  std::vector<std::byte> into(10, std::byte{'.'});
  HttpRequest request = get(server.origin() + "/");
  request.into = into;
  request.accept_head = [&](const HttpHead& head) -> Status {
    EXPECT_EQ(into[0], std::byte{'.'});
    return Error(Code::stale, "etag is " + std::string(head.header("etag").value_or("missing")));
  };
  const auto reply = send(std::move(request));
  EXPECT_EQ(reply.code(), Code::stale);
  EXPECT_EQ(reply.error().message(), "etag is new");
  EXPECT_EQ(into, std::vector<std::byte>(10, std::byte{'.'}));
}

TEST_F(HttpTest, ErrorBodiesAreCollectedAndLeaveTheCallersMemoryAlone) {
  TestServer server([](const TestRequest&) { return TestReply{.status = 503, .body = "<Error>SlowDown</Error>"}; });
  std::vector<std::byte> into(10, std::byte{'.'});
  HttpRequest request = get(server.origin() + "/");
  request.into = into;
  request.accept_head = [](const HttpHead&) -> Status { return Error(Code::internal, "asked for an error"); };
  const auto reply = send(std::move(request));
  ASSERT_TRUE(reply) << reply.error().to_string();
  EXPECT_EQ(reply->head.status, 503);
  EXPECT_EQ(reply->body, "<Error>SlowDown</Error>");
  EXPECT_EQ(into, std::vector<std::byte>(10, std::byte{'.'}));
}

TEST_F(HttpTest, FollowsNoRedirect) {
  TestServer other([](const TestRequest&) { return TestReply{}; });
  TestServer server([&](const TestRequest&) { return TestReply{.status = 307, .headers = {{"Location", other.origin() + "/"}}}; });
  HttpRequest request = get(server.origin() + "/");
  request.headers = {{"Authorization", "secret"}};
  const auto reply = send(std::move(request));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->head.status, 307);
  EXPECT_EQ(reply->head.header("location"), other.origin() + "/");
  EXPECT_EQ(other.requests(), 0U);
}

TEST_F(HttpTest, RefusesUrlsItMustNotSend) {
  for (const char* url : {"ftp://host/x", "file:///etc/passwd", "http://user:secret@host/", "http:///x", "host/x", "",
                          "http://host/a b", "http://host/\r\nX: y", "http://host/#f"}) {
    const auto reply = send(get(url));
    EXPECT_EQ(reply.code(), Code::invalid_argument) << url;
    EXPECT_EQ(reply.error().message().find("secret"), std::string::npos);
  }
  HttpRequest request = get("http://127.0.0.1:1/");
  request.headers = {{"X", "a\r\nInjected: b"}};
  EXPECT_EQ(send(std::move(request)).code(), Code::invalid_argument);
}

TEST_F(HttpTest, ConnectsWhereItIsTold) {
  TestServer server([](const TestRequest&) { return TestReply{}; });
  HttpRequest request = get("http://no-such-datanode.invalid:9864/x");
  request.connect_to = "127.0.0.1:" + std::to_string(server.port());
  const auto reply = send(std::move(request));
  ASSERT_TRUE(reply) << reply.error().to_string();
  const auto log = server.log();
  EXPECT_EQ(log[0].header("Host"), "no-such-datanode.invalid:9864");
}

TEST_F(HttpTest, UsesAProxyOnlyWhenItIsGiven) {
  TestServer proxy([](const TestRequest&) { return TestReply{.body = "from the proxy"}; });
  TestServer server([](const TestRequest&) { return TestReply{.body = "direct"}; });
  ::setenv("http_proxy", proxy.origin().c_str(), 1);
  ::setenv("all_proxy", proxy.origin().c_str(), 1);
  EXPECT_EQ(send(get(server.origin() + "/"))->body, "direct");
  HttpRequest request = get("http://elsewhere.invalid/x");
  request.proxy = proxy.origin();
  EXPECT_EQ(send(std::move(request))->body, "from the proxy");
  ::unsetenv("http_proxy");
  ::unsetenv("all_proxy");
  EXPECT_EQ(proxy.log()[0].target, "http://elsewhere.invalid/x");
}

TEST_F(HttpTest, KeepsConnectionsForTheNextRequest) {
  TestServer server([](const TestRequest&) { return TestReply{.body = "x"}; });
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(send(get(server.origin() + "/")));
  EXPECT_EQ(server.connections_opened(), 1U);
}

TEST_F(HttpTest, AThousandRequestsAtOnceStayWithinTheConnectionsOfTheirHost) {
  constexpr std::size_t limit = 16;
  client_ = make_http_client({.max_connections_per_host = limit}, real_clock());
  Door door;
  TestServer server([&](const TestRequest& request) {
    door.pass();
    return TestReply{.body = request.target};
  });
  Gathered gathered;
  for (int i = 0; i < 1000; ++i) {
    auto done = [gathered](const std::exception_ptr&, const Result<HttpReply>& reply) {
      gathered.add(reply ? reply->body : reply.error().to_string());
    };
    asio::co_spawn(io_.executor(), client_->send(get(server.origin() + "/" + std::to_string(i)), soon()), done);
  }
  door.await_arrivals(limit);
  EXPECT_EQ(server.connections_open(), limit);
  door.open();
  const auto replies = gathered.wait_for(1000);
  EXPECT_EQ(server.connections_opened(), limit);
  const std::set<std::string> bodies(replies.begin(), replies.end());
  EXPECT_EQ(bodies.size(), 1000U);
  EXPECT_TRUE(bodies.contains("/999")) << *bodies.begin();
}

TEST_F(HttpTest, HostsShareTheConnectionsAltogether) {
  client_ = make_http_client({.max_connections_per_host = 4, .max_connections = 6}, real_clock());
  Door door;
  const auto handler = [&](const TestRequest&) {
    door.pass();
    return TestReply{.body = std::string(1000, 'x')};
  };
  TestServer first(handler);
  TestServer second(handler);
  Gathered gathered;
  for (int i = 0; i < 400; ++i) {
    auto done = [gathered](const std::exception_ptr&, const Result<HttpReply>& reply) {
      gathered.add(reply ? reply->body : reply.error().to_string());
    };
    const std::string origin = i % 2 == 0 ? first.origin() : second.origin();
    asio::co_spawn(io_.executor(), client_->send(get(origin + "/"), soon()), done);
  }
  door.await_arrivals(6);
  EXPECT_EQ(first.connections_open() + second.connections_open(), 6U);
  door.open();
  const auto bodies = gathered.wait_for(400);
  EXPECT_EQ(bodies.count(std::string(1000, 'x')), 400U) << *bodies.begin();
}

TEST_F(HttpTest, ACancelledTaskEndsAndItsMemoryIsNeverTouchedAgain) {
  Door door;
  TestServer server([&](const TestRequest& request) {
    if (request.target == "/held") door.pass();
    return TestReply{.generator = [](std::uint64_t, std::size_t room) { return std::string(room, 'x'); },
                     .generated_length = 8U << 20,
                     .chunk_bytes = 4096};
  });
  for (const bool held : {true, false}) {
    auto into = std::make_unique<std::vector<std::byte>>(8U << 20);
    asio::cancellation_signal signal;
    std::promise<Code> ended;
    std::promise<void> started;
    std::promise<void> emitted;  // after a request that came to its end first, too: `signal` must outlive it
    HttpRequest request = get(server.origin() + (held ? "/held" : "/flowing"));
    request.into = *into;
    std::atomic<bool> once = false;
    request.progress = [&](std::uint64_t) {
      if (!once.exchange(true)) started.set_value();
    };
    auto done = [&](const std::exception_ptr&, const Result<HttpReply>& reply) {
      into.reset();  // a late write is what the address sanitizer would see
      ended.set_value(reply.code());
    };
    asio::co_spawn(io_.executor(), client_->send(std::move(request), soon()),
                   asio::bind_cancellation_slot(signal.slot(), done));
    if (held) door.await_arrivals(1); else started.get_future().wait();
    asio::post(io_.executor(), [&] {
      signal.emit(asio::cancellation_type::terminal);
      emitted.set_value();
    });
    const Code code = ended.get_future().get();
    emitted.get_future().wait();
    EXPECT_TRUE(code == Code::cancelled || !held) << name(code);
    if (held) door.open();
  }
  EXPECT_TRUE(send(get(server.origin() + "/other"))) << "the client goes on";
}

TEST_F(HttpTest, ClosingEndsEverythingWithCancelled) {
  Door door;
  TestServer server([&](const TestRequest&) {
    door.pass();
    return TestReply{};
  });
  std::promise<Code> ended;
  auto done = [&](const std::exception_ptr&, const Result<HttpReply>& reply) { ended.set_value(reply.code()); };
  asio::co_spawn(io_.executor(), client_->send(get(server.origin() + "/"), Deadline::never()), done);
  door.await_arrivals(1);
  client_->close();
  EXPECT_EQ(ended.get_future().get(), Code::cancelled);
  EXPECT_EQ(send(get(server.origin() + "/")).code(), Code::cancelled);
  client_.reset();
  door.open();
}

TEST_F(HttpTest, CountsWhatItDoes) {
  TestServer server([](const TestRequest&) { return TestReply{.status = 404, .body = "no"}; });
  ASSERT_TRUE(send(get(server.origin() + "/")));
  ASSERT_TRUE(send(get(server.origin() + "/")));
  const std::string text = metrics().to_prometheus();
  for (const char* expected : {"hearth_http_requests_total{outcome=\"4xx\"}", "hearth_http_connections_total{kind=\"opened\"}",
                               "hearth_http_connections_total{kind=\"reused\"}", "hearth_http_first_byte_seconds",
                               "hearth_http_received_bytes_total"}) {
    EXPECT_NE(text.find(expected), std::string::npos) << expected;
  }
}

}  // namespace
}  // namespace hearth

// The HTTP server of metrics, over real loopback sockets.
#include "common/metrics_server.h"

#include "common/fd.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {
namespace {

UniqueFd connect_to(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return UniqueFd();
  return fd;
}

std::string read_all(const UniqueFd& fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(fd.get(), buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(got));
  return text;
}

std::string ask(std::uint16_t port, std::string_view request) {
  const UniqueFd fd = connect_to(port);
  EXPECT_TRUE(static_cast<bool>(fd));
  EXPECT_EQ(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  return read_all(fd);
}

class MetricsServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    MetricsServerOptions options;
    options.metrics = [] { return std::string("hearth_up 1\n"); };
    options.ready = [this]() -> Status {
      if (ready) return ok();
      return Error(Code::unavailable, "no worker yet");
    };
    auto started = MetricsServer::start(std::move(options));
    ASSERT_TRUE(started) << started.error().to_string();
    server = std::move(*started);
  }
  std::atomic<bool> ready{false};
  std::unique_ptr<MetricsServer> server;
};

TEST(HeaderOfHead, FindsTheFirstOfThatNameWhateverItsCase) {
  const std::string_view head = "POST / HTTP/1.1\r\nAuthorization:  Bearer x \r\nX-A:\r\nauthorization: y\r\n\r\n";
  EXPECT_EQ(header_of_head(head, "AUTHORIZATION"), "Bearer x");
  EXPECT_EQ(header_of_head(head, "x-a"), "");
  EXPECT_EQ(header_of_head(head, "Auth"), std::nullopt);
}

TEST(MetricsServerPost, TakesWhatIsAdmittedAndReadsNothingOfTheRest) {
  std::string taken;
  Status answer = ok();
  HttpPost post;
  post.path = "/v1/in";
  post.max_body_bytes = 1000;
  post.admit = [](std::string_view head) -> Status {
    if (header_of_head(head, "X-Token") == "secret") return ok();
    return Error(Code::unauthenticated, "no");
  };
  post.take = [&](std::string body) {
    taken = std::move(body);
    return answer;
  };
  MetricsServerOptions options;
  options.posts.push_back(post);
  const auto server = MetricsServer::start(std::move(options));
  ASSERT_TRUE(server);
  const auto send = [&](const std::string& headers, const std::string& body) {
    return ask((*server)->port(), "POST /v1/in HTTP/1.1\r\n" + headers + "\r\n" + body);
  };
  EXPECT_TRUE(send("X-Token: secret\r\nContent-Length: 5\r\n", "hello").starts_with("HTTP/1.1 200 "));
  EXPECT_EQ(taken, "hello");
  EXPECT_TRUE(send("X-Token: wrong\r\nContent-Length: 5\r\n", "").starts_with("HTTP/1.1 401 "));
  EXPECT_TRUE(send("X-Token: secret\r\nContent-Length: 1001\r\n", "").starts_with("HTTP/1.1 413 "));
  EXPECT_TRUE(send("X-Token: secret\r\n", "").starts_with("HTTP/1.1 411 "));
  EXPECT_TRUE(send("X-Token: secret\r\nContent-Length: -1\r\n", "").starts_with("HTTP/1.1 411 "));
  answer = Error(Code::invalid_argument, "not JSON");
  EXPECT_TRUE(send("X-Token: secret\r\nContent-Length: 1\r\n", "x").starts_with("HTTP/1.1 400 "));
  answer = Error(Code::overloaded, "later");
  EXPECT_TRUE(send("X-Token: secret\r\nContent-Length: 1\r\n", "x").starts_with("HTTP/1.1 503 "));
  EXPECT_TRUE(ask((*server)->port(), "POST /other HTTP/1.1\r\nContent-Length: 0\r\n\r\n").starts_with("HTTP/1.1 405 "));
}

TEST_F(MetricsServerTest, ServesMetricsAndStates) {
  EXPECT_EQ(ask(server->port(), "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 12\r\n"
            "Connection: close\r\n\r\nhearth_up 1\n");
  EXPECT_TRUE(ask(server->port(), "GET /healthz HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
  const std::string waiting = ask(server->port(), "GET /readyz HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(waiting.starts_with("HTTP/1.1 503 "));
  EXPECT_TRUE(waiting.ends_with("\r\n\r\nunavailable: no worker yet\n"));
  ready = true;
  EXPECT_TRUE(ask(server->port(), "GET /readyz HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
}

TEST_F(MetricsServerTest, HeadHasTheLengthAndNoBody) {
  const std::string reply = ask(server->port(), "HEAD /metrics HTTP/1.1\r\n\r\n");
  EXPECT_NE(reply.find("Content-Length: 12"), std::string::npos);
  EXPECT_TRUE(reply.ends_with("\r\n\r\n"));
}

TEST_F(MetricsServerTest, RefusesWhatItDoesNotServe) {
  EXPECT_TRUE(ask(server->port(), "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(ask(server->port(), "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(ask(server->port(), "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(ask(server->port(), "GET /metrics\r\n\r\n").starts_with("HTTP/1.1 400 "));
}

TEST_F(MetricsServerTest, ABigRequestHeadIsRefusedAndNotKept) {
  // Exactly the limit: a byte more would be unread when the server closes, and the reply lost to a reset.
  EXPECT_TRUE(ask(server->port(), std::string(8192, 'a')).starts_with("HTTP/1.1 431 "));
}

TEST_F(MetricsServerTest, ConnectionsBeyondTheBoundAreClosedAndOthersServedAgainLater) {
  std::vector<UniqueFd> idle;
  for (int i = 0; i < 16; ++i) idle.push_back(connect_to(server->port()));
  // Accepted in order of arrival, so this one meets a full server.
  const UniqueFd refused = connect_to(server->port());
  EXPECT_EQ(read_all(refused), "");
  idle.clear();
  std::string reply;
  // The server notices closed connections one by one; a refusal in between is an empty reply.
  for (int attempt = 0; attempt < 10000 && reply.empty(); ++attempt) {
    const UniqueFd fd = connect_to(server->port());
    const std::string_view request = "GET /healthz HTTP/1.1\r\n\r\n";
    if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) > 0) reply = read_all(fd);
  }
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 200 OK"));
}

TEST_F(MetricsServerTest, StopsWithConnectionsOpen) {
  const UniqueFd idle = connect_to(server->port());
  const std::uint16_t port = server->port();
  server.reset();
  EXPECT_EQ(read_all(idle), "");
  EXPECT_FALSE(static_cast<bool>(connect_to(port)));
}

TEST_F(MetricsServerTest, APortInUseAndAWrongAddressSayWhatToDo) {
  MetricsServerOptions options;
  options.port = server->port();
  const auto second = MetricsServer::start(options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.code(), Code::busy);
  EXPECT_NE(second.error().message().find("choose another port"), std::string::npos);
  options.host = "not-an-address";
  EXPECT_EQ(MetricsServer::start(options).code(), Code::invalid_argument);
}

}  // namespace
}  // namespace hearth

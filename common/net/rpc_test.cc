// Calls over real sockets, TCP and Unix.
#include "common/net/rpc_test_support.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

namespace hearth {
namespace {

using namespace std::chrono_literals;
using namespace test;

std::size_t open_fds() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

class RpcOverSockets : public testing::TestWithParam<Address::Kind> {
 protected:
  RpcOverSockets() {
    char directory[] = "/tmp/hearth-rpc-XXXXXX";
    directory_ = ::mkdtemp(directory);
    server_->on_disconnect([this](ConnectionId id) { gone_.push_back(id); });
    server_->handle(Method::stat, echo);
  }
  ~RpcOverSockets() override {
    channel_.reset();
    if (server_) stop();
    loop_.settle();
    std::filesystem::remove_all(directory_);
  }

  void listen() {
    Address address{.kind = GetParam(), .host = "127.0.0.1"};
    if (address.kind == Address::Kind::unix_socket) address.host = directory_ + "/rpc.sock";
    const Status status = server_->listen(address);
    ASSERT_TRUE(status) << status.error().to_string();
    channel_ = connect();
  }
  std::unique_ptr<RpcChannel> connect() { return make_rpc_channel(context(), server_->bound().front()); }
  RpcContext context() {
    return {.executor = loop_.executor(), .transport = *transport_, .clock = real_clock(), .limits = limits_};
  }
  void stop() {
    const Status status = loop_.run(server_->stop(after(2s)));
    EXPECT_TRUE(status) << status.error().to_string();
    server_.reset();
  }
  Deadline after(Duration duration) { return Deadline::after(real_clock(), duration); }
  Result<RpcReply> call(RpcCall call, Duration within = 10s) {
    return loop_.run(channel_->call(std::move(call), after(within)));
  }

  Loop loop_;
  std::string directory_;
  RpcLimits limits_;
  std::unique_ptr<Transport> transport_ = make_socket_transport(loop_.executor());
  std::vector<ConnectionId> gone_;
  std::unique_ptr<RpcServer> server_ = make_rpc_server(context());
  std::unique_ptr<RpcChannel> channel_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, RpcOverSockets, testing::Values(Address::Kind::tcp, Address::Kind::unix_socket),
                         [](const auto& info) { return info.param == Address::Kind::tcp ? "Tcp" : "Unix"; });

TEST_P(RpcOverSockets, AnswersACall) {
  listen();
  auto reply = call(call_of(Method::stat, "hello"));
  ASSERT_TRUE(reply) << reply.error().to_string();
  EXPECT_EQ(reply->body, "hello");
  EXPECT_TRUE(channel_->connected());
}

TEST_P(RpcOverSockets, AnswersAThousandCallsInFlight) {
  listen();
  std::vector<Started<RpcReply>> calls;
  for (int i = 0; i < 1000; ++i) {
    calls.push_back(loop_.start(channel_->call(call_of(Method::stat, std::to_string(i)), after(20s))));
  }
  for (int i = 0; i < 1000; ++i) {
    auto& started = calls[static_cast<std::size_t>(i)];
    loop_.run_until([&] { return started.done(); });
    ASSERT_TRUE(started.result()) << started.result().error().to_string();
    EXPECT_EQ(started.result()->body, std::to_string(i));
  }
}

Task<ServerReply> send_in_parts(std::shared_ptr<ServerCall> call) {
  std::string page(1U << 20, '\0');
  for (std::uint64_t part = 0; part < 8; ++part) {
    for (std::size_t i = 0; i < page.size(); ++i) page[i] = static_cast<char>(part * 31 + i * 7 + (i >> 8));
    const auto bytes = bytes_of(page);
    std::vector<std::span<const std::byte>> pieces{bytes.first(1000), bytes.subspan(1000)};
    const std::uint32_t checksum = crc32c(bytes);
    auto sent = co_await call->send_part(part * page.size(), std::move(pieces), checksum);
    if (!sent) co_return std::move(sent).error();
    page.assign(page.size(), 'x');  // allowed: the part was sent
  }
  co_return ServerReply();
}

TEST_P(RpcOverSockets, ReadsALongPayloadInPartsIntoTheCallersMemory) {
  listen();
  server_->handle(Method::read, send_in_parts);
  std::string into(8U << 20, '\0');
  auto reply = call(call_of(Method::read, "", writable_bytes(into)));
  ASSERT_TRUE(reply) << reply.error().to_string();
  EXPECT_EQ(reply->payload_bytes, into.size());
  for (std::size_t i = 0; i < into.size(); ++i) {
    const std::size_t part = i >> 20;
    const std::size_t at = i & 0xFFFFF;
    ASSERT_EQ(into[i], static_cast<char>(part * 31 + at * 7 + (at >> 8))) << "at byte " << i;
  }
}

TEST_P(RpcOverSockets, RefusesAReplyLongerThanTheCallersMemory) {
  listen();
  server_->handle(Method::read, send_in_parts);
  std::string into((1U << 20) + 5, '\0');
  auto reply = call(call_of(Method::read, "", writable_bytes(into)));
  EXPECT_EQ(reply.code(), Code::bad_frame);
  EXPECT_TRUE(call(call_of(Method::stat, "still here")));
}

Task<ServerReply> lie_about_the_checksum(std::shared_ptr<ServerCall> call) {
  const std::string page(4096, 'p');
  std::vector<std::span<const std::byte>> pieces{bytes_of(page)};
  auto sent = co_await call->send_part(0, std::move(pieces), 12345);
  if (!sent) co_return std::move(sent).error();
  co_return ServerReply();
}

TEST_P(RpcOverSockets, ReportsAPayloadThatDoesNotMatchItsChecksum) {
  listen();
  server_->handle(Method::read, lie_about_the_checksum);
  std::string into(4096, '\0');
  EXPECT_EQ(call(call_of(Method::read, "", writable_bytes(into))).code(), Code::corrupt);
  EXPECT_TRUE(call(call_of(Method::stat, "still here")));
}

Task<ServerReply> small_payload(std::shared_ptr<ServerCall> call) {
  ServerReply reply;
  reply.payload = "payload of " + call->body();
  co_return std::move(reply);
}

TEST_P(RpcOverSockets, CarriesASmallPayloadWithTheReply) {
  listen();
  server_->handle(Method::read, small_payload);
  std::string into(64, '\0');
  auto reply = call(call_of(Method::read, "x", writable_bytes(into)));
  ASSERT_TRUE(reply);
  EXPECT_EQ(into.substr(0, reply->payload_bytes), "payload of x");
}

Task<ServerReply> refuse_politely(std::shared_ptr<ServerCall>) {
  co_return Error(Code::not_found, "/a is not there");
}

TEST_P(RpcOverSockets, CarriesErrorsWithTheirMessage) {
  listen();
  server_->handle(Method::list, refuse_politely);
  auto reply = call(call_of(Method::list, ""));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().to_string(), "not_found: /a is not there");
  EXPECT_TRUE(reply.error().is_answer());
}

Task<ServerReply> throwing(std::shared_ptr<ServerCall>) {
  throw std::runtime_error("oops");
  co_return ServerReply();
}

TEST_P(RpcOverSockets, TurnsAnExceptionOfAHandlerIntoInternal) {
  listen();
  server_->handle(Method::list, throwing);
  EXPECT_EQ(call(call_of(Method::list, "")).code(), Code::internal);
}

TEST_P(RpcOverSockets, AnswersAnUnknownMethodWithUnsupported) {
  listen();
  auto reply = call(call_of(static_cast<Method>(250), ""));
  ASSERT_EQ(reply.code(), Code::unsupported);
  EXPECT_NE(reply.error().message().find("method-250"), std::string::npos);
}

Task<ServerReply> give_descriptors(std::shared_ptr<ServerCall> call) {
  ServerReply reply;
  for (int i = 0; i < std::stoi(call->body()); ++i) {
    UniqueFd fd(::memfd_create("page", MFD_CLOEXEC));
    const std::string text = "file " + std::to_string(i);
    if (::write(fd.get(), text.data(), text.size()) < 0) co_return Error(Code::io_error, "write");
    reply.fds.push_back(std::move(fd));
  }
  co_return std::move(reply);
}

TEST_P(RpcOverSockets, PassesDescriptorsOverUnixSocketsOnly) {
  listen();
  server_->handle(Method::grant, give_descriptors);
  for (const int count : {1, 16, 3}) {
    auto reply = call(call_of(Method::grant, std::to_string(count)));
    if (GetParam() == Address::Kind::tcp) {
      EXPECT_EQ(reply.code(), Code::internal);
      continue;
    }
    ASSERT_TRUE(reply) << reply.error().to_string();
    ASSERT_EQ(reply->fds.size(), static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) {
      const int fd = reply->fds[static_cast<std::size_t>(i)].get();
      char text[16] = "";
      ASSERT_GT(::pread(fd, text, sizeof text, 0), 0);
      EXPECT_EQ(std::string(text), "file " + std::to_string(i));
      EXPECT_EQ(::fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    }
  }
  EXPECT_EQ(call(call_of(Method::grant, "17")).code(), Code::internal);
}

// TCP carries no descriptors.
class RpcOverUnixSockets : public RpcOverSockets {};
INSTANTIATE_TEST_SUITE_P(Kind, RpcOverUnixSockets, testing::Values(Address::Kind::unix_socket));

TEST_P(RpcOverUnixSockets, GivesEachOfManyPipelinedCallsItsOwnDescriptors) {
  listen();
  server_->handle(Method::grant, give_descriptors);
  std::vector<Started<RpcReply>> grants;
  for (int i = 0; i < 60; ++i) {
    (void)loop_.start(channel_->call(call_of(Method::stat, "noise"), after(10s)));
    grants.push_back(loop_.start(channel_->call(call_of(Method::grant, std::to_string(1 + i % 5)), after(10s))));
  }
  for (std::size_t i = 0; i < grants.size(); ++i) {
    loop_.run_until([&] { return grants[i].done(); });
    ASSERT_TRUE(grants[i].result()) << grants[i].result().error().to_string();
    EXPECT_EQ(grants[i].result()->fds.size(), 1 + i % 5);
  }
}

Task<ServerReply> read_descriptors(std::shared_ptr<ServerCall> call) {
  ServerReply reply;
  for (const UniqueFd& fd : call->take_fds()) {
    char text[16] = "";
    if (::pread(fd.get(), text, sizeof text, 0) < 0) co_return Error(Code::io_error, "read");
    reply.body += text;
  }
  co_return std::move(reply);
}

TEST_P(RpcOverUnixSockets, TakesDescriptorsWithARequestAndLeavesThemToTheCaller) {
  listen();
  server_->handle(Method::grant, read_descriptors);
  const UniqueFd one(::memfd_create("one", MFD_CLOEXEC));
  const UniqueFd two(::memfd_create("two", MFD_CLOEXEC));
  ASSERT_EQ(::write(one.get(), "one,", 4), 4);
  ASSERT_EQ(::write(two.get(), "two", 3), 3);
  for (int again = 0; again < 3; ++again) {
    RpcCall asking = call_of(Method::grant, "");
    asking.fds = {one.get(), two.get()};
    auto reply = call(std::move(asking));
    ASSERT_TRUE(reply) << reply.error().to_string();
    EXPECT_EQ(reply->body, "one,two");
  }
  RpcCall closed = call_of(Method::grant, "");
  closed.fds = {-1};
  EXPECT_EQ(call(std::move(closed)).code(), Code::invalid_argument);
  EXPECT_TRUE(call(call_of(Method::grant, ""))) << "the connection is as good as before";
}

TEST_P(RpcOverSockets, RefusesDescriptorsInARequestOverTcp) {
  if (GetParam() != Address::Kind::tcp) return;
  listen();
  server_->handle(Method::grant, read_descriptors);
  RpcCall asking = call_of(Method::grant, "");
  asking.fds = {STDIN_FILENO};
  EXPECT_EQ(call(std::move(asking)).code(), Code::invalid_argument);
}

Task<ServerReply> who(std::shared_ptr<ServerCall> call) {
  ServerReply reply;
  reply.body = call->peer().is_local ? std::to_string(call->peer().pid) : "remote";
  co_return std::move(reply);
}

TEST_P(RpcOverSockets, KnowsTheProcessBehindAUnixSocket) {
  listen();
  server_->handle(Method::list, who);
  auto reply = call(call_of(Method::list, ""));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->body, GetParam() == Address::Kind::tcp ? "remote" : std::to_string(::getpid()));
}

TEST_P(RpcOverSockets, DeliversNoticesAndTellsBothEndsOfTheDisconnect) {
  listen();
  ConnectionId connection = 0;
  server_->handle(Method::list, [&connection](std::shared_ptr<ServerCall> call) {
    connection = call->connection();
    return echo(call);
  });
  std::string noticed;
  int lost = 0;
  channel_->on_notice([&](Method method, std::string body) { noticed = std::string(name(method)) + " " + body; });
  channel_->on_disconnect([&] { ++lost; });
  ASSERT_TRUE(call(call_of(Method::list, "")));
  server_->notify(connection, Method::recall, "block 7");
  loop_.run_until([&] { return !noticed.empty(); });
  EXPECT_EQ(noticed, "recall block 7");
  stop();
  loop_.run_until([&] { return lost == 1; });
  EXPECT_EQ(gone_, std::vector<ConnectionId>{connection});
}

TEST_P(RpcOverSockets, FreesAClientsLeasesWhenItGoes) {
  listen();
  ASSERT_TRUE(call(call_of(Method::stat, "")));
  channel_.reset();
  loop_.run_until([&] { return gone_.size() == 1; });
}

TEST_P(RpcOverSockets, FailsWithUnavailableWhereNobodyListensAndConnectsLater) {
  listen();
  const Address address = server_->bound().front();
  stop();
  auto reply = call(call_of(Method::stat, "x"));
  ASSERT_EQ(reply.code(), Code::unavailable);
  EXPECT_NE(reply.error().message().find(address.to_string()), std::string::npos);
  server_ = make_rpc_server(context());
  server_->handle(Method::stat, echo);
  ASSERT_TRUE(server_->listen(address));
  EXPECT_TRUE(call(call_of(Method::stat, "x")));
}

TEST_P(RpcOverSockets, FailsCallsOfAClosedChannelWithCancelled) {
  listen();
  auto started = loop_.start(channel_->call(call_of(Method::stat, "x"), after(10s)));
  loop_.settle();
  channel_->close();
  loop_.run_until([&] { return started.done(); });
  EXPECT_EQ(call(call_of(Method::stat, "x")).code(), Code::cancelled);
}

TEST_P(RpcOverSockets, LeavesNoDescriptorAndNoSocketFileBehind) {
  // The first timer makes the reactor, which has descriptors of its own.
  (void)loop_.run(real_clock().sleep_until(real_clock().now()));
  const std::size_t before = open_fds();
  listen();
  const Address address = server_->bound().front();
  server_->handle(Method::grant, give_descriptors);
  for (int i = 0; i < 20; ++i) {
    const auto other = connect();
    (void)loop_.run(other->call(call_of(Method::grant, "5"), after(5s)));
  }
  ASSERT_TRUE(call(call_of(Method::stat, "x")));
  channel_.reset();
  stop();
  loop_.settle();
  EXPECT_EQ(open_fds(), before);
  EXPECT_FALSE(std::filesystem::exists(address.host));
}

}  // namespace
}  // namespace hearth

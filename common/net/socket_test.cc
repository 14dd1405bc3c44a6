// What only real sockets do: modes, stale files, ports in use, names.
#include "common/net/rpc_test_support.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace hearth {
namespace {

using namespace std::chrono_literals;
using namespace test;

class Sockets : public testing::Test {
 protected:
  Sockets() {
    char directory[] = "/tmp/hearth-sock-XXXXXX";
    directory_ = ::mkdtemp(directory);
  }
  ~Sockets() override { std::filesystem::remove_all(directory_); }

  Address at(const std::string& file) { return {.kind = Address::Kind::unix_socket, .host = directory_ + "/" + file}; }
  Deadline after(Duration duration) { return Deadline::after(real_clock(), duration); }

  Loop loop_;
  std::string directory_;
  std::unique_ptr<Transport> transport_ = make_socket_transport(loop_.executor());
};

TEST_F(Sockets, MakesAUnixSocketWithTheModeAskedFor) {
  for (const std::uint32_t mode : {0660U, 0600U, 0666U}) {
    auto listener = transport_->listen(at("s"), mode);
    ASSERT_TRUE(listener);
    struct stat status {};
    ASSERT_EQ(::stat(at("s").host.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, mode);
  }
  EXPECT_FALSE(std::filesystem::exists(at("s").host)) << "closing removes the file";
}

TEST_F(Sockets, ReplacesTheSocketOfADeadProcess) {
  {
    const UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, at("s").host.c_str());
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ASSERT_TRUE(std::filesystem::exists(at("s").host));
  EXPECT_TRUE(transport_->listen(at("s"), 0600));
}

TEST_F(Sockets, LeavesALiveSocketAndOtherFilesAlone) {
  auto live = transport_->listen(at("s"), 0600);
  ASSERT_TRUE(live);
  EXPECT_EQ(transport_->listen(at("s"), 0600).code(), Code::already_exists);
  std::ofstream(at("file").host) << "precious";
  EXPECT_EQ(transport_->listen(at("file"), 0600).code(), Code::already_exists);
  EXPECT_TRUE(std::filesystem::exists(at("file").host));
}

TEST_F(Sockets, DoesNotRemoveASuccessorsSocket) {
  auto first = transport_->listen(at("s"), 0600);
  ASSERT_TRUE(first);
  std::filesystem::remove(at("s").host);
  auto second = transport_->listen(at("s"), 0600);
  ASSERT_TRUE(second);
  (*first)->close();
  EXPECT_TRUE(std::filesystem::exists(at("s").host));
}

TEST_F(Sockets, SaysWhatToDoWhenAPortIsInUse) {
  const Address any{.host = "127.0.0.1"};
  auto first = transport_->listen(any, 0);
  ASSERT_TRUE(first);
  auto second = transport_->listen((*first)->bound(), 0);
  ASSERT_EQ(second.code(), Code::already_exists);
  const std::string& message = second.error().message();
  EXPECT_NE(message.find((*first)->bound().to_string()), std::string::npos) << message;
  EXPECT_NE(message.find("another port"), std::string::npos) << message;
}

TEST_F(Sockets, ConnectsToAHostByName) {
  auto listener = transport_->listen(Address{.host = "127.0.0.1"}, 0);
  ASSERT_TRUE(listener);
  const Address by_name{.host = "localhost", .port = (*listener)->bound().port};
  auto stream = loop_.run(transport_->connect(by_name, after(10s)));
  EXPECT_TRUE(stream) << stream.error().to_string();
}

TEST_F(Sockets, NamesAHostThatDoesNotResolve) {
  auto stream = loop_.run(transport_->connect(Address{.host = "no-such-host.invalid", .port = 1}, after(20s)));
  ASSERT_FALSE(stream);
  EXPECT_NE(stream.error().message().find("no-such-host.invalid"), std::string::npos);
}

TEST_F(Sockets, GivesUpConnectingAtTheDeadline) {
  // A listener whose queue is full answers no more connection requests, like a host behind a firewall.
  UniqueFd full(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(full.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(full.get(), 0), 0);
  ASSERT_EQ(::getsockname(full.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  const Address target{.host = "127.0.0.1", .port = ntohs(address.sin_port)};
  std::vector<std::unique_ptr<Stream>> kept;
  Code last = Code::ok;
  for (int i = 0; i < 8 && last == Code::ok; ++i) {
    auto stream = loop_.run(transport_->connect(target, after(200ms)));
    last = stream.code();
    if (stream) kept.push_back(*std::move(stream));
  }
  EXPECT_EQ(last, Code::deadline_exceeded);
}

Task<> write_then_report(Stream* stream, std::string bytes) {
  std::vector<std::span<const std::byte>> parts{bytes_of(bytes)};
  std::vector<int> no_fds;
  co_return co_await stream->write_all(std::move(parts), std::move(no_fds));
}

Task<std::string> read_all(Stream* stream, std::size_t bytes) {
  std::string text(bytes, '\0');
  std::size_t done = 0;
  std::vector<UniqueFd> fds;
  while (done < bytes) {
    auto count = co_await stream->read_some(writable_bytes(text).subspan(done), fds);
    if (!count) co_return std::move(count).error();
    if (*count == 0) break;
    done += *count;
  }
  text.resize(done);
  co_return std::move(text);
}

TEST_F(Sockets, WriteWaitsForAReaderAndLosesNothing) {
  auto listener = transport_->listen(at("s"), 0600);
  ASSERT_TRUE(listener);
  auto accepted = loop_.start((*listener)->accept());
  auto client = loop_.run(transport_->connect(at("s"), after(5s)));
  ASSERT_TRUE(client);
  loop_.run_until([&] { return accepted.done(); });
  std::string text(8U << 20, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 2654435761U >> 24);
  auto written = loop_.start(write_then_report(client->get(), text));
  loop_.settle();
  EXPECT_FALSE(written.done()) << "the kernel's buffers are smaller than this";
  auto read = loop_.run(read_all(accepted.result()->get(), text.size()));
  ASSERT_TRUE(read);
  EXPECT_TRUE(*read == text);
}

TEST_F(Sockets, ClosingEndsPendingReadsAndWrites) {
  auto listener = transport_->listen(at("s"), 0600);
  ASSERT_TRUE(listener);
  auto accepting = loop_.start((*listener)->accept());
  auto client = loop_.run(transport_->connect(at("s"), after(5s)));
  ASSERT_TRUE(client);
  loop_.run_until([&] { return accepting.done(); });
  auto reading = loop_.start(read_all(client->get(), 1));
  auto writing = loop_.start(write_then_report(client->get(), std::string(8U << 20, 'x')));
  auto accepting_more = loop_.start((*listener)->accept());
  loop_.settle();
  EXPECT_FALSE(reading.done() || writing.done() || accepting_more.done());
  (*client)->close();
  (*listener)->close();
  loop_.run_until([&] { return reading.done() && writing.done() && accepting_more.done(); });
  EXPECT_EQ(reading.result().code(), Code::unavailable);
  EXPECT_EQ(writing.result().code(), Code::unavailable);
  EXPECT_EQ(accepting_more.result().code(), Code::unavailable);
}

}  // namespace
}  // namespace hearth

#include "common/http/test_server.h"

#include "common/fd.h"
#include "common/http/test_wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <charconv>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

namespace hearth {
namespace {

constexpr std::size_t max_head_bytes = 1U << 20;

bool same_name(std::string_view a, std::string_view b) {
  const auto same = [](char x, char y) { return (x | 0x20) == (y | 0x20); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

std::string_view usual_reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 307: return "Temporary Redirect";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 412: return "Precondition Failed";
    case 416: return "Range Not Satisfiable";
    case 503: return "Service Unavailable";
    default: return "Status";
  }
}

std::string hex_of(std::size_t number) {
  std::array<char, 16> digits{};
  return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr};
}

bool parse_head(std::string_view head, TestRequest& request) {
  const auto line_end = head.find("\r\n");
  const std::string_view line = head.substr(0, line_end);
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || last <= first || line.substr(last + 1) != "HTTP/1.1") return false;
  request.method = line.substr(0, first);
  request.target = line.substr(first + 1, last - first - 1);
  std::string_view rest = line_end == std::string_view::npos ? std::string_view() : head.substr(line_end + 2);
  while (!rest.empty()) {
    const auto end = std::min(rest.find("\r\n"), rest.size());
    const std::string_view field = rest.substr(0, end);
    const auto colon = field.find(':');
    if (colon == std::string_view::npos) return false;
    std::string_view value = field.substr(colon + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
    request.headers.push_back({std::string(field.substr(0, colon)), std::string(value)});
    rest.remove_prefix(std::min(end + 2, rest.size()));
  }
  return true;
}

// Chunked content that is complete in `buffer`: moved to `body`. False: more is needed.
bool take_chunks(std::string& buffer, std::string& body) {
  std::size_t at = 0;
  std::string collected;
  while (true) {
    const auto line_end = buffer.find("\r\n", at);
    if (line_end == std::string::npos) return false;
    std::size_t length = 0;
    std::from_chars(buffer.data() + at, buffer.data() + line_end, length, 16);
    at = line_end + 2;
    if (buffer.size() < at + length + 2) return false;
    collected.append(buffer, at, length);
    at += length + 2;
    if (length == 0) break;
  }
  buffer.erase(0, at);
  body = std::move(collected);
  return true;
}

}  // namespace

std::optional<std::string_view> TestRequest::header(std::string_view name) const {
  for (const HttpHeader& each : headers) {
    if (same_name(each.name, name)) return each.value;
  }
  return std::nullopt;
}
std::string_view TestRequest::path() const { return std::string_view(target).substr(0, target.find('?')); }
std::string_view TestRequest::query() const {
  const auto mark = target.find('?');
  return mark == std::string::npos ? std::string_view() : std::string_view(target).substr(mark + 1);
}

struct TestServer::Impl {
  struct Connection {
    Connection(UniqueFd fd, const TestTlsContext* tls, std::uint64_t number_in)
        : wire(std::in_place, std::move(fd), tls), number(number_in) {}
    std::optional<TestWire> wire;  // gone when the connection is; guarded by mutex, except for its own thread's reading
    std::uint64_t number;
    std::thread thread;
    bool ended = false;
  };

  Impl(Handler handler_in, TestServerOptions options_in) : handler(std::move(handler_in)), options(std::move(options_in)) {
    if (!options.certificate_file.empty()) {
      tls.emplace(options.certificate_file, options.key_file, options.client_ca_file);
    }
  }

  void listen();
  void accept_all();
  void reap();
  void serve(Connection& connection);
  bool receive_request(Connection& connection, std::string& buffer, TestRequest& request);
  bool receive_body(TestWire& wire, std::string& buffer, TestRequest& request) const;
  // True when the connection goes on.
  bool answer(TestWire& wire, const TestRequest& request, const TestReply& reply);
  bool send_body(TestWire& wire, const TestReply& reply, std::uint64_t length);
  // False when the server stops meanwhile.
  bool wait_for(Duration duration);

  // Set once
  const Handler handler;
  const TestServerOptions options;
  std::optional<TestTlsContext> tls;
  UniqueFd listener;
  std::uint16_t port = 0;
  std::thread acceptor;
  // Guarded by mutex
  mutable std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;
  std::list<Connection> connections;
  std::vector<TestRequest> log;
  std::uint64_t requests = 0;
  std::uint64_t opened = 0;
};

void TestServer::Impl::listen() {
  listener = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool listens = ::bind(listener.get(), generic, length) == 0 && ::listen(listener.get(), 4096) == 0 &&
                       ::getsockname(listener.get(), generic, &length) == 0;
  assert(listens && "a port of the loopback can be had");
  static_cast<void>(listens);
  port = ntohs(address.sin_port);
}

void TestServer::Impl::accept_all() {
  while (true) {
    UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const std::lock_guard lock(mutex);
    if (stopping) return;
    if (!fd) continue;
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    reap();
    Connection& connection = connections.emplace_back(std::move(fd), tls ? &*tls : nullptr, opened++);
    connection.thread = std::thread([this, &connection] { serve(connection); });
  }
}

// Mutex held. A thread that ended has nothing left to lock for.
void TestServer::Impl::reap() {
  for (auto each = connections.begin(); each != connections.end();) {
    if (!each->ended) {
      ++each;
      continue;
    }
    each->thread.join();
    each = connections.erase(each);
  }
}

void TestServer::Impl::serve(Connection& connection) {
  std::string buffer;
  bool goes_on = connection.wire->handshake();
  while (goes_on) {
    TestRequest request;
    goes_on = receive_request(connection, buffer, request);
    if (!goes_on) break;
    const TestReply reply = handler(request);
    goes_on = answer(*connection.wire, request, reply);
  }
  const std::lock_guard lock(mutex);
  connection.wire.reset();
  connection.ended = true;
}

bool TestServer::Impl::receive_request(Connection& connection, std::string& buffer, TestRequest& request) {
  TestWire& wire = *connection.wire;
  std::size_t head_end = 0;
  while ((head_end = buffer.find("\r\n\r\n")) == std::string::npos) {
    if (buffer.size() > max_head_bytes || !wire.receive(buffer)) return false;
  }
  request.received = real_clock().now();
  const bool parsed = parse_head(std::string_view(buffer).substr(0, head_end), request);
  buffer.erase(0, head_end + 4);
  if (!parsed) return false;
  const auto expects = request.header("Expect");
  if (expects && same_name(*expects, "100-continue") && !wire.send("HTTP/1.1 100 Continue\r\n\r\n")) return false;
  if (!receive_body(wire, buffer, request)) return false;
  request.connection = connection.number;
  const std::lock_guard lock(mutex);
  request.number = requests++;
  TestRequest logged = request;
  logged.body.clear();
  log.push_back(std::move(logged));
  return true;
}

bool TestServer::Impl::receive_body(TestWire& wire, std::string& buffer, TestRequest& request) const {
  const auto encoding = request.header("Transfer-Encoding");
  if (encoding && same_name(*encoding, "chunked")) {
    while (!take_chunks(buffer, request.body)) {
      if (buffer.size() > options.max_body_bytes || !wire.receive(buffer)) return false;
    }
    return true;
  }
  const auto announced = request.header("Content-Length");
  std::uint64_t length = 0;
  if (announced) std::from_chars(announced->data(), announced->data() + announced->size(), length);
  if (length > options.max_body_bytes) return false;
  while (buffer.size() < length) {
    if (!wire.receive(buffer)) return false;
  }
  request.body = buffer.substr(0, length);
  buffer.erase(0, length);
  return true;
}

bool TestServer::Impl::answer(TestWire& wire, const TestRequest& request, const TestReply& reply) {
  if (!wait_for(reply.delay_head)) return false;
  const std::uint64_t length = reply.generator ? reply.generated_length : reply.body.size();
  const bool bodiless = reply.status == 204 || reply.status == 304 || reply.status / 100 == 1;
  bool own_length = false;
  for (const HttpHeader& each : reply.headers) own_length = own_length || same_name(each.name, "Content-Length");
  std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " " +
                     (reply.reason.empty() ? std::string(usual_reason(reply.status)) : reply.reason) + "\r\n";
  for (const HttpHeader& each : reply.headers) head += each.name + ": " + each.value + "\r\n";
  if (reply.framing == TestFraming::chunked) head += "Transfer-Encoding: chunked\r\n";
  if (reply.framing == TestFraming::content_length && !own_length && !bodiless) {
    head += "Content-Length: " + std::to_string(length) + "\r\n";
  }
  if (reply.ending == TestEnding::close_announced) head += "Connection: close\r\n";
  head += "\r\n";
  bool goes_on = wire.send(reply.raw_head ? *reply.raw_head : head);
  if (goes_on && request.method != "HEAD" && !bodiless) {
    goes_on = wait_for(reply.delay_body) && send_body(wire, reply, length);
  }
  const bool cut = reply.cut_body_at && *reply.cut_body_at < length;
  if (reply.ending == TestEnding::reset) wire.close_by_reset();
  return goes_on && !cut && reply.ending == TestEnding::keep_alive && reply.framing != TestFraming::until_close;
}

bool TestServer::Impl::send_body(TestWire& wire, const TestReply& reply, std::uint64_t length) {
  const std::uint64_t end = reply.cut_body_at ? std::min(*reply.cut_body_at, length) : length;
  std::uint64_t position = 0;
  while (position < end) {
    const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(reply.chunk_bytes, end - position));
    std::string piece = reply.generator ? reply.generator(position, room) : reply.body.substr(position, room);
    if (piece.empty()) return false;
    position += piece.size();
    const bool is_cut = position == end && end < length;
    if (reply.framing == TestFraming::chunked) {
      // A cut chunk announces more than comes, as a real one does.
      piece = hex_of(piece.size() + (is_cut ? 1 : 0)) + "\r\n" + piece + (is_cut ? "" : "\r\n");
    }
    if (!wire.send(piece) || !wait_for(reply.pause)) return false;
  }
  if (reply.framing == TestFraming::chunked && end == length) return wire.send("0\r\n\r\n");
  return true;
}

bool TestServer::Impl::wait_for(Duration duration) {
  std::unique_lock lock(mutex);
  if (duration == Duration{}) return !stopping;
  return !changed.wait_for(lock, duration, [this] { return stopping; });
}

TestServer::TestServer(Handler handler, TestServerOptions options)
    : impl_(std::make_unique<Impl>(std::move(handler), std::move(options))) {
  impl_->listen();
  impl_->acceptor = std::thread([impl = impl_.get()] { impl->accept_all(); });
}

TestServer::~TestServer() { stop(); }

void TestServer::stop() {
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->stopping) return;
    impl_->stopping = true;
    impl_->changed.notify_all();
    for (Impl::Connection& each : impl_->connections) {
      if (each.wire) each.wire->shut();
    }
    ::shutdown(impl_->listener.get(), SHUT_RDWR);  // wakes accept
  }
  impl_->acceptor.join();
  for (Impl::Connection& each : impl_->connections) each.thread.join();
  impl_->connections.clear();
  impl_->listener.reset();
}

std::uint16_t TestServer::port() const { return impl_->port; }
std::string TestServer::origin() const {
  return (impl_->tls ? "https://localhost:" : "http://127.0.0.1:") + std::to_string(impl_->port);
}
std::vector<TestRequest> TestServer::log() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->log;
}
void TestServer::clear_log() {
  const std::lock_guard lock(impl_->mutex);
  impl_->log.clear();
}
std::uint64_t TestServer::requests() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->requests;
}
std::uint64_t TestServer::connections_opened() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->opened;
}
std::uint64_t TestServer::connections_open() const {
  const std::lock_guard lock(impl_->mutex);
  return static_cast<std::uint64_t>(
      std::count_if(impl_->connections.begin(), impl_->connections.end(), [](const auto& each) { return !each.ended; }));
}

}  // namespace hearth

#include "common/metrics_server.h"

#include "common/log.h"
#include "common/task_group.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <thread>
#include <variant>

namespace hearth {
namespace {

using tcp = asio::ip::tcp;

constexpr std::size_t max_connections = 16;
constexpr std::size_t max_head_bytes = 8192;
constexpr auto connection_timeout = std::chrono::seconds(5);
constexpr auto pause_after_failed_accept = std::chrono::milliseconds(100);
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

struct Answer {
  std::string_view status;
  std::string_view type = "text/plain; charset=utf-8";
  std::string body;
};

Answer answer_status(const std::function<Status()>& callback) {
  const Status status = callback ? callback() : ok();
  if (status) return Answer{.status = "200 OK", .body = "ok\n"};
  return Answer{.status = "503 Service Unavailable", .body = status.error().to_string() + "\n"};
}

Answer answer(const MetricsServerOptions& options, std::string_view method, std::string_view target) {
  if (method != "GET" && method != "HEAD") {
    return Answer{.status = "405 Method Not Allowed", .body = "only GET and HEAD\n"};
  }
  const std::string_view path = target.substr(0, target.find('?'));
  if (path == "/metrics") {
    return Answer{.status = "200 OK", .type = "text/plain; version=0.0.4; charset=utf-8",
                  .body = options.metrics ? options.metrics() : ""};
  }
  if (path == "/healthz") return answer_status(options.healthy);
  if (path == "/readyz") return answer_status(options.ready);
  return Answer{.status = "404 Not Found", .body = "try /metrics, /healthz or /readyz\n"};
}

std::string response_of(const Answer& reply) {
  std::string text = "HTTP/1.1 ";
  text.append(reply.status).append("\r\nContent-Type: ").append(reply.type);
  text.append("\r\nContent-Length: ").append(std::to_string(reply.body.size()));
  text.append("\r\nConnection: close\r\n\r\n").append(reply.body);
  return text;
}

const HttpPost* post_of(const MetricsServerOptions& options, std::string_view head) {
  constexpr std::string_view method = "POST ";
  if (!head.starts_with(method)) return nullptr;
  const std::string_view target = head.substr(method.size(), head.find_first_of(" \r", method.size()) - method.size());
  for (const HttpPost& post : options.posts) {
    if (post.path == target.substr(0, target.find('?'))) return &post;
  }
  return nullptr;
}

// How long the body is, or the answer that refuses it.
std::variant<std::size_t, Answer> body_length(const HttpPost& post, std::string_view head) {
  const Status admitted = post.admit ? post.admit(head) : ok();
  if (!admitted) {
    const bool unknown = admitted.code() == Code::unauthenticated;
    return Answer{.status = unknown ? "401 Unauthorized" : "403 Forbidden", .body = admitted.error().message() + "\n"};
  }
  const std::string_view text = header_of_head(head, "Content-Length").value_or("");
  std::size_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return Answer{.status = "411 Length Required", .body = "send a Content-Length\n"};
  }
  if (length > post.max_body_bytes) {
    return Answer{.status = "413 Content Too Large", .body = "at most " + std::to_string(post.max_body_bytes) + " bytes\n"};
  }
  return length;
}

Answer answer_post(const HttpPost& post, std::string body) {
  const Status taken = post.take(std::move(body));
  if (taken) return Answer{.status = "200 OK", .body = "ok\n"};
  const bool wrong = taken.code() == Code::invalid_argument;
  return Answer{.status = wrong ? "400 Bad Request" : "503 Service Unavailable", .body = taken.error().message() + "\n"};
}

// The whole response to a request head ("GET /metrics HTTP/1.1\r\n...").
std::string respond(const MetricsServerOptions& options, std::string_view head) {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const std::size_t first = line.find(' ');
  const std::size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  Answer reply{.status = "400 Bad Request", .body = "this is not an HTTP/1.1 request\n"};
  std::string_view method;
  if (second != std::string_view::npos && line.substr(second + 1).starts_with("HTTP/1.")) {
    method = line.substr(0, first);
    reply = answer(options, method, line.substr(first + 1, second - first - 1));
  }
  std::string text = "HTTP/1.1 ";
  text.append(reply.status).append("\r\nContent-Type: ").append(reply.type);
  text.append("\r\nContent-Length: ").append(std::to_string(reply.body.size()));
  if (reply.status.starts_with("405")) text.append("\r\nAllow: GET, HEAD");
  text.append("\r\nConnection: close\r\n\r\n");
  if (method != "HEAD") text += reply.body;
  return text;
}

}  // namespace

std::optional<std::string_view> header_of_head(std::string_view head, std::string_view name) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const auto same = [lower](char a, char b) { return lower(a) == lower(b); };
  for (std::size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
    const std::string_view line = head.substr(at + 2, head.find("\r\n", at + 2) - at - 2);
    const std::size_t colon = line.find(':');
    if (colon != name.size() || !std::equal(name.begin(), name.end(), line.begin(), same)) continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    if (begin == std::string_view::npos) return "";
    return line.substr(begin, line.find_last_not_of(" \t") + 1 - begin);
  }
  return std::nullopt;
}

namespace {

class Server final : public MetricsServer {
 public:
  explicit Server(MetricsServerOptions options) : options_(std::move(options)), acceptor_(io_), tasks_(io_.get_executor()) {}

  ~Server() override {
    asio::post(io_, [this] {
      acceptor_.close();
      tasks_.cancel();
    });
    if (thread_.joinable()) thread_.join();
    io_.restart();
    io_.poll();  // for a server whose thread never started
  }

  Status open() {
    boost::system::error_code error;
    const auto address = asio::ip::make_address(options_.host, error);
    if (error) {
      return Error(Code::invalid_argument, "metrics address '" + options_.host + "' is not an IP address; use 127.0.0.1 or 0.0.0.0");
    }
    const tcp::endpoint endpoint(address, options_.port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return Error(code_from_errno(error.value()), "metrics server can not listen on " + options_.host + ":" +
                                                       std::to_string(options_.port) + ": " + error.message() +
                                                       "; choose another port or stop what uses it");
    }
    port_ = acceptor_.local_endpoint(error).port();
    CHECK_OK(tasks_.spawn(accept_loop(), "metrics_accept"));
    thread_ = std::thread([this] { io_.run(); });
    return ok();
  }

  std::uint16_t port() const override { return port_; }

 private:
  Task<> accept_loop() {
    while (acceptor_.is_open()) {
      auto [error, socket] = co_await acceptor_.async_accept(as_result);
      if (error && acceptor_.is_open() && error != asio::error::operation_aborted) {
        // Out of descriptors, for example: trying at once would only burn the processor.
        auto slept = co_await real_clock().sleep_for(pause_after_failed_accept);
        if (!slept) break;
      }
      if (error || tasks_.size() > max_connections) continue;  // one of the tasks is this loop
      (void)tasks_.spawn(serve(std::move(socket)), "metrics_connection");  // refused only while stopping
    }
    co_return ok();
  }

  Task<> serve(tcp::socket socket) {
    asio::steady_timer timer(io_, connection_timeout);
    timer.async_wait([&socket](const boost::system::error_code& error) {
      boost::system::error_code ignored;
      if (!error) socket.close(ignored);
    });
    auto status = co_await exchange(socket);
    // The timer's handler refers to the socket: when it can no longer be cancelled it runs next, so wait for it.
    if (timer.cancel() == 0) co_await asio::post(io_, asio::use_awaitable);
    co_return status;
  }

  Task<> exchange(tcp::socket& socket) {
    std::string head;
    auto buffer = asio::dynamic_buffer(head, max_head_bytes);
    const auto [read_error, head_bytes] = co_await asio::async_read_until(socket, buffer, "\r\n\r\n", as_result);
    std::string response;
    const HttpPost* post = read_error ? nullptr : post_of(options_, std::string_view(head).substr(0, head_bytes));
    if (post != nullptr) {
      CO_TRY(answered, co_await take_post(socket, *post, std::move(head), head_bytes));
      response = std::move(answered);
    } else if (!read_error) {
      response = respond(options_, std::string_view(head).substr(0, head_bytes));
    } else if (head.size() >= max_head_bytes) {
      response = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    } else {
      co_return ok();  // it left, or was too slow
    }
    const auto bytes = asio::buffer(response);
    co_await asio::async_write(socket, bytes, as_result);
    boost::system::error_code ignored;
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    co_return ok();
  }

  // `received` is the head and what came behind it.
  Task<std::string> take_post(tcp::socket& socket, const HttpPost& post, std::string received, std::size_t head_bytes) {
    std::variant<std::size_t, Answer> length = body_length(post, std::string_view(received).substr(0, head_bytes));
    if (const Answer* refusal = std::get_if<Answer>(&length)) co_return response_of(*refusal);
    std::string body = received.substr(head_bytes);
    const std::size_t have = body.size();
    body.resize(std::get<std::size_t>(length));
    if (have < body.size()) {
      const auto rest = asio::buffer(body) + have;
      const auto [error, count] = co_await asio::async_read(socket, rest, as_result);
      if (error) co_return Error(Code::cancelled, "the sender left, or was too slow");
    }
    co_return response_of(answer_post(post, std::move(body)));
  }

  // Set once.
  MetricsServerOptions options_;
  std::uint16_t port_ = 0;
  // Server thread only, once it runs.
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  TaskGroup tasks_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<MetricsServer>> MetricsServer::start(MetricsServerOptions options) {
  auto server = std::make_unique<Server>(std::move(options));
  CHECK_OK(server->open());
  return std::unique_ptr<MetricsServer>(std::move(server));
}

}  // namespace hearth

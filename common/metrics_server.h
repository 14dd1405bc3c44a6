// The small HTTP/1.1 server for /metrics, /healthz and /readyz, and for what others post to us, on a thread of its own.
//
// Threads: start and destroy it from one thread; the callbacks run on the server's thread.
// Bounds:  16 connections (more are closed), 8 KiB of request head, 5 s from accept to the last byte; the body of a
//          post as its HttpPost says, and none before it is admitted.
// Fails:   start() with `busy` when the port is in use, `invalid_argument` for an address that is none.
//
// Answers GET and HEAD, and POST where an HttpPost is, one request per connection. No TLS, and no authentication but
// what an HttpPost asks for: bind it to loopback or to a network that is trusted.
#pragma once

#include "common/clock.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

// The first header of that name in a request head, without blanks around it; names compare without case.
std::optional<std::string_view> header_of_head(std::string_view head, std::string_view name);

struct HttpPost {
  std::string path;
  std::size_t max_body_bytes = 1U << 20;
  // Asked before the body is read: ok, or unauthenticated (401), or anything else (403).
  std::function<Status(std::string_view head)> admit;
  // The whole body: ok (200), invalid_argument (400), anything else (503: the sender comes back).
  std::function<Status(std::string body)> take;
};

struct MetricsServerOptions {
  std::string host = "127.0.0.1";  // an IP address
  std::uint16_t port = 0;          // 0: any free one
  std::function<std::string()> metrics;  // Prometheus text
  std::function<Status()> healthy;       // /healthz: 200, or 503 with the message. Unset: 200
  std::function<Status()> ready;         // /readyz
  std::vector<HttpPost> posts;
};

class MetricsServer {
 public:
  static Result<std::unique_ptr<MetricsServer>> start(MetricsServerOptions options);
  virtual ~MetricsServer() = default;  // closes everything and joins the thread
  virtual std::uint16_t port() const = 0;
};

}  // namespace hearth

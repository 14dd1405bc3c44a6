// The small HTTP/1.1 server for /metrics, /healthz and /readyz, on a thread of its own.
//
// Threads: start and destroy it from one thread; the callbacks run on the server's thread.
// Bounds:  16 connections (more are closed), 8 KiB of request head, 5 s from accept to the last byte.
// Fails:   start() with `busy` when the port is in use, `invalid_argument` for an address that is none.
//
// Answers GET and HEAD, one request per connection. No TLS and no authentication: bind it to loopback or
// to the network of the monitoring.
#pragma once

#include "common/clock.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace hearth {

struct MetricsServerOptions {
  std::string host = "127.0.0.1";  // an IP address
  std::uint16_t port = 0;          // 0: any free one
  std::function<std::string()> metrics;  // Prometheus text
  std::function<Status()> healthy;       // /healthz: 200, or 503 with the message. Unset: 200
  std::function<Status()> ready;         // /readyz
};

class MetricsServer {
 public:
  static Result<std::unique_ptr<MetricsServer>> start(MetricsServerOptions options);
  virtual ~MetricsServer() = default;  // closes everything and joins the thread
  virtual std::uint16_t port() const = 0;
};

}  // namespace hearth

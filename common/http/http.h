// HTTP/1.1 client for under-stores, token services and exporters: one transfer in, one reply out.
//
// Threads: send() may be called from any executor and resumes there. Transfers run on the client's own event loop
//          (libcurl's multi interface); no thread per request.
// Owns:    connections, kept for reuse per host up to max_connections_per_host.
// Never:   follows a redirect, adds credentials, retries, or decodes a path: what to do with a 3xx, 401 or 503 belongs
//          to whoever knows the protocol. The URL is sent byte for byte as given (no dot-segment removal).
// Fails:   unavailable (no connection, name not resolved, cut off; the message says which step), deadline_exceeded,
//          permission_denied (the peer's certificate is not trusted or names another host), invalid_argument (URL, scheme),
//          corrupt (fewer or more body bytes than announced), overloaded (a limit of ours), cancelled.
#pragma once

#include "common/async.h"
#include "common/clock.h"
#include "common/units.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

struct HttpHeader {
  std::string name;
  std::string value;
};

// What is known before the first byte of the body.
struct HttpHead {
  int status = 0;
  std::vector<HttpHeader> headers;  // as sent; names compare without case
  std::optional<std::uint64_t> content_length;

  // The first header of that name, or nothing.
  std::optional<std::string_view> header(std::string_view name) const;
};

struct HttpTls {
  std::string ca_file;               // PEM; "" = the system's
  std::string client_certificate;    // PEM file; "" = none
  std::string client_key;
};

struct HttpTimeouts {
  Duration connect = std::chrono::seconds(5);
  Duration first_byte = std::chrono::seconds(10);  // from the request's last byte to the reply's first
  Duration stall = std::chrono::seconds(10);       // without a byte in either direction
};

struct HttpAuthNegotiate {};  // SPNEGO with the process's Kerberos credentials

struct HttpRequest {
  std::string method = "GET";
  std::string url;  // absolute http:// or https://, already encoded
  std::vector<HttpHeader> headers;
  // The body: these spans in order, alive until the task ends. Sent with Content-Length, also when empty for PUT and POST.
  std::vector<std::span<const std::byte>> body;

  // Runs when the head is complete, on the client's event loop, before any body byte is taken. An error ends the
  // transfer with that error. Not asked for statuses outside 200-299.
  std::function<Status(const HttpHead&)> accept_head;
  // Where the body of an accepted 2xx goes; more bytes than fit are `corrupt`. Empty: the body is collected in
  // HttpReply::body. Must live until the task ends, cancelled or not.
  std::span<std::byte> into;
  // Called on the client's event loop after bytes [0, have) of `into` are there.
  std::function<void(std::uint64_t have)> progress;
  // Bodies that are collected (errors, listings) may be this long; longer is `overloaded`.
  std::uint64_t max_body_bytes = 16ULL << 20;

  HttpTls tls;
  HttpTimeouts timeouts;
  std::string proxy;                                    // "" = none; http://host:port
  std::optional<std::string> connect_to;                // "host:port" to dial instead of the URL's, for host mappings
  std::optional<HttpAuthNegotiate> negotiate;
};

struct HttpReply {
  HttpHead head;
  std::string body;                 // unless it went into HttpRequest::into
  std::uint64_t body_bytes = 0;     // received
  Duration first_byte{};            // from the start of the transfer
  Duration total{};
};

struct HttpClientOptions {
  std::size_t max_connections_per_host = 128;
  std::size_t max_connections = 1024;
  std::size_t max_header_bytes = 256U << 10;  // of one reply, all headers together
  std::string user_agent = "hearth";
};

class HttpClient {
 public:
  virtual ~HttpClient() = default;
  // Any status is a reply, also 404 and 503.
  virtual Task<HttpReply> send(HttpRequest request, Deadline deadline) = 0;
  // Ends everything in flight with `cancelled` and refuses more. Called by the destructor too.
  virtual void close() = 0;
};

// Starts its event loop with the first request.
std::unique_ptr<HttpClient> make_http_client(HttpClientOptions options, Clock& clock);

}  // namespace hearth

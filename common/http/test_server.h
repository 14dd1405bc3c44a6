// An HTTP/1.1 server for tests, in this process, that misbehaves as its script says.
//
// Threads: one per connection; the handler is called on them, several at a time: lock what it shares. A handler may
//          block (that holds back its own connection only) as long as the test lets it go before stop().
// Owns:    its port on 127.0.0.1 and its connections; stop() and the destructor end them at once.
// Never:   decodes: the target is logged and given as it came. Does not check what a client sends beyond the framing.
#pragma once

#include "common/clock.h"
#include "common/http/http.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

struct TestRequest {
  std::string method;
  std::string target;  // raw, as in the request line
  std::vector<HttpHeader> headers;
  std::string body;
  std::uint64_t number = 0;      // of this server, from 0
  std::uint64_t connection = 0;  // of this server, from 0
  TimePoint received{};          // when its head was complete

  std::optional<std::string_view> header(std::string_view name) const;  // without case
  std::string_view path() const;   // raw, before "?"
  std::string_view query() const;  // raw, behind "?"
};

// How the end of a body is told.
enum class TestFraming : std::uint8_t { content_length, chunked, until_close };
enum class TestEnding : std::uint8_t {
  keep_alive,      // as HTTP/1.1 says
  close_announced, // "Connection: close", then closed
  close,           // closed without a word
  reset,           // RST
};

struct TestReply {
  int status = 200;
  std::string reason;  // "" = a usual one
  std::vector<HttpHeader> headers;  // besides the framing's own; a Content-Length here replaces the true one
  std::string body;
  // Instead of `body`: `generated_length` bytes, asked for piece by piece (at most `room` bytes from `position`).
  std::function<std::string(std::uint64_t position, std::size_t room)> generator;
  std::uint64_t generated_length = 0;

  TestFraming framing = TestFraming::content_length;
  std::size_t chunk_bytes = 64U << 10;  // of one chunk, or of one write
  TestEnding ending = TestEnding::keep_alive;

  // Faults.
  Duration delay_head{};
  Duration delay_body{};             // between the head and the first body byte
  Duration pause{};                  // after every chunk_bytes: a trickle
  std::optional<std::uint64_t> cut_body_at;  // so many body bytes, then `ending` (close, unless it says reset)
  std::optional<std::string> raw_head;  // sent instead of status line and headers ("" = nothing, with its blank line)
};

struct TestServerOptions {
  std::string certificate_file;  // PEM; together with the key: TLS
  std::string key_file;
  std::string client_ca_file;  // clients must present a certificate of this authority
  std::uint64_t max_body_bytes = 256ULL << 20;
  std::uint16_t port = 0;  // 0 = any; a given one for a server that comes back
};

class TestServer {
 public:
  using Handler = std::function<TestReply(const TestRequest&)>;

  explicit TestServer(Handler handler, TestServerOptions options = {});
  ~TestServer();
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  std::uint16_t port() const;
  // "http://127.0.0.1:port" or "https://localhost:port".
  std::string origin() const;

  // Everything received so far, without the bodies.
  std::vector<TestRequest> log() const;
  void clear_log();
  std::uint64_t requests() const;
  std::uint64_t connections_opened() const;
  std::uint64_t connections_open() const;

  // Closes every connection and the port; the log stays. Idempotent.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth

// Byte streams between processes, as a seam: sockets in production, a scripted pair in tests.
//
// Threads: a stream is confined to the executor it was made on.
// Owns:    its descriptor; closing is idempotent and ends pending operations with `unavailable`.
#pragma once

#include "common/async.h"
#include "common/clock.h"
#include "common/fd.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

// "127.0.0.1:19801", "[::1]:19801", "host:19801" or "unix:/run/hearth/worker.sock".
struct Address {
  enum class Kind : std::uint8_t { tcp, unix_socket };
  Kind kind = Kind::tcp;
  std::string host;  // or the path of the socket
  std::uint16_t port = 0;

  static Result<Address> parse(std::string_view text);
  std::string to_string() const;
  bool operator==(const Address&) const = default;
};

// Who is at the other end, as far as the kernel knows.
struct PeerIdentity {
  bool is_local = false;  // a Unix socket: uid, gid and pid are the kernel's word (SO_PEERCRED)
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int32_t pid = 0;
  std::string address;  // for logs
};

class Stream {
 public:
  virtual ~Stream() = default;
  // At least one byte into `into`, or 0 at the end of the stream. Descriptors that came along
  // are appended to `fds`.
  virtual Task<std::size_t> read_some(std::span<std::byte> into, std::vector<UniqueFd>& fds) = 0;
  // All bytes of all parts, in order; `fds` (borrowed) travel with the first byte. The memory
  // of the parts may be reused once this ends.
  virtual Task<> write_all(std::vector<std::span<const std::byte>> parts, std::vector<int> fds) = 0;
  virtual void close() = 0;
  virtual PeerIdentity peer() const = 0;
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual Task<std::unique_ptr<Stream>> accept() = 0;
  virtual Address bound() const = 0;  // with the real port when 0 was asked for
  virtual void close() = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual Task<std::unique_ptr<Stream>> connect(Address address, Deadline deadline) = 0;
  // A Unix socket is made with mode `socket_mode` (under umask, no chmod race); a stale socket file of a dead
  // process is replaced, a live one is `already_exists`.
  virtual Result<std::unique_ptr<Listener>> listen(const Address& address, std::uint32_t socket_mode) = 0;
};

// Sockets of the operating system, resuming on `executor`. CLOEXEC, TCP_NODELAY, no SIGPIPE.
std::unique_ptr<Transport> make_socket_transport(Executor executor);

}  // namespace hearth

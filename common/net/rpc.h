// Calls over the framed protocol (docs/formats/wire.md): many at a time on one connection.
//
// Threads: everything here is confined to the executor it was made on; other threads reach it
//          by spawning onto that executor.
// Bounds:  a frame is length-checked before anything is allocated (limits below); each
//          connection has at most `max_in_flight` calls; more are answered `overloaded`.
// Liveness: an idle peer with calls outstanding is pinged at application level; a peer that does not
//          answer within `dead_after` (SIGSTOP: its kernel still ACKs) fails every call with `unavailable`.
#pragma once

#include "common/async.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/ids.h"
#include "common/net/method.h"
#include "common/net/stream.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace hearth {

struct RpcLimits {
  std::uint32_t max_body_bytes = 8U << 20;
  std::uint32_t max_payload_bytes = 16U << 20;   // of one frame; a longer reply is cut into parts
  std::uint32_t max_in_flight = 1024;            // calls per connection
  std::uint64_t max_queued_bytes = 64ULL << 20;  // replies waiting for a slow reader, per connection
  Duration ping_every = std::chrono::milliseconds(500);
  Duration dead_after = std::chrono::seconds(2);
  Duration hello_within = std::chrono::seconds(3);
};

// ---- caller ------------------------------------------------------------------------------

struct RpcCall {
  Method method = Method::none;
  std::string body;
  TraceContext trace;
  // Reply payload is read straight into this; a reply that does not fit is `bad_frame`. It must
  // live until the call ends. Payload checksums are verified (`corrupt` on mismatch).
  std::span<std::byte> into;
  std::vector<int> fds;  // borrowed until the call ends; Unix sockets only
};

struct RpcReply {
  std::string body;
  std::uint64_t payload_bytes = 0;  // received into `into`, over all parts
  std::vector<UniqueFd> fds;
};

// Receives one-way notices of the server (Method::recall). Called on the executor.
using NoticeHandler = std::function<void(Method, std::string body)>;

// One connection to one peer; opens on the first call, opens again after a failure.
// A call that fails with `unavailable` may or may not have run at the peer. What the peer itself said is_answer().
class RpcChannel {
 public:
  virtual ~RpcChannel() = default;
  virtual Task<RpcReply> call(RpcCall call, Deadline deadline) = 0;
  virtual void on_notice(NoticeHandler handler) = 0;
  // Runs on the executor each time an established connection was lost (leases are gone).
  virtual void on_disconnect(std::function<void()> handler) = 0;
  virtual bool connected() const = 0;
  // Connections that came about (past their hello) since the channel was made.
  virtual std::uint64_t connections_made() const = 0;
  virtual void close() = 0;  // fails what is outstanding with `cancelled`; later calls too
};

struct RpcContext {
  Executor executor;
  Transport& transport;
  Clock& clock;  // real or simulated; timers come from it too
  RpcLimits limits;
};

std::unique_ptr<RpcChannel> make_rpc_channel(RpcContext context, Address peer);

// ---- server ------------------------------------------------------------------------------

using ConnectionId = std::uint64_t;

// A call being served. Shared: the handler's coroutine and the connection hold it.
class ServerCall {
 public:
  virtual ~ServerCall() = default;
  virtual Method method() const = 0;
  virtual const std::string& body() const = 0;
  // Descriptors that came with the request, once.
  virtual std::vector<UniqueFd> take_fds() = 0;
  virtual Deadline deadline() const = 0;
  virtual const TraceContext& trace() const = 0;
  virtual const PeerIdentity& peer() const = 0;
  virtual ConnectionId connection() const = 0;
  // Sends a piece of the reply payload ahead of the reply itself: `offset` counts from the start of the
  // caller's `into`, `crc32c` is over all the bytes of `parts`. The bytes may be reused once this ends.
  virtual Task<> send_part(std::uint64_t offset, std::vector<std::span<const std::byte>> parts,
                           std::uint32_t crc32c) = 0;
};

struct ServerReply {
  std::string body;
  std::string payload;        // small ones; large ones go by send_part
  std::vector<UniqueFd> fds;  // Unix sockets only
};

using Handler = std::function<Task<ServerReply>(std::shared_ptr<ServerCall>)>;

class RpcServer {
 public:
  virtual ~RpcServer() = default;  // asserts that stop() ended
  virtual void handle(Method method, Handler handler) = 0;
  // Runs on the executor when a connection ended: leases of that peer are to be freed.
  virtual void on_disconnect(std::function<void(ConnectionId)> handler) = 0;
  virtual Status listen(const Address& address, std::uint32_t socket_mode = 0660) = 0;
  virtual std::vector<Address> bound() const = 0;
  // One-way, dropped when the connection is gone.
  virtual void notify(ConnectionId connection, Method method, std::string body) = 0;
  // Stops accepting, lets running calls end until `deadline`, then closes connections.
  virtual Task<> stop(Deadline deadline) = 0;
};

std::unique_ptr<RpcServer> make_rpc_server(RpcContext context);

}  // namespace hearth

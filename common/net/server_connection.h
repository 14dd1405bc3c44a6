// One accepted connection of an RpcServer: its hello, its calls, its end.
//
// Threads: confined to the executor of its server.
// Owns:    the link and the calls being served; a call's coroutine holds the connection, so it
//          lives until the last of them ended.
// Bounds:  max_in_flight calls, max_queued_bytes of request bodies; hello_within for the hello.
#pragma once

#include "common/net/alarm.h"
#include "common/net/frame_link.h"

#include <unordered_map>

namespace hearth {

class ServerConnection;
using HandlerTable = std::unordered_map<Method, Handler>;

// What a connection tells its server. Held by the connections until the last coroutine ended.
class ConnectionObserver {
 public:
  virtual ~ConnectionObserver() = default;
  // Once: closed, no call of it runs any more, no coroutine is left.
  virtual void on_gone(ConnectionId connection) = 0;
  // The number of calls or of queued replies became zero.
  virtual void on_idle() = 0;
};

class ServedCall final : public ServerCall {
 public:
  ServedCall(std::shared_ptr<ServerConnection> owner, Frame frame, Deadline deadline);

  Method method() const override { return header_.method; }
  const std::string& body() const override { return body_; }
  std::vector<UniqueFd> take_fds() override { return std::move(fds_); }
  Deadline deadline() const override { return deadline_; }
  const TraceContext& trace() const override { return header_.trace; }
  const PeerIdentity& peer() const override;
  ConnectionId connection() const override;
  Task<> send_part(std::uint64_t offset, std::vector<std::span<const std::byte>> parts, std::uint32_t crc32c) override;

  ServerConnection& owner() { return *owner_; }
  std::uint64_t request_id() const { return header_.request_id; }
  std::size_t body_bytes() const { return body_.size(); }
  // Asks the handler to end; nothing of the call is sent any more if nobody waits for it.
  void cancel(Error why);
  const std::optional<Error>& cancelled() const { return cancelled_; }
  asio::cancellation_slot slot() { return canceller_.slot(); }

 private:
  std::shared_ptr<ServerConnection> owner_;
  FrameHeader header_;
  std::string body_;
  std::vector<UniqueFd> fds_;
  Deadline deadline_;
  std::optional<Error> cancelled_;
  Canceller canceller_;
};

// Shared: the link, the alarm's owner and every served call hold it.
class ServerConnection final : public LinkOwner, public std::enable_shared_from_this<ServerConnection> {
 public:
  ServerConnection(RpcContext context, ConnectionId id, std::shared_ptr<const HandlerTable> handlers,
                   std::shared_ptr<ConnectionObserver> observer);
  ~ServerConnection() override;

  void start(std::unique_ptr<Stream> stream);
  ConnectionId id() const { return id_; }
  const PeerIdentity& peer() const { return peer_; }
  FrameLink& link() { return *link_; }
  const Executor& executor() const { return context_.executor; }

  void notify(Method method, std::string body);
  void say_goodbye();  // goaway: no new calls here
  std::size_t calls() const { return calls_.size(); }
  void cancel_calls(const Error& why);
  void close_when_written() { link_->close_when_written(Error(Code::unavailable, "the server is shutting down")); }
  void close() { link_->close(Error(Code::unavailable, "the server is shutting down")); }

 private:
  std::span<std::byte> payload_target(const FrameHeader&) override { return {}; }  // requests carry none
  Status on_frame(Frame frame) override;
  void on_target_released(std::uint64_t) override {}
  void on_closed(const Error& why) override;
  void on_finished() override;

  Status on_hello(const Frame& frame);
  Status on_request(Frame frame);
  void refuse(std::uint64_t request_id, Error error);
  static Task<> serve(std::shared_ptr<ServedCall> call, Handler handler);
  Task<> answer(std::shared_ptr<ServedCall> call, Result<ServerReply> result);
  void ended(const std::shared_ptr<ServedCall>& call);
  void look_around();
  void report_if_gone();

  // Set once
  RpcContext context_;
  ConnectionId id_;
  std::shared_ptr<const HandlerTable> handlers_;
  std::shared_ptr<ConnectionObserver> observer_;
  std::shared_ptr<FrameLink> link_;
  PeerIdentity peer_;
  TimePoint hello_by_;
  // Executor only
  std::shared_ptr<Alarm> alarm_;
  bool greeted_ = false;
  bool link_finished_ = false;
  std::unordered_map<std::uint64_t, std::shared_ptr<ServedCall>> calls_;
  std::size_t body_bytes_ = 0;  // of the calls being served
};

}  // namespace hearth

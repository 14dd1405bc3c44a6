// The serving end: listeners, connections, and an orderly end (contract: rpc.h).
#include "common/log.h"
#include "common/net/server_connection.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>

#include <exception>
#include <utility>

namespace hearth {
namespace {

constexpr std::size_t max_connections = 10'000;
constexpr Duration accept_pause = std::chrono::milliseconds(100);  // after a failed accept (no descriptors left)

class ServerCore;

// A listening address and its accept loop.
struct Door {
  Door(Executor executor, std::unique_ptr<Listener> listener_in)
      : listener(std::move(listener_in)), canceller(std::move(executor)) {}
  std::unique_ptr<Listener> listener;
  Canceller canceller;
};

// What connections and accept loops share; it outlives the server by the last of them.
class ServerCore final : public ConnectionObserver, public std::enable_shared_from_this<ServerCore> {
 public:
  explicit ServerCore(RpcContext context) : context_(std::move(context)), handlers_(std::make_shared<HandlerTable>()) {}

  Status listen(const Address& address, std::uint32_t socket_mode);
  std::vector<Address> bound() const;
  void notify(ConnectionId id, Method method, std::string body);
  static Task<> stop(std::shared_ptr<ServerCore> self, Deadline deadline);

  void handle(Method method, Handler handler) { (*handlers_)[method] = std::move(handler); }
  bool ended() const { return doors_open_ == 0 && connections_.empty(); }
  std::function<void(ConnectionId)> disconnect_handler;

 private:
  static Task<> accept_loop(std::shared_ptr<ServerCore> self, std::shared_ptr<Door> door);
  void admit(std::unique_ptr<Stream> stream);
  void close_doors();
  bool serving() const;
  std::vector<std::shared_ptr<ServerConnection>> snapshot() const;
  Task<> wait_until(bool (ServerCore::*done)() const, TimePoint latest);
  bool nothing_runs() const { return !serving(); }

  void on_gone(ConnectionId id) override;
  void on_idle() override { changed_.wake(); }

  // Set once
  RpcContext context_;
  std::shared_ptr<HandlerTable> handlers_;
  // Executor only
  std::vector<std::shared_ptr<Door>> doors_;
  std::size_t doors_open_ = 0;
  bool stopping_ = false;
  ConnectionId last_id_ = 0;
  std::unordered_map<ConnectionId, std::shared_ptr<ServerConnection>> connections_;
  Waiter changed_;  // stop() waits here
};

Status ServerCore::listen(const Address& address, std::uint32_t socket_mode) {
  if (stopping_) return Error(Code::cancelled, "the server is stopping and does not listen on " + address.to_string());
  TRY(listener, context_.transport.listen(address, socket_mode));
  auto door = std::make_shared<Door>(context_.executor, std::move(listener));
  doors_.push_back(door);
  ++doors_open_;
  auto ended = [self = shared_from_this(), door](const std::exception_ptr&, const Status&) {
    --self->doors_open_;
    self->changed_.wake();
  };
  asio::co_spawn(context_.executor, accept_loop(shared_from_this(), door),
                 asio::bind_cancellation_slot(door->canceller.slot(), std::move(ended)));
  return ok();
}

Task<> ServerCore::accept_loop(std::shared_ptr<ServerCore> self, std::shared_ptr<Door> door) {
  co_await asio::this_coro::throw_if_cancelled(false);
  while (!self->stopping_) {
    auto stream = co_await door->listener->accept();
    if (self->stopping_) break;
    if (stream) {
      self->admit(*std::move(stream));
      continue;
    }
    log_error("accept_failed", {{"address", door->listener->bound().to_string()}, {"error", stream.error().message()}});
    auto slept = co_await self->context_.clock.sleep_for(accept_pause);
    if (!slept) break;
  }
  co_return ok();
}

void ServerCore::admit(std::unique_ptr<Stream> stream) {
  if (connections_.size() >= max_connections) {
    log_warn("connection_refused", {{"peer", stream->peer().address}, {"connections", connections_.size()}});
    return;  // closed with the stream
  }
  const ConnectionId id = ++last_id_;
  auto connection = std::make_shared<ServerConnection>(context_, id, handlers_, shared_from_this());
  connections_.emplace(id, connection);
  connection->start(std::move(stream));
}

std::vector<Address> ServerCore::bound() const {
  std::vector<Address> addresses;
  for (const auto& door : doors_) addresses.push_back(door->listener->bound());
  return addresses;
}

void ServerCore::notify(ConnectionId id, Method method, std::string body) {
  const auto connection = connections_.find(id);
  if (connection != connections_.end()) connection->second->notify(method, std::move(body));
}

void ServerCore::on_gone(ConnectionId id) {
  // The connection is inside its own method: the map lets go of it first, its caller last.
  const auto keep = connections_.extract(id);
  if (disconnect_handler) disconnect_handler(id);
  changed_.wake();
}

std::vector<std::shared_ptr<ServerConnection>> ServerCore::snapshot() const {
  std::vector<std::shared_ptr<ServerConnection>> all;
  for (const auto& [id, connection] : connections_) all.push_back(connection);
  return all;
}

bool ServerCore::serving() const {
  for (const auto& [id, connection] : connections_) {
    if (connection->calls() > 0) return true;
  }
  return false;
}

void ServerCore::close_doors() {
  for (const auto& door : doors_) {
    door->listener->close();
    door->canceller.cancel();
  }
}

Task<> ServerCore::wait_until(bool (ServerCore::*done)() const, TimePoint latest) {
  auto alarm = Alarm::make(context_.executor, context_.clock, [this] { changed_.wake(); });
  if (latest != TimePoint::max()) alarm->ring_by(latest);
  while (!(this->*done)() && context_.clock.now() < latest) co_await changed_.wait();
  alarm->stop();
  co_return ok();
}

Task<> ServerCore::stop(std::shared_ptr<ServerCore> self, Deadline deadline) {
  self->stopping_ = true;
  self->close_doors();
  for (const auto& connection : self->snapshot()) connection->say_goodbye();
  (void)co_await self->wait_until(&ServerCore::nothing_runs, deadline.when());
  const bool in_time = !self->serving();
  for (const auto& connection : self->snapshot()) {
    connection->cancel_calls(Error(Code::cancelled, "the server is shutting down"));
    connection->close_when_written();
  }
  // The last replies are on their way: a reader that does not take them does not hold us up.
  const TimePoint flushed_by = self->context_.clock.now() + self->context_.limits.ping_every;
  (void)co_await self->wait_until(&ServerCore::ended, flushed_by);
  for (const auto& connection : self->snapshot()) connection->close();
  (void)co_await self->wait_until(&ServerCore::ended, TimePoint::max());
  if (in_time) co_return ok();
  co_return Error(Code::deadline_exceeded,
                  "calls were still running when the server was told to stop; they were cancelled");
}

class Server final : public RpcServer {
 public:
  explicit Server(RpcContext context) : core_(std::make_shared<ServerCore>(std::move(context))) {}
  ~Server() override { assert(core_->ended() && "await stop() before the server goes away"); }

  void handle(Method method, Handler handler) override { core_->handle(method, std::move(handler)); }
  void on_disconnect(std::function<void(ConnectionId)> handler) override {
    core_->disconnect_handler = std::move(handler);
  }
  Status listen(const Address& address, std::uint32_t socket_mode) override {
    return core_->listen(address, socket_mode);
  }
  std::vector<Address> bound() const override { return core_->bound(); }
  void notify(ConnectionId connection, Method method, std::string body) override {
    core_->notify(connection, method, std::move(body));
  }
  Task<> stop(Deadline deadline) override { return ServerCore::stop(core_, deadline); }

 private:
  std::shared_ptr<ServerCore> core_;
};

}  // namespace

std::unique_ptr<RpcServer> make_rpc_server(RpcContext context) {
  return std::make_unique<Server>(std::move(context));
}

}  // namespace hearth

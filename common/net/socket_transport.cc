// The operating system's sockets behind the Transport seam (contract: stream.h).
#include "common/net/socket_address.h"
#include "common/net/socket_listener.h"
#include "common/net/socket_stream.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cerrno>
#include <cstring>

namespace hearth {
namespace {

Error cannot_reach(const Address& address, int error_number) {
  const std::string what = "cannot reach " + address.to_string() + ": " + std::strerror(error_number);
  switch (error_number) {
    case EACCES:
    case EPERM:
      return Error(Code::permission_denied, what + "; run as a user that may use this socket");
    case ECONNREFUSED:
    case ENOENT:
      return Error(Code::unavailable, what + "; check that the process is running and listens there");
    case EAGAIN:
      return Error(Code::unavailable, what + "; its queue of new connections is full, try again");
    case EMFILE:
    case ENFILE:
      return Error(Code::overloaded, what + "; raise the limit of open files (ulimit -n)");
    default:
      return Error(Code::unavailable, what);
  }
}

// Waits until a connecting socket is decided. The timer's handler may run after the wait ended: `open`
// keeps it from cancelling what the socket does then.
Task<> wait_connected(std::shared_ptr<asio::posix::stream_descriptor> descriptor, Address address, Deadline deadline) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto open = std::make_shared<bool>(true);
  asio::steady_timer timer(executor);
  if (!deadline.is_never()) {
    timer.expires_at(deadline.when());
    timer.async_wait([descriptor, open](boost::system::error_code error) {
      if (!error && *open) descriptor->cancel();
    });
  }
  constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
  const auto [error] = co_await descriptor->async_wait(asio::posix::descriptor_base::wait_write, as_result);
  *open = false;
  if (!error) co_return ok();
  if (deadline.expired(std::chrono::steady_clock::now())) {
    co_return Error(Code::deadline_exceeded,
                    "no answer from " + address.to_string() + "; check the address and firewalls");
  }
  co_return Error(Code::cancelled, "connecting to " + address.to_string() + " was cancelled");
}

Task<std::unique_ptr<Stream>> connect_to(Address address, SocketAddress peer, Deadline deadline) {
  const Executor executor = co_await asio::this_coro::executor;
  UniqueFd fd(::socket(peer.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) co_return cannot_reach(address, errno);
  set_stream_options(fd.get(), address.kind);
  if (::connect(fd.get(), peer.raw(), peer.length) != 0) {
    if (errno != EINPROGRESS) co_return cannot_reach(address, errno);
    const auto descriptor = std::make_shared<asio::posix::stream_descriptor>(executor, fd.release());
    auto status = co_await wait_connected(descriptor, address, deadline);
    fd = UniqueFd(descriptor->release());
    if (!status) co_return std::move(status).error();
    int error_number = 0;
    socklen_t length = sizeof error_number;
    (void)::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error_number, &length);
    if (error_number != 0) co_return cannot_reach(address, error_number);
  }
  std::unique_ptr<Stream> stream =
      std::make_unique<SocketStream>(executor, std::move(fd), address.kind, address.to_string());
  co_return std::move(stream);
}

Task<std::unique_ptr<Stream>> connect_to_any(Address address, Deadline deadline) {
  CO_TRY(addresses, co_await resolve(address, deadline));
  Error last;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    // A dead first address must not use up the time of the others.
    const auto now = std::chrono::steady_clock::now();
    Deadline share = deadline;
    if (!deadline.is_never()) {
      share = Deadline::at(now + deadline.remaining(now) / static_cast<std::int64_t>(addresses.size() - i));
    }
    auto stream = co_await connect_to(address, addresses[i], share);
    if (stream || stream.code() == Code::cancelled) co_return std::move(stream);
    last = std::move(stream).error();
  }
  co_return std::move(last);
}

class SocketTransport final : public Transport {
 public:
  explicit SocketTransport(Executor executor) : executor_(std::move(executor)) {}

  Task<std::unique_ptr<Stream>> connect(Address address, Deadline deadline) override {
    if (address.kind == Address::Kind::tcp) return connect_to_any(std::move(address), deadline);
    const SocketAddress peer = unix_address(address.host);
    return connect_to(std::move(address), peer, deadline);
  }

  Result<std::unique_ptr<Listener>> listen(const Address& address, std::uint32_t socket_mode) override {
    if (address.kind == Address::Kind::tcp) return listen_tcp(executor_, address);
    return listen_unix(executor_, address, socket_mode);
  }

 private:
  Executor executor_;
};

}  // namespace

std::unique_ptr<Transport> make_socket_transport(Executor executor) {
  return std::make_unique<SocketTransport>(std::move(executor));
}

}  // namespace hearth

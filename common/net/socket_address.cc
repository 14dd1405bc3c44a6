#include "common/net/socket_address.h"

#include "common/net/waiter.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>

namespace hearth {
namespace {

// One lookup. Shared: the lookup ends when the resolver's thread says so, which may be long after its
// caller gave up.
struct Lookup {
  explicit Lookup(const Executor& executor) : resolver(executor), timer(executor) {}
  asio::ip::tcp::resolver resolver;
  asio::steady_timer timer;
  Waiter waiter;
  bool abandoned = false;
  std::optional<boost::system::error_code> outcome;
  bool expired = false;
  std::vector<SocketAddress> found;
};

void start(const std::shared_ptr<Lookup>& lookup, const Address& address, Deadline deadline) {
  auto resolved = [lookup](boost::system::error_code error, const asio::ip::tcp::resolver::results_type& results) {
    if (lookup->abandoned) return;
    lookup->outcome = error;
    for (const auto& entry : results) {
      const auto endpoint = entry.endpoint();
      SocketAddress address;
      std::memcpy(&address.storage, endpoint.data(), endpoint.size());
      address.length = static_cast<socklen_t>(endpoint.size());
      lookup->found.push_back(address);
    }
    lookup->waiter.wake();
  };
  lookup->resolver.async_resolve(address.host, std::to_string(address.port), std::move(resolved));
  if (deadline.is_never()) return;
  lookup->timer.expires_at(deadline.when());
  lookup->timer.async_wait([lookup](boost::system::error_code error) {
    if (error || lookup->abandoned) return;
    lookup->expired = true;
    lookup->waiter.wake();
  });
}

}  // namespace

std::optional<SocketAddress> numeric_address(const std::string& host, std::uint16_t port) {
  SocketAddress address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  if (::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.length = sizeof *v4;
    return address;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.length = sizeof *v6;
    return address;
  }
  return std::nullopt;
}

SocketAddress unix_address(const std::string& path) {
  SocketAddress address;
  auto* local = reinterpret_cast<sockaddr_un*>(&address.storage);
  local->sun_family = AF_UNIX;
  assert(path.size() < sizeof local->sun_path);
  std::memcpy(local->sun_path, path.c_str(), path.size() + 1);
  address.length = sizeof *local;
  return address;
}

Address to_address(const SocketAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  Address result;
  if (address.family() == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    ::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    result.port = ntohs(v6->sin6_port);
  } else if (address.family() == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
    ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    result.port = ntohs(v4->sin_port);
  }
  result.host = text;
  return result;
}

Task<std::vector<SocketAddress>> resolve(Address address, Deadline deadline) {
  const auto numeric = numeric_address(address.host, address.port);
  if (numeric) co_return std::vector<SocketAddress>(1, *numeric);
  const Executor executor = co_await asio::this_coro::executor;
  const auto lookup = std::make_shared<Lookup>(executor);
  start(lookup, address, deadline);
  co_await lookup->waiter.wait();
  lookup->abandoned = true;
  lookup->timer.cancel();
  lookup->resolver.cancel();
  if (lookup->expired) {
    co_return Error(Code::deadline_exceeded,
                    "looking up the name " + address.host + " took too long; check the name server");
  }
  if (!lookup->outcome) co_return Error(Code::cancelled, "looking up the name " + address.host + " was cancelled");
  if (*lookup->outcome || lookup->found.empty()) {
    co_return Error(Code::unavailable, "the host name " + address.host + " does not resolve (" +
                                           lookup->outcome->message() + "); check its spelling and the name server");
  }
  co_return std::move(lookup->found);
}

}  // namespace hearth

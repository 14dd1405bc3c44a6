#include "understore/s3/tcp_relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

namespace hearth::s3 {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool send_all(int to, const char* bytes, ssize_t count) {
  while (count > 0) {
    const ssize_t sent = ::send(to, bytes, static_cast<std::size_t>(count), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes += sent;
    count -= sent;
  }
  return true;
}

// Until either side ends.
void pump(int a, int b) {
  std::vector<char> buffer(64U << 10);
  while (true) {
    pollfd both[2] = {{.fd = a, .events = POLLIN, .revents = 0}, {.fd = b, .events = POLLIN, .revents = 0}};
    if (::poll(both, 2, -1) < 0) return;
    for (int side = 0; side < 2; ++side) {
      if (both[side].revents == 0) continue;
      const ssize_t got = ::recv(both[side].fd, buffer.data(), buffer.size(), 0);
      if (got <= 0 || !send_all(both[1 - side].fd, buffer.data(), got)) return;
    }
  }
}

}  // namespace

struct TcpRelay::Impl {
  std::uint16_t target = 0;
  std::uint16_t port = 0;
  int listener = -1;
  std::thread acceptor;
  std::mutex mutex;
  bool stopping = false;                // guarded by mutex
  std::list<int> open;                  // guarded by mutex: sockets to shut down
  std::vector<std::thread> connections;  // acceptor only, then whoever stopped it

  void serve(int client) {
    const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(target);
    if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      {
        const std::lock_guard lock(mutex);
        open.push_back(server);
        if (stopping) ::shutdown(server, SHUT_RDWR);
      }
      pump(client, server);
    }
    const std::lock_guard lock(mutex);
    open.remove(server);
    open.remove(client);
    ::close(server);
    ::close(client);
  }
};

TcpRelay::TcpRelay(const std::string& origin) : impl_(std::make_unique<Impl>()) {
  impl_->target = static_cast<std::uint16_t>(std::atoi(origin.substr(origin.rfind(':') + 1).c_str()));
  impl_->listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  ::bind(impl_->listener, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::listen(impl_->listener, 64);
  ::getsockname(impl_->listener, reinterpret_cast<sockaddr*>(&address), &length);
  impl_->port = ntohs(address.sin_port);
  impl_->acceptor = std::thread([impl = impl_.get()] {
    while (true) {
      const int client = ::accept(impl->listener, nullptr, nullptr);
      if (client < 0) return;
      {
        const std::lock_guard lock(impl->mutex);
        impl->open.push_back(client);
      }
      impl->connections.emplace_back([impl, client] { impl->serve(client); });
    }
  });
}

TcpRelay::~TcpRelay() { stop(); }

std::string TcpRelay::origin() const { return "http://127.0.0.1:" + std::to_string(impl_->port); }

void TcpRelay::stop() {
  if (!impl_->acceptor.joinable()) return;
  ::shutdown(impl_->listener, SHUT_RDWR);
  impl_->acceptor.join();
  ::close(impl_->listener);
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    for (const int each : impl_->open) ::shutdown(each, SHUT_RDWR);
  }
  for (std::thread& each : impl_->connections) each.join();
  impl_->connections.clear();
}

}  // namespace hearth::s3

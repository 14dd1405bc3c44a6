#include "common/net/socket_stream.h"

#include "common/fork.h"
#include "common/net/frame.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace hearth {
namespace {

constexpr std::size_t max_iovecs = 64;  // of one system call; on the stack, 1 KiB
constexpr std::size_t control_bytes = CMSG_SPACE(sizeof(int) * max_fds_per_frame);

// Unacknowledged bytes after this long end a TCP connection. Longer than the protocol's own liveness and
// its bound for slow readers (a closed receive window counts here too), so those speak first.
constexpr unsigned tcp_user_timeout_ms = 30'000;
constexpr int keepalive_idle_s = 15;
constexpr int keepalive_interval_s = 5;
constexpr int keepalive_probes = 3;

void set_option(int fd, int level, int option, int value) {
  // Best effort: a connection without it works, only slower to notice or to send.
  (void)::setsockopt(fd, level, option, &value, sizeof value);
}

PeerIdentity identify(int fd, Address::Kind kind, std::string peer_name) {
  PeerIdentity peer;
  peer.address = std::move(peer_name);
  if (kind != Address::Kind::unix_socket) return peer;
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return peer;
  peer.is_local = true;
  peer.uid = credentials.uid;
  peer.gid = credentials.gid;
  peer.pid = credentials.pid;
  return peer;
}

void collect_fds(msghdr& message, std::vector<UniqueFd>& fds) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

void set_stream_options(int fd, Address::Kind kind) {
  if (kind != Address::Kind::tcp) return;
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, tcp_user_timeout_ms);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, keepalive_idle_s);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, keepalive_interval_s);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, keepalive_probes);
}

SocketStream::SocketStream(Executor executor, UniqueFd fd, Address::Kind kind, std::string peer_name)
    : descriptor_(std::move(executor)), kind_(kind), peer_(identify(fd.get(), kind, std::move(peer_name))) {
  boost::system::error_code error;
  descriptor_.assign(fd.get(), error);
  if (error) {
    closed_ = true;  // the reactor has no room (epoll watch limit): like a connection lost at once
    return;
  }
  closed_in_child(fd.release());
}

SocketStream::~SocketStream() { SocketStream::close(); }

Error SocketStream::lost(int error_number) const {
  const std::string why = error_number == 0 ? "closed here" : std::strerror(error_number);
  return Error(Code::unavailable, "connection with " + peer_.address + ": " + why);
}

Task<> SocketStream::ready(asio::posix::descriptor_base::wait_type type) {
  constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
  const auto [error] = co_await descriptor_.async_wait(type, as_result);
  if (closed_) co_return lost(0);
  if (error) co_return Error(Code::cancelled, "waiting for " + peer_.address + " was cancelled");
  co_return ok();
}

ssize_t SocketStream::receive(std::span<std::byte> into, std::vector<UniqueFd>& fds) {
  const int fd = descriptor_.native_handle();
  if (kind_ == Address::Kind::tcp) return ::recv(fd, into.data(), into.size(), 0);
  iovec iov{into.data(), into.size()};
  alignas(cmsghdr) std::byte control[control_bytes];
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t count = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  if (count > 0) collect_fds(message, fds);
  return count;
}

Task<std::size_t> SocketStream::read_some(std::span<std::byte> into, std::vector<UniqueFd>& fds) {
  for (;;) {
    if (closed_) co_return lost(0);
    const ssize_t count = receive(into, fds);
    if (count >= 0) co_return static_cast<std::size_t>(count);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return lost(errno);
    auto status = co_await ready(asio::posix::descriptor_base::wait_read);
    if (!status) co_return std::move(status).error();
  }
}

ssize_t SocketStream::send(const std::vector<std::span<const std::byte>>& parts, const std::vector<int>& fds,
                           Progress& progress) {
  iovec iov[max_iovecs];
  std::size_t count = 0;
  std::size_t offset = progress.offset;
  for (std::size_t i = progress.part; i < parts.size() && count < max_iovecs; ++i) {
    const auto rest = parts[i].subspan(std::exchange(offset, 0));
    if (!rest.empty()) iov[count++] = {const_cast<std::byte*>(rest.data()), rest.size()};
  }
  msghdr message{};
  message.msg_iov = iov;
  message.msg_iovlen = count;
  alignas(cmsghdr) std::byte control[control_bytes];
  if (!fds.empty() && !progress.fds_sent) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
  }
  const ssize_t sent = ::sendmsg(descriptor_.native_handle(), &message, MSG_NOSIGNAL);
  if (sent < 0) return sent;
  progress.fds_sent = true;
  auto left = static_cast<std::size_t>(sent);
  while (progress.part < parts.size() && left >= parts[progress.part].size() - progress.offset) {
    left -= parts[progress.part].size() - progress.offset;
    progress.offset = 0;
    ++progress.part;
  }
  progress.offset += left;
  return sent;
}

Task<> SocketStream::write_all(std::vector<std::span<const std::byte>> parts, std::vector<int> fds) {
  if (!fds.empty() && (kind_ == Address::Kind::tcp || fds.size() > max_fds_per_frame)) {
    co_return Error(Code::invalid_argument,
                    "cannot send " + std::to_string(fds.size()) + " descriptors to " + peer_.address);
  }
  Progress progress;
  while (progress.part < parts.size()) {
    if (closed_) co_return lost(0);
    const ssize_t sent = send(parts, fds, progress);
    if (sent >= 0) continue;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return lost(errno);
    auto status = co_await ready(asio::posix::descriptor_base::wait_write);
    if (!status) co_return std::move(status).error();
  }
  co_return ok();
}

void SocketStream::close() {
  if (std::exchange(closed_, true)) return;
  kept_in_child(descriptor_.native_handle());
  boost::system::error_code ignored;
  descriptor_.close(ignored);
}

}  // namespace hearth

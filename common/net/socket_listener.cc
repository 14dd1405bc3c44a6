#include "common/net/socket_listener.h"

#include "common/net/socket_address.h"
#include "common/net/socket_stream.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <netdb.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <mutex>

namespace hearth {
namespace {

constexpr int backlog = 4096;

// A Unix socket's file, told from a successor's at the same path.
struct SocketFile {
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;

  void remember() {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return;
    device = status.st_dev;
    inode = status.st_ino;
  }
  void remove() const {
    struct stat status {};
    if (inode == 0 || ::lstat(path.c_str(), &status) != 0) return;
    if (status.st_dev == device && status.st_ino == inode) ::unlink(path.c_str());
  }
};

class SocketListener final : public Listener {
 public:
  SocketListener(Executor executor, UniqueFd fd, Address bound, SocketFile file)
      : executor_(executor),
        descriptor_(std::move(executor), fd.release()),
        bound_(std::move(bound)),
        file_(std::move(file)) {}
  ~SocketListener() override { close(); }

  Task<std::unique_ptr<Stream>> accept() override;
  Address bound() const override { return bound_; }
  void close() override {
    if (std::exchange(closed_, true)) return;
    // The file goes first: whoever finds it can still connect.
    file_.remove();
    boost::system::error_code ignored;
    descriptor_.close(ignored);
  }

 private:
  std::string peer_name(const SocketAddress& peer) const {
    return bound_.kind == Address::Kind::unix_socket ? bound_.to_string() : to_address(peer).to_string();
  }

  Executor executor_;
  asio::posix::stream_descriptor descriptor_;
  Address bound_;
  SocketFile file_;
  bool closed_ = false;
};

Task<std::unique_ptr<Stream>> SocketListener::accept() {
  for (;;) {
    if (closed_) co_return Error(Code::unavailable, "no longer listening on " + bound_.to_string());
    SocketAddress peer;
    peer.length = sizeof peer.storage;
    UniqueFd fd(::accept4(descriptor_.native_handle(), reinterpret_cast<sockaddr*>(&peer.storage), &peer.length,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      set_stream_options(fd.get(), bound_.kind);
      std::unique_ptr<Stream> stream =
          std::make_unique<SocketStream>(executor_, std::move(fd), bound_.kind, peer_name(peer));
      co_return std::move(stream);
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno != EAGAIN) {
      const int error_number = errno;
      co_return Error(code_from_errno(error_number),
                      "accepting on " + bound_.to_string() + ": " + std::strerror(error_number));
    }
    constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
    const auto [error] = co_await descriptor_.async_wait(asio::posix::descriptor_base::wait_read, as_result);
    if (error && !closed_) co_return Error(Code::cancelled, "accepting on " + bound_.to_string() + " was cancelled");
  }
}

Error cannot_listen(const Address& address, int error_number) {
  const std::string what = "cannot listen on " + address.to_string() + ": " + std::strerror(error_number);
  switch (error_number) {
    case EADDRINUSE:
      return Error(Code::already_exists,
                   what + "; stop the process that uses it (find it with 'ss -lptn') or choose another port");
    case EADDRNOTAVAIL:
      return Error(Code::invalid_argument, what + "; use an address of this machine, or 0.0.0.0 for all");
    case EACCES:
    case EPERM:
      return Error(Code::permission_denied, what + "; choose another address or give this process the right");
    case ENOENT:
      return Error(Code::not_found, what + "; create the directory first");
    default:
      return Error(code_from_errno(error_number), what);
  }
}

Result<SocketAddress> local_address(const Address& address) {
  if (const auto numeric = numeric_address(address.host, address.port)) return *numeric;
  // Start-up of a process, before anything runs on the executor: the one blocking lookup.
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0) {
    return Error(Code::invalid_argument, "cannot listen on " + address.to_string() + ": " + ::gai_strerror(error) +
                                             "; use an address of this machine");
  }
  SocketAddress result;
  std::memcpy(&result.storage, found->ai_addr, found->ai_addrlen);
  result.length = found->ai_addrlen;
  ::freeaddrinfo(found);
  return result;
}

// 0, or the errno. The file never exists with a wider mode than asked for. The umask belongs to the
// process: two listeners do not change it at once, and nothing else in Hearth does.
int bind_with_mode(int fd, const SocketAddress& address, std::uint32_t socket_mode) {
  static std::mutex umask_mutex;
  const std::lock_guard lock(umask_mutex);
  const mode_t before = ::umask(static_cast<mode_t>(~socket_mode & 0777));
  const int error_number = ::bind(fd, address.raw(), address.length) == 0 ? 0 : errno;
  ::umask(before);
  return error_number;
}

enum class Occupant : std::uint8_t { live, dead, not_a_socket };

Occupant who_is_at(const SocketAddress& address, const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode)) return Occupant::not_a_socket;
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const bool refused = ::connect(probe.get(), address.raw(), address.length) != 0 && errno == ECONNREFUSED;
  return refused ? Occupant::dead : Occupant::live;
}

}  // namespace

Result<std::unique_ptr<Listener>> listen_tcp(Executor executor, const Address& address) {
  TRY(local, local_address(address));
  UniqueFd fd(::socket(local.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return cannot_listen(address, errno);
  const int on = 1;
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), local.raw(), local.length) != 0) return cannot_listen(address, errno);
  if (::listen(fd.get(), backlog) != 0) return cannot_listen(address, errno);
  SocketAddress real;
  real.length = sizeof real.storage;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&real.storage), &real.length) != 0)
    return cannot_listen(address, errno);
  std::unique_ptr<Listener> listener =
      std::make_unique<SocketListener>(std::move(executor), std::move(fd), to_address(real), SocketFile());
  return listener;
}

Result<std::unique_ptr<Listener>> listen_unix(Executor executor, const Address& address, std::uint32_t socket_mode) {
  const SocketAddress local = unix_address(address.host);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return cannot_listen(address, errno);
  int error_number = bind_with_mode(fd.get(), local, socket_mode);
  if (error_number == EADDRINUSE) {
    switch (who_is_at(local, address.host)) {
      case Occupant::live:
        return Error(Code::already_exists, "cannot listen on " + address.to_string() +
                                               ": a running process listens there; stop it or choose another path");
      case Occupant::not_a_socket:
        return Error(Code::already_exists, "cannot listen on " + address.to_string() +
                                               ": the file there is not a socket; move it away or choose another path");
      case Occupant::dead:
        ::unlink(address.host.c_str());
        error_number = bind_with_mode(fd.get(), local, socket_mode);
    }
  }
  if (error_number != 0) return cannot_listen(address, error_number);
  SocketFile file{.path = address.host};
  file.remember();
  if (::listen(fd.get(), backlog) != 0) {
    error_number = errno;
    file.remove();
    return cannot_listen(address, error_number);
  }
  std::unique_ptr<Listener> listener =
      std::make_unique<SocketListener>(std::move(executor), std::move(fd), address, std::move(file));
  return listener;
}

}  // namespace hearth

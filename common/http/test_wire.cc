#include "common/http/test_wire.h"

#include <openssl/ssl.h>

#include <sys/socket.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <csignal>

namespace hearth {
namespace {

constexpr std::size_t receive_bytes = 64U << 10;

SSL* ssl_of(const std::shared_ptr<void>& session) { return static_cast<SSL*>(session.get()); }

}  // namespace

TestTlsContext::TestTlsContext(const std::string& certificate_file, const std::string& key_file,
                               const std::string& client_ca_file) {
  std::signal(SIGPIPE, SIG_IGN);  // SSL_write has no MSG_NOSIGNAL
  SSL_CTX* made = SSL_CTX_new(TLS_server_method());
  context_ = std::shared_ptr<void>(made, [](void* context) { SSL_CTX_free(static_cast<SSL_CTX*>(context)); });
  const bool usable = SSL_CTX_use_certificate_chain_file(made, certificate_file.c_str()) == 1 &&
                      SSL_CTX_use_PrivateKey_file(made, key_file.c_str(), SSL_FILETYPE_PEM) == 1;
  assert(usable && "the test server's certificate and key can be read");
  static_cast<void>(usable);
  if (client_ca_file.empty()) return;
  SSL_CTX_load_verify_locations(made, client_ca_file.c_str(), nullptr);
  SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
}

TestWire::TestWire(UniqueFd fd, const TestTlsContext* tls) : fd_(std::move(fd)) {
  if (tls == nullptr) return;
  SSL* made = SSL_new(static_cast<SSL_CTX*>(tls->native()));
  SSL_set_fd(made, fd_.get());
  session_ = std::shared_ptr<void>(made, [](void* session) { SSL_free(static_cast<SSL*>(session)); });
}

TestWire::~TestWire() = default;

bool TestWire::handshake() { return !session_ || SSL_accept(ssl_of(session_)) == 1; }

bool TestWire::receive(std::string& into) {
  std::array<char, receive_bytes> buffer;
  while (true) {
    const ssize_t count = session_ ? SSL_read(ssl_of(session_), buffer.data(), static_cast<int>(buffer.size()))
                                   : ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (count < 0 && !session_ && errno == EINTR) continue;
    if (count <= 0) return false;
    into.append(buffer.data(), static_cast<std::size_t>(count));
    return true;
  }
}

bool TestWire::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = session_ ? SSL_write(ssl_of(session_), bytes.data(), static_cast<int>(bytes.size()))
                                   : ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && !session_ && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

void TestWire::shut() { ::shutdown(fd_.get(), SHUT_RDWR); }

void TestWire::close_orderly() { ::shutdown(fd_.get(), SHUT_WR); }

void TestWire::close_by_reset() {
  // The descriptor itself goes with this object: then the kernel sends RST.
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

}  // namespace hearth

// One connection of the test server: blocking bytes, plain or TLS.
//
// Threads: its own connection's; shut() from any.
// Owns:    the descriptor.
#pragma once

#include "common/fd.h"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace hearth {

// Server side of TLS, shared by all connections; null context = plain.
class TestTlsContext {
 public:
  TestTlsContext(const std::string& certificate_file, const std::string& key_file, const std::string& client_ca_file);
  void* native() const { return context_.get(); }

 private:
  std::shared_ptr<void> context_;  // SSL_CTX; shared: a type-erased deleter
};

class TestWire {
 public:
  TestWire(UniqueFd fd, const TestTlsContext* tls);
  ~TestWire();
  TestWire(const TestWire&) = delete;
  TestWire& operator=(const TestWire&) = delete;

  bool handshake();
  // Appends what comes to `into`; false at the end.
  bool receive(std::string& into);
  bool send(std::string_view bytes);
  void shut();   // wakes whoever is blocked in here
  void close_orderly();  // FIN behind what was sent
  void close_by_reset();

 private:
  const UniqueFd fd_;
  std::shared_ptr<void> session_;  // SSL or null; shared: a type-erased deleter
};

}  // namespace hearth

// Socket addresses of the kernel, and how names become them.
//
// Threads: resolve() is confined to the executor it runs on; the names are looked up elsewhere.
// Fails:   unavailable (the name is not known now), invalid_argument, deadline_exceeded, cancelled.
#pragma once

#include "common/net/stream.h"

#include <sys/socket.h>

#include <optional>
#include <vector>

namespace hearth {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

// "127.0.0.1" or "::1" (not a name) with a port.
std::optional<SocketAddress> numeric_address(const std::string& host, std::uint16_t port);
SocketAddress unix_address(const std::string& path);
// Back to the form of Address; the path of a Unix socket is not known here.
Address to_address(const SocketAddress& address);

// All addresses of a host, at least one. Does not block the executor while a name server is slow.
Task<std::vector<SocketAddress>> resolve(Address address, Deadline deadline);

}  // namespace hearth

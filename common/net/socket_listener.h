// Listening TCP and Unix sockets.
//
// Threads: a listener is confined to its executor.
// Owns:    the descriptor, and the file of a Unix socket: closing removes it if it is still this one's.
// Fails:   already_exists (a live process listens there), permission_denied, invalid_argument.
#pragma once

#include "common/net/stream.h"

namespace hearth {

Result<std::unique_ptr<Listener>> listen_tcp(Executor executor, const Address& address);
Result<std::unique_ptr<Listener>> listen_unix(Executor executor, const Address& address, std::uint32_t socket_mode);

}  // namespace hearth

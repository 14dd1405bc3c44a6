// Several connections to one peer, behind the interface of one channel.
//
// Small calls have a connection of their own: a reply of a few hundred bytes never waits behind megabytes that were
// asked for before it. Calls that ask for much share the others: each goes where the fewest bytes are outstanding, and
// another connection is opened only when every open one is busy. Connections without calls are closed after a while,
// but for one.
//
// Threads:  confined to its executor, as a channel is.
// Owns:     its channels. Each has its own liveness; a lost one connects again with its next call.
// Notices:  from every connection. on_disconnect runs for each that was lost, not for one closed because it was idle:
//           whoever holds leases, which end with their connection, uses a channel or a pool of one.
// Fails:    as a channel. A call that an additional connection could not be opened for goes to an open one.
#pragma once

#include "common/net/rpc.h"

#include <cstdint>
#include <memory>

namespace hearth {

struct ChannelPoolOptions {
  std::uint32_t max_connections = 1;         // 1: everything on one; else one for small calls and the rest for large
  std::uint64_t large_bytes = 256U << 10;    // a call is large when request and room for the reply are at least this
  std::uint64_t busy_bytes = 8U << 20;       // outstanding on a connection before another one is opened
  Duration idle_after = std::chrono::seconds(30);
  Duration grow_again_after = std::chrono::seconds(1);  // after a connection could not be opened
};

std::unique_ptr<RpcChannel> make_channel_pool(RpcContext context, Address peer, ChannelPoolOptions options);

}  // namespace hearth

// Method::grant and Method::release: descriptors of resident blocks, and of segments of packed blocks, for clients on this
// host, and their leases.
//
// A lease belongs to the connection it was granted on and ends with it: a crashed client holds nothing.
//
// Threads: confined to the data thread.
// Fails:   permission_denied (not the Unix socket), unavailable (not fully resident, and not asked for in filling),
//          not_found (the block does not lie in that segment), unsupported (too large to grant, or packed), no_space (in filling), overloaded (the connection holds its share).
#pragma once

#include "worker/service.h"

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <unordered_set>

namespace hearth::proto {
class GrantRequest;
}

namespace hearth::worker {

class GrantHandler {
 public:
  GrantHandler(Service& service, RpcServer& server) : service_(service), server_(server) {}

  Task<ServerReply> grant(std::shared_ptr<ServerCall> call);
  Task<ServerReply> release(std::shared_ptr<ServerCall> call);
  // Ends every lease of the connection. The server calls it after the connection's last call ended.
  void disconnected(ConnectionId connection);
  // Asks clients to release what would make room for `bytes`; each lease at most once a second.
  void recall(std::uint64_t bytes);
  // The connection holds this lease on the block itself, in memory.
  bool holds(ConnectionId connection, LeaseId lease, const BlockId& block) const;
  std::size_t leases() const { return leases_.size(); }

 private:
  struct Lease {
    ConnectionId connection;
    BlockId block;
    DiskTier* device = nullptr;  // null: of memory
    enum class Of : std::uint8_t { block, segment } of = Of::block;
    TimePoint recalled_at{};
  };
  Task<TierGrant> make(BlockRef block, const proto::GrantRequest* request, Deadline deadline);
  void keep(LeaseId id, Lease lease);
  void end(LeaseId lease);

  Service& service_;
  RpcServer& server_;
  std::unordered_map<LeaseId, Lease> leases_;
  std::unordered_map<ConnectionId, std::unordered_set<LeaseId>> by_connection_;
};

}  // namespace hearth::worker

#include "worker/grant_handler.h"

#include "common/block_wire.h"
#include "common/log.h"
#include "proto/hearth.pb.h"
#include "worker/master_link.h"
#include "worker/wire.h"

#include <string>
#include <utility>
#include <vector>

namespace hearth::worker {

namespace {
constexpr std::size_t max_releases_per_call = 65'536;
constexpr Duration recall_again_after = std::chrono::seconds(1);

}  // namespace

Task<ServerReply> GrantHandler::grant(std::shared_ptr<ServerCall> call) {
  if (!call->peer().is_local) {
    co_return Error(Code::permission_denied, "a block's descriptor is only granted over the worker's Unix socket");
  }
  proto::GrantRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  CO_TRY(block, block_from_wire(request.block()));
  const Deadline deadline = bounded_deadline(service_, *call);
  Status admitted = co_await admit_block(service_, block, deadline);
  if (!admitted) co_return std::move(admitted).error();

  const auto held = by_connection_.find(call->connection());
  if (held != by_connection_.end() && held->second.size() >= service_.options.max_grants_per_connection) {
    co_return Error(Code::overloaded, "this connection holds " + std::to_string(held->second.size()) +
                                          " grants already; release some first");
  }
  CO_TRY(made, co_await make(block, &request, deadline));
  BlockGrant& granted = made.grant;
  Lease lease;
  lease.connection = call->connection();
  lease.block = block.id;
  lease.device = made.device;
  if (!request.segment_id().empty()) lease.of = Lease::Of::segment;
  keep(granted.lease, lease);
  service_.counters.granted();

  proto::GrantReply body;
  body.set_lease_id(granted.lease.value);
  body.set_fd_offset_bytes(granted.offset_bytes);
  body.set_length_bytes(granted.length_bytes);
  body.set_in_filling(request.segment_id().empty() && granted.chunk_checksums.empty());
  ServerReply reply = reply_with(body);
  reply.payload = checksums_to_wire(granted.chunk_checksums);
  reply.fds.push_back(std::move(granted.fd));
  co_return reply;
}

Task<TierGrant> GrantHandler::make(BlockRef block, const proto::GrantRequest* request, Deadline deadline) {
  if (!request->segment_id().empty()) {
    const auto segment = block_ids_from_wire(request->segment_id());
    if (!segment || segment->size() != 1) {
      co_return Error(Code::invalid_argument, "the id of a segment has 16 bytes, not " +
                                                  std::to_string(request->segment_id().size()));
    }
    TierGrant made;
    CO_TRY(granted, service_.tiers.grant_segment(block, segment->front()));
    made.grant = std::move(granted);
    co_return made;
  }
  const GrantOf what = request->in_filling() ? GrantOf::block_in_filling : GrantOf::complete_block;
  Result<TierGrant> made = co_await service_.tiers.grant(block, what, deadline);
  co_return made;
}

Task<ServerReply> GrantHandler::release(std::shared_ptr<ServerCall> call) {
  proto::ReleaseRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  if (static_cast<std::size_t>(request.lease_ids_size()) > max_releases_per_call) {
    co_return Error(Code::invalid_argument, "more than 65536 leases in one release; cut it");
  }
  for (const std::uint64_t number : request.lease_ids()) {
    const auto found = leases_.find(LeaseId{number});
    if (found != leases_.end() && found->second.connection == call->connection()) end(LeaseId{number});
  }
  co_return reply_with(proto::ReleaseReply());
}

bool GrantHandler::holds(ConnectionId connection, LeaseId id, const BlockId& block) const {
  const auto found = leases_.find(id);
  if (found == leases_.end()) return false;
  const Lease& lease = found->second;
  return lease.connection == connection && lease.block == block && lease.device == nullptr && lease.of == Lease::Of::block;
}

void GrantHandler::keep(LeaseId id, Lease lease) {
  by_connection_[lease.connection].insert(id);
  leases_[id] = lease;
}

void GrantHandler::end(LeaseId lease) {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return;
  const auto connection = by_connection_.find(found->second.connection);
  if (connection != by_connection_.end()) {
    connection->second.erase(lease);
    if (connection->second.empty()) by_connection_.erase(connection);
  }
  DiskTier* device = found->second.device;
  leases_.erase(found);
  service_.tiers.release(lease, device);
  service_.master.note_changes();
}

void GrantHandler::disconnected(ConnectionId connection) {
  const auto found = by_connection_.find(connection);
  if (found == by_connection_.end()) return;
  const std::unordered_set<LeaseId> held = std::move(found->second);
  by_connection_.erase(found);
  for (const LeaseId lease : held) end(lease);
  log_debug("leases_ended", {{"connection", connection}, {"leases", held.size()}});
}

void GrantHandler::recall(std::uint64_t bytes) {
  const TimePoint now = service_.clock.now();
  std::unordered_map<ConnectionId, proto::RecallNotice> notices;
  std::uint64_t asked = 0;
  for (const LeaseId id : service_.tiers.leases_to_recall(bytes)) {
    const auto lease = leases_.find(id);
    if (lease == leases_.end() || now < lease->second.recalled_at + recall_again_after) continue;
    lease->second.recalled_at = now;
    notices[lease->second.connection].add_lease_ids(id.value);
    asked += 1;
  }
  for (const auto& [connection, notice] : notices) {
    server_.notify(connection, Method::recall, notice.SerializeAsString());
  }
  if (asked != 0) service_.counters.recalled(asked);
}

}  // namespace hearth::worker

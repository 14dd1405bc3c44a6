// Client::locations: where the blocks of a file are, asked of the master and of each worker it names.
#include "client/src/client_impl.h"

#include "client/src/convert.h"
#include "common/block_wire.h"
#include "proto/hearth.pb.h"

#include <algorithm>

namespace hearth {

// Asks `worker` about the blocks it is said to hold.
Task<> ClientImpl::fill_in_replicas(std::vector<BlockRef> blocks, std::vector<BlockPlacement>* placements, WorkerStatus worker) {
  proto::BlockStatusRequest request;
  for (const BlockRef& block : blocks) block_to_wire(block, *request.add_blocks());
  const auto reach = parts_->peers.reach(WorkerId{worker.id});
  if (!reach) co_return ok();
  RpcCall call;
  call.method = Method::block_status;
  call.body = request.SerializeAsString();
  proto::BlockStatusReply reply;
  const Deadline deadline = Deadline::after(clock_, options_.attempt_deadline);
  auto answer = co_await client::call_and_decode(reach->channel, std::move(call), &reply, deadline);
  if (!answer) co_return std::move(answer).error();
  const int count = std::min(reply.blocks_size(), static_cast<int>(blocks.size()));
  for (int i = 0; i < count; ++i) {
    const auto& status = reply.blocks(i);
    if (!status.present()) continue;
    BlockPlacement::Replica replica;
    replica.worker_id = worker.id;
    replica.address = worker.address;
    replica.resident_bytes = status.resident_bytes();
    replica.complete = status.complete();
    replica.leases = status.leases();
    replica.tier = status.tier();
    replica.packed = status.packed();
    (*placements)[static_cast<std::size_t>(i)].replicas.push_back(std::move(replica));
  }
  co_return ok();
}

// Where everything seems to allow it the worker itself is asked: it may refuse for reasons of its own.
Task<> ClientImpl::explain_short_circuit(BlockRef block, BlockPlacement* placement, Deadline deadline) {
  std::string& answer = placement->short_circuit;
  if (!options_.short_circuit) {
    answer = "no: it is switched off in this client";
  } else if (!parts_->peers.has_local()) {
    answer = "no: no worker's Unix socket can be reached from here";
  } else {
    answer = "no: the local worker does not hold the block";
    for (const auto& replica : placement->replicas) {
      const WorkerId worker{replica.worker_id};
      if (!parts_->peers.is_local(worker)) continue;
      answer = replica.complete ? "yes" : "no: only a part of the block is cached yet";
      if (!replica.complete) continue;
      if (replica.packed) {
        answer = "yes, packed with other small blocks";
        continue;
      }
      if (block.length_bytes < options_.grant_min_bytes) {
        answer = "no: the block is smaller than grant_min_bytes (" + std::to_string(options_.grant_min_bytes) + ") and not packed";
        continue;
      }
      Status granted = co_await parts_->keeper.try_out(block, worker, deadline);
      if (!granted) answer = "no: " + granted.error().message();
    }
  }
  co_return ok();
}

Task<std::vector<BlockPlacement>> ClientImpl::locations(std::string path) {
  parts_->resolver.forget(path);
  const Deadline deadline = metadata_deadline();
  CO_TRY(resolution, co_await parts_->resolver.follow(path, deadline));
  CO_CHECK_OK(co_await parts_->peers.refresh(client::Freshness::refreshed, deadline));
  std::vector<BlockPlacement> out;
  for (const BlockRef& block : resolution->blocks) {
    BlockPlacement placement;
    placement.block_id = block.id.to_hex();
    placement.start_bytes = block.start.value;
    placement.length_bytes = block.length_bytes;
    out.push_back(std::move(placement));
  }
  const client::WorkerTablePtr table = parts_->peers.table();
  for (const WorkerStatus& worker : table->workers) {
    // Every live worker is asked: the master's map is a heartbeat behind.
    if (worker.state == "lost" || resolution->blocks.empty()) continue;
    Status asked = co_await fill_in_replicas(resolution->blocks, &out, worker);
    if (!asked) parts_->peers.suspect(WorkerId{worker.id});
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    const BlockRef& block = resolution->blocks[i];
    std::vector<WorkerId> holders;
    for (const auto& replica : out[i].replicas) holders.push_back(WorkerId{replica.worker_id});
    std::vector<WorkerId> suspects;
    const auto order = parts_->peers.candidates(block, holders, resolution->placement, suspects);
    CO_CHECK_OK(co_await explain_short_circuit(block, &out[i], deadline));
    out[i].would_read_from = "under-store";
    for (const WorkerStatus& worker : table->workers) {
      if (!order.empty() && worker.id == order[0].value) out[i].would_read_from = worker.address;
    }
  }
  co_return out;
}

}  // namespace hearth

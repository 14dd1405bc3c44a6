// Method::read: bytes of a block to a reader, from memory or through it from the under-store, as they become available.
// A reader with a lease on the block in filling gets no bytes: they are put where its descriptor shows them. A reader on
// this host that got a whole packed block is told where it lies.
//
// Threads: confined to the data thread.
// Fails:   invalid_argument, not_found (attachment), stale (the file changed), and what the under-store says.
//          In place: no_space when a page can not be put into the leased memory, not_found for another's lease.
#pragma once

#include "worker/grant_handler.h"
#include "worker/page_run.h"
#include "worker/sequence.h"
#include "worker/service.h"

namespace hearth::proto {
class ReadRequest;
class ReadReply;
}

namespace hearth::worker {

struct BlockRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

class ReadHandler {
 public:
  ReadHandler(Service& service, const GrantHandler& grants);

  Task<ServerReply> read(std::shared_ptr<ServerCall> call);
  void disconnected(ConnectionId connection) { sequences_.forget(connection); }

 private:
  Task<ServerReply> read_in_place(std::shared_ptr<ServerCall> call, BlockRef block, LeaseId lease, BlockRange range);
  // Fetches ahead of a sequential reader what nobody waits for yet, and what the policy says of a first read.
  void read_ahead(const ServerCall& call, const BlockRef& block);
  void count(Source source, std::uint64_t bytes, proto::ReadReply& reply);

  Service& service_;
  const GrantHandler& grants_;
  SequenceTracker sequences_;
};

}  // namespace hearth::worker

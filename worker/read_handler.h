// Method::read: bytes of a block to a reader, from memory or through it from the under-store, as they become available.
//
// Threads: confined to the data thread.
// Fails:   invalid_argument, not_found (attachment), stale (the file changed), and what the under-store says.
#pragma once

#include "worker/page_run.h"
#include "worker/sequence.h"
#include "worker/service.h"

namespace hearth::proto {
class ReadRequest;
class ReadReply;
}

namespace hearth::worker {

class ReadHandler {
 public:
  explicit ReadHandler(Service& service);

  Task<ServerReply> read(std::shared_ptr<ServerCall> call);
  void disconnected(ConnectionId connection) { sequences_.forget(connection); }

 private:
  // Fetches ahead of a sequential reader what nobody waits for yet.
  void read_ahead(const ServerCall& call, const BlockRef& block, std::uint64_t offset, std::uint64_t length);
  void count(Source source, std::uint64_t bytes, proto::ReadReply& reply);

  Service& service_;
  SequenceTracker sequences_;
};

}  // namespace hearth::worker

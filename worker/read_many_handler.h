// Method::read_many: small ranges of many blocks in one reply, each with an outcome of its own.
//
// Threads: confined to the data thread, which gets a turn for others every few ranges.
// Bounds:  1,024 ranges of together 1 MiB per call; 64 MiB in all replies that are being made, others wait.
// Fails:   invalid_argument (over a bound, or no such block), overloaded (too many wait). What one range meets is its own
//          outcome: invalid_argument, not_found (attachment), stale, and what the under-store says.
#pragma once

#include "worker/page_run.h"
#include "worker/service.h"
#include "worker/wait.h"

#include <memory>
#include <string>
#include <vector>

namespace hearth::proto {
class ReadManyReply;
class ReadManyRequest;
}  // namespace hearth::proto

namespace hearth::worker {

class ReadManyHandler {
 public:
  ReadManyHandler(Service& service, Executor executor);

  Task<ServerReply> read_many(std::shared_ptr<ServerCall> call);

 private:
  struct Batch;
  Task<> admit_blocks(std::shared_ptr<Batch> batch, std::shared_ptr<ServerCall> call);
  void start_reading(Batch& batch, std::size_t index);
  Task<> take(std::shared_ptr<Batch> batch, std::size_t index);

  Service& service_;
  Executor executor_;
  Admission replies_;  // bytes
};

}  // namespace hearth::worker

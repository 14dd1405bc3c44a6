// What the handlers of one data thread share. Plain references: the shard owns everything and outlives every call.
#pragma once

#include "common/clock.h"
#include "common/net/rpc.h"
#include "tiering/block_store.h"
#include "worker/attachments.h"
#include "worker/metrics.h"
#include "worker/page_fetcher.h"
#include "worker/page_run.h"
#include "worker/prefetch.h"
#include "worker/tiers.h"
#include "worker/worker_options.h"

#include <functional>

namespace hearth::worker {

class MasterLink;

struct Service {
  const WorkerOptions& options;
  Clock& clock;
  Tiers& tiers;
  WorkerAttachments& attachments;
  PageFetcher& fetcher;
  Prefetcher& prefetcher;
  MasterLink& master;
  WorkerCounters& counters;
};

// The block's attachment is known, after asking the master if need be, and the block is one of its.
// not_found (the master does not have it either), unavailable (could not ask), invalid_argument.
Task<> admit_block(Service& service, BlockRef block, Deadline deadline);

// The sooner of what the caller asked for, less the time that an answer takes, and the bound of this worker: a caller that
// hears nothing must take the worker for dead, when only its under-store hangs.
Deadline bounded_deadline(const Service& service, const ServerCall& call);

// How a read of the block goes through its pages.
PageRunOptions run_options(const Service& service, const BlockRef& block);

// Answers `method` on `server` with `operation`, counting and timing it, and adding "which call" to a failure.
using Operation = std::function<Task<ServerReply>(std::shared_ptr<ServerCall>)>;
void serve(RpcServer& server, Clock& clock, Method method, Operation operation);

}  // namespace hearth::worker

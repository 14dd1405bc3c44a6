// Asks the local worker for grants, keeps them in the cache, and gives leases back.
//
// Threads: released() from any; everything else is confined to the io thread.
// Rate:    a block that was refused is asked for again after a second at the earliest (ask_grant_again of the file).
// Fails:   what the worker said; unavailable when no worker can be reached by a local socket.
#pragma once

#include "client/src/counters.h"
#include "client/src/grant_cache.h"
#include "client/src/peers.h"
#include "client/src/signal.h"
#include "common/block.h"
#include "common/task_group.h"

#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

namespace hearth {
class FileImpl;
}

namespace hearth::client {

// Leases whose mappings are gone, on their way back. Shared: a mapping may outlive the client.
class LeaseReleaser : public std::enable_shared_from_this<LeaseReleaser> {
 public:
  LeaseReleaser(TaskGroup& group, Peers& peers, const Clock& clock) : group_(&group), peers_(&peers), clock_(clock) {}
  void released(const LeaseName& lease);  // any thread
  void close();                           // io thread; later releases are the closed connection's

 private:
  static Task<> flush(std::shared_ptr<LeaseReleaser> self);
  Task<> give_back(WorkerId worker, std::uint64_t connection, std::vector<std::uint64_t> leases);

  TaskGroup* group_;
  Peers* peers_;
  const Clock& clock_;
  std::mutex mutex_;
  // Guarded by mutex_
  std::vector<LeaseName> waiting_;
  bool flushing_ = false;
  bool closed_ = false;
};

enum class GrantOf : std::uint8_t { complete_block, block_in_filling };

// What a worker said of a read in place.
struct InPlace {
  std::uint64_t hit_bytes = 0;
  std::uint64_t miss_bytes = 0;
};

class GrantKeeper {
 public:
  GrantKeeper(const Clock& clock, TaskGroup& group, Peers& peers, GrantCache& cache);

  // After success the file has the grant of its block `index`. In filling is asked only of the worker that reads of the
  // block would go to.
  Task<> obtain(std::shared_ptr<FileImpl> file, std::size_t index, GrantOf what, Deadline deadline);
  // The range of a block in filling, read by the worker into the memory that `grant` shows. `offset` and the range's end
  // lie at chunks, or at the block's end. no_space, not_found: read it in another way.
  Task<InPlace> read_in_place(std::shared_ptr<MappedGrant> grant, BlockRef block, std::uint64_t offset, std::uint64_t length,
                              Deadline deadline);
  // The segment in which a reply of the worker placed `block`, into the cache of grants.
  Task<> obtain_segment(BlockRef block, BlockId segment, Reach worker, Deadline deadline);
  // Whether to ask for it now: it is not here, nobody asks, and it was not refused just before. Who is told so asks.
  bool begin_asking(const BlockId& segment);
  // Whether the worker would grant the block: asks for it and gives it back. For those who want to know why not.
  Task<> try_out(BlockRef block, WorkerId worker, Deadline deadline);
  void close() { releaser_->close(); }

 private:
  Task<std::shared_ptr<MappedGrant>> ask(BlockRef block, GrantOf what, Reach worker, Deadline deadline);
  // Maps what was granted, or gives the lease back.
  Result<std::shared_ptr<MappedGrant>> map(MappedGrant::Parts parts);

  const Clock& clock_;
  Executor executor_;
  Peers& peers_;
  GrantCache& cache_;
  std::shared_ptr<LeaseReleaser> releaser_;
  std::unordered_map<BlockId, std::shared_ptr<Signal>, BlockIdHash> asking_;
  std::unordered_map<BlockId, TimePoint, BlockIdHash> segments_asked_;  // not to be asked for again before
};

}  // namespace hearth::client

// Reads pages from a device or the under-store, once for everyone who wants them at the same time.
//
// A fetch belongs to the worker, not to the request that caused it: it goes on when its first reader leaves, and its
// outcome, good or bad, reaches everyone who joined. A page that finds no room in the tier (all of it is leased, viewed
// or filling) is passed through a bounded buffer beside the tier: a full tier costs time, never a read.
//
// Threads: confined to the data thread; under-store reads and checksums run on the blocking pools.
// Bounds:  reads at once and waiting per attachment (attachments.h), `through_bytes` beside the tier.
// Fails:   what the under-store says; overloaded; deadline_exceeded (the waiter's own, the fetch goes on).
#pragma once

#include "common/async.h"
#include "common/block.h"
#include "common/blocking.h"
#include "common/clock.h"
#include "common/task_group.h"
#include "tiering/block_store.h"
#include "worker/attachments.h"
#include "worker/fetch_buffers.h"
#include "worker/metrics.h"
#include "worker/page_bytes.h"
#include "worker/range_reads.h"
#include "worker/tiers.h"
#include "worker/wait.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

namespace hearth::worker {

enum class Interest : std::uint8_t {
  reader,      // dropped if every reader left before its turn came
  background,  // worth doing for its own sake
};

struct FetcherOptions {
  std::uint64_t through_bytes = 256ULL << 20;
  std::uint64_t range_bytes = 256ULL << 20;  // buffers of ranged requests (range_reads.h)
  std::size_t idle_buffer_bytes = 32U << 20;
  std::size_t max_waiting = 4096;
  Duration fetch_timeout = std::chrono::seconds(30);
};

// What the fetcher tells the rest of the worker.
struct FetcherEvents {
  std::function<void()> presence_changed;
  std::function<void(std::uint64_t bytes)> no_room;  // leases should be asked back
};

class PageFetcher {
  struct Fetch;

 public:
  // A share in a fetch.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept = default;
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket();
    explicit operator bool() const { return fetch_ != nullptr; }

   private:
    friend class PageFetcher;
    explicit Ticket(std::shared_ptr<Fetch> fetch);
    std::shared_ptr<Fetch> fetch_;  // shared by its task and everyone who joined
  };

  PageFetcher(BlockStore& blocks, Tiers& tiers, WorkerAttachments& attachments, BlockingPool& compute, TaskGroup& tasks, Clock& clock,
              WorkerCounters& counters, FetcherOptions options, FetcherEvents events);

  // Joins the fetch of that page, or starts one. The page is not resident (BlockStore::find came first).
  Ticket start(const BlockRef& block, PageIndex page, Keep keep, Interest interest);
  Task<PageBytes> wait(Ticket ticket, Deadline deadline);

  std::size_t running() const { return fetches_.size(); }
  std::uint64_t through_bytes_in_use() const { return through_.used(); }
  void close();

 private:
  struct Key {
    BlockId block;
    PageIndex page;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const { return BlockIdHash{}(key.block) + key.page.value * 0x9E3779B1U; }
  };
  struct ThroughPage;

  Task<> run(std::shared_ptr<Fetch> fetch);
  Task<PageBytes> fetch_page(std::shared_ptr<Fetch> fetch);
  Task<PageBytes> fetch_from_store(std::shared_ptr<Fetch> fetch);
  Task<> keep_on_device(BlockRef block, PageIndex page, PageBytes bytes);
  Task<PageBytes> fetch_into_tier(std::shared_ptr<Fetch> fetch, std::shared_ptr<OpenStore> store, PageFill fill);
  Task<PageBytes> fetch_through(std::shared_ptr<Fetch> fetch, std::shared_ptr<OpenStore> store);
  Task<FetchedPage> read(std::shared_ptr<Fetch> fetch, std::shared_ptr<OpenStore> store, std::span<std::byte> into);
  // The checksums of `length` bytes that `work` puts in place.
  Task<std::vector<std::uint32_t>> compute(std::uint64_t length, std::function<Result<std::vector<std::uint32_t>>()> work);

  // Set once
  BlockStore& blocks_;
  Tiers& tiers_;
  WorkerAttachments& attachments_;
  BlockingPool& compute_;
  TaskGroup& tasks_;
  Clock& clock_;
  WorkerCounters& counters_;
  FetcherOptions options_;
  FetcherEvents events_;

  // Data thread only
  Admission through_;
  FetchBuffers buffers_;
  RangeReads ranges_;
  std::unordered_map<Key, std::shared_ptr<Fetch>, KeyHash> fetches_;
};

}  // namespace hearth::worker

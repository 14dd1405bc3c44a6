// Fetches what nobody asked for yet, as the policy's `prefetch` says: the whole file or its end at the first read of it. For
// a sequential reader it says how far ahead to fetch; read_handler does that.
//
// Never at others' cost: a page comes only where it is kept at once and nothing has to go for it (Tiers::wants_unasked), and a
// file longer than half of the tier is not begun. What does not fit is left out; the next read ten seconds later tries again.
// Other blocks of the file are fetched for local readers of attachments that place blocks at their reader's host; elsewhere
// each worker fetches its own block when that is read.
//
// Threads: confined to the data thread.
// Bounds:  jobs waiting and at work, pages at once (a quarter of the turns at an under-store), blocks remembered.
#pragma once

#include "common/async.h"
#include "common/block.h"
#include "common/clock.h"
#include "common/task_group.h"
#include "worker/attachments.h"
#include "worker/metrics.h"
#include "worker/page_fetcher.h"
#include "worker/tiers.h"

#include <cstdint>
#include <deque>
#include <unordered_map>

namespace hearth::worker {

struct PrefetchParts {
  Clock& clock;
  Tiers& tiers;
  PageFetcher& fetcher;
  WorkerAttachments& attachments;
  TaskGroup& tasks;
  WorkerCounters& counters;
};

struct PrefetchOptions {
  std::uint32_t readahead_pages = 16;    // of a sequential reader about whom the policy says nothing
  std::uint32_t fetch_parallelism = 16;  // turns at an under-store
  Duration fetch_timeout = std::chrono::seconds(30);
};

class Prefetcher {
 public:
  enum class Reader : std::uint8_t { local, remote };

  Prefetcher(PrefetchParts parts, PrefetchOptions options) : parts_(parts), options_(options) {}

  // A read of the block came in, by a reader whose pattern is known as far as it is. Begins what is to be fetched for it.
  // Answers how many bytes to fetch ahead of a reader in sequence; 0: none.
  std::uint64_t was_read(const BlockRef& block, Reader reader);
  // What is under way ends with its fetches.
  void close();
  std::size_t jobs() const { return waiting_.size() + running_; }

 private:
  enum class Blocks : std::uint8_t { this_one, and_the_following };
  struct Job {
    BlockRef block;
    std::uint32_t first_page = 0;
    std::uint32_t end_page = 0;
    Blocks blocks = Blocks::this_one;
  };
  enum class Outcome : std::uint8_t { done, stopped };
  struct Known {
    std::uint64_t reader = 0;  // pattern and tenant: another one may meet other rules
    std::uint64_t policy = 0;  // by which it was decided: Tiers::policy_changes()
    std::uint64_t ahead_bytes = 0;
    TimePoint again{};
  };

  std::uint64_t decide_and_begin(const BlockRef& block, Reader reader);
  std::uint64_t usual_window(const BlockRef& block) const;
  void begin_whole(const BlockRef& block, Reader reader);
  void begin_footer(const BlockRef& block, std::uint64_t footer_bytes, Reader reader);
  void add(Job job);
  bool anything_missing(const Job& job) const;
  Task<> work();
  Task<> fetch_pages(const Job* job, Outcome* outcome);
  std::size_t pages_at_once(const BlockRef& block) const;

  // Set once
  PrefetchParts parts_;
  PrefetchOptions options_;
  // Data thread only
  std::unordered_map<BlockId, Known, BlockIdHash> known_;
  std::deque<Job> waiting_;
  std::size_t running_ = 0;
  bool closed_ = false;
};

}  // namespace hearth::worker

// Turns reads of neighbouring pages into one request, for stores where a request costs more than a page.
//
// Pages of one block that are asked for in the same turn of the data thread, and follow each other, are read by one
// ranged request of up to the store's preferred_read_bytes. It is split again as the bytes arrive: the first page goes
// to its reader while the last one is on its way. A page without neighbours is read into its own buffer.
//
// Threads: confined to the data thread; the store tells of progress on its own threads.
// Owns:    the requests (tasks of the group) and their buffers; a FetchedPage keeps its buffer.
// Bounds:  `budget_bytes` in buffers of ranged requests; one that finds no room waits.
// Fails:   as the store. When a request fails, the pages that had arrived are good (they are of the version that was
//          asked for, see ReadOptions::progress), the others fail with its error.
#pragma once

#include "common/block.h"
#include "common/task_group.h"
#include "worker/attachments.h"
#include "worker/fetch_buffers.h"
#include "worker/wait.h"

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

namespace hearth::worker {

// The bytes of a page, in the buffer that was given or in one of a ranged request.
struct FetchedPage {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> holder;  // shared with the other pages of the request; null for the given buffer
};

struct RangeReadsOptions {
  std::uint64_t budget_bytes = 256ULL << 20;
  std::size_t idle_buffer_bytes = 64U << 20;
  std::size_t max_waiting = 4096;
  Duration timeout = std::chrono::seconds(30);  // of one request
};

class RangeReads {
 public:
  RangeReads(TaskGroup& tasks, Clock& clock, RangeReadsOptions options);

  // The whole page, in `into` or elsewhere. `into` must live until the task ends.
  Task<FetchedPage> read(std::shared_ptr<OpenStore> store, BlockRef block, PageIndex page, std::span<std::byte> into);
  void close() { budget_.close(); }

 private:
  struct Wanted;
  struct Run;
  struct Buffer;
  using Pages = std::vector<std::shared_ptr<Wanted>>;
  struct Group {
    std::shared_ptr<OpenStore> store;
    BlockRef block;
    Pages pages;
  };

  Task<FetchedPage> read_alone(std::shared_ptr<OpenStore> store, BlockRef block, PageIndex page, std::span<std::byte> into);
  Task<> flush();
  void start_runs(Group group);
  Task<> fetch(std::shared_ptr<Run> run);
  Task<> read_range(std::shared_ptr<Run> run);

  // Set once
  TaskGroup& tasks_;
  Clock& clock_;
  const RangeReadsOptions options_;

  // Data thread only
  Admission budget_;
  std::shared_ptr<FetchBuffers> buffers_;  // shared with the buffers that are out
  std::unordered_map<BlockId, Group, BlockIdHash> pending_;  // asked for in this turn
  bool flushing_ = false;
};

}  // namespace hearth::worker

// The pages of one range of a block, in order, each resident or fetched; what is not here is fetched a window ahead.
//
// Threads: confined to the data thread; one coroutine uses it.
// Owns:    views and fetch tickets of the window, given up with it.
// Fails:   as PageFetcher. A resident page with wrong bytes is dropped and fetched again, once.
#pragma once

#include "common/async.h"
#include "common/block.h"
#include "common/clock.h"
#include "tiering/block_store.h"
#include "worker/metrics.h"
#include "worker/page_fetcher.h"
#include "worker/tiers.h"

#include <cstdint>
#include <deque>
#include <optional>

namespace hearth::worker {

// The part of a page that lies in the range.
struct PagePiece {
  PageIndex page;
  std::uint64_t offset_in_page = 0;
  std::uint64_t length_bytes = 0;
  Source source = Source::memory;
  PageBytes bytes;

  std::span<const std::byte> data() const {
    return bytes.bytes().subspan(offset_in_page - bytes.begin_in_page(), length_bytes);
  }
  // CRC32C of data(), from the page's chunk checksums where it is whole chunks.
  std::uint32_t checksum() const;
};

enum class Verify : std::uint8_t { yes, no };

struct PageRunOptions {
  std::uint32_t window = 16;
  std::uint32_t pages_per_read = 1;  // asked for together, so that they can be one request
  Keep keep = Keep::when_there_is_room;
  Interest interest = Interest::reader;
  Verify verify = Verify::yes;
};

class PageRun {
 public:
  // [offset, offset + length) lies in the block.
  PageRun(Tiers& tiers, PageFetcher& fetcher, WorkerCounters& counters, BlockRef block, std::uint64_t offset,
          std::uint64_t length, PageRunOptions options);

  // Starts the first fetches; next() does it otherwise.
  void fill_window();
  bool done() const { return window_.empty() && next_page_ >= end_page_; }
  Task<PagePiece> next(Deadline deadline);

 private:
  // A small piece of a page on a device is read by itself, not by way of the whole page.
  // A loader does not want what a device keeps already.
  enum class Part : std::uint8_t { whole, piece, kept };
  struct Ahead {
    PageIndex page;
    std::optional<PageView> view;
    PageFetcher::Ticket fetch;  // when there is no view and no part to read
    Part part = Part::whole;
  };
  Ahead look_up(PageIndex page);
  PagePiece piece_of(PageIndex page) const;
  Task<PagePiece> next_piece(Deadline deadline);
  Task<PagePiece> from_memory(Ahead ahead, Deadline deadline);
  Task<PagePiece> fetched(Ahead ahead, Deadline deadline);

  // Set once
  Tiers& tiers_;
  PageFetcher& fetcher_;
  WorkerCounters& counters_;
  BlockRef block_;
  std::uint64_t begin_;
  std::uint64_t end_;
  PageRunOptions options_;
  std::uint32_t end_page_;

  std::uint32_t next_page_;
  std::deque<Ahead> window_;
};

}  // namespace hearth::worker

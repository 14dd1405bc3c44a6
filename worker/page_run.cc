#include "worker/page_run.h"

#include "common/crc32c.h"
#include "common/log.h"

#include <algorithm>
#include <utility>

namespace hearth::worker {
namespace {
// Up to this part of a page is read by itself from a device.
constexpr std::uint64_t small_piece_share = 4;
}  // namespace

std::uint32_t PagePiece::checksum() const {
  const std::uint64_t begin = offset_in_page;
  const std::uint64_t end = begin + length_bytes;
  const std::uint64_t held_begin = bytes.begin_in_page();
  const std::uint64_t held_end = held_begin + bytes.bytes().size();
  const bool starts_whole = begin % checksum_chunk_bytes == 0 || begin == held_begin;
  const bool ends_whole = end % checksum_chunk_bytes == 0 || end == held_end;
  if (!starts_whole || !ends_whole) return crc32c(data());
  const std::uint64_t first_chunk = held_begin / checksum_chunk_bytes;
  const std::span<const std::uint32_t> chunks = bytes.chunk_checksums();
  std::uint32_t combined = 0;
  for (std::uint64_t at = begin; at < end;) {
    const std::uint64_t chunk_index = at / checksum_chunk_bytes;
    const std::uint64_t chunk_end = std::min((chunk_index + 1) * checksum_chunk_bytes, end);
    const std::uint32_t chunk = chunks[chunk_index - first_chunk];
    combined = at == begin ? chunk : crc32c_combine(combined, chunk, chunk_end - at);
    at = chunk_end;
  }
  return combined;
}

PageRun::PageRun(Tiers& tiers, PageFetcher& fetcher, WorkerCounters& counters, BlockRef block,
                 std::uint64_t offset, std::uint64_t length, PageRunOptions options)
    : tiers_(tiers), fetcher_(fetcher), counters_(counters), block_(std::move(block)), begin_(offset),
      end_(offset + length), options_(options) {
  const std::uint32_t page_size = block_.page_size_bytes;
  next_page_ = static_cast<std::uint32_t>(begin_ / page_size);
  end_page_ = length == 0 ? next_page_ : static_cast<std::uint32_t>((end_ + page_size - 1) / page_size);
}

PageRun::Ahead PageRun::look_up(PageIndex page) {
  Ahead ahead;
  ahead.page = page;
  ahead.view = tiers_.find(block_, page);
  if (ahead.view) return ahead;
  if (options_.keep == Keep::required && tiers_.on_device(block_, page)) {
    ahead.part = Part::kept;
    return ahead;
  }
  const bool small = piece_of(page).length_bytes * small_piece_share <= block_.page_length_bytes(page);
  if (small && tiers_.on_device(block_, page)) {
    ahead.part = Part::piece;
  } else {
    ahead.fetch = fetcher_.start(block_, page, options_.keep, options_.interest);
  }
  return ahead;
}

void PageRun::fill_window() {
  const std::uint32_t together = std::max(options_.pages_per_read, 1U);
  const std::uint32_t window = std::max(options_.window, 2 * together - 1);
  if (window_.size() + together > window) return;
  while (next_page_ < end_page_ && window_.size() < window) window_.push_back(look_up(PageIndex{next_page_++}));
}

PagePiece PageRun::piece_of(PageIndex page) const {
  const std::uint64_t page_begin = std::uint64_t{page.value} * block_.page_size_bytes;
  const std::uint64_t page_end = page_begin + block_.page_length_bytes(page);
  PagePiece piece;
  piece.page = page;
  piece.offset_in_page = std::max(begin_, page_begin) - page_begin;
  piece.length_bytes = std::min(end_, page_end) - page_begin - piece.offset_in_page;
  return piece;
}

Task<PagePiece> PageRun::next(Deadline deadline) {
  Result<PagePiece> piece = co_await next_piece(deadline);
  if (piece && options_.keep != Keep::required) tiers_.served(block_, piece->page, piece->source);
  co_return piece;
}

Task<PagePiece> PageRun::next_piece(Deadline deadline) {
  fill_window();
  Ahead ahead = std::move(window_.front());
  window_.pop_front();
  if (ahead.view) {
    Result<PagePiece> piece = co_await from_memory(std::move(ahead), deadline);
    co_return piece;
  }
  if (ahead.part == Part::kept) {
    PagePiece piece = piece_of(ahead.page);
    piece.source = Source::device;
    co_return piece;
  }
  if (ahead.part == Part::piece) {
    PagePiece piece = piece_of(ahead.page);
    Result<PageBytes> part = co_await tiers_.read_part(block_, ahead.page, piece.offset_in_page, piece.length_bytes, deadline);
    if (part) {
      piece.source = Source::device;
      piece.bytes = std::move(part).value();
      co_return piece;
    }
    ahead.fetch = fetcher_.start(block_, ahead.page, options_.keep, options_.interest);
  }
  Result<PagePiece> piece = co_await fetched(std::move(ahead), deadline);
  co_return piece;
}

Task<PagePiece> PageRun::from_memory(Ahead ahead, Deadline deadline) {
  PagePiece piece = piece_of(ahead.page);
  Status sound = ok();
  if (options_.verify == Verify::yes) {
    sound = BlockStore::verify(*ahead.view, piece.offset_in_page, piece.length_bytes);
  }
  if (sound) {
    piece.bytes = PageBytes(std::move(*ahead.view));
    co_return piece;
  }
  counters_.corrupt_found();
  log_error("page_corrupt", {{"block", block_.id.to_hex()}, {"path", block_.store_path}, {"page", ahead.page.value},
                             {"action", "dropped, fetching it again"}});
  ahead.view.reset();
  tiers_.drop_corrupt(block_.id, ahead.page);
  ahead.fetch = fetcher_.start(block_, ahead.page, options_.keep, options_.interest);
  Result<PagePiece> again = co_await fetched(std::move(ahead), deadline);
  co_return again;
}

Task<PagePiece> PageRun::fetched(Ahead ahead, Deadline deadline) {
  PagePiece piece = piece_of(ahead.page);
  Result<PageBytes> fetched = co_await fetcher_.wait(std::move(ahead.fetch), deadline);
  if (!fetched) co_return std::move(fetched).error();
  piece.source = fetched->source();
  piece.bytes = std::move(fetched).value();
  co_return piece;
}

}  // namespace hearth::worker

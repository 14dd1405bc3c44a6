#include "worker/page_run.h"

#include "common/crc32c.h"
#include "common/log.h"

#include <algorithm>
#include <utility>

namespace hearth::worker {

std::uint32_t PagePiece::checksum() const {
  const std::uint64_t end = offset_in_page + length_bytes;
  const bool starts_whole = offset_in_page % checksum_chunk_bytes == 0;
  const bool ends_whole = end % checksum_chunk_bytes == 0 || end == bytes.bytes().size();
  if (!starts_whole || !ends_whole) return crc32c(data());
  const std::span<const std::uint32_t> chunks = bytes.chunk_checksums();
  std::uint32_t combined = 0;
  for (std::uint64_t at = offset_in_page; at < end; at += checksum_chunk_bytes) {
    const std::uint64_t chunk_length = std::min<std::uint64_t>(checksum_chunk_bytes, end - at);
    const std::uint32_t chunk = chunks[at / checksum_chunk_bytes];
    combined = at == offset_in_page ? chunk : crc32c_combine(combined, chunk, chunk_length);
  }
  return combined;
}

PageRun::PageRun(BlockStore& blocks, PageFetcher& fetcher, WorkerCounters& counters, BlockRef block,
                 std::uint64_t offset, std::uint64_t length, PageRunOptions options)
    : blocks_(blocks), fetcher_(fetcher), counters_(counters), block_(std::move(block)), begin_(offset),
      end_(offset + length), options_(options) {
  const std::uint32_t page_size = block_.page_size_bytes;
  next_page_ = static_cast<std::uint32_t>(begin_ / page_size);
  end_page_ = length == 0 ? next_page_ : static_cast<std::uint32_t>((end_ + page_size - 1) / page_size);
}

PageRun::Ahead PageRun::look_up(PageIndex page) {
  Ahead ahead;
  ahead.page = page;
  ahead.view = blocks_.find(block_, page);
  if (!ahead.view) ahead.fetch = fetcher_.start(block_, page, options_.keep, options_.interest);
  return ahead;
}

void PageRun::fill_window() {
  const std::uint32_t window = std::max(options_.window, 1U);
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
  fill_window();
  Ahead ahead = std::move(window_.front());
  window_.pop_front();
  PagePiece piece = piece_of(ahead.page);
  if (ahead.view) {
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
    blocks_.drop_corrupt(block_.id, ahead.page);
    ahead.fetch = fetcher_.start(block_, ahead.page, options_.keep, options_.interest);
  }
  Result<PageBytes> fetched = co_await fetcher_.wait(std::move(ahead.fetch), deadline);
  if (!fetched) co_return std::move(fetched).error();
  piece.source = Source::store;
  piece.bytes = std::move(fetched).value();
  co_return piece;
}

}  // namespace hearth::worker

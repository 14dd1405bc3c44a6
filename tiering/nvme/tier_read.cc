// Reading: the sectors that are asked for, compared with their checksums in every single read.
#include "tiering/nvme/disk_tier_impl.h"

#include "common/crc32c.h"
#include "common/log.h"
#include "tiering/nvme/sector_sums.h"

#include <algorithm>
#include <utility>

namespace hearth {
namespace {

// Keeps a page of an open file from being punched.
class ReaderMark {
 public:
  ReaderMark(std::shared_ptr<TierFile> file, std::uint32_t page, Signal& quiet) : file_(std::move(file)), page_(page), quiet_(quiet) {
    file_->readers.add(page_);
  }
  ReaderMark(const ReaderMark&) = delete;
  ReaderMark& operator=(const ReaderMark&) = delete;
  ~ReaderMark() {
    file_->readers.remove(page_);
    if (quiet_.has_waiters()) quiet_.notify_all();
  }

 private:
  std::shared_ptr<TierFile> file_;  // shared with the cache, which may let go of it first
  std::uint32_t page_;
  Signal& quiet_;
};

// The device wrote it past the caches; of a short read the checksum would wait for line after line.
constexpr std::size_t prefetched_bytes = 16U << 10;
constexpr std::size_t cache_line_bytes = 64;
void prefetch(std::span<const std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += cache_line_bytes) __builtin_prefetch(bytes.data() + at);
}

// Counts a call while it lasts, also when its caller left.
class InFlightCount {
 public:
  explicit InFlightCount(std::uint64_t& count) : count_(count) { ++count_; }
  InFlightCount(const InFlightCount&) = delete;
  InFlightCount& operator=(const InFlightCount&) = delete;
  ~InFlightCount() { --count_; }

 private:
  std::uint64_t& count_;
};

}  // namespace

Task<DiskPage> DiskTierImpl::read(BlockRef block, PageIndex page, std::uint64_t offset, std::uint64_t length, Deadline deadline) {
  const Status usable_now = usable();
  if (!usable_now) {
    ++totals_.refused;
    co_return usable_now.error();
  }
  CO_CHECK_OK(validate(block, page));
  const std::uint32_t page_length = block.page_length_bytes(page);
  if (length == 0 || offset >= page_length || length > page_length - offset) {
    co_return error(Code::invalid_argument, "a read must lie inside its page");
  }
  if (reads_in_flight_ >= options_.max_reads_in_flight) co_return error(Code::overloaded, "too many reads are in flight; try again later");
  auto read = co_await calls_.run(read_now(std::move(block), page, offset, length), deadline);
  co_return read;
}

Task<DiskPage> DiskTierImpl::read_now(BlockRef block, PageIndex page, std::uint64_t offset, std::uint64_t length) {
  const InFlightCount counted(reads_in_flight_);
  const std::optional<PageSlot> slot = find_page(block, page);
  if (!slot) co_return error(Code::not_found, "page " + std::to_string(page.value) + " of block " + block.id.to_hex() + " is not here");
  touch(*slot);
  CO_TRY(fetched, co_await fetch(BlockShape::of(block), page.value, *slot, offset, length));
  DiskPage result;
  result.offset_in_page = offset;
  result.bytes = fetched.buffer.bytes().subspan(offset - fetched.begin, length);
  const std::size_t skipped = (offset - fetched.begin) / sector_bytes;
  result.chunk_checksums = piece_checksums(result.bytes, offset, std::span(fetched.sums).subspan(skipped), block.page_length_bytes(page));
  result.buffer = std::move(fetched.buffer);
  ++totals_.reads;
  totals_.read_bytes += length;
  co_return result;
}

Task<DiskTierImpl::Fetched> DiskTierImpl::fetch(BlockShape shape, std::uint32_t page, PageSlot slot, std::uint64_t offset,
                                                std::uint64_t length) {
  const std::uint32_t crc = pages_.page(slot).crc;
  const std::uint32_t page_length = shape.page_length(page);
  FileUse file = files_.use(shape.id);
  const ReaderMark mark(file.shared(), page, quiet_);
  Status opened = ok();
  if (!file->direct) opened = co_await files_.ensure_open(file.shared(), DiskOpen::existing);
  if (!opened) {
    ++totals_.read_errors;
    const bool lost = opened.code() == Code::not_found && still_resident(shape.id, page, slot);
    if (lost) free_block(shape.id);  // records without a file: it costs a miss
    co_return std::move(opened).error();
  }
  if (file->length_bytes < shape.page_offset(page) + page_length) {
    drop_bad(shape.id, page, slot);
    co_return error(Code::corrupt, "the file of block " + shape.id.to_hex() + " is shorter than its page " + std::to_string(page));
  }
  std::uint64_t first = offset / sector_bytes;
  std::uint64_t end = sector_count(offset + length);
  bool whole = page_length <= page_without_sums_bytes || (first == 0 && end == sector_count(page_length));
  bool rebuild = false;
  std::vector<std::uint32_t> expected;
  if (!whole) {
    expected = known_sums(slot, first, end);
    if (expected.empty()) {
      CO_TRY(sums, co_await load_sums(slot, page_length, crc, first, end));
      rebuild = whole = sums.empty();
      expected = std::move(sums);
    }
  }
  if (whole) {
    first = 0;
    end = sector_count(page_length);
  }
  Fetched fetched;
  fetched.begin = first * sector_bytes;
  fetched.valid_bytes = std::min<std::uint64_t>(end * sector_bytes, page_length) - fetched.begin;
  fetched.buffer = device_.buffer((end - first) * sector_bytes);
  const std::span<std::byte> into = fetched.buffer.bytes().first((end - first) * sector_bytes);
  const std::uint64_t from = shape.page_offset(page) + fetched.begin;
  Status read = ok();
  if (from + into.size() <= file->length_bytes) {
    read = co_await device_.read(*file->direct, from, into);
  } else {
    read = co_await read_odd_end(file.shared(), from, into);
  }
  if (!read && read.code() != Code::corrupt) {
    ++totals_.read_errors;
    co_return std::move(read).error();
  }
  prefetch(into.first(std::min<std::size_t>(into.size(), prefetched_bytes)));
  fetched.sums = compute_sector_sums(into.first(fetched.valid_bytes));
  bool right = read.has_value();
  if (right && whole) right = fold_sector_sums(fetched.sums, page_length) == crc;
  if (right && !whole) right = fetched.sums == expected;
  if (!right) {
    drop_bad(shape.id, page, slot);
    co_return error(Code::corrupt, "page " + std::to_string(page) + " of block " + shape.id.to_hex() + " does not match its checksum; read it from elsewhere");
  }
  if (whole && still_resident(shape.id, page, slot)) {
    verified_pages_ += pages_.page(slot).verified == 0;
    pages_.page(slot).verified = 1;
    if (page_length > page_without_sums_bytes && sums_.get(slot).empty()) {
      sums_.put(slot, fetched.sums, rebuild ? SumsCache::Written::no : SumsCache::Written::yes);
    }
  }
  co_return fetched;
}

// The checksums of sectors [first, end) from memory; empty when they are not there.
std::vector<std::uint32_t> DiskTierImpl::known_sums(PageSlot slot, std::uint64_t first, std::uint64_t end) {
  const std::span<const std::uint32_t> cached = sums_.get(slot);
  if (cached.size() < end) return {};
  return {cached.begin() + static_cast<std::ptrdiff_t>(first), cached.begin() + static_cast<std::ptrdiff_t>(end)};
}

// The same from the file, known to be the page's own; empty when the file has none that are.
Task<std::vector<std::uint32_t>> DiskTierImpl::load_sums(PageSlot slot, std::uint32_t page_length, std::uint32_t crc, std::uint64_t first,
                                                         std::uint64_t end) {
  ++totals_.sums_misses;
  auto loaded = co_await index_.read_sums(slot, sector_count(page_length));
  if (!loaded && loaded.code() != Code::corrupt) co_return std::move(loaded).error();
  std::vector<std::uint32_t> wanted;
  const bool fits = loaded && fold_sector_sums(*loaded, page_length) == crc;
  if (!fits) co_return wanted;
  wanted.assign(loaded->begin() + static_cast<std::ptrdiff_t>(first), loaded->begin() + static_cast<std::ptrdiff_t>(end));
  const bool same = pages_.page(slot).state() == PageState::resident && pages_.page(slot).crc == crc;
  if (same && sums_.get(slot).empty()) sums_.put(slot, std::move(*loaded), SumsCache::Written::yes);
  co_return wanted;
}

// A file that was cut to its exact length ends inside a sector, which direct I/O can not read.
Task<> DiskTierImpl::read_odd_end(std::shared_ptr<TierFile> file, std::uint64_t offset, std::span<std::byte> into) {
  const std::uint64_t whole_sectors = file->length_bytes / sector_bytes * sector_bytes;
  const std::uint64_t length = file->length_bytes;
  const DiskFileId direct = *file->direct;
  if (offset < whole_sectors) CO_CHECK_OK(co_await device_.read(direct, offset, into.first(whole_sectors - offset)));
  CO_CHECK_OK(co_await files_.ensure_buffered(file));
  const std::uint64_t from = std::max(offset, whole_sectors);
  Status read = co_await device_.read(*file->buffered, from, into.subspan(from - offset, length - from));
  co_return read;
}

}  // namespace hearth

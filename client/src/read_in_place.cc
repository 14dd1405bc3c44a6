// Reads of blocks in filling: the worker puts the pages where this process maps them, and only their checksums travel.
#include "client/src/read_engine.h"

#include "client/src/client_impl.h"
#include "common/log.h"

#include <algorithm>
#include <iterator>

namespace hearth::client {
namespace {

constexpr std::uint64_t most_at_once_bytes = 2U << 20;  // so that the reader copies while the next are fetched
constexpr unsigned most_running = Readahead::chunk_count;

std::uint64_t down(std::uint64_t value, std::uint64_t step) { return value - value % step; }
std::uint64_t up(std::uint64_t value, std::uint64_t step) { return down(value + step - 1, step); }

}  // namespace

Task<> ReadEngine::fill(FilePtr file, std::uint64_t offset, std::uint64_t length, Deadline deadline) {
  const std::size_t index = file->block_index(offset);
  const BlockRef& block = file->resolution().blocks[index];
  const std::uint64_t wanted = offset - block.start.value;
  const std::uint64_t wanted_end = std::min(wanted + length, block.length_bytes);
  const std::uint64_t begin = down(wanted, block.page_size_bytes);
  const std::uint64_t most = begin + std::max<std::uint64_t>(most_at_once_bytes, block.page_size_bytes);
  const std::uint64_t end = std::min({up(wanted_end, block.page_size_bytes), most, block.length_bytes});
  if (end < wanted_end) fill_ahead(file, block.start.value + end);
  Status filled = co_await fill_pages(file, index, begin, end, deadline);
  co_return filled;
}

void ReadEngine::fill_ahead(FilePtr file, std::uint64_t position) {
  if (position >= file->status().length_bytes) return;
  const std::size_t index = file->block_index(position);
  const BlockRef& block = file->resolution().blocks[index];
  const std::shared_ptr<MappedGrant> grant = file->grant_in_filling(index);
  const std::uint64_t window = parts_.options.readahead_bytes;
  if (!grant || window == 0) return;
  const std::uint64_t at = down(position - block.start.value, block.page_size_bytes);
  const std::uint64_t until = std::min(up(at + window, block.page_size_bytes), block.length_bytes);
  const std::uint64_t step = std::max<std::uint64_t>(up(window / most_running, block.page_size_bytes), block.page_size_bytes);
  FileImpl::Filling& filling = file->filling(index);
  const bool elsewhere = filling.asked_until < at || filling.asked_until > until + window;
  if (elsewhere) filling.asked_until = at;
  while (filling.running_ahead < most_running && filling.asked_until < until) {
    const std::uint64_t begin = filling.asked_until;
    const std::uint64_t end = std::min(begin + step, block.length_bytes);
    filling.asked_until = end;
    if (grant->readable(begin, end - begin) == end - begin) continue;
    ++filling.running_ahead;
    const Status started = parts_.group.spawn(fill_chunk(file, index, begin, end), "fill_ahead");
    if (!started) --filling.running_ahead;
  }
}

Task<> ReadEngine::fill_chunk(FilePtr file, std::size_t index, std::uint64_t begin, std::uint64_t end) {
  const Deadline deadline = Deadline::after(parts_.clock, parts_.options.attempt_deadline);
  Status filled = co_await fill_pages(file, index, begin, end, deadline);
  --file->filling(index).running_ahead;
  co_return ok();  // a reader that needs these bytes meets the error itself
}

Task<> ReadEngine::fill_pages(FilePtr file, std::size_t index, std::uint64_t begin, std::uint64_t end, Deadline deadline) {
  FileImpl::Filling& filling = file->filling(index);
  const BlockRef& block = file->resolution().blocks[index];
  for (;;) {
    std::shared_ptr<MappedGrant> grant = file->grant_in_filling(index);
    if (!grant) co_return ok();  // complete meanwhile, or gone: the reader sees which
    const std::uint64_t there = grant->readable(begin, end - begin);
    if (there == end - begin) co_return ok();
    begin += down(there, block.page_size_bytes);
    // What is on its way is waited for, not asked for again.
    const auto after = filling.on_their_way.upper_bound(begin);
    const auto covering = after == filling.on_their_way.begin() ? filling.on_their_way.end() : std::prev(after);
    if (covering != filling.on_their_way.end() && begin < covering->second.end) {
      const std::shared_ptr<Signal> landed = covering->second.landed;
      co_await Signal::wait_or_cancelled(landed);
      CO_CHECK_OK(co_await still_wanted());
      continue;
    }
    const std::uint64_t until = after == filling.on_their_way.end() ? end : std::min(end, after->first);
    CO_CHECK_OK(co_await ask_in_place(file, index, std::move(grant), begin, until, deadline));
    begin = until;
  }
}

Task<> ReadEngine::ask_in_place(FilePtr file, std::size_t index, std::shared_ptr<MappedGrant> grant, std::uint64_t begin,
                                std::uint64_t end, Deadline deadline) {
  const BlockRef& block = file->resolution().blocks[index];
  auto landed = std::make_shared<Signal>();
  file->filling(index).on_their_way.emplace(begin, FileImpl::Filling::OnItsWay{.end = end, .landed = landed});
  Result<InPlace> said = co_await parts_.keeper.read_in_place(grant, block, begin, end - begin, deadline);
  file->filling(index).on_their_way.erase(begin);
  landed->set(parts_.group.executor());
  if (said) {
    parts_.counters.add(Counters::worker_hit_bytes, said->hit_bytes);
    parts_.counters.add(Counters::worker_miss_bytes, said->miss_bytes);
    co_return ok();
  }
  log_debug("read_in_place_failed", {{"path", file->path()}, {"why", said.error().to_string()}});
  if (said.code() != Code::stale) file->give_up(*grant, index);
  co_return std::move(said).error();
}

}  // namespace hearth::client

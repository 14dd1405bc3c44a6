#include "worker/prefetch.h"

#include "common/log.h"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

namespace hearth::worker {

namespace {
constexpr std::size_t max_known = 16'384;
constexpr std::size_t max_waiting = 256;
constexpr std::size_t max_running = 2;
constexpr Duration look_again_after = std::chrono::seconds(10);
constexpr std::uint64_t whole_file_share = 2;  // at most half of the tier
constexpr std::uint32_t at_once_share = 4;     // a quarter of the turns, of all that runs
constexpr std::uint32_t requests_ahead = 4;    // where one request brings several pages
constexpr std::uint32_t pages_per_turn = 256;  // looked at before others get the thread
constexpr std::uint32_t max_refused = 64;      // in a row: the tier has no room
constexpr std::uint32_t max_looked_for = 4096;

std::uint64_t reader_of(const BlockRef& block) {
  return std::hash<std::string_view>()(block.file.tenant) * 4 + static_cast<std::uint64_t>(block.file.pattern);
}
}  // namespace

std::uint64_t Prefetcher::was_read(const BlockRef& block, Reader reader) {
  const TimePoint now = parts_.clock.now();
  const std::uint64_t who = reader_of(block);
  const auto found = known_.find(block.id);
  const std::uint64_t policy = parts_.tiers.policy_changes();
  if (found != known_.end()) {
    const Known& known = found->second;
    if (known.reader == who && known.policy == policy && now < known.again) return known.ahead_bytes;
  }
  if (found == known_.end() && known_.size() >= max_known) known_.clear();
  const std::uint64_t ahead_bytes = decide_and_begin(block, reader);
  known_[block.id] = Known{.reader = who, .policy = policy, .ahead_bytes = ahead_bytes, .again = now + look_again_after};
  return ahead_bytes;
}

std::uint64_t Prefetcher::decide_and_begin(const BlockRef& block, Reader reader) {
  const policy::Decision decided = parts_.tiers.decide(block, std::nullopt);
  const policy::Prefetch& prefetch = decided.values.prefetch;
  const bool said = decided.source(policy::Attribute::prefetch).kind != policy::Source::Kind::built_in;
  // Of the file as a whole; a rule about its first or last bytes may keep these pages and not the others, or the reverse.
  const bool kept = decided.values.admission == policy::AdmissionRule::always;
  const std::uint64_t usual = kept ? usual_window(block) : 0;
  switch (prefetch.what) {
    case policy::Prefetch::What::none: return 0;
    case policy::Prefetch::What::window: return kept && said ? prefetch.bytes.bytes : usual;
    case policy::Prefetch::What::footer: begin_footer(block, prefetch.bytes.bytes, reader); return 0;
    case policy::Prefetch::What::whole_file: begin_whole(block, reader); return usual;  // nobody waits for a turn in the file
  }
  return 0;
}

std::uint64_t Prefetcher::usual_window(const BlockRef& block) const {
  if (options_.readahead_pages == 0) return 0;
  const std::uint32_t together = parts_.attachments.pages_per_read(block.attachment);
  const std::uint32_t pages = std::max(options_.readahead_pages, together > 1 ? requests_ahead * together : 0U);
  return std::uint64_t{pages} * block.page_size_bytes;
}

void Prefetcher::begin_whole(const BlockRef& block, Reader reader) {
  const bool others = reader == Reader::local && parts_.attachments.places_at_reader(block.attachment);
  const std::uint64_t length = others ? block.file_length_bytes() : block.length_bytes;
  if (length > parts_.tiers.capacity_for(block) / whole_file_share) return;
  Job job;
  job.block = block;
  job.end_page = block.page_count();
  job.blocks = others ? Blocks::and_the_following : Blocks::this_one;
  add(std::move(job));
}

void Prefetcher::begin_footer(const BlockRef& block, std::uint64_t footer_bytes, Reader reader) {
  const std::uint64_t length = block.file_length_bytes();
  const std::uint64_t begin = length - std::min(length, footer_bytes);
  const bool others = reader == Reader::local && parts_.attachments.places_at_reader(block.attachment);
  Job job;
  job.block = block;
  if (begin >= block.start.value + block.length_bytes) {
    // The footer lies in a later block.
    if (!others) return;
    std::optional<BlockRef> holder = parts_.attachments.block_at(block, begin);
    if (!holder) return;
    job.block = std::move(*holder);
  }
  const std::uint64_t in_block = begin - std::min(begin, job.block.start.value);
  job.first_page = static_cast<std::uint32_t>(in_block / job.block.page_size_bytes);
  job.end_page = job.block.page_count();
  job.blocks = others ? Blocks::and_the_following : Blocks::this_one;
  add(std::move(job));
}

bool Prefetcher::anything_missing(const Job& job) const {
  const std::uint64_t block_end = job.block.start.value + job.block.length_bytes;
  if (job.blocks == Blocks::and_the_following && block_end < job.block.file_length_bytes()) return true;
  if (job.end_page - job.first_page > max_looked_for) return true;
  for (std::uint32_t page = job.first_page; page < job.end_page; ++page) {
    if (!parts_.tiers.has(job.block, PageIndex{page})) return true;
  }
  return false;
}

void Prefetcher::add(Job job) {
  if (closed_ || waiting_.size() >= max_waiting || !anything_missing(job)) return;
  waiting_.push_back(std::move(job));
  if (running_ >= max_running) return;
  running_ += 1;
  const Status spawned = parts_.tasks.spawn(work(), "prefetch");
  if (!spawned) running_ -= 1;
}

void Prefetcher::close() {
  closed_ = true;
  waiting_.clear();
}

Task<> Prefetcher::work() {
  while (!waiting_.empty()) {
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    Outcome outcome = Outcome::done;
    Status fetched = co_await fetch_pages(&job, &outcome);
    if (!fetched) log_debug("prefetch_stopped", {{"path", job.block.store_path}, {"why", fetched.error().to_string()}});
    const std::uint64_t next = job.block.start.value + job.block.length_bytes;
    const bool more = fetched && outcome == Outcome::done && job.blocks == Blocks::and_the_following;
    if (closed_ || !more || next >= job.block.file_length_bytes()) continue;
    std::optional<BlockRef> following = parts_.attachments.block_at(job.block, next);
    if (!following) continue;
    job.block = std::move(*following);
    job.first_page = 0;
    job.end_page = job.block.page_count();
    waiting_.push_front(std::move(job));
  }
  running_ -= 1;
  co_return ok();
}

std::size_t Prefetcher::pages_at_once(const BlockRef& block) const {
  const std::uint32_t requests = std::max<std::uint32_t>(options_.fetch_parallelism / at_once_share / max_running, 1);
  return std::size_t{requests} * parts_.attachments.pages_per_read(block.attachment);
}

Task<> Prefetcher::fetch_pages(const Job* job, Outcome* outcome) {
  Executor executor = co_await asio::this_coro::executor;
  const BlockRef& block = job->block;
  std::deque<PageFetcher::Ticket> under_way;
  Status failed = ok();
  std::uint32_t refused = 0;
  for (std::uint32_t at = job->first_page; at < job->end_page && refused < max_refused && !closed_ && failed; ++at) {
    if (at % pages_per_turn == pages_per_turn - 1) co_await asio::post(executor, asio::use_awaitable);
    const PageIndex page{at};
    if (parts_.tiers.has(block, page)) continue;
    if (!parts_.tiers.wants_unasked(block, page)) {
      refused += 1;
      continue;
    }
    refused = 0;
    under_way.push_back(parts_.fetcher.start(block, page, Keep::required, Interest::background));
    parts_.counters.prefetched(block.page_length_bytes(page));
    if (under_way.size() < pages_at_once(block)) continue;
    PageFetcher::Ticket oldest = std::move(under_way.front());
    under_way.pop_front();
    const Deadline deadline = Deadline::after(parts_.clock, 2 * options_.fetch_timeout);
    Result<PageBytes> fetched = co_await parts_.fetcher.wait(std::move(oldest), deadline);
    if (!fetched) failed = std::move(fetched).error();
  }
  while (!under_way.empty()) {
    PageFetcher::Ticket oldest = std::move(under_way.front());
    under_way.pop_front();
    const Deadline deadline = Deadline::after(parts_.clock, 2 * options_.fetch_timeout);
    Result<PageBytes> fetched = co_await parts_.fetcher.wait(std::move(oldest), deadline);
    if (!fetched && failed) failed = std::move(fetched).error();
  }
  if (refused != 0) *outcome = Outcome::stopped;
  co_return failed;
}

}  // namespace hearth::worker

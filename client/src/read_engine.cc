#include "client/src/read_engine.h"

#include "client/src/convert.h"
#include "common/block_wire.h"
#include "common/log.h"
#include "proto/hearth.pb.h"

#include <algorithm>
#include <cstring>

namespace hearth::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
constexpr std::uint64_t request_bytes = 8U << 20;
constexpr std::size_t lanes_per_read = 4;
constexpr std::uint64_t budget_bytes = 256U << 20;
constexpr Duration first_pause = milliseconds(50);
constexpr Duration longest_pause = seconds(1);
constexpr Duration pause_after_hit = milliseconds(50);  // a block that only gave hits may be complete by now

// The same answer would come from everybody, or the caller is at fault.
bool is_final(Code code) {
  return code == Code::stale || code == Code::permission_denied || code == Code::invalid_argument ||
         code == Code::cancelled || code == Code::is_directory || code == Code::not_directory;
}

// The worker itself is in trouble, not just this request. One that says itself that it could not serve in time speaks of its
// under-store: asking that past a worker which has the bytes, or will have them first, helps nobody.
bool discredits(const Error& error) {
  const Code code = error.code();
  const bool silence = code == Code::unavailable || code == Code::deadline_exceeded;
  if (silence) return !error.is_answer();
  return code == Code::bad_frame || code == Code::version_mismatch || code == Code::unauthenticated;
}

}  // namespace

struct ReadEngine::Lanes {
  std::vector<Segment> segments;
  std::size_t next = 0;
  std::size_t running = 0;
  Status outcome = ok();
  std::shared_ptr<Signal> done = std::make_shared<Signal>();
};

ReadEngine::ReadEngine(Parts parts) : parts_(parts), budget_(parts.group.executor(), budget_bytes) {}

std::vector<ReadEngine::Segment> ReadEngine::cut(const FileImpl& file, std::span<std::byte> into, std::uint64_t offset) const {
  std::vector<Segment> segments;
  while (!into.empty()) {
    const std::size_t index = file.block_index(offset);
    const BlockRef& block = file.resolution().blocks[index];
    const std::uint64_t in_block = offset - block.start.value;
    const auto count = std::min<std::uint64_t>({into.size(), block.length_bytes - in_block, request_bytes});
    segments.push_back(Segment{index, in_block, into.first(count)});
    into = into.subspan(count);
    offset += count;
  }
  return segments;
}

Task<> ReadEngine::read(FilePtr file, std::span<std::byte> into, std::uint64_t offset, Deadline deadline) {
  Readahead& ahead = file->readahead();
  const bool sequential = ahead.saw_read(offset, into.size());
  if (sequential) read_ahead(file, offset);
  while (!into.empty()) {
    std::size_t done = ahead.take(into, offset);
    if (done == 0) {
      Readahead::ChunkPtr chunk = ahead.find(offset);
      if (chunk && !chunk->landed->is_set()) {
        co_await Signal::wait_or_cancelled(chunk->landed);
        CO_CHECK_OK(co_await still_wanted());
        continue;
      }
      const std::uint64_t until = ahead.next_covered(offset, offset + into.size());
      done = static_cast<std::size_t>(until > offset ? until - offset : into.size());
      ahead.read_alone(offset + done);
      CO_CHECK_OK(co_await read_plain(file, into.first(done), offset, deadline));
    }
    into = into.subspan(done);
    offset += done;
  }
  if (sequential) read_ahead(file, offset);
  co_return ok();
}

void ReadEngine::read_ahead(FilePtr file, std::uint64_t position) {
  for (;;) {
    Readahead::ChunkPtr chunk = file->readahead().begin_fetch(position, file->status().length_bytes);
    if (!chunk) return;
    const Status started = parts_.group.spawn(fetch_chunk(file, chunk), "readahead");
    if (started) continue;
    file->readahead().end_fetch(chunk, started);
    chunk->landed->set(parts_.group.executor());
    return;
  }
}

Task<> ReadEngine::fetch_chunk(FilePtr file, Readahead::ChunkPtr chunk) {
  const Deadline deadline = Deadline::after(parts_.clock, parts_.options.read_deadline);
  Status status = co_await read_plain(file, std::span(chunk->bytes), chunk->offset, deadline);
  file->readahead().end_fetch(chunk, status);
  chunk->landed->set(parts_.group.executor());
  co_return ok();  // a reader that needs these bytes meets the error itself
}

Task<> ReadEngine::read_plain(FilePtr file, std::span<std::byte> into, std::uint64_t offset, Deadline deadline) {
  auto lanes = std::make_shared<Lanes>();
  lanes->segments = cut(*file, into, offset);
  if (lanes->segments.size() == 1) {
    Status status = co_await read_segment(file, lanes->segments[0], deadline);
    co_return status;
  }
  const std::size_t wanted = std::min(lanes_per_read, lanes->segments.size());
  std::vector<Canceller> others;
  for (std::size_t i = 1; i < wanted; ++i) {
    ++lanes->running;
    auto started = parts_.group.spawn_cancellable(run_lane(file, lanes, deadline), "read_lane");
    if (started) others.push_back(std::move(*started));
    if (!started) --lanes->running;
  }
  ++lanes->running;
  CO_CHECK_OK(co_await run_lane(file, lanes, deadline));
  const Status still = co_await still_wanted();
  if (!still) for (Canceller& other : others) other.cancel();
  // The buffer is the caller's: nobody may write to it any more when this ends.
  co_await Signal::wait(lanes->done);
  co_return lanes->outcome;
}

Task<> ReadEngine::run_lane(FilePtr file, std::shared_ptr<Lanes> lanes, Deadline deadline) {
  while (lanes->next < lanes->segments.size() && lanes->outcome) {
    const Segment segment = lanes->segments[lanes->next++];
    Status status = co_await read_segment(file, segment, deadline);
    if (!status && lanes->outcome) lanes->outcome = std::move(status);
  }
  if (--lanes->running == 0) lanes->done->set(parts_.group.executor());
  co_return ok();
}

Task<> ReadEngine::read_segment(FilePtr file, Segment segment, Deadline deadline) {
  const std::uint64_t offset = file->resolution().blocks[segment.block].start.value + segment.block_offset;
  if (file->read_mapped(segment.into, offset) == segment.into.size()) co_return ok();
  co_await budget_.take(segment.into.size());
  Status status = co_await read_segment_within_budget(file, segment, deadline);
  budget_.give_back(segment.into.size());
  if (status.code() == Code::stale) parts_.resolver.forget(file->resolution().path);
  co_return status;
}

Task<> ReadEngine::read_segment_within_budget(FilePtr file, Segment segment, Deadline deadline) {
  Duration pause = first_pause;
  for (;;) {
    CO_CHECK_OK(co_await parts_.peers.refresh(Freshness::whatever_is_known, deadline));
    Status status = co_await try_everyone(file, segment, deadline);
    if (status || is_final(status.code())) co_return status;
    if (deadline.expired(parts_.clock.now() + pause)) {
      co_return std::move(status).error().with_context("reading " + file->path() + ": nobody could serve in time");
    }
    CO_CHECK_OK(co_await parts_.clock.sleep_for(pause));
    pause = std::min<Duration>(pause * 2, longest_pause);
    CO_CHECK_OK(co_await parts_.peers.refresh(Freshness::refreshed, deadline));
  }
}

Task<> ReadEngine::try_everyone(FilePtr file, Segment segment, Deadline deadline) {
  refresh_in_background(file, segment.block);
  const Resolution& resolution = file->resolution();
  std::vector<WorkerId> suspects;
  const std::vector<WorkerId> order = parts_.peers.candidates(
      resolution.blocks[segment.block], file->holders(segment.block).workers, resolution.placement, suspects);
  Status last = Error(Code::unavailable, "no worker is there and reading the under-store directly is switched off or failed");
  for (const WorkerId worker : order) {
    const Deadline attempt = deadline.sooner_of(Deadline::after(parts_.clock, parts_.options.attempt_deadline));
    last = co_await try_worker(file, segment, worker, attempt);
    if (last || is_final(last.code())) co_return last;
    parts_.counters.add(Counters::retries);
  }
  if (parts_.options.direct_store_reads) {
    last = co_await try_store(file, segment, deadline);
    // What this process may not read, a worker may: where there are workers, only they are believed about permissions.
    const bool nobody_else = order.empty() && suspects.empty();
    const bool believed = last.code() == Code::stale || last.code() == Code::cancelled || nobody_else;
    if (last || (is_final(last.code()) && believed)) co_return last;
    if (is_final(last.code())) last = Error(Code::io_error, last.error().message());
  }
  for (const WorkerId worker : suspects) {
    const Deadline attempt = deadline.sooner_of(Deadline::after(parts_.clock, parts_.options.attempt_deadline));
    last = co_await try_worker(file, segment, worker, attempt);
    if (last || is_final(last.code())) co_return last;
    parts_.counters.add(Counters::retries);
  }
  co_return last;
}

Task<> ReadEngine::try_worker(FilePtr file, Segment segment, WorkerId worker, Deadline deadline) {
  CO_CHECK_OK(co_await still_wanted());
  std::optional<Reach> reach = parts_.peers.reach(worker);
  if (!reach) co_return Error(Code::unavailable, "the worker is gone");
  proto::ReadRequest request;
  block_to_wire(file->resolution().blocks[segment.block], *request.mutable_block());
  request.set_offset_bytes(segment.block_offset);
  request.set_length_bytes(segment.into.size());
  RpcCall call;
  call.method = Method::read;
  call.body = request.SerializeAsString();
  call.into = segment.into;
  proto::ReadReply reply;
  auto answer = co_await call_and_decode(reach->channel, std::move(call), &reply, deadline);
  if (answer && answer->payload_bytes != segment.into.size()) {
    answer = Error(Code::bad_frame, "the worker sent " + std::to_string(answer->payload_bytes) + " of " +
                                        std::to_string(segment.into.size()) + " bytes");
  }
  if (!answer) {
    worker_failed(file, segment.block, worker, answer.error());
    co_return std::move(answer).error();
  }
  parts_.peers.trust(worker);
  parts_.counters.add(Counters::worker_hit_bytes, reply.hit_bytes());
  parts_.counters.add(Counters::worker_miss_bytes, reply.miss_bytes());
  if (reply.miss_bytes() == 0 && reach->local) file->grant_may_be_possible(segment.block, parts_.clock.now() + pause_after_hit);
  if (reply.has_packed() && reach->local) learn_place(file->resolution().blocks[segment.block], reply.packed(), *reach);
  co_return ok();
}

void ReadEngine::learn_place(const BlockRef& block, const proto::PackedPlace& told, const Reach& worker) {
  const Result<std::vector<BlockId>> named = block_ids_from_wire(told.segment_id());
  if (!parts_.options.short_circuit || !named || named->size() != 1) return;
  const BlockId segment = named->front();
  PackedBlock place;
  place.segment = segment;
  place.offset_bytes = told.offset_bytes();
  place.length_bytes = block.length_bytes;
  place.chunk_checksums.assign(told.chunk_checksums().begin(), told.chunk_checksums().end());
  parts_.packed.learn(block.id, std::move(place));
  if (!parts_.keeper.begin_asking(segment)) return;
  const Deadline deadline = Deadline::after(parts_.clock, parts_.options.attempt_deadline);
  const Status started = parts_.group.spawn(parts_.keeper.obtain_segment(block, segment, worker, deadline), "obtain_segment");
  if (!started) log_debug("segment_not_asked_for", {{"why", started.error().to_string()}});
}

void ReadEngine::worker_failed(const FilePtr& file, std::size_t block, WorkerId worker, const Error& error) {
  log_debug("worker_read_failed", {{"worker", worker.value}, {"path", file->path()}, {"why", error.to_string()}});
  if (error.code() == Code::corrupt) parts_.counters.add(Counters::corrupt_chunks);
  if (!discredits(error)) return;
  parts_.peers.suspect(worker);
  auto& holders = file->holders(block).workers;
  const auto listed = std::find(holders.begin(), holders.end(), worker);
  if (listed == holders.end()) return;
  holders.erase(listed);
  const Status started = parts_.group.spawn(report_bad_location(file, block, worker, error), "report_bad_location");
  if (!started) log_debug("bad_location_not_reported", {{"why", started.error().to_string()}});
}

Task<> ReadEngine::try_store(FilePtr file, Segment segment, Deadline deadline) {
  const Resolution& resolution = file->resolution();
  const BlockRef& block = resolution.blocks[segment.block];
  const std::uint64_t offset = block.start.value + segment.block_offset;
  StoreName store{.uri = resolution.store_uri, .options = resolution.store_options};
  Status status = co_await parts_.stores.read(std::move(store), block.store_path, block.version, offset, segment.into, deadline);
  if (status) {
    parts_.counters.add(Counters::store_bytes, segment.into.size());
    co_return status;
  }
  const Code code = status.code();
  if (code == Code::stale || code == Code::not_found) {
    status = co_await confirm_stale(file, std::move(status).error(), deadline);
    co_return status;
  }
  co_return status;
}

// The same URI may lead to other files on this host than on the workers'. So the master has the last word on whether
// the file changed; when it can not be asked, this host's view counts.
Task<> ReadEngine::confirm_stale(FilePtr file, Error seen, Deadline deadline) {
  const Deadline limit = deadline.sooner_of(Deadline::after(parts_.clock, milliseconds(1000)));
  Result<FileStatus> now = co_await parts_.resolver.stat(file->resolution().path, Revalidate::yes, limit);
  const bool unchanged = now && now->version == file->status().version && !now->served_stale;
  if (unchanged) co_return Error(Code::unavailable, "the under-store on this host does not have the file's version: " + seen.message());
  co_return Error(Code::stale, file->path() + " changed underneath an open handle; open it again");
}

void ReadEngine::refresh_in_background(const FilePtr& file, std::size_t block) {
  if (parts_.peers.wants_background_refresh()) {
    const Status started = parts_.group.spawn(refresh_workers(), "refresh_workers");
    if (!started) return;
  }
  FileImpl::Holders& holders = file->holders(block);
  const TimePoint now = parts_.clock.now();
  if (now < holders.heard + seconds(5)) return;
  holders.heard = now;
  const Status started = parts_.group.spawn(locate(file, block), "locate");
  if (!started) log_debug("locations_not_refreshed", {{"why", started.error().to_string()}});
}

Task<> ReadEngine::refresh_workers() {
  const Deadline deadline = Deadline::after(parts_.clock, seconds(1));
  Status status = co_await parts_.peers.refresh(Freshness::refreshed, deadline);
  co_return status;
}

Task<> ReadEngine::locate(FilePtr file, std::size_t block) {
  proto::LocateRequest request;
  block_to_wire(file->resolution().blocks[block], *request.add_blocks());
  proto::LocateReply reply;
  std::string body = request.SerializeAsString();
  const Deadline deadline = Deadline::after(parts_.clock, seconds(1));
  Status asked = co_await parts_.master.call(Method::locate, std::move(body), &reply, MasterRetry::once, deadline);
  if (!asked || reply.locations_size() != 1) co_return ok();  // the last known locations stay
  parts_.peers.saw_table_version(reply.worker_table_version());
  auto& workers = file->holders(block).workers;
  workers.clear();
  for (const std::uint64_t id : reply.locations(0).worker_ids()) workers.push_back(WorkerId{id});
  co_return ok();
}

Task<> ReadEngine::report_bad_location(FilePtr file, std::size_t block, WorkerId worker, Error why) {
  proto::BadLocationReport report;
  block_to_wire(file->resolution().blocks[block], *report.mutable_block());
  report.set_worker_id(worker.value);
  report.set_code(static_cast<std::uint32_t>(why.code()));
  report.set_why(why.message());
  std::string body = report.SerializeAsString();
  const Deadline deadline = Deadline::after(parts_.clock, seconds(2));
  Status told = co_await parts_.master.call(Method::bad_location, std::move(body), nullptr, MasterRetry::once, deadline);
  if (!told) log_debug("bad_location_not_reported", {{"why", told.error().to_string()}});
  co_return ok();
}

void ReadEngine::report_corrupt(FilePtr file, std::size_t block, std::uint64_t block_offset, WorkerId worker) {
  const Status started = parts_.group.spawn(send_corrupt_report(file, block, block_offset, worker), "report_corrupt");
  if (!started) log_debug("corruption_not_reported", {{"why", started.error().to_string()}});
}

Task<> ReadEngine::send_corrupt_report(FilePtr file, std::size_t block, std::uint64_t block_offset, WorkerId worker) {
  log_warn("cached_bytes_wrong", {{"path", file->path()}, {"worker", worker.value}, {"block_offset_bytes", block_offset}});
  std::optional<Reach> reach = parts_.peers.reach(worker);
  if (!reach) co_return ok();
  proto::ReportCorruptRequest request;
  block_to_wire(file->resolution().blocks[block], *request.mutable_block());
  request.set_offset_bytes(block_offset);
  RpcCall call;
  call.method = Method::report_corrupt;
  call.body = request.SerializeAsString();
  const Deadline deadline = Deadline::after(parts_.clock, seconds(5));
  auto answer = co_await reach->channel->call(std::move(call), deadline);
  if (!answer) co_return std::move(answer).error();
  co_return ok();
}

}  // namespace hearth::client

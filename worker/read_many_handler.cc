#include "worker/read_many_handler.h"

#include "common/block_wire.h"
#include "common/outcome_wire.h"
#include "proto/hearth.pb.h"
#include "worker/wire.h"

#include <boost/asio/post.hpp>

#include <utility>

namespace hearth::worker {

namespace {
constexpr int max_ranges = 1024;
constexpr std::uint64_t max_bytes = 1U << 20;
constexpr std::uint64_t max_reply_bytes = 64U << 20;
constexpr std::size_t max_waiting_calls = 1024;
// Verified and copied between two turns of others: 16 * 64 KiB take about 0.1 ms.
constexpr std::size_t ranges_per_turn = 16;

// The bytes of all ranges.
Result<std::uint64_t> check(const proto::ReadManyRequest& request) {
  if (request.items_size() > max_ranges) {
    return Error(Code::invalid_argument, "a read of " + std::to_string(request.items_size()) + " ranges is more than the 1024 of one call; cut it");
  }
  std::uint64_t total = 0;
  for (const auto& item : request.items()) {
    if (item.block() >= static_cast<std::uint32_t>(request.blocks_size())) {
      return Error(Code::invalid_argument, "a range names block " + std::to_string(item.block()) + " of " +
                                               std::to_string(request.blocks_size()) + "; the indexes count from 0");
    }
    if (item.length_bytes() > max_bytes - total) {
      return Error(Code::invalid_argument, "ranges of together more than 1 MiB are more than one call may have; cut it");
    }
    total += item.length_bytes();
  }
  return total;
}
}  // namespace

// One call, as far as it got.
struct ReadManyHandler::Batch {
  explicit Batch(Deadline until) : deadline(until) {}
  proto::ReadManyRequest request;
  Deadline deadline;
  std::vector<Result<BlockRef>> blocks;
  std::vector<std::unique_ptr<PageRun>> runs;  // by range, from when it is begun until it is taken
  std::string payload;
  proto::ReadManyReply reply;
};

ReadManyHandler::ReadManyHandler(Service& service, Executor executor)
    : service_(service), executor_(std::move(executor)), replies_(executor_, max_reply_bytes, max_waiting_calls) {}

Task<> ReadManyHandler::admit_blocks(std::shared_ptr<Batch> batch, std::shared_ptr<ServerCall> call) {
  const auto reader = call->peer().is_local ? Prefetcher::Reader::local : Prefetcher::Reader::remote;
  for (const proto::BlockRef& sent : batch->request.blocks()) {
    if (call->peer().is_local) batch->reply.add_packed();
    Result<BlockRef> block = block_from_wire(sent);
    Status admitted = block ? ok() : Status(block.error());
    if (block) admitted = co_await admit_block(service_, *block, batch->deadline);
    if (admitted) {
      block->file.pattern = AccessPattern::random;
      service_.prefetcher.was_read(*block, reader);
      batch->blocks.push_back(std::move(block));
    } else {
      batch->blocks.emplace_back(std::move(admitted).error());
    }
  }
  co_return ok();
}

// Looks the pages up, and starts fetching those that are not here.
void ReadManyHandler::start_reading(Batch& batch, std::size_t index) {
  const proto::ReadManyRequest::Item& item = batch.request.items(static_cast<int>(index));
  const Result<BlockRef>& block = batch.blocks[item.block()];
  if (!block || !check_range(*block, item.offset_bytes(), item.length_bytes())) return;
  auto run = std::make_unique<PageRun>(service_.tiers, service_.fetcher, service_.counters, *block, item.offset_bytes(),
                                       item.length_bytes(), run_options(service_, *block));
  run->fill_window();
  batch.runs[index] = std::move(run);
}

// Appends the bytes of a range to the payload: all of them or none.
Task<> ReadManyHandler::take(std::shared_ptr<Batch> batch, std::size_t index) {
  const proto::ReadManyRequest::Item& item = batch->request.items(static_cast<int>(index));
  const Result<BlockRef>& block = batch->blocks[item.block()];
  if (!block) co_return block.error();
  CO_CHECK_OK(check_range(*block, item.offset_bytes(), item.length_bytes()));
  const std::unique_ptr<PageRun> run = std::move(batch->runs[index]);
  const std::size_t before = batch->payload.size();
  while (!run->done()) {
    Result<PagePiece> piece = co_await run->next(batch->deadline);
    if (!piece) {
      batch->payload.resize(before);
      co_return std::move(piece).error();
    }
    const int place = static_cast<int>(item.block());
    const bool say_where = place < batch->reply.packed_size() && batch->reply.packed(place).segment_id().empty();
    if (say_where) place_to_wire(service_.tiers, *block, piece->bytes, *batch->reply.mutable_packed(place));
    const std::span<const std::byte> bytes = piece->data();
    batch->payload.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (piece->source == Source::store) {
      batch->reply.set_miss_bytes(batch->reply.miss_bytes() + bytes.size());
      service_.counters.sent_from_store(bytes.size());
    } else {
      batch->reply.set_hit_bytes(batch->reply.hit_bytes() + bytes.size());
      if (piece->source == Source::device) service_.counters.sent_from_device(bytes.size());
      if (piece->source == Source::memory) service_.counters.sent_from_memory(bytes.size());
    }
  }
  co_return ok();
}

Task<ServerReply> ReadManyHandler::read_many(std::shared_ptr<ServerCall> call) {
  auto batch = std::make_shared<Batch>(bounded_deadline(service_, *call));
  CO_CHECK_OK(parse_body(*call, batch->request));
  CO_TRY(bytes, check(batch->request));
  CO_TRY(room, co_await replies_.acquire(bytes));
  CO_CHECK_OK(co_await admit_blocks(batch, call));
  const auto count = static_cast<std::size_t>(batch->request.items_size());
  batch->payload.reserve(bytes);
  batch->runs.resize(count);
  std::size_t started = 0;
  for (std::size_t i = 0; i < count; ++i) {
    for (; started < count && started < i + service_.options.fetch_parallelism; ++started) start_reading(*batch, started);
    const Status fared = co_await take(batch, i);
    outcome_to_wire(fared, *batch->reply.add_outcomes());
    if ((i + 1) % ranges_per_turn == 0) co_await asio::post(executor_, asio::use_awaitable);
  }
  ServerReply reply = reply_with(batch->reply);
  reply.payload = std::move(batch->payload);
  co_return reply;
}

}  // namespace hearth::worker

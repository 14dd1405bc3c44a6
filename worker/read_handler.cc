#include "worker/read_handler.h"

#include "common/block_wire.h"
#include "proto/hearth.pb.h"
#include "worker/page_run.h"
#include "worker/wire.h"

#include <string>
#include <utility>
#include <vector>

namespace hearth::worker {

namespace {
// Below this a copy into the reply's own frame costs less than a second frame (about 20 us on a Unix socket).
constexpr std::uint64_t inline_reply_bytes = 64ULL << 10;

Status check_read(const BlockRef& block, const proto::ReadRequest& request) {
  if (request.length_bytes() > max_read_bytes) {
    return Error(Code::invalid_argument, "a read of " + std::to_string(request.length_bytes()) +
                                             " bytes is more than the 64 MiB of one call; cut it");
  }
  CHECK_OK(check_range(block, request.offset_bytes(), request.length_bytes()));
  if (request.lease_id() == 0) return ok();
  const std::uint64_t end = request.offset_bytes() + request.length_bytes();
  const bool whole_chunks = request.offset_bytes() % checksum_chunk_bytes == 0 &&
                            (end % checksum_chunk_bytes == 0 || end == block.length_bytes);
  if (whole_chunks) return ok();
  return Error(Code::invalid_argument, "a read in place of bytes " + std::to_string(request.offset_bytes()) + "+" +
                                           std::to_string(request.length_bytes()) +
                                           " does not begin and end at chunks of 64 KiB; widen it");
}
}  // namespace

ReadHandler::ReadHandler(Service& service, const GrantHandler& grants)
    : service_(service), grants_(grants) {}

Task<ServerReply> ReadHandler::read(std::shared_ptr<ServerCall> call) {
  proto::ReadRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  CO_TRY(block, block_from_wire(request.block()));
  CO_CHECK_OK(check_read(block, request));
  const Deadline deadline = bounded_deadline(service_, *call);
  Status admitted = co_await admit_block(service_, block, deadline);
  if (!admitted) co_return std::move(admitted).error();

  const std::uint64_t offset = request.offset_bytes();
  const std::uint64_t length = request.length_bytes();
  block.file.pattern = sequences_.saw(call->connection(), block, offset, length);
  if (request.lease_id() != 0) {
    const BlockRange range{.offset = offset, .length = length};
    const LeaseId lease(request.lease_id());
    Result<ServerReply> in_place = co_await read_in_place(call, block, lease, range);
    co_return in_place;
  }
  PageRunOptions options = run_options(service_, block);
  options.keep = request.no_fill() ? Keep::never : Keep::when_there_is_room;
  PageRun run(service_.tiers, service_.fetcher, service_.counters, block, offset, length, options);
  proto::ReadReply body;
  std::string small;
  std::uint64_t sent = 0;
  run.fill_window();
  if (!request.no_fill()) read_ahead(*call, block);
  while (!run.done()) {
    Result<PagePiece> next = co_await run.next(deadline);
    if (!next) co_return std::move(next).error();
    PagePiece piece = std::move(next).value();
    if (piece.length_bytes == length && length <= inline_reply_bytes) {
      small.assign(reinterpret_cast<const char*>(piece.data().data()), piece.data().size());
    } else {
      std::vector<std::span<const std::byte>> parts(1, piece.data());
      const std::uint32_t checksum = piece.checksum();
      Status part_sent = co_await call->send_part(sent, std::move(parts), checksum);
      if (!part_sent) co_return std::move(part_sent).error();
    }
    sent += piece.length_bytes;
    count(piece.source, piece.length_bytes, body);
    proto::PackedPlace place;
    if (call->peer().is_local && place_to_wire(service_.tiers, block, piece.bytes, place)) *body.mutable_packed() = std::move(place);
  }
  ServerReply reply = reply_with(body);
  reply.payload = std::move(small);
  co_return reply;
}

Task<ServerReply> ReadHandler::read_in_place(std::shared_ptr<ServerCall> call, BlockRef block, LeaseId lease,
                                             BlockRange range) {
  if (!grants_.holds(call->connection(), lease, block.id)) {
    co_return Error(Code::not_found, "this connection holds no lease " + std::to_string(lease.value) +
                                         " on memory of block " + block.id.to_hex());
  }
  const Deadline deadline = bounded_deadline(service_, *call);
  PageRunOptions options = run_options(service_, block);
  options.keep = Keep::in_memory;
  options.verify = Verify::no;  // the reader does, on the same bytes
  PageRun run(service_.tiers, service_.fetcher, service_.counters, block, range.offset, range.length, options);
  run.fill_window();
  read_ahead(*call, block);
  proto::ReadReply body;
  std::string checksums;
  while (!run.done()) {
    CO_TRY(piece, co_await run.next(deadline));
    if (!service_.tiers.shows(lease, piece.bytes)) {
      co_return Error(Code::no_space, "page " + std::to_string(piece.page.value) + " of block " + block.id.to_hex() +
                                          " is not in the leased memory; read it without the lease");
    }
    const std::size_t first = piece.offset_in_page / checksum_chunk_bytes;
    const std::size_t count = (piece.length_bytes + checksum_chunk_bytes - 1) / checksum_chunk_bytes;
    checksums += checksums_to_wire(piece.bytes.chunk_checksums().subspan(first, count));
    this->count(piece.source, piece.length_bytes, body);
  }
  ServerReply reply = reply_with(body);
  reply.payload = std::move(checksums);
  co_return reply;
}

void ReadHandler::read_ahead(const ServerCall& call, const BlockRef& block) {
  const auto reader = call.peer().is_local ? Prefetcher::Reader::local : Prefetcher::Reader::remote;
  const std::uint64_t ahead_bytes = service_.prefetcher.was_read(block, reader);
  const ReadaheadAdvice advice = sequences_.ahead(call.connection(), block, ahead_bytes,
                                                  service_.attachments.pages_per_read(block.attachment));
  if (advice.first == advice.end) return;
  std::uint64_t idle = service_.attachments.idle_reads(block.attachment);
  std::uint32_t page = advice.first;
  for (; page < advice.end && idle > 0; ++page) {
    if (service_.tiers.find(block, PageIndex{page}) || service_.tiers.on_device(block, PageIndex{page})) continue;
    // The ticket is dropped at once: the fetch is worth doing for its own sake.
    service_.fetcher.start(block, PageIndex{page}, Keep::required, Interest::background);
    idle -= 1;
  }
  if (page > advice.first) sequences_.started(call.connection(), block.id, page);
}

void ReadHandler::count(Source source, std::uint64_t bytes, proto::ReadReply& reply) {
  if (source == Source::memory) {
    reply.set_hit_bytes(reply.hit_bytes() + bytes);
    service_.counters.sent_from_memory(bytes);
  } else if (source == Source::device) {
    reply.set_hit_bytes(reply.hit_bytes() + bytes);
    service_.counters.sent_from_device(bytes);
  } else {
    reply.set_miss_bytes(reply.miss_bytes() + bytes);
    service_.counters.sent_from_store(bytes);
  }
}

}  // namespace hearth::worker

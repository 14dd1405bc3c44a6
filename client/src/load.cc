// File::load and resident_bytes: ask the workers to cache a range, and what they hold.
#include "client/src/convert.h"
#include "client/src/read_engine.h"
#include "common/block_wire.h"
#include "proto/hearth.pb.h"

#include <algorithm>

namespace hearth::client {
namespace {

constexpr std::size_t blocks_per_question = 4096;
constexpr std::uint64_t load_request_bytes = 64U << 20;  // one answer per 64 MiB keeps deadlines meaningful

}  // namespace

Task<std::uint64_t> ReadEngine::load(FilePtr file, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t file_length = file->status().length_bytes;
  const std::uint64_t end = offset >= file_length ? offset : offset + std::min(length, file_length - offset);
  std::uint64_t cached = 0;
  while (offset < end) {
    const std::size_t index = file->block_index(offset);
    const BlockRef& block = file->resolution().blocks[index];
    const std::uint64_t in_block = offset - block.start.value;
    const std::uint64_t count = std::min({end - offset, block.length_bytes - in_block, load_request_bytes});
    CO_CHECK_OK(co_await load_range(file, index, in_block, count, &cached));
    offset += count;
  }
  co_return cached;
}

Task<> ReadEngine::load_range(FilePtr file, std::size_t block, std::uint64_t offset, std::uint64_t length,
                              std::uint64_t* loaded) {
  const Deadline deadline = Deadline::after(parts_.clock, parts_.options.read_deadline);
  CO_CHECK_OK(co_await parts_.peers.refresh(Freshness::whatever_is_known, deadline));
  const Resolution& resolution = file->resolution();
  std::vector<WorkerId> suspects;
  std::vector<WorkerId> order = parts_.peers.candidates(resolution.blocks[block], file->holders(block).workers,
                                                        resolution.placement, suspects);
  order.insert(order.end(), suspects.begin(), suspects.end());
  Status last = Error(Code::unavailable, "loading " + file->path() + ": there is no worker; start one");
  for (const WorkerId worker : order) {
    std::optional<Reach> reach = parts_.peers.reach(worker);
    if (!reach) continue;
    proto::LoadRequest request;
    block_to_wire(resolution.blocks[block], *request.mutable_block());
    request.set_offset_bytes(offset);
    request.set_length_bytes(length);
    RpcCall call;
    call.method = Method::load;
    call.body = request.SerializeAsString();
    proto::LoadReply reply;
    auto answer = co_await call_and_decode(reach->channel, std::move(call), &reply, deadline);
    if (answer) {
      *loaded += reply.already_bytes() + reply.loaded_bytes();
      co_return ok();
    }
    last = std::move(answer).error().with_context("loading " + file->path());
    if (info(last.code()).retry == Retry::never) co_return last;
  }
  co_return last;
}

Task<std::uint64_t> ReadEngine::resident_bytes(FilePtr file) {
  const std::size_t blocks = file->resolution().blocks.size();
  const Deadline deadline = Deadline::after(parts_.clock, parts_.options.read_deadline);
  CO_CHECK_OK(co_await parts_.peers.refresh(Freshness::whatever_is_known, deadline));
  std::vector<std::uint64_t> held(blocks);  // of each block, by the worker that holds the most of it
  const WorkerTablePtr table = parts_.peers.table();
  for (const WorkerStatus& worker : table->workers) {
    if (worker.state == "lost") continue;
    const WorkerId id{worker.id};
    for (std::size_t first = 0; first < blocks; first += blocks_per_question) {
      Status asked = co_await ask_residency(file, id, first, &held, deadline);
      if (!asked) break;
    }
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t bytes : held) sum += bytes;
  co_return sum;
}

Task<> ReadEngine::ask_residency(FilePtr file, WorkerId worker, std::size_t first, std::vector<std::uint64_t>* held,
                                 Deadline deadline) {
  const std::optional<Reach> reach = parts_.peers.reach(worker);
  if (!reach) co_return Error(Code::unavailable, "the worker is gone");
  const std::vector<BlockRef>& blocks = file->resolution().blocks;
  const std::size_t end = std::min(blocks.size(), first + blocks_per_question);
  proto::BlockStatusRequest request;
  for (std::size_t i = first; i < end; ++i) block_to_wire(blocks[i], *request.add_blocks());
  RpcCall call;
  call.method = Method::block_status;
  call.body = request.SerializeAsString();
  proto::BlockStatusReply reply;
  auto answer = co_await call_and_decode(reach->channel, std::move(call), &reply, deadline);
  if (!answer) co_return std::move(answer).error();
  const std::size_t count = std::min<std::size_t>(static_cast<std::size_t>(reply.blocks_size()), end - first);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t bytes = std::min(reply.blocks(static_cast<int>(i)).resident_bytes(), blocks[first + i].length_bytes);
    (*held)[first + i] = std::max((*held)[first + i], bytes);
  }
  co_return ok();
}

}  // namespace hearth::client

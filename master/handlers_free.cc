// MasterService: dropping the cached blocks of a file or a tree.
//
// Every worker is asked, not only those that the location map names: the map hears of a block with the worker's next
// report, and what was loaded just before a free must be freed too.
#include "common/block_wire.h"
#include "master/master_service.h"
#include "master/run_on.h"
#include "master/wire.h"

#include <algorithm>

namespace hearth::master {

namespace {

constexpr std::size_t ids_per_call = 4096;
constexpr std::size_t max_named_workers = 8;
// A worker that does not answer is given up after this, or after most of the caller's time, so that the caller still
// hears what the others freed.
constexpr Duration patience = std::chrono::seconds(5);

Deadline patient_until(Deadline deadline, TimePoint now) {
  return deadline.sooner_of(Deadline::at(now + std::min<Duration>(patience, deadline.remaining(now) / 4 * 3)));
}

struct FilesTurn {
  FileWalk walk;
  std::vector<ResolvedView> files;
};

Task<FilesTurn> next_files(MetadataService& metadata, FileWalk walk) {
  FilesTurn turn;
  CO_TRY(files, metadata.cached_files(walk));
  turn.files = std::move(files);
  turn.walk = std::move(walk);
  co_return turn;
}

}  // namespace

std::shared_ptr<RpcChannel> MasterService::channel_to(WorkerId worker, const std::string& address) {
  Line& line = lines_[worker];
  if (line.channel && line.address == address) return line.channel;
  const Result<Address> peer = Address::parse(address);
  if (!peer) return nullptr;
  const RpcContext context{parts_.network, parts_.transport, parts_.clock, RpcLimits()};
  line.address = address;
  line.channel = make_rpc_channel(context, *peer);
  return line.channel;
}

Task<MasterService::Freed> MasterService::free_at_worker(std::shared_ptr<RpcChannel> channel, std::string block_ids,
                                                        Deadline deadline) {
  proto::FreeBlocksRequest request;
  request.set_block_ids(std::move(block_ids));
  RpcCall call;
  call.method = Method::free_blocks;
  call.body = request.SerializeAsString();
  CO_TRY(answer, co_await channel->call(std::move(call), deadline));
  proto::FreeBlocksReply reply;
  if (!reply.ParseFromString(answer.body)) co_return Error(Code::bad_frame, "its answer is not a free_blocks reply");
  Freed freed;
  freed.blocks = reply.blocks();
  freed.bytes = reply.bytes();
  co_return freed;
}

Task<> MasterService::run_free(std::shared_ptr<RpcChannel> channel, std::string block_ids, Deadline deadline,
                               std::shared_ptr<Flight<Freed>> flight) {
  Result<Freed> freed = co_await free_at_worker(std::move(channel), std::move(block_ids), deadline);
  flight->land(std::move(freed));
  co_return ok();
}

// All workers at once: one that does not answer must not take the time of the others.
Task<> MasterService::free_blocks(std::vector<BlockId> ids, std::shared_ptr<Freeing> freeing) {
  struct Asked {
    WorkerId worker;
    std::string address;
    std::shared_ptr<Flight<Freed>> flight;
  };
  const TimePoint now = parts_.clock.now();
  const std::string block_ids = block_ids_to_wire(ids);
  std::vector<Asked> asked;
  for (const WorkerRow& row : membership_.rows(now)) {
    if (row.state == WorkerState::lost || freeing->silent.contains(row.id)) continue;
    const std::shared_ptr<RpcChannel> channel = channel_to(row.id, row.figures.address);
    if (!channel) continue;  // its address was checked when it registered
    auto flight = std::make_shared<Flight<Freed>>(Moment());
    CO_CHECK_OK(tasks_.spawn(run_free(channel, block_ids, patient_until(freeing->deadline, now), flight), "free_at_worker"));
    Asked one;
    one.worker = row.id;
    one.address = row.figures.address;
    one.flight = std::move(flight);
    asked.push_back(std::move(one));
  }
  for (const Asked& one : asked) {
    CO_CHECK_OK(co_await board_.wait(one.flight, freeing->deadline, "freeing at the worker at " + one.address));
    const Result<Freed>& freed = one.flight->outcome;
    if (!freed) {
      freeing->silent.emplace(one.worker, one.address + " (" + freed.error().message() + ")");
      freeing->code = freed.code();
      continue;
    }
    freeing->total.blocks += freed->blocks;
    freeing->total.bytes += freed->bytes;
    for (const BlockId& id : ids) membership_.bad_location(id, one.worker);
  }
  co_return ok();
}

Task<> MasterService::free_files(std::vector<ResolvedView> files, std::shared_ptr<Freeing> freeing) {
  std::vector<BlockId> ids;
  for (const ResolvedView& file : files) {
    for (const BlockRef& block : file.blocks) {
      ids.push_back(block.id);
      if (ids.size() < ids_per_call) continue;
      std::vector<BlockId> full;
      full.swap(ids);
      CO_CHECK_OK(co_await free_blocks(std::move(full), freeing));
    }
  }
  if (ids.empty()) co_return ok();
  co_return co_await free_blocks(std::move(ids), freeing);
}

Error MasterService::not_all_freed(const Freeing& freeing) {
  std::string message = "freed " + std::to_string(freeing.total.blocks) + " blocks (" + std::to_string(freeing.total.bytes) +
                        " bytes) at the workers that answered, but not at ";
  std::size_t named = 0;
  for (const auto& [worker, what] : freeing.silent) {
    if (named == max_named_workers) {
      message += " and " + std::to_string(freeing.silent.size() - named) + " more";
      break;
    }
    message += (named++ == 0 ? "" : ", ") + what;
  }
  return Error(freeing.code, message + "; free again when they answer");
}

MasterService::Answer MasterService::free_path(Call call) {
  CO_TRY(request, parse_body<proto::FreeRequest>(*call));
  FileWalk walk;
  CO_TRY(path, NamespacePath::parse(request.path()));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  walk.root = std::move(path);
  walk.scope = request.recursive() ? FileWalk::Scope::tree : FileWalk::Scope::file;
  const auto freeing = std::make_shared<Freeing>(deadline);
  std::uint64_t known = 0;
  while (walk.state != FileWalk::State::done) {
    CO_TRY(turn, co_await run_on(parts_.names, next_files(parts_.metadata, std::move(walk))));
    walk = std::move(turn.walk);
    known += turn.files.size();
    Status freed = co_await free_files(std::move(turn.files), freeing);
    const bool out_of_time = walk.state != FileWalk::State::done && deadline.expired(parts_.clock.now());
    if (freed && out_of_time) freed = Error(Code::deadline_exceeded, "the tree is large");
    if (!freed) {
      co_return std::move(freed).error().with_context("freed " + std::to_string(freeing->total.blocks) +
                                                      " blocks, not all: give it more time or free smaller trees");
    }
  }
  if (!freeing->silent.empty()) co_return not_all_freed(*freeing);
  if (known == 0 && walk.scope == FileWalk::Scope::file) {
    // Nothing is known of it: say so if it does not exist, else there is nothing to free.
    CO_TRY(file, co_await run_on(parts_.names, parts_.metadata.stat(walk.root, Freshness::cached, deadline)));
  }
  proto::FreeReply reply;
  reply.set_blocks(freeing->total.blocks);
  reply.set_bytes(freeing->total.bytes);
  co_return reply_with(reply);
}

}  // namespace hearth::master

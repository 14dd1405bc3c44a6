// MasterService: dropping the cached blocks of a file or a tree at the workers that hold them.
#include "master/master_service.h"
#include "master/run_on.h"
#include "master/wire.h"

#include "common/log.h"

namespace hearth::master {

namespace {

constexpr std::size_t ids_per_call = 4096;

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

Task<MasterService::Freed> MasterService::free_at_workers(std::vector<ResolvedView> files, Deadline deadline) {
  std::map<WorkerId, std::vector<BlockId>> wanted;
  for (const ResolvedView& file : files) {
    for (const BlockRef& block : file.blocks) {
      for (const WorkerId worker : membership_.locations(block.id)) wanted[worker].push_back(block.id);
    }
  }
  Freed freed;
  Status failed = ok();
  for (const auto& [worker, ids] : wanted) {
    const std::optional<std::string> address = membership_.address(worker);
    const std::shared_ptr<RpcChannel> channel = address ? channel_to(worker, *address) : nullptr;
    if (!channel) continue;  // lost meanwhile: its blocks are out of reach already
    for (std::size_t begin = 0; begin < ids.size(); begin += ids_per_call) {
      const std::size_t end = std::min(ids.size(), begin + ids_per_call);
      const std::vector<BlockId> part(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                                      ids.begin() + static_cast<std::ptrdiff_t>(end));
      proto::FreeBlocksRequest request;
      request.set_block_ids(block_ids_to_wire(part));
      RpcCall call;
      call.method = Method::free_blocks;
      call.body = request.SerializeAsString();
      Result<RpcReply> answer = co_await channel->call(std::move(call), deadline);
      proto::FreeBlocksReply reply;
      if (answer && !reply.ParseFromString(answer->body)) answer = Error(Code::bad_frame, "its answer is not a free_blocks reply");
      if (!answer) {
        failed = std::move(answer).error().with_context("worker at " + *address + " did not free its blocks; free again when it is back");
        break;
      }
      freed.blocks += reply.blocks();
      freed.bytes += reply.bytes();
      for (const BlockId& id : part) membership_.bad_location(id, worker);
    }
  }
  if (!failed) co_return failed.error();
  co_return freed;
}

MasterService::Answer MasterService::free_path(Call call) {
  CO_TRY(request, parse_body<proto::FreeRequest>(*call));
  FileWalk walk;
  CO_TRY(path, NamespacePath::parse(request.path()));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  walk.root = std::move(path);
  walk.scope = request.recursive() ? FileWalk::Scope::tree : FileWalk::Scope::file;
  proto::FreeReply reply;
  std::uint64_t known = 0;
  while (walk.state != FileWalk::State::done) {
    CO_TRY(turn, co_await run_on(parts_.names, next_files(parts_.metadata, std::move(walk))));
    walk = std::move(turn.walk);
    known += turn.files.size();
    CO_TRY(freed, co_await free_at_workers(std::move(turn.files), deadline));
    reply.set_blocks(reply.blocks() + freed.blocks);
    reply.set_bytes(reply.bytes() + freed.bytes);
  }
  if (known == 0 && walk.scope == FileWalk::Scope::file) {
    // Nothing is known of it: say so if it does not exist, else there is nothing to free.
    CO_TRY(file, co_await run_on(parts_.names, parts_.metadata.stat(walk.root, Freshness::cached, deadline)));
  }
  co_return reply_with(reply);
}

}  // namespace hearth::master

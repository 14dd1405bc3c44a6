// MasterService: room in under-stores, for statfs.
#include "master/master_service.h"
#include "master/run_on.h"
#include "master/wire.h"

namespace hearth::master {

MasterService::Answer MasterService::space(Call call) {
  CO_TRY(request, parse_body<proto::SpaceRequest>(*call));
  CO_TRY(path, NamespacePath::parse(request.path()));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  CO_TRY(room, co_await run_on(parts_.names, parts_.metadata.space(std::move(path), deadline)));
  proto::SpaceReply reply;
  reply.set_known(room.known);
  reply.set_without_limit(room.without_limit);
  reply.set_total_bytes(room.total_bytes);
  reply.set_free_bytes(room.free_bytes);
  reply.set_available_bytes(room.available_bytes);
  reply.set_files(room.files);
  reply.set_free_files(room.free_files);
  co_return reply_with(reply);
}

}  // namespace hearth::master

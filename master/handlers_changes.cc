// MasterService: changes of the tree. What the store refused is part of the reply: it carries the errno.
#include "master/master_service.h"
#include "master/run_on.h"
#include "master/wire.h"

#include "common/change_wire.h"
#include "common/outcome_wire.h"

namespace hearth::master {

MasterService::Answer MasterService::change(Call call) {
  CO_TRY(request, parse_body<proto::ChangeRequest>(*call));
  CO_TRY(wanted, change_from_wire(request));
  CO_TRY(caller, caller_from_wire(request.caller()));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  Result<ChangedView> done =
      co_await run_on(parts_.names, parts_.metadata.change(std::move(wanted), std::move(caller), deadline));
  proto::ChangeReply reply;
  if (done) {
    if (done->file) to_wire(*done->file, *reply.mutable_info());
    reply.set_version_before(done->version_before);
  } else {
    outcome_to_wire(done.error(), *reply.mutable_refused());
  }
  co_return reply_with(reply);
}

MasterService::Answer MasterService::xattr(Call call) {
  CO_TRY(request, parse_body<proto::XattrRequest>(*call));
  CO_TRY(path, NamespacePath::parse(request.path()));
  CO_TRY(caller, caller_from_wire(request.caller()));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  Result<MetadataService::Xattrs> found = co_await run_on(
      parts_.names, parts_.metadata.xattrs(std::move(path), request.name(), std::move(caller), deadline));
  proto::XattrReply reply;
  if (found) {
    reply.set_value(std::move(found->value));
    for (std::string& name : found->names) reply.add_names(std::move(name));
  } else {
    outcome_to_wire(found.error(), *reply.mutable_refused());
  }
  co_return reply_with(reply);
}

}  // namespace hearth::master

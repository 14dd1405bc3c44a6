// MasterService: changes of the tree. What the store refused is part of the reply: it carries the errno.
#include "master/master_service.h"
#include "master/run_on.h"
#include "master/wire.h"

#include "common/change_wire.h"
#include "common/outcome_wire.h"

namespace hearth::master {

Status MasterService::check_speaks_for(const ServerCall& call, const Caller& caller) const {
  const PeerIdentity& peer = call.peer();
  if (!peer.is_local) {
    if (options_.trust_tcp_callers) return ok();
    return Error(Code::permission_denied, "changes are taken over the master's Unix socket only, where the kernel says who asks: let it "
                                          "listen on unix:/path as well and use that as master, or set master.tcp_callers = \"trusted\"")
        .with_error_number(EPERM);
  }
  if (peer.uid == 0 || (peer.uid == caller.uid && peer.gid == caller.gid && caller.groups.empty())) return ok();
  return Error(Code::permission_denied, "a process of uid " + std::to_string(peer.uid) + " can not change files in the name of uid " +
                                            std::to_string(caller.uid))
      .with_error_number(EPERM);
}

MasterService::Answer MasterService::change(Call call) {
  CO_TRY(request, parse_body<proto::ChangeRequest>(*call));
  CO_TRY(wanted, change_from_wire(request));
  CO_TRY(caller, caller_from_wire(request.caller()));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  proto::ChangeReply reply;
  // Looking changes nothing, so everybody may ask for it.
  const Status allowed = std::holds_alternative<LookAgain>(wanted) ? ok() : check_speaks_for(*call, caller);
  if (!allowed) {
    outcome_to_wire(allowed, *reply.mutable_refused());
    co_return reply_with(reply);
  }
  Result<ChangedView> done =
      co_await run_on(parts_.names, parts_.metadata.change(std::move(wanted), std::move(caller), deadline));
  if (done) {
    CO_CHECK_OK(co_await tell(std::move(done->news), call->connection()));
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
  proto::XattrReply reply;
  if (const Status allowed = check_speaks_for(*call, caller); !allowed) {
    outcome_to_wire(allowed, *reply.mutable_refused());
    co_return reply_with(reply);
  }
  Result<MetadataService::Xattrs> found = co_await run_on(
      parts_.names, parts_.metadata.xattrs(std::move(path), request.name(), std::move(caller), deadline));
  if (found) {
    reply.set_value(std::move(found->value));
    for (std::string& name : found->names) reply.add_names(std::move(name));
  } else {
    outcome_to_wire(found.error(), *reply.mutable_refused());
  }
  co_return reply_with(reply);
}

}  // namespace hearth::master

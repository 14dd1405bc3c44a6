// MasterService: changes of the tree. What the store refused is part of the reply: it carries the errno.
#include "master/master_service.h"
#include "master/run_on.h"
#include "master/wire.h"

#include "common/change_wire.h"
#include "common/outcome_wire.h"

namespace hearth::master {

namespace {

// That a caller who asks again waits at a time: less than the time in which a client takes a silent master for lost.
constexpr Duration move_patience = std::chrono::milliseconds(1500);

}  // namespace

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
  // Who can ask again is answered before it gives up waiting.
  const bool can_ask = request.move() != 0;
  const Deadline patience = can_ask ? deadline.sooner_of(Deadline::after(parts_.clock, move_patience)) : deadline;
  Result<ChangedView> done;
  if (request.asks_again()) {
    done = co_await run_on(parts_.names, parts_.metadata.moved(request.move(), patience));
  } else {
    done = co_await run_on(parts_.names, parts_.metadata.change(std::move(wanted), std::move(caller), deadline, request.move()));
  }
  if (done && done->move != 0 && !can_ask) {
    const std::uint64_t move = done->move;
    done = co_await run_on(parts_.names, parts_.metadata.moved(move, patience));
    if (done && done->move != 0) done = Error(Code::unavailable, "the directory is still being renamed, key by key; the master goes on with it");
  }
  if (done) {
    reply.set_move(done->move);
    CO_CHECK_OK(co_await tell(std::move(done->news), call->connection()));
    if (done->file) to_wire(*done->file, *reply.mutable_info());
    reply.set_version_before(done->version_before);
  } else {
    outcome_to_wire(done.error(), *reply.mutable_refused());
  }
  co_return reply_with(reply);
}

MasterService::Answer MasterService::remove_tree(Call call) {
  CO_TRY(request, parse_body<proto::RemoveTreeRequest>(*call));
  CO_TRY(path, NamespacePath::parse(request.path()));
  CO_TRY(caller, caller_from_wire(request.caller()));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  proto::RemoveTreeReply reply;
  if (const Status allowed = check_speaks_for(*call, caller); !allowed) {
    outcome_to_wire(allowed, *reply.mutable_refused());
    co_return reply_with(reply);
  }
  Result<RemovedView> removed = co_await run_on(parts_.names, parts_.metadata.remove_tree(std::move(path), std::move(caller), deadline));
  if (removed) {
    CO_CHECK_OK(co_await tell(std::move(removed->news), call->connection()));
    reply.set_removed(removed->objects);
    reply.set_more(removed->rest == RemovedView::Rest::more);
  } else {
    outcome_to_wire(removed.error(), *reply.mutable_refused());
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

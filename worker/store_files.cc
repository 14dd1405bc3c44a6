#include "worker/store_files.h"

#include "common/change_wire.h"
#include "common/outcome_wire.h"
#include "proto/hearth.pb.h"
#include "worker/master_link.h"
#include "worker/wire.h"

#include <utility>

namespace hearth::worker {

Task<ServerReply> StoreFiles::open(std::shared_ptr<ServerCall> call) {
  if (!call->peer().is_local) {
    co_return Error(Code::permission_denied, "a file's descriptor is only given over the worker's Unix socket");
  }
  proto::OpenStoreFileRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  CO_TRY(caller, caller_from_wire(request.caller()));
  // Root speaks for others (the mount does); everybody else for nobody but themselves.
  if (call->peer().uid != 0 && (caller.uid != call->peer().uid || !caller.groups.empty() || caller.gid != call->peer().gid)) {
    co_return Error(Code::permission_denied, "a process of uid " + std::to_string(call->peer().uid) +
                                                 " can not open files in the name of uid " + std::to_string(caller.uid));
  }
  OpenForWriting how;
  how.read_only = request.read_only();
  how.create = request.create();
  how.exclusive = request.exclusive();
  how.truncate = request.truncate();
  how.mode = request.mode();
  const Deadline deadline = bounded_deadline(service_, *call);
  Result<StoreFile> opened = co_await open_in_store(request.path(), std::move(how), std::move(caller), deadline);
  proto::OpenStoreFileReply body;
  if (!opened) {
    outcome_to_wire(opened.error(), *body.mutable_refused());
    co_return reply_with(body);
  }
  body.set_version(opened->info.version);
  body.set_created(opened->created);
  ServerReply reply = reply_with(body);
  reply.fds.push_back(std::move(opened->fd));
  co_return reply;
}

Task<StoreFile> StoreFiles::open_in_store(std::string path, OpenForWriting how, Caller caller, Deadline deadline) {
  auto place = service_.attachments.place_of(path);
  if (!place) {
    CO_CHECK_OK(co_await service_.master.refresh_attachments(deadline));
    place = service_.attachments.place_of(path);
  }
  if (!place) co_return Error(Code::not_found, path + " lies in no attachment that this worker knows");
  if (!how.read_only && place->attachment.writing == AttachedStore::Writing::refused) {
    co_return Error(Code::read_only, path + ": the attachment " + place->attachment.path + " is read-only");
  }
  if (service_.attachments.leads_to_another(path)) {
    co_return Error(Code::is_directory, path + " is a directory that leads to an attachment");
  }
  CO_TRY(open, co_await service_.attachments.open(place->attachment.id));
  how.path = place->store_path;
  co_return co_await open->store->open_for_writing(std::move(how), std::move(caller), deadline);
}

}  // namespace hearth::worker

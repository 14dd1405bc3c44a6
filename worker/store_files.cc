#include "worker/store_files.h"

#include "common/change_wire.h"
#include "common/file_io.h"
#include "common/outcome_wire.h"
#include "proto/hearth.pb.h"
#include "understore/store_path.h"
#include "worker/master_link.h"
#include "worker/metrics.h"
#include "worker/wire.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace hearth::worker {

namespace {

Status check_peer_may_stage(const PeerIdentity& peer) {
  if (peer.uid == 0 || peer.uid == ::geteuid()) return ok();
  return Error(Code::permission_denied, "files of stores without users are written by root, or by the worker's own user, alone; use a mount")
      .with_error_number(EPERM);
}

// A file that never has a name, so that nothing is left of it whatever happens.
Result<UniqueFd> make_staging_file(const std::string& directory) {
  UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file) return system_call_failed(directory, "making a staging file (worker.staging_directory)");
  return file;
}

}  // namespace

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
  how.without_content = request.without_content();
  Result<Opened> opened = co_await open_in_store(request.path(), std::move(how), std::move(caller), call->peer(), deadline);
  proto::OpenStoreFileReply body;
  if (!opened) {
    outcome_to_wire(opened.error(), *body.mutable_refused());
    co_return reply_with(body);
  }
  metrics().counter(described::opened_for_writing_total, {opened->staged ? "staged" : "in_place"}).add();
  body.set_version(opened->file.info.version);
  body.set_created(opened->file.created);
  body.set_staged(opened->staged);
  ServerReply reply = reply_with(body);
  reply.fds.push_back(std::move(opened->file.fd));
  co_return reply;
}

Task<StoreFiles::Target> StoreFiles::target_of(std::string path, Purpose purpose, Deadline deadline) {
  auto place = service_.attachments.place_of(path);
  if (!place) {
    CO_CHECK_OK(co_await service_.master.refresh_attachments(deadline));
    place = service_.attachments.place_of(path);
  }
  if (!place) co_return Error(Code::not_found, path + " lies in no attachment that this worker knows");
  if (purpose == Purpose::write && place->attachment.writing == AttachedStore::Writing::refused) {
    co_return Error(Code::read_only, path + ": the attachment " + place->attachment.path + " is read-only");
  }
  if (service_.attachments.leads_to_another(path)) {
    co_return Error(Code::is_directory, path + " is a directory that leads to an attachment");
  }
  CO_TRY(open, co_await service_.attachments.open(place->attachment.id));
  Target target;
  target.store = open->store;
  target.path = place->store_path;
  target.staged = target.store->capabilities().writing == StoreCapabilities::Writing::staged;
  co_return target;
}

Task<StoreFiles::Opened> StoreFiles::open_in_store(std::string path, OpenForWriting how, Caller caller, PeerIdentity peer,
                                                   Deadline deadline) {
  CO_TRY(target, co_await target_of(std::move(path), how.read_only ? Purpose::read : Purpose::write, deadline));
  Opened opened;
  opened.staged = target.staged;
  if (target.staged) {
    CO_CHECK_OK(check_peer_may_stage(peer));
    CO_TRY(file, co_await stage(std::move(target), std::move(how), deadline));
    opened.file = std::move(file);
    co_return opened;
  }
  how.path = target.path;
  CO_TRY(file, co_await target.store->open_for_writing(std::move(how), std::move(caller), deadline));
  opened.file = std::move(file);
  co_return opened;
}

Task<StoreFile> StoreFiles::stage(Target target, OpenForWriting how, Deadline deadline) {
  Result<ObjectInfo> there = co_await target.store->stat(target.path, deadline);
  if (!there && there.code() != Code::not_found) co_return std::move(there).error();
  if (there && how.create && how.exclusive) co_return Error(Code::already_exists, printable_path(target.path) + " exists").with_error_number(EEXIST);
  if (!there && !how.create) co_return std::move(there).error();
  if (there && there->type == FileType::directory) co_return Error(Code::is_directory, printable_path(target.path) + " is a directory").with_error_number(EISDIR);
  StoreFile file;
  std::function<Result<UniqueFd>()> make = [directory = service_.options.staging_directory] { return make_staging_file(directory); };
  CO_TRY(fd, co_await pool_.run(std::move(make)));
  file.fd = std::move(fd);
  file.created = !there;
  if (there) file.info = std::move(*there);
  const bool wanted = !file.created && !how.truncate && !how.without_content && file.info.length_bytes > 0;
  if (wanted) CO_CHECK_OK(co_await copy_content(target, file.info, file.fd.get(), deadline));
  co_return file;
}

Task<> StoreFiles::copy_content(const Target& target, const ObjectInfo& object, int fd, Deadline deadline) {
  constexpr std::uint64_t piece_bytes = 8U << 20;
  std::vector<std::byte> piece(std::min(piece_bytes, object.length_bytes));
  for (std::uint64_t at = 0; at < object.length_bytes; at += piece.size()) {
    const std::span<std::byte> part(piece.data(), std::min<std::uint64_t>(piece.size(), object.length_bytes - at));
    CO_CHECK_OK(co_await target.store->read(target.path, object.version, at, part, deadline));
    std::function<Result<bool>()> write = [part, fd, at, &target]() -> Result<bool> {
      CHECK_OK(write_at(fd, part, at, target.path));
      return true;
    };
    CO_CHECK_OK(co_await pool_.run(std::move(write)));
  }
  co_return ok();
}

Task<ServerReply> StoreFiles::publish(std::shared_ptr<ServerCall> call) {
  if (!call->peer().is_local) {
    co_return Error(Code::permission_denied, "a file is only published over the worker's Unix socket");
  }
  proto::PublishStoreFileRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  std::vector<UniqueFd> fds = call->take_fds();
  if (fds.size() != 1) co_return Error(Code::invalid_argument, "one descriptor comes with a file to publish, not " + std::to_string(fds.size()));
  proto::PublishStoreFileReply body;
  Status outcome = check_peer_may_stage(call->peer());
  if (outcome) {
    // As long as the caller waits: nobody knows how long the whole of a large file takes.
    Result<ObjectInfo> published =
        co_await publish_in_store(request.path(), std::move(fds.front()), request.must_be_new(), call->deadline());
    metrics().counter(described::publishes_total, {published ? "ok" : "failed"}).add();
    if (published) {
      metrics().counter(described::published_bytes_total).add(published->length_bytes);
      body.set_version(std::move(published->version));
    } else {
      outcome = std::move(published).error();
    }
  }
  if (!outcome) outcome_to_wire(outcome, *body.mutable_refused());
  co_return reply_with(body);
}

Task<ObjectInfo> StoreFiles::publish_in_store(std::string path, UniqueFd content, bool must_be_new, Deadline deadline) {
  CO_TRY(target, co_await target_of(path, Purpose::write, deadline));
  if (!target.staged) co_return Error(Code::invalid_argument, path + " is written in place, not published");
  struct stat info {};
  if (::fstat(content.get(), &info) != 0) co_return system_call_failed(path, "stat");
  if (!S_ISREG(info.st_mode)) co_return Error(Code::invalid_argument, path + ": what is to be published is not a regular file");
  StagedContent staged;
  staged.fd = content.get();
  staged.length_bytes = static_cast<std::uint64_t>(info.st_size);
  staged.replaces = must_be_new ? StagedContent::Replaces::nothing : StagedContent::Replaces::anything;
  co_return co_await target.store->upload(target.path, staged, deadline);
}

}  // namespace hearth::worker

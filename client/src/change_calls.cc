// Changes of the tree, and files opened in place.
#include "client/src/client_impl.h"

#include "client/src/convert.h"
#include "common/change_wire.h"
#include "common/file_io.h"
#include "common/outcome_wire.h"
#include "common/rng.h"
#include "proto/hearth.pb.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

namespace hearth {
namespace {

using client::MasterRetry;

// While it does something for us that it goes on with.
constexpr Duration master_may_be_away = std::chrono::minutes(1);

Status check_paths(const Change& change) {
  CHECK_OK(client::check_path(path_of(change)));
  if (const std::string* other = other_path_of(change)) CHECK_OK(client::check_path(*other));
  return ok();
}

// umask(2) tells the mask by setting it, which other threads would see.
std::uint32_t umask_of_this_process() {
  constexpr std::string_view key = "Umask:";
  constexpr int octal = 8;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return static_cast<std::uint32_t>(std::strtoul(line.c_str() + key.size(), nullptr, octal));
  }
  return 022;  // without /proc
}

}  // namespace

Caller caller_of_this_process() {
  return {.uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .umask = umask_of_this_process()};
}

struct WritableFile::Impl {
  std::shared_ptr<ClientImpl> client;
  std::string path;
  UniqueFd fd;
  std::string version;
  bool is_new = false;
  bool is_staged = false;
  bool must_be_new = false;            // nothing may be there when it is published for the first time
  std::atomic<bool> published{false};
  std::atomic<bool> changed{false};    // since it was published, or at all
  std::atomic<bool> closed{false};     // for all copies of the handle

  void end() {
    closed = true;
    fd.reset();
  }
  // In place: what was written is where `durability` says. close(2) of a duplicate tells what a network file system has
  // to say, and leaves the file open.
  Status settle(Durability durability) const {
    if (durability == Durability::stable && ::fsync(fd.get()) != 0) return system_call_failed(path, "sync");
    const int again = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0);
    if (again < 0) return system_call_failed(path, "duplicating its descriptor");
    return ::close(again) == 0 || errno == EINTR ? ok() : system_call_failed(path, "close");
  }
};

// What is cached under each name that the change has to do with is wrong now; under a directory that moved, everything.
void ClientImpl::forget_changed(const Change& change, const Changed& done) {
  client::Resolver& known = parts_->resolver;
  const bool directory_moved = std::holds_alternative<Rename>(change) && (!done.status || done.status->type == EntryType::directory);
  if (directory_moved) return known.forget({});
  for (const std::string* path : {&path_of(change), other_path_of(change)}) {
    if (path == nullptr) continue;
    known.forget(*path);
    known.forget(client::parent_of(*path));
  }
}

// A rename that goes on at the master, also over its restart. Asking how it stands does nothing.
Task<> ClientImpl::wait_for_move(proto::ChangeRequest* request, proto::ChangeReply* reply, Deadline until) {
  request->set_asks_again(true);
  do {
    std::string body = request->SerializeAsString();
    reply->Clear();
    const Deadline of_restart = until.sooner_of(Deadline::after(clock_, master_may_be_away));
    CO_CHECK_OK(co_await parts_->master->call(Method::change, std::move(body), reply, MasterRetry::until_deadline, of_restart));
    until = Deadline::never();
  } while (reply->move() != 0);
  co_return ok();
}

Task<Changed> ClientImpl::change(Change change, Caller caller) {
  proto::ChangeRequest request;
  change_to_wire(change, request);
  caller_to_wire(caller, *request.mutable_caller());
  const bool may_go_on = std::holds_alternative<Rename>(change);
  if (may_go_on) request.set_move(system_rng().next() | 1);
  proto::ChangeReply reply;
  std::string body = request.SerializeAsString();
  Status asked = co_await parts_->master->call(Method::change, std::move(body), &reply, MasterRetry::once, metadata_deadline());
  const bool lost = !asked && asked.code() == Code::unavailable && may_go_on;
  if (lost || (asked && reply.move() != 0)) {
    const Deadline until = lost ? metadata_deadline() : Deadline::never();
    if (reply.move() != 0) request.set_move(reply.move());
    reply.Clear();
    const Status ended = co_await wait_for_move(&request, &reply, until);
    if (!lost || ended) asked = ended;  // else what was said first says more
  }
  Changed done;
  if (asked && reply.has_info()) done.status = client::to_status(reply.info());
  forget_changed(change, done);  // also after a failure: it may have been done
  if (!asked) co_return std::move(asked).error();
  Status outcome = outcome_from_wire(reply.refused());
  if (!outcome) co_return std::move(outcome).error();
  done.version_before = reply.version_before();
  co_return done;
}

Task<ClientImpl::InPlace> ClientImpl::open_in_place(OpenForWriting how, Caller caller) {
  const Deadline deadline = metadata_deadline();
  CO_CHECK_OK(co_await parts_->peers.refresh(client::Freshness::whatever_is_known, deadline));
  std::optional<client::Reach> worker = parts_->peers.local_worker();
  if (!worker) {  // it may have been started, or started again, since the table was asked for
    CO_CHECK_OK(co_await parts_->peers.refresh(client::Freshness::refreshed, deadline));
    worker = parts_->peers.local_worker();
  }
  if (!worker) {
    co_return Error(Code::unsupported, how.path + " can only be written where a worker runs on the same host; start hearth-worker here");
  }
  proto::OpenStoreFileRequest request;
  request.set_path(how.path);
  caller_to_wire(caller, *request.mutable_caller());
  request.set_read_only(how.read_only);
  request.set_create(how.create);
  request.set_exclusive(how.exclusive);
  request.set_truncate(how.truncate);
  request.set_mode(how.mode);
  request.set_without_content(how.without_content);
  RpcCall call;
  call.method = Method::open_store_file;
  call.body = request.SerializeAsString();
  proto::OpenStoreFileReply reply;
  Result<RpcReply> answer = co_await client::call_and_decode(worker->channel, std::move(call), &reply, deadline);
  if (how.create || how.truncate) {
    parts_->resolver.forget(how.path);
    parts_->resolver.forget(client::parent_of(how.path));
  }
  if (!answer) co_return std::move(answer).error();
  Status outcome = outcome_from_wire(reply.refused());
  if (!outcome) co_return std::move(outcome).error();
  if (answer->fds.size() != 1) co_return Error(Code::bad_frame, "the worker opened " + how.path + " but sent no descriptor");
  InPlace opened;
  opened.fd = std::move(answer->fds.front());
  opened.version = reply.version();
  opened.is_new = reply.created();
  opened.is_staged = reply.staged();
  co_return opened;
}

Task<Changed> ClientImpl::publish(std::string path, int fd, bool must_be_new) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) co_return system_call_failed(path, "stat");
  CO_CHECK_OK(co_await parts_->peers.refresh(client::Freshness::whatever_is_known, metadata_deadline()));
  std::optional<client::Reach> worker = parts_->peers.local_worker();
  if (!worker) {
    CO_CHECK_OK(co_await parts_->peers.refresh(client::Freshness::refreshed, metadata_deadline()));
    worker = parts_->peers.local_worker();
  }
  if (!worker) co_return Error(Code::unavailable, path + " can not be published: no worker runs on this host now");
  proto::PublishStoreFileRequest request;
  request.set_path(path);
  request.set_must_be_new(must_be_new);
  RpcCall call;
  call.method = Method::publish_store_file;
  call.body = request.SerializeAsString();
  call.fds = {fd};
  proto::PublishStoreFileReply reply;
  // A slow link takes 4 MiB/s.
  constexpr std::int64_t slow_bytes_per_second = 4 << 20;
  const Deadline deadline = Deadline::after(clock_, std::chrono::seconds(60 + info.st_size / slow_bytes_per_second));
  Result<RpcReply> answer = co_await client::call_and_decode(worker->channel, std::move(call), &reply, deadline);
  parts_->resolver.forget(path);
  parts_->resolver.forget(client::parent_of(path));
  if (!answer) co_return std::move(answer).error();
  Status outcome = outcome_from_wire(reply.refused());
  if (!outcome) co_return std::move(outcome).error();
  // The store keeps no more than the content; the master looks at it and keeps the rest.
  SetAttributes set;
  set.path = path;
  set.mode = info.st_mode & 07777;
  set.uid = info.st_uid;
  set.gid = info.st_gid;
  set.mtime = SetAttributes::Time{.now = false, .ns = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec};
  const Caller self{.uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .umask = 0};
  Result<Changed> changed = co_await change(set, self);
  if (changed || changed.code() != Code::permission_denied) co_return changed;
  // A store with users of its own may not let us give the file away. Its mode counts all the same.
  set.uid.reset();
  set.gid.reset();
  changed = co_await change(set, self);
  if (changed || changed.code() != Code::permission_denied) co_return changed;
  const LookAgain again{.path = path, .wrote = true};
  co_return co_await change(again, self);
}

Task<ClientImpl::Xattrs> ClientImpl::xattrs(std::string path, std::string name, Caller caller) {
  proto::XattrRequest request;
  request.set_path(path);
  request.set_name(name);
  caller_to_wire(caller, *request.mutable_caller());
  proto::XattrReply reply;
  std::string body = request.SerializeAsString();
  CO_CHECK_OK(co_await parts_->master->call(Method::xattr, std::move(body), &reply, MasterRetry::until_deadline, metadata_deadline()));
  Status outcome = outcome_from_wire(reply.refused());
  if (!outcome) co_return std::move(outcome).error();
  Xattrs out;
  out.value = reply.value();
  out.names.assign(reply.names().begin(), reply.names().end());
  co_return out;
}

// ---- Client

Result<Changed> Client::change(const Change& change, const Caller& caller) const {
  CHECK_OK(check_paths(change));
  return impl_->wait(impl_->change(change, caller));
}

Result<WritableFile> Client::open_for_writing(const OpenForWriting& how, const Caller& caller) const {
  CHECK_OK(client::check_path(how.path));
  TRY(opened, impl_->wait(impl_->open_in_place(how, caller)));
  auto file = std::make_shared<WritableFile::Impl>();
  file->client = impl_;
  file->path = how.path;
  file->fd = std::move(opened.fd);
  file->version = std::move(opened.version);
  file->is_new = opened.is_new;
  file->is_staged = opened.is_staged;
  file->changed = opened.is_new || how.truncate || how.without_content;
  file->must_be_new = how.create && how.exclusive && opened.is_new;
  return WritableFile(std::move(file));
}

Result<std::string> Client::xattr(std::string_view path, std::string_view name, const Caller& caller) const {
  CHECK_OK(client::check_path(path));
  if (name.empty()) return Error(Code::invalid_argument, "an extended attribute has a name");
  TRY(found, impl_->wait(impl_->xattrs(std::string(path), std::string(name), caller)));
  return std::move(found.value);
}

Result<std::vector<std::string>> Client::xattr_names(std::string_view path, const Caller& caller) const {
  CHECK_OK(client::check_path(path));
  TRY(found, impl_->wait(impl_->xattrs(std::string(path), std::string(), caller)));
  return std::move(found.names);
}

// ---- WritableFile

int WritableFile::fd() const { return impl_ ? impl_->fd.get() : -1; }

bool WritableFile::is_new() const { return impl_ && impl_->is_new; }

bool WritableFile::is_staged() const { return impl_ && impl_->is_staged; }

const std::string& WritableFile::version() const {
  static const std::string none;
  return impl_ ? impl_->version : none;
}

Status WritableFile::usable() const {
  if (!impl_ || impl_->closed) return Error(Code::invalid_argument, "this file was never opened, or is closed already");
  return impl_->client->usable();
}

Result<std::size_t> WritableFile::pread(std::span<std::byte> into, std::uint64_t offset) const {
  CHECK_OK(usable());
  return read_at(fd(), into, offset, impl_->path);
}

Status WritableFile::pwrite(std::span<const std::byte> bytes, std::uint64_t offset) const {
  CHECK_OK(usable());
  impl_->changed = true;
  return write_at(fd(), bytes, offset, impl_->path);
}

Status WritableFile::append(std::span<const std::byte> bytes) const {
  CHECK_OK(usable());
  impl_->changed = true;
  return append_to(fd(), bytes, impl_->path);
}

Status WritableFile::truncate(std::uint64_t length_bytes) const {
  CHECK_OK(usable());
  impl_->changed = true;
  return ::ftruncate(fd(), static_cast<off_t>(length_bytes)) == 0 ? ok() : system_call_failed(impl_->path, "truncate");
}

Status WritableFile::sync() const {
  CHECK_OK(usable());
  if (impl_->is_staged) {
    if (impl_->changed) CHECK_OK(publish());
    return ok();
  }
  return ::fsync(fd()) == 0 ? ok() : system_call_failed(impl_->path, "sync");
}

Result<FileStatus> WritableFile::publish(std::string_view as) const {
  CHECK_OK(usable());
  if (!impl_->is_staged) return Error(Code::invalid_argument, impl_->path + " is written in place, there is nothing to publish");
  const std::string path = as.empty() ? impl_->path : std::string(as);
  CHECK_OK(client::check_path(path));
  const bool must_be_new = impl_->must_be_new && !impl_->published && path == impl_->path;
  impl_->changed = false;  // before: what is written meanwhile may not be part of it
  auto published = impl_->client->wait(impl_->client->publish(path, fd(), must_be_new));
  if (!published) {
    impl_->changed = true;
    return std::move(published).error();
  }
  impl_->published = true;
  Changed changed = std::move(*published);
  if (!changed.status) return Error(Code::not_found, path + " was removed meanwhile");
  return std::move(*changed.status);
}

Result<FileStatus> WritableFile::close() { return close(Durability::acknowledged); }

Result<FileStatus> WritableFile::close(Durability durability) {
  CHECK_OK(usable());
  FileStatus status;
  if (impl_->is_staged && impl_->changed) {  // a store that takes objects whole keeps what it acknowledged
    TRY(published, publish());
    status = std::move(published);
  } else {
    const Caller self{.uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .umask = 0};
    if (!impl_->is_staged) CHECK_OK(impl_->settle(durability));
    TRY(changed, impl_->client->wait(impl_->client->change(LookAgain{.path = impl_->path, .wrote = !impl_->is_staged}, self)));
    if (!changed.status) return Error(Code::not_found, impl_->path + " was removed meanwhile");
    if (!impl_->is_staged && durability == Durability::stable) {
      const SyncDirectory names{.path = std::string(client::parent_of(impl_->path))};
      CHECK_OK(impl_->client->wait(impl_->client->change(names, self)));
    }
    status = std::move(*changed.status);
  }
  std::exchange(impl_, nullptr)->end();
  return status;
}

Status WritableFile::abort() {
  CHECK_OK(usable());
  const std::shared_ptr<Impl> last = std::exchange(impl_, nullptr);
  last->end();
  if (last->is_staged) return ok();
  const Caller self{.uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .umask = 0};
  CHECK_OK(last->client->wait(last->client->change(LookAgain{.path = last->path, .wrote = true}, self)));
  return ok();
}

}  // namespace hearth

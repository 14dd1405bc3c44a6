// The public classes: check arguments, take the fast way when everything is known, else go to the io thread.
#include <hearth/client.h>

#include "client/src/client_impl.h"
#include "client/src/file_impl.h"

#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace hearth {
namespace {

Status wanted(const CallOptions& options) {
  if (!options.cancellation || !options.cancellation->is_cancelled()) return ok();
  return Error(Code::cancelled, "the call was cancelled by its caller");
}

Error closed_file() { return Error(Code::invalid_argument, "this file was never opened"); }

}  // namespace

std::string_view version() { return HEARTH_VERSION_STRING; }

// ---- File

const FileStatus& File::status() const {
  static const FileStatus none;
  return impl_ ? impl_->status() : none;
}

const std::string& File::path() const {
  static const std::string none;
  return impl_ ? impl_->path() : none;
}

Status File::usable() const { return impl_ ? impl_->client().usable() : closed_file(); }

Result<std::size_t> File::pread(std::span<std::byte> into, std::uint64_t offset) const {
  if (!impl_) return closed_file();
  return impl_->pread(into, offset);
}

Result<std::size_t> File::pread(std::span<std::byte> into, std::uint64_t offset, const CallOptions& options) const {
  if (!impl_) return closed_file();
  CHECK_OK(impl_->client().usable());
  CHECK_OK(wanted(options));
  into = into.first(impl_->clip(into.size(), offset));
  const std::size_t copied = impl_->read_mapped(into, offset);
  if (copied == into.size()) return copied;
  TRY(rest, impl_->client().wait(impl_->pread_task(into.subspan(copied), offset + copied), options));
  return copied + rest;
}

void File::async_pread(std::span<std::byte> into, std::uint64_t offset,
                       std::function<void(Result<std::size_t>)> done) const {
  if (!impl_) return done(closed_file());
  if (const Status usable = impl_->client().usable(); !usable) return done(usable.error());
  // The copy is made here, on the caller's processor; only the answer travels.
  const std::size_t wanted = impl_->clip(into.size(), offset);
  const std::size_t copied = impl_->read_mapped(into.first(wanted), offset);
  auto keep = [impl = impl_, copied, done = std::move(done)](Result<std::size_t> rest) {
    if (rest) rest = copied + *rest;
    done(std::move(rest));
  };
  if (copied == wanted) return impl_->client().post([keep = std::move(keep)] { keep(std::size_t{0}); });
  impl_->client().start<std::size_t>(impl_->pread_task(into.subspan(copied), offset + copied), std::move(keep));
}

asio::awaitable<Result<std::size_t>> File::co_pread(std::span<std::byte> into, std::uint64_t offset) const {
  const File self = *this;
  Executor home = co_await asio::this_coro::executor;
  Result<std::size_t> result;
  auto begin = [&self, &result, into, offset, home](auto handler) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    self.async_pread(into, offset, [&result, home, shared](Result<std::size_t> answer) {
      result = std::move(answer);
      asio::post(home, [shared] { (*shared)(); });
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(begin, asio::use_awaitable);
  co_return std::move(result);
}

Result<ReadView> File::read_view(std::uint64_t offset, std::size_t length) const {
  if (!impl_) return closed_file();
  return impl_->read_view(offset, length);
}

Result<MappedBlock> File::map() const {
  if (!impl_) return closed_file();
  return impl_->map();
}

Result<std::uint64_t> File::load(std::uint64_t offset, std::uint64_t length) const {
  if (!impl_) return closed_file();
  return impl_->client().wait(impl_->client().load(impl_, offset, length));
}

Result<std::uint64_t> File::resident_bytes() const {
  if (!impl_) return closed_file();
  return impl_->client().wait(impl_->client().resident_bytes(impl_));
}

// ---- Client

Result<Client> Client::connect(const ClientOptions& options) {
  TRY(impl, ClientImpl::connect(options));
  return Client(std::move(impl));
}

Result<FileStatus> Client::stat(std::string_view path) const {
  CHECK_OK(client::check_path(path));
  CHECK_OK(impl_->usable());
  if (auto known = impl_->resolver().cached_status(path)) return std::move(*known);
  return impl_->wait(impl_->stat(std::string(path)));
}

Result<DirectoryPage> Client::list(std::string_view path, std::string_view after, std::size_t limit) const {
  CHECK_OK(client::check_path(path));
  return impl_->wait(impl_->list(std::string(path), std::string(after), limit));
}

Result<File> Client::open(std::string_view path) const {
  CHECK_OK(client::check_path(path));
  CHECK_OK(impl_->usable());
  client::ResolutionPtr known = impl_->resolver().cached(path);
  if (known && known->status.type != EntryType::symlink) {
    TRY(file, impl_->opened(std::string(path), std::move(known)));
    return File(std::move(file));
  }
  TRY(file, impl_->wait(impl_->open(std::string(path))));
  return File(std::move(file));
}

Result<FileStatus> Client::stat(std::string_view path, const CallOptions& options) const {
  CHECK_OK(client::check_path(path));
  CHECK_OK(impl_->usable());
  CHECK_OK(wanted(options));
  if (auto known = impl_->resolver().cached_status(path)) return std::move(*known);
  return impl_->wait(impl_->stat(std::string(path)), options);
}

Result<File> Client::open(std::string_view path, const CallOptions& options) const {
  CHECK_OK(client::check_path(path));
  CHECK_OK(impl_->usable());
  CHECK_OK(wanted(options));
  client::ResolutionPtr known = impl_->resolver().cached(path);
  if (known && known->status.type != EntryType::symlink) {
    TRY(file, impl_->opened(std::string(path), std::move(known)));
    return File(std::move(file));
  }
  TRY(file, impl_->wait(impl_->open(std::string(path)), options));
  return File(std::move(file));
}

Result<std::string> Client::read_file(std::string_view path, std::uint64_t max_bytes) const {
  TRY(file, open(path));
  const std::uint64_t length = file.status().length_bytes;
  if (length > max_bytes) {
    return Error(Code::invalid_argument, std::string(path) + " has " + std::to_string(length) + " bytes, more than the " +
                                             std::to_string(max_bytes) + " allowed here; read it in pieces");
  }
  std::string content(length, '\0');
  TRY(count, file.pread(std::as_writable_bytes(std::span(content)), 0));
  content.resize(count);
  return content;
}

void Client::async_open(std::string path, std::function<void(Result<File>)> done) const {
  if (Status checked = client::check_path(path); !checked) return done(std::move(checked).error());
  if (Status usable = impl_->usable(); !usable) return done(std::move(usable).error());
  auto keep = [impl = impl_, done = std::move(done)](Result<std::shared_ptr<FileImpl>> file) {
    if (!file) return done(std::move(file).error());
    done(File(std::move(file).value()));
  };
  impl_->start<std::shared_ptr<FileImpl>>(impl_->open(std::move(path)), std::move(keep));
}

void Client::async_stat(std::string path, std::function<void(Result<FileStatus>)> done) const {
  if (Status checked = client::check_path(path); !checked) return done(std::move(checked).error());
  if (Status usable = impl_->usable(); !usable) return done(std::move(usable).error());
  auto keep = [impl = impl_, done = std::move(done)](Result<FileStatus> status) { done(std::move(status)); };
  impl_->start<FileStatus>(impl_->stat(std::move(path)), std::move(keep));
}

Result<std::vector<BlockPlacement>> Client::locations(std::string_view path) const {
  CHECK_OK(client::check_path(path));
  return impl_->wait(impl_->locations(std::string(path)));
}

Result<std::vector<WorkerStatus>> Client::workers() const { return impl_->wait(impl_->workers()); }

Result<std::vector<AttachmentStatus>> Client::attachments() const { return impl_->wait(impl_->attachments()); }

Result<AttachmentStatus> Client::attach(std::string_view path, std::string_view uri, const AttachmentOptions& options) const {
  CHECK_OK(client::check_path(path));
  return impl_->wait(impl_->attach(std::string(path), std::string(uri), options));
}

Status Client::detach(std::string_view path) const {
  CHECK_OK(client::check_path(path));
  return impl_->wait(impl_->detach(std::string(path)));
}

Result<Client::Freed> Client::free(std::string_view path, bool recursive) const {
  CHECK_OK(client::check_path(path));
  return impl_->wait(impl_->free(std::string(path), recursive));
}

Result<SpaceStatus> Client::space(std::string_view path) const {
  CHECK_OK(client::check_path(path));
  return impl_->wait(impl_->space(std::string(path)));
}

Result<MasterStatus> Client::master_status() const { return impl_->wait(impl_->master_status()); }

Result<PolicyVersion> Client::policy(std::uint64_t version) const { return impl_->wait(impl_->policy(version)); }

Result<std::vector<PolicyVersion>> Client::policies() const { return impl_->wait(impl_->policies()); }

Result<PolicyApplied> Client::apply_policy(std::string_view text, const PolicyChange& change) const {
  return impl_->wait(impl_->apply_policy(std::string(text), change, ClientImpl::PolicyApply::now));
}

Result<PolicyApplied> Client::check_policy(std::string_view text) const {
  return impl_->wait(impl_->apply_policy(std::string(text), {}, ClientImpl::PolicyApply::dry_run));
}

Result<std::vector<WorkerWhatIf>> Client::what_if(std::uint64_t memory_step_bytes, std::uint64_t nvme_step_bytes) const {
  return impl_->wait(impl_->what_if(memory_step_bytes, nvme_step_bytes));
}

Status Client::start_trace(const TracePlan& plan) const { return impl_->wait(impl_->start_trace(plan)); }

Result<std::vector<WorkerTrace>> Client::stop_trace() const { return impl_->wait(impl_->stop_trace()); }

Result<PolicyVersion> Client::roll_policy_back(std::uint64_t version, const PolicyChange& change) const {
  return impl_->wait(impl_->roll_policy_back(version, change));
}

Status Client::on_changes(ChangeHook hook) const { return impl_->wait(impl_->set_hook(std::move(hook))); }

void Client::forget(std::string_view path) const {
  if (impl_->usable()) impl_->resolver().forget(path);
}

ReadCounters Client::counters() const { return impl_->counters().sum(); }

const ClientOptions& Client::options() const { return impl_->options(); }

Status Client::usable() const { return impl_->usable(); }

}  // namespace hearth

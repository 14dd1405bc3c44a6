#include "client/src/resolver.h"

#include "proto/hearth.pb.h"

#include <algorithm>

namespace hearth::client {
namespace {

constexpr int max_symlinks = 40;  // as Linux has it (path_resolution(7))

// The peer could not be asked: an answer for everybody who waited, whenever they came.
bool unreachable(Code code) {
  return code == Code::unavailable || code == Code::deadline_exceeded;
}

}  // namespace

Resolver::Resolver(const ClientOptions& options, const Clock& clock, Executor executor, std::shared_ptr<MasterLink> master,
                   Peers& peers)
    : clock_(clock), executor_(std::move(executor)), master_(std::move(master)), peers_(peers), tenant_(options.tenant),
      for_opening_(options.stat_for_opening),
      metadata_deadline_(options.metadata_deadline),
      resolutions_(options.max_cached_paths), statuses_(options.max_cached_paths) {}

ResolutionPtr Resolver::cached(std::string_view path) {
  return resolutions_.find(path, clock_.now()).value_or(nullptr);
}

std::optional<FileStatus> Resolver::cached_status(std::string_view path) { return statuses_.find(path, clock_.now()); }

void Resolver::forget(std::string_view path) {
  generation_.fetch_add(1);
  if (path.empty()) {
    resolutions_.clear();
    statuses_.clear();
  } else {
    resolutions_.erase(path);
    statuses_.erase(path);
  }
}

void Resolver::forget_below(std::string_view directory) {
  generation_.fetch_add(1);
  const std::string prefix = directory == "/" ? "/" : std::string(directory) + "/";
  resolutions_.erase_below(prefix);
  statuses_.erase_below(prefix);
}

void Resolver::remember(std::string_view path, const FileStatus& status, TimePoint asked, std::uint64_t generation) {
  const TimePoint expires = asked + status.ttl;
  if (expires <= clock_.now() || generation != generation_.load()) return;
  if (status.type == EntryType::symlink && status.symlink_target.empty()) return;  // a listing may leave targets out
  statuses_.put(path, status, expires);
}

Task<ResolutionPtr> Resolver::ask(std::string path, TimePoint asked, Deadline deadline) {
  const std::uint64_t generation = generation_.load();
  proto::ResolveRequest request;
  request.set_path(path);
  request.set_tenant(tenant_);
  proto::ResolveReply reply;
  std::string body = request.SerializeAsString();
  CO_CHECK_OK(co_await master_->call(Method::resolve, std::move(body), &reply, MasterRetry::until_deadline, deadline));
  co_return keep(path, reply, asked, generation);
}

Result<ResolutionPtr> Resolver::keep(const std::string& path, const proto::ResolveReply& reply, TimePoint asked,
                                     std::uint64_t generation) {
  TRY(made, to_resolution(path, reply, asked));
  peers_.saw_table_version(made.worker_table_version);
  auto resolution = std::make_shared<const Resolution>(std::move(made));
  if (resolution->expires > clock_.now() && generation == generation_.load()) {
    resolutions_.put(path, resolution, resolution->expires);
  }
  remember(path, resolution->status, asked, generation);
  return resolution;
}

// Joins a question that is on its way, unless its answer may be older than the ttl allows for this caller.
Task<ResolutionPtr> Resolver::resolve(std::string path, Deadline deadline) {
  const TimePoint called = clock_.now();
  if (ResolutionPtr known = cached(path)) co_return known;
  for (;;) {
    const auto found = flights_.find(path);
    if (found == flights_.end()) break;
    std::shared_ptr<Flight> flight = found->second;
    if (flight->generation != generation_.load()) break;  // something was forgotten since it was asked: ask anew
    co_await Signal::wait_or_cancelled(flight->landed);
    CO_CHECK_OK(co_await still_wanted());
    if (flight->result.code() == Code::cancelled) continue;  // by whoever asked: we still want to know
    const bool asked_for_us = flight->asked >= called;
    if (flight->result && (asked_for_us || (*flight->result)->expires > called)) co_return flight->result;
    if (!flight->result && (asked_for_us || unreachable(flight->result.code()))) co_return flight->result;
  }
  auto flight = std::make_shared<Flight>();
  flight->asked = clock_.now();
  flight->generation = generation_.load();
  flights_.insert_or_assign(path, flight);
  Result<ResolutionPtr> answer = co_await ask(path, flight->asked, deadline);
  flight->result = answer;
  if (const auto mine = flights_.find(path); mine != flights_.end() && mine->second == flight) flights_.erase(mine);
  flight->landed->set(executor_);
  co_return answer;
}

// The path with its first symlinked directory component replaced by where that points to.
Task<std::string> Resolver::through_links(std::string path, Deadline deadline) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    std::string prefix = path.substr(0, slash);
    Result<FileStatus> status = co_await stat(prefix, Revalidate::no, deadline);
    if (!status) co_return std::move(status).error();
    if (status->type != EntryType::symlink) continue;
    CO_TRY(destination, symlink_destination(prefix, status->symlink_target));
    co_return join(destination, std::string_view(path).substr(slash + 1));
  }
  co_return Error(Code::not_directory, "a component of " + path + " is not a directory");
}

Task<ResolutionPtr> Resolver::follow(std::string path, Deadline deadline) {
  const std::string asked_for = path;
  for (int hop = 0; hop <= max_symlinks; ++hop) {
    Result<ResolutionPtr> found = co_await resolve(path, deadline);
    if (!found && found.code() != Code::not_directory) co_return found;
    if (!found) {
      CO_TRY(elsewhere, co_await through_links(path, deadline));
      path = std::move(elsewhere);
      continue;
    }
    if ((*found)->status.type != EntryType::symlink) co_return found;
    CO_TRY(destination, symlink_destination(path, (*found)->status.symlink_target));
    path = std::move(destination);
  }
  co_return Error(Code::symlink_loop, asked_for + " leads through more than 40 symlinks; check the links for a loop");
}

Task<FileStatus> Resolver::stat(std::string path, Revalidate revalidate, Deadline deadline) {
  if (revalidate == Revalidate::no) {
    std::optional<FileStatus> known = cached_status(path);
    if (known) co_return std::move(*known);
  }
  const std::uint64_t generation = generation_.load();
  const TimePoint asked = clock_.now();
  proto::StatRequest request;
  request.set_path(path);
  request.set_revalidate(revalidate == Revalidate::yes);
  request.set_for_opening(for_opening_);
  if (for_opening_) request.set_tenant(tenant_);
  proto::StatReply reply;
  std::string body = request.SerializeAsString();
  CO_CHECK_OK(co_await master_->call(Method::stat, std::move(body), &reply, MasterRetry::until_deadline, deadline));
  if (reply.has_resolved()) {
    *reply.mutable_resolved()->mutable_info() = reply.info();
    CO_TRY(resolution, keep(path, reply.resolved(), asked, generation));
    co_return resolution->status;
  }
  FileStatus status = to_status(reply.info());
  remember(path, status, asked, generation);
  co_return status;
}

Task<DirectoryPage> Resolver::list(std::string path, std::string after, std::uint32_t limit, Deadline deadline) {
  const std::uint64_t generation = generation_.load();
  const TimePoint asked = clock_.now();
  proto::ListRequest request;
  request.set_path(path);
  request.set_after(after);
  request.set_limit(limit);
  proto::ListReply reply;
  std::string body = request.SerializeAsString();
  CO_CHECK_OK(co_await master_->call(Method::list, std::move(body), &reply, MasterRetry::until_deadline, deadline));
  DirectoryPage page;
  page.more = reply.more();
  page.items.reserve(static_cast<std::size_t>(reply.entries_size()));
  for (const auto& entry : reply.entries()) {
    DirectoryItem item;
    item.name = entry.name();
    item.status = to_status(entry.info());
    // Names come from an under-store: one with a slash could make us remember another path.
    if (item.name.empty() || item.name.find('/') != std::string::npos) continue;
    remember(join(path, item.name), item.status, asked, generation);
    page.items.push_back(std::move(item));
  }
  co_return page;
}

}  // namespace hearth::client

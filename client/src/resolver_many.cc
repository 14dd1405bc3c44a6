// Questions about many names: one message for as many as fit, asked again for those that the answer has no room for.
#include "client/src/resolver.h"

#include "common/outcome_wire.h"
#include "proto/hearth.pb.h"

namespace hearth::client {
namespace {

constexpr int most_paths = 1000;
constexpr std::size_t most_path_bytes = 1U << 20;

// The next paths of `paths` from `begin` on, as many as one message takes.
template <class Request>
void add_paths(const std::vector<std::string>& paths, std::size_t begin, Request& request) {
  std::size_t bytes = 0;
  for (std::size_t i = begin; i < paths.size() && request.paths_size() < most_paths && bytes < most_path_bytes; ++i) {
    request.add_paths(paths[i]);
    bytes += paths[i].size();
  }
}

// An answer names some of the paths, from the front on.
template <class Reply, class Request>
Task<Reply> ask_many(std::shared_ptr<MasterLink> master, Method method, Request request, Deadline deadline) {
  Reply reply;
  std::string body = request.SerializeAsString();
  CO_CHECK_OK(co_await master->call(method, std::move(body), &reply, MasterRetry::until_deadline, deadline));
  if (reply.items_size() > 0 && reply.items_size() <= request.paths_size()) co_return std::move(reply);
  co_return Error(Code::bad_frame, "the master answered " + std::to_string(reply.items_size()) + " of " +
                                       std::to_string(request.paths_size()) + " names; check the versions of both processes");
}

template <class T>
void fail_the_rest(std::vector<Result<T>>& out, std::size_t count, const Error& why) {
  while (out.size() < count) out.emplace_back(why);
}

}  // namespace

Task<std::vector<Result<FileStatus>>> Resolver::stat_many(std::vector<std::string> paths) {
  std::vector<Result<FileStatus>> out;
  out.reserve(paths.size());
  while (out.size() < paths.size()) {
    const std::uint64_t generation = generation_.load();
    const TimePoint asked = clock_.now();
    const Deadline deadline = Deadline::after(clock_, metadata_deadline_);
    proto::StatManyRequest request;
    add_paths(paths, out.size(), request);
    Result<proto::StatManyReply> reply = co_await ask_many<proto::StatManyReply>(master_, Method::stat_many, std::move(request), deadline);
    if (reply.code() == Code::unsupported) {
      // A master of before these messages: a round trip each.
      Result<FileStatus> one = co_await stat(paths[out.size()], Revalidate::no, deadline);
      out.push_back(std::move(one));
      continue;
    }
    if (!reply) {
      fail_the_rest(out, paths.size(), reply.error());
      break;
    }
    for (const auto& item : reply->items()) {
      Status fared = outcome_from_wire(item.outcome());
      if (!fared) {
        out.emplace_back(std::move(fared).error());
        continue;
      }
      FileStatus status = to_status(item.info());
      remember(paths[out.size()], status, asked, generation);
      out.emplace_back(std::move(status));
    }
  }
  co_return out;
}

Task<std::vector<Result<ResolutionPtr>>> Resolver::resolve_many(std::vector<std::string> paths) {
  std::vector<Result<ResolutionPtr>> out;
  out.reserve(paths.size());
  while (out.size() < paths.size()) {
    const std::uint64_t generation = generation_.load();
    const TimePoint asked = clock_.now();
    const Deadline deadline = Deadline::after(clock_, metadata_deadline_);
    proto::ResolveManyRequest request;
    add_paths(paths, out.size(), request);
    request.set_tenant(tenant_);
    Result<proto::ResolveManyReply> reply = co_await ask_many<proto::ResolveManyReply>(master_, Method::resolve_many, std::move(request), deadline);
    if (reply.code() == Code::unsupported) {
      Result<ResolutionPtr> one = co_await resolve(paths[out.size()], deadline);
      out.push_back(std::move(one));
      continue;
    }
    if (!reply) {
      fail_the_rest(out, paths.size(), reply.error());
      break;
    }
    for (const auto& item : reply->items()) {
      Status fared = outcome_from_wire(item.outcome());
      Result<ResolutionPtr> one = fared ? keep(paths[out.size()], item.file(), asked, generation)
                                        : Result<ResolutionPtr>(std::move(fared).error());
      out.push_back(std::move(one));
    }
  }
  co_return out;
}

}  // namespace hearth::client

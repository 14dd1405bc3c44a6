// MasterService: what clients ask about many names in one message.
#include "master/master_service.h"
#include "master/run_on.h"
#include "master/wire.h"

#include "common/block_wire.h"
#include "common/outcome_wire.h"

#include <boost/asio/post.hpp>

#include <algorithm>

namespace hearth::master {

namespace {

constexpr int max_paths = 1000;
constexpr std::size_t paths_per_lane = 8;
constexpr std::size_t max_lanes = 32;       // questions to under-stores at once; each of these bounds itself, too
constexpr std::size_t paths_per_turn = 64;  // known names are answered without waiting: others must get their turn
constexpr std::size_t max_answer_bytes = 4U << 20;  // half of what a body may have

Error too_many(int paths) {
  return Error(Code::invalid_argument, "a message names " + std::to_string(paths) + " paths, more than 1000; ask in parts");
}

template <class T>
Status status_of(const Result<T>& result) {
  return result ? ok() : Status(result.error());
}

// No items, or at least one: a client that got none of what it asked for would ask for ever.
bool is_full(std::size_t items, std::size_t bytes) { return items != 0 && bytes > max_answer_bytes; }

}  // namespace

struct MasterService::Many {
  enum class What : std::uint8_t { stat, resolve };
  Many(What kind, std::vector<std::string> names, Deadline until)
      : what(kind), paths(std::move(names)), deadline(until),
        files(kind == What::stat ? paths.size() : 0), resolved(kind == What::resolve ? paths.size() : 0) {}

  // Set once
  const What what;
  const std::vector<std::string> paths;
  const Deadline deadline;
  // Namespace executor only, while lanes run
  std::vector<Result<FileView>> files;
  std::vector<Result<ResolvedView>> resolved;
  std::size_t next = 0;  // in the end, how many are answered
  std::size_t answer_bytes = 0;
  // Network executor only
  std::size_t running = 0;
  std::shared_ptr<Flight<>> done = std::make_shared<Flight<>>(Moment());
};

Task<> MasterService::answer_many(std::shared_ptr<Many> many) {
  std::size_t turn = 0;
  while (many->next < many->paths.size() && !is_full(many->next, many->answer_bytes)) {
    const std::size_t index = many->next++;
    Result<NamespacePath> path = NamespacePath::parse(many->paths[index]);
    if (many->what == Many::What::stat) {
      Result<FileView> file = path ? Result<FileView>() : Result<FileView>(path.error());
      if (path) file = co_await parts_.metadata.stat(std::move(*path), Freshness::cached, many->deadline);
      many->files[index] = std::move(file);
    } else {
      Result<ResolvedView> found = path ? Result<ResolvedView>() : Result<ResolvedView>(path.error());
      if (path) found = co_await parts_.metadata.resolve(std::move(*path), Freshness::cached, many->deadline);
      // Each block names the file again; about 100 bytes more.
      if (found) many->answer_bytes += found->blocks.size() * (many->paths[index].size() + 100);
      many->resolved[index] = std::move(found);
    }
    if (++turn % paths_per_turn == 0) co_await asio::post(parts_.names, asio::use_awaitable);
  }
  co_return ok();
}

Task<> MasterService::run_lane(std::shared_ptr<Many> many) {
  Status ran = co_await run_on(parts_.names, answer_many(many));
  if (--many->running == 0) many->done->land(ok());
  co_return ran;
}

Task<> MasterService::run_lanes(std::shared_ptr<Many> many) {
  const std::size_t lanes = std::clamp<std::size_t>(many->paths.size() / paths_per_lane, 1, max_lanes);
  many->running = lanes;
  for (std::size_t i = 1; i < lanes; ++i) {
    const Status started = tasks_.spawn(run_lane(many), "many_names");
    if (!started) --many->running;
  }
  CO_CHECK_OK(co_await run_lane(many));
  Status landed = co_await board_.wait(many->done, many->deadline, "asking for " + std::to_string(many->paths.size()) + " names");
  co_return landed;
}

MasterService::Answer MasterService::stat_many(Call call) {
  CO_TRY(request, parse_body<proto::StatManyRequest>(*call));
  if (request.paths_size() > max_paths) co_return too_many(request.paths_size());
  std::vector<std::string> paths(request.paths().begin(), request.paths().end());
  auto many = std::make_shared<Many>(Many::What::stat, std::move(paths), bounded_deadline(*call, parts_.clock));
  CO_CHECK_OK(co_await run_lanes(many));
  proto::StatManyReply reply;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < many->next && !is_full(i, bytes); ++i) {
    proto::StatManyReply::Item& item = *reply.add_items();
    const Status fared = status_of(many->files[i]);
    if (!fared) outcome_to_wire(fared, *item.mutable_outcome());
    if (fared) to_wire(*many->files[i], *item.mutable_info());
    bytes += item.ByteSizeLong();
  }
  co_return reply_with(reply);
}

MasterService::Answer MasterService::resolve_many(Call call) {
  CO_TRY(request, parse_body<proto::ResolveManyRequest>(*call));
  if (request.paths_size() > max_paths) co_return too_many(request.paths_size());
  Status tenant = check_tenant(request.tenant());
  if (!tenant) co_return std::move(tenant).error().with_context("resolving " + std::to_string(request.paths_size()) + " paths");
  std::vector<std::string> paths(request.paths().begin(), request.paths().end());
  auto many = std::make_shared<Many>(Many::What::resolve, std::move(paths), bounded_deadline(*call, parts_.clock));
  CO_CHECK_OK(co_await run_lanes(many));
  proto::ResolveManyReply reply;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < many->next && !is_full(i, bytes); ++i) {
    proto::ResolveManyReply::Item& item = *reply.add_items();
    const Status fared = status_of(many->resolved[i]);
    if (!fared) outcome_to_wire(fared, *item.mutable_outcome());
    if (fared) put_resolved(*many->resolved[i], request.tenant(), *item.mutable_file());
    bytes += item.ByteSizeLong();
  }
  co_return reply_with(reply);
}

}  // namespace hearth::master

#include "worker/observe_handlers.h"

#include "common/rng.h"
#include "proto/hearth.pb.h"
#include "worker/wire.h"

#include <utility>
#include <vector>

namespace hearth::worker {
namespace {

// A trace is one reply.
constexpr std::uint64_t max_trace_bytes = 32ULL << 20;
constexpr std::uint64_t default_memory_step_bytes = 1ULL << 30;
constexpr std::uint64_t default_nvme_step_bytes = 1ULL << 40;

std::vector<TierQuestion> questions(const std::vector<TierStatus>& tiers, const proto::WhatIfRequest& request) {
  TierQuestion memory{.tier = "memory", .step_bytes = default_memory_step_bytes};
  TierQuestion nvme{.tier = "nvme", .step_bytes = default_nvme_step_bytes};
  if (request.memory_step_bytes() != 0) memory.step_bytes = request.memory_step_bytes();
  if (request.nvme_step_bytes() != 0) nvme.step_bytes = request.nvme_step_bytes();
  for (const TierStatus& tier : tiers) {
    (tier.directory.empty() ? memory : nvme).capacity_bytes += tier.capacity_bytes;
  }
  return {memory, nvme};
}

}  // namespace

Task<ServerReply> ObserveHandlers::whatif(std::shared_ptr<ServerCall> call) {
  proto::WhatIfRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  const std::vector<TierQuestion> asked = questions(service_.tiers.status(), request);
  const WhatIfReport report = service_.tiers.observer().report(asked);
  proto::WhatIfReply body;
  body.set_requests_per_second(report.requests_per_second);
  body.set_bytes_per_second(report.bytes_per_second);
  body.set_sampling_rate(report.sampling_rate);
  body.set_samples(report.samples);
  for (const TierAnswer& answer : report.tiers) {
    proto::WhatIfReply::Tier& tier = *body.add_tiers();
    tier.set_name(answer.tier);
    tier.set_capacity_bytes(answer.capacity_bytes);
    tier.set_step_bytes(answer.step_bytes);
    tier.set_hit_ratio(answer.hit_ratio);
    tier.set_hit_ratio_after(answer.hit_ratio_after);
    tier.set_saved_requests_per_second(answer.saved_requests_per_second);
    tier.set_saved_bytes_per_second(answer.saved_bytes_per_second);
    tier.set_raised_requests_per_second(answer.raised_requests_per_second);
  }
  for (const WhatIfReport::Point& point : report.curve) {
    proto::WhatIfReply::Point& out = *body.add_curve();
    out.set_capacity_bytes(point.capacity_bytes);
    out.set_hit_ratio(point.hit_ratio);
    out.set_byte_hit_ratio(point.byte_hit_ratio);
  }
  co_return reply_with(body);
}

Task<ServerReply> ObserveHandlers::trace(std::shared_ptr<ServerCall> call) {
  proto::TraceRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  ReadObserver& observer = service_.tiers.observer();
  proto::TraceReply body;
  if (request.action() == proto::TraceRequest::STOP) {
    if (const TraceRecorder* recorded = observer.trace()) {
      body.set_records(recorded->records());
      body.set_overwritten(recorded->overwritten());
    }
    CO_TRY(encoded, observer.stop_trace());
    ServerReply reply = reply_with(body);
    reply.payload = std::move(encoded);
    co_return reply;
  }
  if (request.max_bytes() > max_trace_bytes) {
    co_return Error(Code::invalid_argument, "a trace of " + std::to_string(request.max_bytes()) +
                                                " bytes is more than the 32 MiB of one; sample fewer pages instead");
  }
  TraceOptions options;
  options.max_bytes = request.max_bytes() == 0 ? max_trace_bytes : request.max_bytes();
  options.sampling_rate = request.sampling_rate() == 0 ? 1.0 : request.sampling_rate();
  options.started_at = service_.clock.wall_now().time_since_epoch();
  switch (request.paths()) {
    case proto::TraceRequest::PLAIN: options.paths = TraceInfo::Paths::plain; break;
    case proto::TraceRequest::HASHED: options.paths = TraceInfo::Paths::hashed; break;
    default: break;
  }
  if (options.paths == TraceInfo::Paths::hashed) options.key = {system_rng().next(), system_rng().next()};
  CO_CHECK_OK(observer.start_trace(options));
  co_return reply_with(body);
}

}  // namespace hearth::worker

// The calls to each worker about the reads it serves.
#include "client/src/client_impl.h"

#include "proto/hearth.pb.h"

#include <memory>

namespace hearth {
namespace {

// The largest trace (32 MiB) with its header and table of files.
constexpr std::size_t trace_room_bytes = 40U << 20;

WorkerWhatIf to_whatif(std::uint64_t worker_id, const proto::WhatIfReply& message) {
  WorkerWhatIf out;
  out.worker_id = worker_id;
  out.requests_per_second = message.requests_per_second();
  out.bytes_per_second = message.bytes_per_second();
  out.sampling_rate = message.sampling_rate();
  out.samples = message.samples();
  for (const auto& tier : message.tiers()) {
    out.tiers.push_back({.name = tier.name(),
                         .capacity_bytes = tier.capacity_bytes(),
                         .step_bytes = tier.step_bytes(),
                         .hit_ratio = tier.hit_ratio(),
                         .hit_ratio_after = tier.hit_ratio_after(),
                         .saved_requests_per_second = tier.saved_requests_per_second(),
                         .saved_bytes_per_second = tier.saved_bytes_per_second(),
                         .raised_requests_per_second = tier.raised_requests_per_second()});
  }
  for (const auto& point : message.curve()) {
    out.curve.push_back({point.capacity_bytes(), point.hit_ratio(), point.byte_hit_ratio()});
  }
  return out;
}

}  // namespace

// One after the other: there are few workers, and the first that does not answer is named.
Task<RpcReply> ClientImpl::ask_worker(WorkerStatus worker, Method method, std::string body,
                                      google::protobuf::MessageLite* reply, std::span<std::byte> into) {
  const auto reach = parts_->peers.reach(WorkerId{worker.id});
  if (!reach) co_return Error(Code::unavailable, "worker " + worker.address + " can not be reached from here");
  RpcCall call;
  call.method = method;
  call.body = std::move(body);
  call.into = into;
  const Deadline deadline = metadata_deadline();
  Result<RpcReply> answer = co_await client::call_and_decode(reach->channel, std::move(call), reply, deadline);
  if (!answer) co_return std::move(answer).error().with_context("worker " + worker.address);
  co_return answer;
}

Task<std::vector<WorkerStatus>> ClientImpl::live_workers() {
  CO_TRY(all, co_await workers());
  std::vector<WorkerStatus> live;
  for (WorkerStatus& worker : all) {
    if (worker.state != "lost") live.push_back(std::move(worker));
  }
  co_return live;
}

Task<std::vector<WorkerWhatIf>> ClientImpl::what_if(std::uint64_t memory_step_bytes, std::uint64_t nvme_step_bytes) {
  CO_TRY(asked, co_await live_workers());
  proto::WhatIfRequest request;
  request.set_memory_step_bytes(memory_step_bytes);
  request.set_nvme_step_bytes(nvme_step_bytes);
  const std::string body = request.SerializeAsString();
  std::vector<WorkerWhatIf> answers;
  const std::span<std::byte> nowhere;
  for (const WorkerStatus& worker : asked) {
    proto::WhatIfReply reply;
    Result<RpcReply> answer = co_await ask_worker(worker, Method::whatif, body, &reply, nowhere);
    if (!answer) co_return std::move(answer).error();
    answers.push_back(to_whatif(worker.id, reply));
  }
  co_return answers;
}

Task<> ClientImpl::start_trace(TracePlan plan) {
  CO_TRY(asked, co_await live_workers());
  proto::TraceRequest request;
  request.set_action(proto::TraceRequest::START);
  request.set_max_bytes(plan.max_bytes);
  request.set_sampling_rate(plan.sampling_rate);
  request.set_paths(plan.paths == TracePlan::Paths::plain    ? proto::TraceRequest::PLAIN
                    : plan.paths == TracePlan::Paths::hashed ? proto::TraceRequest::HASHED
                                                             : proto::TraceRequest::NONE);
  const std::string body = request.SerializeAsString();
  const std::span<std::byte> nowhere;
  for (const WorkerStatus& worker : asked) {
    proto::TraceReply reply;
    Result<RpcReply> answer = co_await ask_worker(worker, Method::trace, body, &reply, nowhere);
    if (!answer) co_return std::move(answer).error();
  }
  co_return ok();
}

Task<std::vector<WorkerTrace>> ClientImpl::stop_trace() {
  CO_TRY(asked, co_await live_workers());
  proto::TraceRequest request;
  request.set_action(proto::TraceRequest::STOP);
  const std::string body = request.SerializeAsString();
  std::vector<WorkerTrace> traces;
  auto room = std::make_unique_for_overwrite<std::byte[]>(trace_room_bytes);
  const std::span<std::byte> into(room.get(), trace_room_bytes);
  for (const WorkerStatus& worker : asked) {
    proto::TraceReply reply;
    Result<RpcReply> answer = co_await ask_worker(worker, Method::trace, body, &reply, into);
    if (!answer) co_return std::move(answer).error();
    WorkerTrace trace;
    trace.worker_id = worker.id;
    trace.records = reply.records();
    trace.overwritten = reply.overwritten();
    trace.bytes.assign(reinterpret_cast<const char*>(room.get()), answer->payload_bytes);
    traces.push_back(std::move(trace));
  }
  co_return traces;
}

}  // namespace hearth

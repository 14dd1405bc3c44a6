// MasterService: what workers say.
#include "master/master_service.h"
#include "master/wire.h"

#include "common/log.h"

namespace hearth::master {

namespace {

std::uint64_t whole_ms(Duration duration) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

}  // namespace

MasterService::Answer MasterService::register_worker(Call call) {
  CO_TRY(request, parse_body<proto::RegisterWorkerRequest>(*call));
  const WorkerId worker{request.worker().worker_id()};
  if (worker.value == 0) {
    co_return Error(Code::invalid_argument, "a worker registered with the id 0; its data directory is damaged, remove its id file");
  }
  CO_TRY(figures, figures_from_wire(request.worker()));
  if (figures.version.empty()) figures.version = request.version();
  if (figures.version != options_.version) {
    log_warn("worker_version_differs", {{"worker", worker.value}, {"worker_version", figures.version}, {"master_version", options_.version}});
  }
  log_info("worker_registered", {{"worker", worker.value}, {"address", figures.address}, {"capacity_bytes", figures.capacity_bytes}});
  proto::RegisterWorkerReply reply;
  reply.set_epoch(membership_.register_worker(worker, std::move(figures), parts_.clock.now()));
  reply.set_heartbeat_interval_ms(whole_ms(options_.heartbeat_interval));
  reply.set_lost_after_ms(whole_ms(options_.lost_after));
  for (const AttachmentRow& row : attachments_.rows) to_wire(row, *reply.add_attachments());
  reply.set_attachments_version(attachments_.version);
  reply.set_cluster_id(parts_.metadata.cluster_id());
  reply.set_policy_version(policy_version_);
  co_return reply_with(reply);
}

MasterService::Answer MasterService::heartbeat(Call call) {
  CO_TRY(request, parse_body<proto::HeartbeatRequest>(*call));
  CO_TRY(report, report_from_wire(request));
  std::optional<WorkerFigures> figures;
  if (request.has_worker()) {
    CO_TRY(given, figures_from_wire(request.worker()));
    figures = std::move(given);
  }
  CO_TRY(next, membership_.heartbeat(report, std::move(figures), parts_.clock.now()));
  proto::HeartbeatReply reply;
  reply.set_send_full_report(next == NextReport::full);
  reply.set_attachments_version(attachments_.version);
  reply.set_policy_version(policy_version_);
  if (request.attachments_version() != attachments_.version) {
    reply.set_attachments_changed(true);
    for (const AttachmentRow& row : attachments_.rows) to_wire(row, *reply.add_attachments());
  }
  co_return reply_with(reply);
}

MasterService::Answer MasterService::deregister_worker(Call call) {
  CO_TRY(request, parse_body<proto::DeregisterWorkerRequest>(*call));
  const WorkerId worker{request.worker_id()};
  CO_CHECK_OK(membership_.deregister(worker, request.epoch()));
  log_info("worker_left", {{"worker", worker.value}});
  const proto::DeregisterWorkerReply reply;
  co_return reply_with(reply);
}

}  // namespace hearth::master

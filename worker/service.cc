#include "worker/service.h"

#include "worker/master_link.h"

#include <algorithm>
#include <string>
#include <utility>

namespace hearth::worker {
namespace {

constexpr Duration longest_answer = std::chrono::milliseconds(200);

}  // namespace

Task<> admit_block(Service& service, BlockRef block, Deadline deadline) {
  Status asked = ok();
  if (!service.attachments.knows(block.attachment)) {
    asked = co_await service.master.refresh_attachments(deadline);
  }
  if (service.attachments.knows(block.attachment)) co_return ok();
  if (!asked) {
    const std::string what = "attachment " + std::to_string(block.attachment.value) + " is not known here yet";
    co_return Error(Code::unavailable, what + ", and the master could not be asked: " + asked.error().message());
  }
  co_return service.attachments.check(block);
}

Deadline bounded_deadline(const Service& service, const ServerCall& call) {
  const Deadline bound = Deadline::after(service.clock, service.options.max_call_time);
  if (call.deadline().is_never()) return bound;
  const Duration left = call.deadline().remaining(service.clock.now());
  const Duration for_the_answer = std::min<Duration>(left / 10, longest_answer);
  return bound.sooner_of(Deadline::after(service.clock, left - for_the_answer));
}

PageRunOptions run_options(const Service& service, const BlockRef& block) {
  PageRunOptions options;
  options.window = service.options.fetch_parallelism;
  options.pages_per_read = service.attachments.pages_per_read(block.attachment);
  return options;
}

namespace {

// Cells of one method; they live as long as the process's registry.
struct MethodMetrics {
  explicit MethodMetrics(Method served)
      : method(served), seconds(metrics().histogram(described::request_seconds, {std::string(name(served))})),
        succeeded(metrics().counter(described::requests_total, {std::string(name(served)), "ok"})) {}
  Method method;
  HistogramMetric& seconds;
  Counter& succeeded;
};

Task<ServerReply> run_measured(std::shared_ptr<const MethodMetrics> measured, Clock* clock, Operation operation,
                               std::shared_ptr<ServerCall> call) {
  const TimePoint began = clock->now();
  Result<ServerReply> reply = co_await operation(call);
  measured->seconds.observe(clock->now() - began);
  if (reply) {
    measured->succeeded.add();
  } else {
    const std::string method_name(name(measured->method));
    metrics().counter(described::requests_total, {method_name, std::string(name(reply.code()))}).add();
  }
  co_return reply;
}

}  // namespace

void serve(RpcServer& server, Clock& clock, Method method, Operation operation) {
  auto measured = std::make_shared<const MethodMetrics>(method);  // shared with calls under way
  Clock* time = &clock;
  server.handle(method, [measured, time, operation = std::move(operation)](std::shared_ptr<ServerCall> call) {
    return run_measured(measured, time, operation, std::move(call));
  });
}

}  // namespace hearth::worker

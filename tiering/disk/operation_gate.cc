#include "tiering/disk/operation_gate.h"

#include <boost/asio/post.hpp>

#include <memory>

namespace hearth::disk {

Task<> OperationGate::enter() {
  if (closed_) co_return Error(Code::unavailable, "the disk is shut down");
  if (in_flight_ < depth_ && waiting_.empty()) {
    ++in_flight_;
    co_return ok();
  }
  if (waiting_.size() >= max_waiting_) {
    co_return Error(Code::overloaded, std::to_string(waiting_.size()) + " operations wait for the disk; try again later");
  }
  auto start = [this](Completion<> done) { waiting_.push_back(std::move(done)); };
  auto entered = co_await await_completion<>(start);
  co_return entered;
}

// Posted, since a chain of direct resumptions would be as deep on the stack as the queue is long.
void OperationGate::resume(Completion<> one) {
  asio::post(executor_, [done = std::move(one)]() mutable { done(ok()); });
}

void OperationGate::leave() {
  assert(in_flight_ > 0);
  if (!waiting_.empty()) {
    Completion<> next = std::move(waiting_.front());
    waiting_.pop_front();
    resume(std::move(next));
    return;
  }
  if (--in_flight_ > 0) return;
  for (Completion<>& each : std::exchange(drainers_, {})) resume(std::move(each));
}

Task<> OperationGate::drain() {
  closed_ = true;
  if (in_flight_ == 0) co_return ok();
  auto start = [this](Completion<> done) { drainers_.push_back(std::move(done)); };
  auto drained = co_await await_completion<>(start);
  co_return drained;
}

}  // namespace hearth::disk

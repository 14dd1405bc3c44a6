#include "common/net/server_connection.h"

#include "common/log.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <exception>
#include <utility>

namespace hearth {
namespace {

// How often a handler that goes on after its end was asked for is asked again.
constexpr Duration ask_again_every = std::chrono::milliseconds(100);

std::string describe_exception() {
  try {
    throw;
  } catch (const std::exception& caught) {
    return caught.what();
  } catch (...) {
    return "not a std::exception";
  }
}

}  // namespace

// ---- a call ------------------------------------------------------------------------------

ServedCall::ServedCall(std::shared_ptr<ServerConnection> owner, Frame frame, Deadline deadline)
    : owner_(std::move(owner)),
      header_(frame.header),
      body_(std::move(frame.body)),
      fds_(std::move(frame.fds)),
      deadline_(deadline),
      canceller_(owner_->executor()) {}

const PeerIdentity& ServedCall::peer() const {
  return owner_->peer();
}
ConnectionId ServedCall::connection() const {
  return owner_->id();
}

void ServedCall::cancel(Error why) {
  if (!cancelled_) cancelled_ = std::move(why);
  canceller_.cancel();
}

Task<> ServedCall::send_part(std::uint64_t offset, std::vector<std::span<const std::byte>> parts,
                             std::uint32_t crc32c) {
  if (cancelled_) co_return *cancelled_;
  OutgoingFrame frame;
  frame.header.kind = FrameKind::part;
  frame.header.method = header_.method;
  frame.header.request_id = header_.request_id;
  frame.header.flags = FrameHeader::payload_checksummed;
  frame.header.payload_offset = offset;
  frame.header.payload_crc32c = crc32c;
  frame.parts = std::move(parts);
  co_return co_await owner_->link().send(std::move(frame));
}

// ---- the connection ----------------------------------------------------------------------

ServerConnection::ServerConnection(RpcContext context, ConnectionId id, std::shared_ptr<const HandlerTable> handlers,
                                   std::shared_ptr<ConnectionObserver> observer)
    : context_(std::move(context)), id_(id), handlers_(std::move(handlers)), observer_(std::move(observer)) {}

ServerConnection::~ServerConnection() {
  if (alarm_) alarm_->stop();
}

void ServerConnection::start(std::unique_ptr<Stream> stream) {
  peer_ = stream->peer();
  link_ = std::make_shared<FrameLink>(context_, std::move(stream), FrameLimits::before_hello());
  alarm_ = Alarm::make(context_.executor, context_.clock, [this] { look_around(); });
  hello_by_ = context_.clock.now() + context_.limits.hello_within;
  alarm_->ring_by(hello_by_);
  link_->start(shared_from_this());
}

void ServerConnection::notify(Method method, std::string body) {
  if (!greeted_) return;
  OutgoingFrame frame;
  frame.header.kind = FrameKind::notice;
  frame.header.method = method;
  frame.body = std::move(body);
  link_->post(std::move(frame));
}

void ServerConnection::say_goodbye() {
  if (!greeted_) return close();
  OutgoingFrame frame;
  frame.header.kind = FrameKind::goaway;
  link_->post(std::move(frame));
}

Status ServerConnection::on_frame(Frame frame) {
  const FrameKind kind = frame.header.kind;
  if (!greeted_) {
    if (kind == FrameKind::hello) return on_hello(frame);
    return Error(Code::bad_frame, "a " + std::string(name(kind)) + " frame came before the hello");
  }
  switch (kind) {
    case FrameKind::request:
      return on_request(std::move(frame));
    case FrameKind::ping: {
      OutgoingFrame pong;
      pong.header.kind = FrameKind::pong;
      pong.header.request_id = frame.header.request_id;
      link_->post(std::move(pong));
      return ok();
    }
    case FrameKind::cancel: {
      const auto call = calls_.find(frame.header.request_id);
      // Its answer may be on the way already.
      if (call != calls_.end()) call->second->cancel(Error(Code::cancelled, "the caller gave up"));
      return ok();
    }
    default:
      return Error(Code::bad_frame, "an unexpected " + std::string(name(kind)) + " frame");
  }
}

Status ServerConnection::on_hello(const Frame& frame) {
  TRY(theirs, decode_hello(frame.body));
  const Hello ours{.build = std::string(build_version())};
  auto chosen = choose_version(ours, theirs);
  OutgoingFrame reply;
  reply.header.kind = FrameKind::hello_reply;
  if (chosen) {
    greeted_ = true;
    link_->set_limits(FrameLimits::after_hello(context_.limits.max_body_bytes, context_.limits.max_payload_bytes));
    const Hello answer{.min_version = *chosen, .max_version = *chosen, .build = ours.build};
    reply.body = encode(answer);
    link_->post(std::move(reply));
    return ok();
  }
  log_warn("peer_version_mismatch", {{"peer", peer_.address}, {"error", chosen.error().message()}});
  reply.header.code = Code::version_mismatch;
  reply.body = chosen.error().message();
  link_->post(std::move(reply));
  link_->close_when_written(std::move(chosen).error());
  return ok();
}

Status ServerConnection::on_request(Frame frame) {
  const std::uint64_t id = frame.header.request_id;
  if (calls_.contains(id)) return Error(Code::bad_frame, "request id " + std::to_string(id) + " is in use already");
  const RpcLimits& limits = context_.limits;
  if (calls_.size() >= limits.max_in_flight ||
      body_bytes_ + frame.body.size() > std::max<std::uint64_t>(limits.max_queued_bytes, limits.max_body_bytes)) {
    refuse(id, Error(Code::overloaded, "too many calls of this connection are being served; try again later"));
    return ok();
  }
  const auto handler = handlers_->find(frame.header.method);
  if (handler == handlers_->end()) {
    refuse(id, Error(Code::unsupported, "this process does not serve " + std::string(name(frame.header.method)) +
                                            "; check that the address is the right one and both run the same release"));
    return ok();
  }
  Deadline deadline = Deadline::never();
  if (frame.header.deadline_ms != no_deadline_ms) {
    deadline = Deadline::after(context_.clock, std::chrono::milliseconds(frame.header.deadline_ms));
    alarm_->ring_by(deadline.when());
  }
  auto call = std::make_shared<ServedCall>(shared_from_this(), std::move(frame), deadline);
  calls_.emplace(id, call);
  body_bytes_ += call->body_bytes();
  auto done = [self = shared_from_this(), call](const std::exception_ptr&, const Status&) { self->ended(call); };
  asio::co_spawn(context_.executor, serve(call, handler->second),
                 asio::bind_cancellation_slot(call->slot(), std::move(done)));
  return ok();
}

void ServerConnection::refuse(std::uint64_t request_id, Error error) {
  OutgoingFrame frame;
  frame.header.kind = FrameKind::reply;
  frame.header.request_id = request_id;
  frame.header.code = error.code();
  frame.body = std::move(error).message();
  link_->post(std::move(frame));
}

Task<> ServerConnection::serve(std::shared_ptr<ServedCall> call, Handler handler) {
  co_await asio::this_coro::throw_if_cancelled(false);
  Result<ServerReply> result;
  try {
    Task<ServerReply> running = handler(call);
    result = co_await std::move(running);
  } catch (...) {
    const std::string what = describe_exception();
    log_error("handler_threw", {{"method", name(call->method())}, {"what", what}});
    result = Error(Code::internal, "serving " + std::string(name(call->method())) + " failed: " + what);
  }
  co_return co_await call->owner().answer(call, std::move(result));
}

Task<> ServerConnection::answer(std::shared_ptr<ServedCall> call, Result<ServerReply> result) {
  if (call->cancelled()) {
    if (call->cancelled()->code() != Code::deadline_exceeded) co_return ok();
    if (!result) result = *call->cancelled();
  }
  OutgoingFrame frame;
  frame.header.kind = FrameKind::reply;
  frame.header.method = call->method();
  frame.header.request_id = call->request_id();
  const RpcLimits& limits = context_.limits;
  if (result && (result->body.size() > limits.max_body_bytes || result->payload.size() > limits.max_payload_bytes)) {
    result = Error(Code::internal,
                   "the reply to " + std::string(name(call->method())) + " is longer than the protocol allows");
  }
  if (result && !result->fds.empty() && (!peer_.is_local || result->fds.size() > max_fds_per_frame)) {
    result = Error(Code::internal,
                   "descriptors of " + std::string(name(call->method())) + " cannot travel over this connection");
  }
  if (result) {
    frame.body = std::move(result->body);
    frame.payload = std::move(result->payload);
    frame.fds = std::move(result->fds);
  } else {
    frame.header.code = result.code();
    frame.body = result.error().message();
  }
  co_return co_await link_->send(std::move(frame));
}

void ServerConnection::ended(const std::shared_ptr<ServedCall>& call) {
  body_bytes_ -= call->body_bytes();
  calls_.erase(call->request_id());
  if (!calls_.empty()) return;
  observer_->on_idle();
  report_if_gone();
}

// ---- time and end ------------------------------------------------------------------------

void ServerConnection::look_around() {
  const auto keep = shared_from_this();
  const TimePoint now = context_.clock.now();
  if (!greeted_) {
    if (now >= hello_by_) return link_->close(Error(Code::unauthenticated, "no hello came in time"));
    alarm_->ring_by(hello_by_);
  }
  TimePoint next = TimePoint::max();
  std::vector<std::shared_ptr<ServedCall>> late;
  for (const auto& [id, call] : calls_) {
    const bool asked = call->cancelled().has_value();
    if (asked || call->deadline().expired(now)) {
      late.push_back(call);
    } else {
      next = std::min(next, call->deadline().when());
    }
  }
  for (const auto& call : late)
    call->cancel(Error(Code::deadline_exceeded, std::string(name(call->method())) + " was not done in time"));
  if (!late.empty()) next = std::min(next, now + ask_again_every);
  if (next != TimePoint::max()) alarm_->ring_by(next);
  const Duration patience = context_.limits.dead_after * 5;
  const TimePoint stuck = link_->waiting_for_peer_since();
  if (stuck != TimePoint::max() && now - stuck >= patience) {
    link_->close(Error(Code::unavailable, "the peer made no progress"));
  }
  if (!link_->closed()) alarm_->ring_by(stuck == TimePoint::max() ? now + patience : stuck + patience);
}

void ServerConnection::cancel_calls(const Error& why) {
  std::vector<std::shared_ptr<ServedCall>> calls;
  for (const auto& [id, call] : calls_) calls.push_back(call);
  for (const auto& call : calls) call->cancel(why);
  if (!calls.empty()) alarm_->ring_by(context_.clock.now() + ask_again_every);
}

void ServerConnection::on_closed(const Error& why) {
  if (why.code() == Code::bad_frame)
    log_warn("peer_sent_bad_frame", {{"peer", peer_.address}, {"error", why.message()}});
  if (why.code() == Code::overloaded)
    log_warn("slow_peer_disconnected", {{"peer", peer_.address}, {"error", why.message()}});
  cancel_calls(Error(Code::cancelled, "the caller's connection is gone"));
}

void ServerConnection::on_finished() {
  link_finished_ = true;
  report_if_gone();
}

void ServerConnection::report_if_gone() {
  if (!link_finished_ || !calls_.empty()) return;
  alarm_->stop();
  observer_->on_gone(id_);
}

}  // namespace hearth

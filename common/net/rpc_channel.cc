// The calling end of a connection (contract: rpc.h).
#include "common/net/alarm.h"
#include "common/net/frame_link.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <unordered_map>
#include <utility>

namespace hearth {
namespace {

class ChannelCore;

// A call that waits, in the frame of its coroutine; takes itself off the list when it goes.
struct Pending {
  Pending() = default;
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;
  ~Pending();

  std::shared_ptr<ChannelCore> channel;
  std::uint64_t id = 0;
  RpcCall call;
  std::vector<UniqueFd> fds;  // of call.fds, to be sent
  Deadline deadline = Deadline::never();
  bool sent = false;
  std::optional<Error> given_up;  // ends with this as soon as nothing writes into its memory
  RpcReply reply;
  Result<RpcReply> result;
  Waiter waiter;
};

// Everything of a channel that its coroutines may outlive it with; hence shared.
class ChannelCore final : public LinkOwner, public std::enable_shared_from_this<ChannelCore> {
 public:
  ChannelCore(RpcContext context, Address peer) : context_(std::move(context)), peer_(std::move(peer)) {}

  static Task<RpcReply> call(std::shared_ptr<ChannelCore> self, RpcCall call, Deadline deadline);
  void close();
  bool connected() const { return state_ == State::ready; }
  std::uint64_t connections_made() const { return connections_made_; }
  void forget(std::uint64_t id) { pending_.erase(id); }

  NoticeHandler notice_handler;
  std::function<void()> disconnect_handler;

 private:
  enum class State : std::uint8_t { idle, connecting, greeting, ready, leaving, closed };

  Status admit(const RpcCall& call, Deadline deadline) const;
  void begin(Pending& pending);
  void transmit(Pending& pending);
  void give_up(Pending& pending, Error why);
  void finish(Pending& pending, Result<RpcReply> result);
  void fail_all(const Error& why);

  void connect();
  static Task<> open_stream(std::shared_ptr<ChannelCore> self);
  void greet(std::unique_ptr<Stream> stream);
  Status greeted(const Frame& frame);

  std::span<std::byte> payload_target(const FrameHeader& header) override;
  Status on_frame(Frame frame) override;
  void on_target_released(std::uint64_t request_id) override;
  void on_closed(const Error& why) override;
  void on_finished() override {}
  void on_reply(Frame frame);
  void on_notice(Frame frame) {
    const NoticeHandler handler = notice_handler;  // it may close this channel
    if (handler) handler(frame.header.method, std::move(frame.body));
  }
  bool took_payload(Pending& pending, const Frame& frame);

  void start_alarm();
  void look_around();
  void look_at_calls(TimePoint now);
  void look_at_peer(TimePoint now);
  TimePoint quiet_since() const { return std::max(link_->last_received(), calls_since_); }
  Error closed_error() const {
    return Error(Code::cancelled, "the connection to " + peer_.to_string() + " was closed by this process");
  }

  // Set once
  RpcContext context_;
  Address peer_;
  // Executor only
  State state_ = State::idle;
  std::uint64_t last_id_ = 0;
  std::uint64_t connections_made_ = 0;
  std::unordered_map<std::uint64_t, Pending*> pending_;
  std::shared_ptr<FrameLink> link_;
  std::shared_ptr<Alarm> alarm_;
  Canceller connect_canceller_{context_.executor};
  TimePoint attempt_ends_;
  TimePoint calls_since_;  // since when calls are outstanding without a break
  TimePoint pinged_at_ = TimePoint::max();
};

Pending::~Pending() {
  if (channel) channel->forget(id);
}

// ---- calls -------------------------------------------------------------------------------

Status ChannelCore::admit(const RpcCall& call, Deadline deadline) const {
  if (state_ == State::closed) return closed_error();
  if (state_ == State::leaving)
    return Error(Code::unavailable, peer_.to_string() + " is shutting down; ask another one");
  if (call.body.size() > context_.limits.max_body_bytes) {
    return Error(Code::invalid_argument, "a " + std::string(name(call.method)) + " request of " +
                                             std::to_string(call.body.size()) +
                                             " bytes is longer than the protocol allows; split it");
  }
  if (!call.fds.empty() && (peer_.kind != Address::Kind::unix_socket || call.fds.size() > max_fds_per_frame)) {
    return Error(Code::invalid_argument, "descriptors of " + std::string(name(call.method)) + " can not travel over this connection");
  }
  if (pending_.size() >= context_.limits.max_in_flight) {
    return Error(Code::overloaded, "too many calls are outstanding at " + peer_.to_string() + "; try again later");
  }
  if (deadline.expired(context_.clock.now())) {
    return Error(Code::deadline_exceeded, "no time was left to ask " + peer_.to_string());
  }
  return ok();
}

Task<RpcReply> ChannelCore::call(std::shared_ptr<ChannelCore> self, RpcCall call, Deadline deadline) {
  auto admitted = self->admit(call, deadline);
  if (!admitted) co_return std::move(admitted).error();
  Pending pending;
  pending.channel = self;
  pending.call = std::move(call);
  pending.deadline = deadline;
  for (const int fd : pending.call.fds) {
    pending.fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!pending.fds.back()) co_return Error(Code::invalid_argument, "a descriptor to be sent can not be duplicated: " + std::string(std::strerror(errno)));
  }
  self->begin(pending);
  std::function<void()> on_cancel = [&pending] {
    pending.channel->give_up(
        pending, Error(Code::cancelled, std::string(name(pending.call.method)) + " was cancelled by its caller"));
  };
  co_await pending.waiter.wait(std::move(on_cancel));
  co_return std::move(pending.result);
}

void ChannelCore::begin(Pending& pending) {
  pending.id = ++last_id_;
  const TimePoint now = context_.clock.now();
  if (pending_.empty()) calls_since_ = now;
  pending_.emplace(pending.id, &pending);
  start_alarm();
  if (!pending.deadline.is_never()) alarm_->ring_by(pending.deadline.when());
  if (state_ == State::ready) {
    transmit(pending);
    alarm_->ring_by(now + context_.limits.ping_every);
  } else if (state_ == State::idle) {
    connect();
  }
}

void ChannelCore::transmit(Pending& pending) {
  OutgoingFrame frame;
  frame.header.kind = FrameKind::request;
  frame.header.method = pending.call.method;
  frame.header.request_id = pending.id;
  frame.header.trace = pending.call.trace;
  if (!pending.deadline.is_never()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(pending.deadline.remaining(context_.clock.now()));
    frame.header.deadline_ms =
        static_cast<std::uint32_t>(std::clamp<std::int64_t>(left.count(), 1, no_deadline_ms - 1));
  }
  frame.body = std::move(pending.call.body);
  frame.fds = std::move(pending.fds);
  pending.sent = true;
  link_->post(std::move(frame));
}

// Ends a call that the peer has not answered. Its memory may be in use by the stream at this moment: then
// the end waits until the stream let go of it.
void ChannelCore::give_up(Pending& pending, Error why) {
  if (pending.given_up || !pending_.contains(pending.id)) return;
  const bool reachable = pending.sent && link_ && !link_->closed();
  if (reachable) {
    OutgoingFrame frame;
    frame.header.kind = FrameKind::cancel;
    frame.header.request_id = pending.id;
    link_->post(std::move(frame));
  }
  if (!pending_.contains(pending.id)) return;  // posting closed the link, which ended the call
  if (reachable && link_->reads_into_target_of(pending.id)) {
    pending.given_up = std::move(why);
    link_->release_target();
    return;
  }
  finish(pending, std::move(why));
}

void ChannelCore::on_target_released(std::uint64_t request_id) {
  const auto entry = pending_.find(request_id);
  if (entry == pending_.end() || !entry->second->given_up) return;
  Error why = std::move(*entry->second->given_up);
  finish(*entry->second, std::move(why));
}

void ChannelCore::finish(Pending& pending, Result<RpcReply> result) {
  pending_.erase(pending.id);
  pending.result = std::move(result);
  pending.waiter.wake();
}

void ChannelCore::fail_all(const Error& why) {
  // Waking does not resume anybody now, so nothing is added meanwhile.
  for (const auto& [id, pending] : std::exchange(pending_, {})) {
    pending->result = pending->given_up ? std::move(*pending->given_up) : why;
    pending->waiter.wake();
  }
}

void ChannelCore::close() {
  if (std::exchange(state_, State::closed) == State::closed) return;
  connect_canceller_.cancel();
  notice_handler = nullptr;
  disconnect_handler = nullptr;
  if (link_) link_->close(closed_error());
  fail_all(closed_error());
  if (alarm_) alarm_->stop();
}

// ---- connecting --------------------------------------------------------------------------

void ChannelCore::connect() {
  state_ = State::connecting;
  attempt_ends_ = context_.clock.now() + context_.limits.hello_within;
  alarm_->ring_by(attempt_ends_);
  auto ended = [self = shared_from_this()](const std::exception_ptr& exception, Status status) {
    if (self->state_ != State::connecting) return;
    if (!exception && status) return;
    self->state_ = State::idle;
    const bool timed_out = self->context_.clock.now() >= self->attempt_ends_;
    if (timed_out || exception) {
      status =
          Error(Code::unavailable, "no answer from " + self->peer_.to_string() + "; check the address and firewalls");
    }
    self->fail_all(status.error());
  };
  asio::co_spawn(context_.executor, open_stream(shared_from_this()),
                 asio::bind_cancellation_slot(connect_canceller_.slot(), std::move(ended)));
}

Task<> ChannelCore::open_stream(std::shared_ptr<ChannelCore> self) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const Deadline deadline = Deadline::at(self->attempt_ends_);
  auto stream = co_await self->context_.transport.connect(self->peer_, deadline);
  if (!stream) {
    // A call fails with deadline_exceeded by its own deadline only.
    if (stream.code() != Code::deadline_exceeded) co_return std::move(stream).error();
    co_return Error(Code::unavailable, stream.error().message());
  }
  if (self->state_ == State::connecting) self->greet(*std::move(stream));
  co_return ok();
}

void ChannelCore::greet(std::unique_ptr<Stream> stream) {
  state_ = State::greeting;
  link_ = std::make_shared<FrameLink>(context_, std::move(stream), FrameLimits::before_hello());
  link_->start(shared_from_this());
  OutgoingFrame frame;
  frame.header.kind = FrameKind::hello;
  const Hello hello{.build = std::string(build_version())};
  frame.body = encode(hello);
  link_->post(std::move(frame));
}

Status ChannelCore::greeted(const Frame& frame) {
  if (frame.header.code != Code::ok) {
    return Error(frame.header.code, "connecting to " + peer_.to_string() + ": " + frame.body);
  }
  TRY(theirs, decode_hello(frame.body));
  const Hello ours{.build = std::string(build_version())};
  CHECK_OK(choose_version(ours, theirs));
  link_->set_limits(FrameLimits::after_hello(context_.limits.max_body_bytes, context_.limits.max_payload_bytes));
  state_ = State::ready;
  ++connections_made_;
  pinged_at_ = TimePoint::max();
  std::vector<Pending*> unsent;
  for (const auto& [id, pending] : pending_) unsent.push_back(pending);
  std::ranges::sort(unsent, {}, &Pending::id);
  for (Pending* pending : unsent) {
    if (link_) transmit(*pending);
  }
  alarm_->ring_by(context_.clock.now() + context_.limits.ping_every);
  return ok();
}

void ChannelCore::on_closed(const Error& why) {
  const bool was_ready = state_ == State::ready || state_ == State::leaving;
  if (state_ != State::closed) state_ = State::idle;
  link_ = nullptr;
  // What the peer did wrong is for the log; to a call it means that the answer is unknown.
  const bool keep_code =
      why.code() == Code::version_mismatch || why.code() == Code::cancelled || why.code() == Code::unauthenticated;
  fail_all(keep_code ? why : Error(Code::unavailable, why.message()));
  if (was_ready && disconnect_handler) asio::post(context_.executor, disconnect_handler);
}

// ---- what arrives ------------------------------------------------------------------------

std::span<std::byte> ChannelCore::payload_target(const FrameHeader& header) {
  const auto entry = pending_.find(header.request_id);
  if (entry == pending_.end()) return {};  // came too late
  Pending& pending = *entry->second;
  const std::size_t room = pending.call.into.size();
  if (header.payload_offset > room || header.payload_length_bytes > room - header.payload_offset) {
    give_up(pending, Error(Code::bad_frame, "the reply of " + peer_.to_string() + " to " +
                                                std::string(name(pending.call.method)) + " is longer than asked for"));
    return {};
  }
  return pending.call.into.subspan(header.payload_offset, header.payload_length_bytes);
}

Status ChannelCore::on_frame(Frame frame) {
  const FrameKind kind = frame.header.kind;
  if (state_ == State::greeting) {
    if (kind == FrameKind::hello_reply) return greeted(frame);
    return Error(Code::bad_frame,
                 peer_.to_string() + " sent a " + std::string(name(kind)) + " frame before its hello_reply");
  }
  switch (kind) {
    case FrameKind::reply:
    case FrameKind::part:
      on_reply(std::move(frame));
      return ok();
    case FrameKind::pong:
      return ok();
    case FrameKind::notice:
      on_notice(std::move(frame));
      return ok();
    case FrameKind::goaway:
      if (state_ == State::ready) state_ = State::leaving;
      return ok();
    default:
      return Error(Code::bad_frame, peer_.to_string() + " sent an unexpected " + std::string(name(kind)) + " frame");
  }
}

bool ChannelCore::took_payload(Pending& pending, const Frame& frame) {
  if (frame.payload == PayloadState::corrupt) {
    give_up(pending, Error(Code::corrupt, "bytes from " + peer_.to_string() + " did not match their checksum"));
    return false;
  }
  if (frame.payload == PayloadState::delivered) pending.reply.payload_bytes += frame.header.payload_length_bytes;
  return true;
}

void ChannelCore::on_reply(Frame frame) {
  const auto entry = pending_.find(frame.header.request_id);
  if (entry == pending_.end()) return;  // came too late
  Pending& pending = *entry->second;
  if (!took_payload(pending, frame)) return;
  if (frame.header.kind == FrameKind::part) return;
  if (frame.header.code != Code::ok) return finish(pending, Error(frame.header.code, std::move(frame.body)).as_answer());
  pending.reply.body = std::move(frame.body);
  pending.reply.fds = std::move(frame.fds);
  finish(pending, std::move(pending.reply));
}

// ---- time --------------------------------------------------------------------------------

void ChannelCore::start_alarm() {
  if (alarm_) return;
  // The alarm is stopped by close(), which the channel's destructor calls: `this` outlives it.
  alarm_ = Alarm::make(context_.executor, context_.clock, [this] { look_around(); });
}

void ChannelCore::look_around() {
  const auto keep = shared_from_this();
  const TimePoint now = context_.clock.now();
  look_at_calls(now);
  if (state_ == State::connecting || state_ == State::greeting) {
    if (now < attempt_ends_) return alarm_->ring_by(attempt_ends_);
    if (state_ == State::connecting) return connect_canceller_.cancel();
    return link_->close(Error(Code::unavailable, peer_.to_string() + " accepted the connection but does not answer"));
  }
  if (state_ == State::ready || state_ == State::leaving) look_at_peer(now);
}

void ChannelCore::look_at_calls(TimePoint now) {
  std::vector<Pending*> expired;
  TimePoint next = TimePoint::max();
  for (const auto& [id, pending] : pending_) {
    if (pending->given_up || pending->deadline.is_never()) continue;
    if (pending->deadline.expired(now)) {
      expired.push_back(pending);
    } else {
      next = std::min(next, pending->deadline.when());
    }
  }
  if (next != TimePoint::max()) alarm_->ring_by(next);
  for (Pending* pending : expired) {
    give_up(*pending, Error(Code::deadline_exceeded, peer_.to_string() + " did not answer " +
                                                         std::string(name(pending->call.method)) + " in time"));
  }
}

void ChannelCore::look_at_peer(TimePoint now) {
  const RpcLimits& limits = context_.limits;
  const TimePoint stuck = link_->waiting_for_peer_since();
  if (stuck != TimePoint::max() && now - stuck >= limits.dead_after * 5) {
    return link_->close(Error(Code::unavailable, peer_.to_string() + " does not read what is sent to it"));
  }
  if (pending_.empty()) {
    pinged_at_ = TimePoint::max();
    return;
  }
  const TimePoint quiet = quiet_since();
  if (pinged_at_ != TimePoint::max() && quiet >= pinged_at_) pinged_at_ = TimePoint::max();  // it answered
  if (now - quiet < limits.ping_every) return alarm_->ring_by(quiet + limits.ping_every);
  if (pinged_at_ == TimePoint::max()) {
    OutgoingFrame ping;
    ping.header.kind = FrameKind::ping;
    pinged_at_ = now;
    link_->post(std::move(ping));
    if (!link_) return;  // its queue was full
  }
  // Counted from the ping too: a process that was itself stopped must not blame its peer.
  const TimePoint dead_at = std::max(quiet + limits.dead_after, pinged_at_ + (limits.dead_after - limits.ping_every));
  if (now < dead_at) return alarm_->ring_by(dead_at);
  link_->close(Error(Code::unavailable, peer_.to_string() + " stopped answering"));
}

// ---- the handle --------------------------------------------------------------------------

class Channel final : public RpcChannel {
 public:
  Channel(RpcContext context, Address peer)
      : core_(std::make_shared<ChannelCore>(std::move(context), std::move(peer))) {}
  ~Channel() override { core_->close(); }

  Task<RpcReply> call(RpcCall call, Deadline deadline) override {
    return ChannelCore::call(core_, std::move(call), deadline);
  }
  void on_notice(NoticeHandler handler) override { core_->notice_handler = std::move(handler); }
  void on_disconnect(std::function<void()> handler) override { core_->disconnect_handler = std::move(handler); }
  bool connected() const override { return core_->connected(); }
  std::uint64_t connections_made() const override { return core_->connections_made(); }
  void close() override { core_->close(); }

 private:
  std::shared_ptr<ChannelCore> core_;
};

}  // namespace

std::unique_ptr<RpcChannel> make_rpc_channel(RpcContext context, Address peer) {
  return std::make_unique<Channel>(std::move(context), std::move(peer));
}

}  // namespace hearth

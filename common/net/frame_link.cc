#include "common/net/frame_link.h"

#include "common/crc32c.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <exception>
#include <utility>

namespace hearth {
namespace {

constexpr std::size_t max_batch_frames = 64;
// A stream that always has bytes, or room, would keep the thread for itself: after so many bytes the others of this
// executor have their turn. About 80 us of receiving with checksum; the turn itself costs 2 us. One write is at most this
// long too, so that progress of a slow reader is seen: 256 KiB within the 10 s that a peer may take (dead_after * 5).
constexpr std::size_t max_turn_bytes = 256U << 10;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

Task<> let_others_run() {
  Waiter turn;
  turn.wake();
  co_await turn.wait();
  co_return ok();
}

// Cuts `parts` behind its first `bytes` bytes; the rest is returned.
std::vector<std::span<const std::byte>> split(std::vector<std::span<const std::byte>>& parts, std::size_t bytes) {
  std::vector<std::span<const std::byte>> rest;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].size() <= bytes) {
      bytes -= parts[i].size();
      continue;
    }
    rest.assign(parts.begin() + static_cast<std::ptrdiff_t>(i), parts.end());
    rest.front() = rest.front().subspan(bytes);
    parts.resize(bytes == 0 ? i : i + 1);
    if (bytes != 0) parts.back() = parts.back().first(bytes);
    break;
  }
  return rest;
}

}  // namespace

FrameLink::FrameLink(RpcContext context, std::unique_ptr<Stream> stream, FrameLimits limits)
    : context_(std::move(context)),
      stream_(std::move(stream)),
      assembler_(limits),
      read_canceller_(context_.executor),
      last_received_(context_.clock.now()) {}

void FrameLink::start(std::shared_ptr<LinkOwner> owner) {
  owner_ = std::move(owner);
  loops_ = 2;
  // The loops end with close(); their status says nothing that on_closed() did not.
  auto ended = [self = shared_from_this()](const std::exception_ptr&, const Status&) { self->loop_ended(); };
  asio::co_spawn(context_.executor, read_loop(shared_from_this()),
                 asio::bind_cancellation_slot(read_canceller_.slot(), ended));
  asio::co_spawn(context_.executor, write_loop(shared_from_this()), ended);
}

void FrameLink::loop_ended() {
  close(Error(Code::internal, "a loop of the connection ended by itself"));
  if (--loops_ > 0) return;
  const auto owner = std::exchange(owner_, nullptr);
  owner->on_finished();
}

// ---- reading -----------------------------------------------------------------------------

Task<> FrameLink::read_loop(Self self) {
  co_await asio::this_coro::throw_if_cancelled(false);
  std::size_t turn_bytes = 0;
  while (!self->closed_) {
    if (turn_bytes >= max_turn_bytes) {
      turn_bytes = 0;
      co_await let_others_run();
      self->release_if_asked();
      if (self->closed_) break;
    }
    std::vector<UniqueFd> fds;
    std::span<std::byte> space = self->assembler_.space();
    space = space.first(std::min(space.size(), max_turn_bytes));
    auto count = co_await self->stream_->read_some(space, fds);
    if (self->closed_) break;
    if (!count && count.code() != Code::cancelled) {
      self->close(std::move(count).error());
      break;
    }
    if (count && *count == 0) {
      self->close(Error(Code::unavailable, "connection closed by " + self->peer().address));
      break;
    }
    if (count) {
      self->last_received_ = self->context_.clock.now();
      self->assembler_.received(*count, std::move(fds));
      turn_bytes += *count;
    }
    self->release_if_asked();
    auto status = self->digest();
    if (!status) self->close(std::move(status).error());
  }
  co_return ok();
}

void FrameLink::release_if_asked() {
  if (!std::exchange(releasing_, false)) return;
  const std::uint64_t request_id = assembler_.header().request_id;
  assembler_.discard_payload();
  owner_->on_target_released(request_id);
}

Status FrameLink::digest() {
  while (!closed_) {
    TRY(step, assembler_.advance());
    if (step == FrameAssembler::Step::need_bytes) break;
    if (step == FrameAssembler::Step::payload_begins) {
      assembler_.set_payload_target(owner_->payload_target(assembler_.header()));
      continue;
    }
    frame_begun_ = TimePoint::max();
    CHECK_OK(owner_->on_frame(assembler_.take()));
  }
  if (!assembler_.mid_frame()) {
    frame_begun_ = TimePoint::max();
  } else {
    frame_begun_ = last_received_;  // a slow frame that grows is progress
  }
  return ok();
}

void FrameLink::release_target() {
  if (std::exchange(releasing_, true)) return;
  read_canceller_.cancel();
}

// ---- writing -----------------------------------------------------------------------------

bool FrameLink::has_room(std::size_t bytes) const {
  return queued_bytes_ == 0 || queued_bytes_ + bytes <= context_.limits.max_queued_bytes;
}

void FrameLink::queue(OutgoingFrame frame, Waiter* written) {
  FrameHeader& header = frame.header;
  header.body_length_bytes = static_cast<std::uint32_t>(frame.body.size());
  if (!frame.payload.empty()) {
    header.flags |= FrameHeader::payload_checksummed;
    header.payload_length_bytes = static_cast<std::uint32_t>(frame.payload.size());
    header.payload_crc32c = crc32c(bytes_of(frame.payload));
  }
  for (const auto& part : frame.parts) header.payload_length_bytes += static_cast<std::uint32_t>(part.size());
  header.set_fd_count(frame.fds.size());
  const FrameHeaderBytes encoded = encode(header);
  Entry& entry = queue_.emplace_back();
  entry.head.reserve(encoded.size() + frame.body.size());
  entry.head.append(reinterpret_cast<const char*>(encoded.data()), encoded.size());
  entry.head.append(frame.body);
  entry.payload = std::move(frame.payload);
  entry.parts = std::move(frame.parts);
  entry.fds = std::move(frame.fds);
  entry.bytes = entry.head.size() + header.payload_length_bytes;
  entry.written = written;
  queued_bytes_ += entry.bytes;
  if (writing_.empty()) work_.wake();
}

void FrameLink::post(OutgoingFrame frame) {
  if (closed_) return;
  if (queued_bytes_ > context_.limits.max_queued_bytes) {
    return close(Error(Code::overloaded, peer().address + " does not read its replies and was disconnected"));
  }
  queue(std::move(frame), nullptr);
}

Task<> FrameLink::send(OutgoingFrame frame) {
  const Self self = shared_from_this();  // the caller may let go of the link meanwhile
  std::size_t bytes = frame_header_bytes + frame.body.size() + frame.payload.size();
  for (const auto& part : frame.parts) bytes += part.size();
  Waiter waiter;
  bool cancelled = false;
  while (!closed_ && !cancelled && !has_room(bytes)) {
    room_.push_back(&waiter);
    co_await waiter.wait();
    const auto state = co_await asio::this_coro::cancellation_state;
    cancelled = state.cancelled() != asio::cancellation_type::none;
    std::erase(room_, &waiter);
  }
  if (cancelled) co_return Error(Code::cancelled, "sending to " + peer().address + " was cancelled");
  if (closed_) co_return Error(Code::unavailable, "the connection with " + peer().address + " is closed");
  if (frame.parts.empty()) {
    queue(std::move(frame), nullptr);
    co_return ok();
  }
  Waiter written;
  queue(std::move(frame), &written);
  std::function<void()> on_cancel = [this, &written, &cancelled] {
    if (!unqueue(&written)) return;  // being written: its end is near, and wakes
    cancelled = true;
    written.wake();
  };
  co_await written.wait(std::move(on_cancel));
  if (cancelled) co_return Error(Code::cancelled, "sending to " + peer().address + " was cancelled");
  if (closed_) co_return Error(Code::unavailable, "the connection with " + peer().address + " is closed");
  co_return ok();
}

bool FrameLink::unqueue(Waiter* written) {
  const auto entry = std::ranges::find(queue_, written, &Entry::written);
  if (entry == queue_.end()) return false;
  queued_bytes_ -= entry->bytes;
  queue_.erase(entry);
  return true;
}

std::vector<std::span<const std::byte>> FrameLink::next_batch(std::vector<int>& fds) {
  std::vector<std::span<const std::byte>> batch;
  std::size_t bytes = 0;
  while (!queue_.empty() && writing_.size() < max_batch_frames && bytes < max_turn_bytes) {
    Entry& entry = queue_.front();
    if (!entry.fds.empty() && !writing_.empty()) break;
    for (const UniqueFd& fd : entry.fds) fds.push_back(fd.get());
    bytes += entry.bytes;
    writing_.splice(writing_.end(), queue_, queue_.begin());
    batch.push_back(bytes_of(entry.head));
    if (!entry.payload.empty()) batch.push_back(bytes_of(entry.payload));
    batch.insert(batch.end(), entry.parts.begin(), entry.parts.end());
  }
  return batch;
}

void FrameLink::batch_written() {
  for (const Entry& entry : writing_) {
    queued_bytes_ -= entry.bytes;
    if (entry.written != nullptr) entry.written->wake();
  }
  writing_.clear();
  // Wake in order, as far as there may be room; who is not lucky waits again.
  while (!room_.empty() && has_room(0)) {
    room_.front()->wake();
    room_.pop_front();
  }
}

Task<> FrameLink::write_loop(Self self) {
  std::size_t turn_bytes = 0;
  while (!self->closed_) {
    if (self->queue_.empty()) {
      if (self->close_when_written_) {
        self->close(*self->close_when_written_);
        break;
      }
      co_await self->work_.wait();
      continue;
    }
    std::vector<int> fds;
    auto rest = self->next_batch(fds);
    while (!rest.empty() && !self->closed_) {
      auto now_parts = std::move(rest);
      rest = split(now_parts, max_turn_bytes);
      for (const auto& part : now_parts) turn_bytes += part.size();
      self->write_progress_ = self->context_.clock.now();
      auto status = co_await self->stream_->write_all(std::move(now_parts), std::move(fds));
      fds.clear();
      if (!status) self->close(std::move(status).error());
      if (turn_bytes < max_turn_bytes) continue;
      turn_bytes = 0;
      co_await let_others_run();
    }
    self->write_progress_ = TimePoint::max();
    self->batch_written();
  }
  self->batch_written();
  co_return ok();
}

// ---- end ---------------------------------------------------------------------------------

TimePoint FrameLink::waiting_for_peer_since() const {
  return std::min(write_progress_, frame_begun_);
}

void FrameLink::close_when_written(Error why) {
  close_when_written_ = std::move(why);
  work_.wake();
}

void FrameLink::close(Error why) {
  if (std::exchange(closed_, true)) return;
  const Self self = shared_from_this();
  stream_->close();
  for (const Entry& entry : queue_) {
    if (entry.written != nullptr) entry.written->wake();
  }
  for (const Entry& entry : queue_) queued_bytes_ -= entry.bytes;
  queue_.clear();
  for (Waiter* waiter : room_) waiter->wake();
  room_.clear();
  work_.wake();
  if (owner_) owner_->on_closed(why);
}

}  // namespace hearth

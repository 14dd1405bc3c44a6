// Frames over one stream: the reading and the writing half of a connection, both ends alike.
//
// Reading: one coroutine reads, cuts frames and hands each to its owner, in order.
// Writing: frames queue here and leave in batches, as many small ones per system call as are
//          waiting; a frame with descriptors begins a batch of its own.
// Threads: confined to its executor. The owner's methods are called from the reading coroutine.
// Owns:    the stream; frames that wait to be written.
// Bounds:  post() closes the connection when more than `max_queued_bytes` wait for a slow reader;
//          send() waits instead.
// Fails:   once, through on_closed(); every later operation answers `unavailable`.
#pragma once

#include "common/canceller.h"
#include "common/net/frame_assembler.h"
#include "common/net/rpc.h"
#include "common/net/waiter.h"

#include <deque>
#include <list>

namespace hearth {

// What a connection does with what arrives.
class LinkOwner {
 public:
  virtual ~LinkOwner() = default;
  // Memory for the payload of this frame: exactly its length, or empty to have it dropped.
  virtual std::span<std::byte> payload_target(const FrameHeader& header) = 0;
  // An error ends the link.
  virtual Status on_frame(Frame frame) = 0;
  // The target of this request, given up by release_target(), is no longer written to.
  virtual void on_target_released(std::uint64_t request_id) = 0;
  // Once: the stream is closed and no payload memory is touched any more.
  virtual void on_closed(const Error& why) = 0;
  // Once, after on_closed: the last coroutine of the link ended.
  virtual void on_finished() = 0;
};

// A frame to send. Lengths, checksums and descriptor count in the header are filled in by the link,
// except the checksum of `parts`, which their maker knows.
struct OutgoingFrame {
  FrameHeader header;
  std::string body;
  std::string payload;                            // owned; or
  std::vector<std::span<const std::byte>> parts;  // borrowed: send() ends when they are written
  std::vector<UniqueFd> fds;
};

// Shared: its two coroutines hold it until they end.
class FrameLink : public std::enable_shared_from_this<FrameLink> {
 public:
  FrameLink(RpcContext context, std::unique_ptr<Stream> stream, FrameLimits limits);

  // `owner` is held until on_finished().
  void start(std::shared_ptr<LinkOwner> owner);
  void set_limits(FrameLimits limits) { assembler_.set_limits(limits); }
  PeerIdentity peer() const { return stream_->peer(); }

  // Queues a frame that owns its bytes. After close() it is dropped.
  void post(OutgoingFrame frame);
  // Waits for room, queues, and waits until borrowed parts are written. Cancelled before that
  // began, the frame is not sent; after it, the write is waited for.
  Task<> send(OutgoingFrame frame);

  // Whether the stream may write into the target of this request now. If so, release_target() makes it
  // stop, and on_target_released() says when.
  bool reads_into_target_of(std::uint64_t request_id) const { return assembler_.reads_into_target_of(request_id); }
  void release_target();

  // Closes when everything queued was written, or broke.
  void close_when_written(Error why);
  void close(Error why);
  bool closed() const { return closed_; }

  TimePoint last_received() const { return last_received_; }
  // Since when the peer owes progress: it does not read what we write, or does not end the frame it began. max() if
  // not.
  TimePoint waiting_for_peer_since() const;

 private:
  struct Entry {
    std::string head;  // header and body
    std::string payload;
    std::vector<std::span<const std::byte>> parts;
    std::vector<UniqueFd> fds;
    std::size_t bytes = 0;
    Waiter* written = nullptr;  // of a send() with borrowed parts
  };
  using Self = std::shared_ptr<FrameLink>;

  static Task<> read_loop(Self self);
  static Task<> write_loop(Self self);
  void release_if_asked();
  Status digest();
  void queue(OutgoingFrame frame, Waiter* written);
  std::vector<std::span<const std::byte>> next_batch(std::vector<int>& fds);
  void batch_written();
  bool unqueue(Waiter* written);
  bool has_room(std::size_t bytes) const;
  void loop_ended();

  // Set once
  RpcContext context_;
  std::unique_ptr<Stream> stream_;
  std::shared_ptr<LinkOwner> owner_;
  // Executor only
  FrameAssembler assembler_;
  std::list<Entry> queue_;
  std::list<Entry> writing_;
  std::size_t queued_bytes_ = 0;  // in queue_ and writing_
  Waiter work_;
  std::deque<Waiter*> room_;  // sends that wait for room, first come first served
  Canceller read_canceller_;
  bool releasing_ = false;
  bool closed_ = false;
  std::optional<Error> close_when_written_;
  int loops_ = 0;
  TimePoint last_received_;
  TimePoint frame_begun_ = TimePoint::max();
  TimePoint write_progress_ = TimePoint::max();
};

}  // namespace hearth

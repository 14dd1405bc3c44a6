// Turns received bytes into frames: a synchronous state machine between a stream and a connection.
//
// Small frames are cut out of one read buffer, so that many cost one system call. The payload
// of a frame is copied from there only as far as it already arrived; the rest is read straight
// into the memory that the connection names.
//
// Threads: none of its own.
// Owns:    the read buffer and the body being assembled (grown as bytes arrive, never ahead of them).
// Fails:   bad_frame before anything is allocated; after that it must not be used again.
#pragma once

#include "common/fd.h"
#include "common/net/frame.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace hearth {

enum class PayloadState : std::uint8_t {
  none,       // the frame carries no payload
  delivered,  // all of it is in the target, and it matched its checksum if it had one
  discarded,  // there was no target
  corrupt,    // it did not match its checksum
};

struct Frame {
  FrameHeader header;
  std::string body;
  std::vector<UniqueFd> fds;
  PayloadState payload = PayloadState::none;
};

class FrameAssembler {
 public:
  enum class Step : std::uint8_t { need_bytes, payload_begins, frame_complete };

  explicit FrameAssembler(FrameLimits limits, std::size_t buffer_bytes = 64U << 10);

  void set_limits(FrameLimits limits) { limits_ = limits; }

  // Where the next received bytes belong; never empty. Then received() says how many came.
  std::span<std::byte> space();
  void received(std::size_t bytes, std::vector<UniqueFd> fds);

  // Works on what was received. payload_begins: header() and body() are known, answer with
  // set_payload_target(). frame_complete: fetch it by take().
  Result<Step> advance();
  const FrameHeader& header() const { return header_; }
  const std::string& body() const { return body_; }
  void set_payload_target(std::span<std::byte> target);  // exactly the payload, or empty: discard
  Frame take();

  // Whether space() is now memory of the connection, for the payload of this request.
  bool reads_into_target_of(std::uint64_t request_id) const;
  // Lets go of the target: the rest of the payload is read and dropped.
  void discard_payload();
  // A frame has begun and not ended.
  bool mid_frame() const { return phase_ != Phase::header || begin_ != end_; }

 private:
  enum class Phase : std::uint8_t { header, body, target, payload, complete };
  // Descriptors and the stretch of the stream that the read brought them with: they belong to the frame that begins
  // there.
  struct FdGroup {
    std::uint64_t begin;
    std::uint64_t end;
    std::vector<UniqueFd> fds;
  };

  std::size_t buffered() const { return end_ - begin_; }
  Status check_magic() const;
  Status take_header();
  Status claim_fds();
  void take_body();
  void take_payload();
  void account_payload(std::span<const std::byte> bytes);

  FrameLimits limits_;
  std::size_t buffer_bytes_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t stream_offset_ = 0;  // of buffer_[begin_]
  std::uint64_t received_ = 0;       // bytes of the stream so far
  Phase phase_ = Phase::header;
  FrameHeader header_;
  std::string body_;
  std::vector<UniqueFd> fds_;
  std::deque<FdGroup> fd_groups_;
  std::span<std::byte> target_;
  std::size_t payload_done_ = 0;
  std::uint32_t payload_crc_ = 0;
  bool discarding_ = false;
};

}  // namespace hearth

#include "common/net/frame_assembler.h"

#include "common/crc32c.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace hearth {

FrameAssembler::FrameAssembler(FrameLimits limits, std::size_t buffer_bytes)
    : limits_(limits),
      buffer_bytes_(std::max(buffer_bytes, frame_header_bytes)),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(buffer_bytes_)) {}

bool FrameAssembler::reads_into_target_of(std::uint64_t request_id) const {
  return phase_ == Phase::payload && !discarding_ && buffered() == 0 && header_.request_id == request_id;
}

std::span<std::byte> FrameAssembler::space() {
  if (phase_ == Phase::payload && !discarding_ && buffered() == 0) return target_.subspan(payload_done_);
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (end_ == buffer_bytes_) {
    // Only a piece of a header can be left over: cheap to move, and it must lie in one piece.
    std::memmove(buffer_.get(), buffer_.get() + begin_, buffered());
    end_ -= begin_;
    begin_ = 0;
  }
  return {buffer_.get() + end_, buffer_bytes_ - end_};
}

void FrameAssembler::received(std::size_t bytes, std::vector<UniqueFd> fds) {
  if (!fds.empty()) fd_groups_.push_back({received_, received_ + bytes, std::move(fds)});
  received_ += bytes;
  if (phase_ == Phase::payload && !discarding_ && buffered() == 0) {
    account_payload(target_.subspan(payload_done_, bytes));
    stream_offset_ += bytes;
    return;
  }
  end_ += bytes;
  assert(end_ <= buffer_bytes_);
}

void FrameAssembler::account_payload(std::span<const std::byte> bytes) {
  if ((header_.flags & FrameHeader::payload_checksummed) != 0 && !discarding_) {
    payload_crc_ = crc32c(bytes, payload_crc_);
  }
  payload_done_ += bytes.size();
}

Result<FrameAssembler::Step> FrameAssembler::advance() {
  if (phase_ == Phase::header) {
    CHECK_OK(check_magic());
    if (buffered() < frame_header_bytes) return Step::need_bytes;
    CHECK_OK(take_header());
    phase_ = Phase::body;
  }
  if (phase_ == Phase::body) {
    take_body();
    if (body_.size() < header_.body_length_bytes) return Step::need_bytes;
    phase_ = header_.payload_length_bytes == 0 ? Phase::complete : Phase::target;
  }
  if (phase_ == Phase::target) return Step::payload_begins;
  if (phase_ == Phase::payload) {
    take_payload();
    if (payload_done_ < header_.payload_length_bytes) return Step::need_bytes;
    phase_ = Phase::complete;
  }
  return Step::frame_complete;
}

// A peer of another protocol may wait for an answer before it sends as much as a header.
Status FrameAssembler::check_magic() const {
  std::uint32_t magic = frame_magic;
  std::memcpy(&magic, buffer_.get() + begin_, std::min(sizeof magic, buffered()));
  if (magic == frame_magic) return ok();
  return Error(Code::bad_frame, "the peer sent bytes that do not begin with HRTH; it does not speak Hearth's protocol");
}

Status FrameAssembler::take_header() {
  const std::span<const std::byte, frame_header_bytes> bytes(buffer_.get() + begin_, frame_header_bytes);
  TRY(header, decode_frame_header(bytes));
  CHECK_OK(check_lengths(header, limits_));
  header_ = header;
  CHECK_OK(claim_fds());
  begin_ += frame_header_bytes;
  stream_offset_ += frame_header_bytes;
  body_.clear();
  payload_done_ = 0;
  payload_crc_ = 0;
  discarding_ = false;
  target_ = {};
  return ok();
}

Status FrameAssembler::claim_fds() {
  fds_.clear();
  // What came before this frame and was not claimed is nobody's: closed here.
  while (!fd_groups_.empty() && fd_groups_.front().end <= stream_offset_) fd_groups_.pop_front();
  const std::size_t expected = header_.fd_count();
  if (expected == 0) return ok();
  if (fd_groups_.empty() || fd_groups_.front().begin > stream_offset_ || fd_groups_.front().fds.size() != expected) {
    return Error(Code::bad_frame, "the peer announced " + std::to_string(expected) +
                                      " descriptors and others arrived (is this process out of descriptors?)");
  }
  fds_ = std::move(fd_groups_.front().fds);
  fd_groups_.pop_front();
  return ok();
}

void FrameAssembler::take_body() {
  const std::size_t missing = header_.body_length_bytes - body_.size();
  const std::size_t bytes = std::min(missing, buffered());
  body_.append(reinterpret_cast<const char*>(buffer_.get() + begin_), bytes);
  begin_ += bytes;
  stream_offset_ += bytes;
}

void FrameAssembler::set_payload_target(std::span<std::byte> target) {
  assert(phase_ == Phase::target);
  assert(target.empty() || target.size() == header_.payload_length_bytes);
  target_ = target;
  discarding_ = target.empty();
  phase_ = Phase::payload;
}

void FrameAssembler::take_payload() {
  const std::size_t missing = header_.payload_length_bytes - payload_done_;
  const std::size_t bytes = std::min(missing, buffered());
  if (bytes == 0) return;
  const std::span<const std::byte> from(buffer_.get() + begin_, bytes);
  if (!discarding_) std::memcpy(target_.data() + payload_done_, from.data(), bytes);
  account_payload(from);
  begin_ += bytes;
  stream_offset_ += bytes;
}

void FrameAssembler::discard_payload() {
  discarding_ = true;
  target_ = {};
}

Frame FrameAssembler::take() {
  assert(phase_ == Phase::complete);
  phase_ = Phase::header;
  Frame frame;
  frame.header = header_;
  frame.body = std::move(body_);
  body_.clear();
  frame.fds = std::move(fds_);
  fds_.clear();
  const bool checksummed = (header_.flags & FrameHeader::payload_checksummed) != 0;
  if (header_.payload_length_bytes == 0) {
    frame.payload = PayloadState::none;
  } else if (discarding_) {
    frame.payload = PayloadState::discarded;
  } else if (checksummed && payload_crc_ != header_.payload_crc32c) {
    frame.payload = PayloadState::corrupt;
  } else {
    frame.payload = PayloadState::delivered;
  }
  return frame;
}

}  // namespace hearth

// The frame codec of docs/formats/wire.md: pure functions between bytes and headers.
//
// Threads: stateless.
// Fails:   bad_frame, with the field that is wrong; nothing is allocated for a frame that fails.
#pragma once

#include "common/ids.h"
#include "common/net/method.h"

#include <hearth/result.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace hearth {

inline constexpr std::uint32_t frame_magic = 0x48545248;  // the bytes "HRTH"
inline constexpr std::uint8_t frame_layout_version = 1;
inline constexpr std::size_t frame_header_bytes = 72;
inline constexpr std::uint32_t max_hello_frame_bytes = 16U << 10;  // the whole frame, before the hello ended
inline constexpr std::uint32_t no_deadline_ms = 0xFFFFFFFF;
inline constexpr std::size_t max_fds_per_frame = 16;

enum class FrameKind : std::uint8_t {
  hello = 1,
  hello_reply = 2,
  request = 3,
  reply = 4,
  part = 5,
  ping = 6,
  pong = 7,
  cancel = 8,
  notice = 9,
  goaway = 10,
};
std::string_view name(FrameKind kind);

struct FrameHeader {
  static constexpr std::uint16_t descriptors_attached = 1U << 0;  // their number stands in bits 8 to 12
  static constexpr std::uint16_t payload_checksummed = 1U << 1;

  FrameKind kind = FrameKind::ping;
  std::uint16_t flags = 0;
  Method method = Method::none;
  Code code = Code::ok;
  std::uint32_t deadline_ms = no_deadline_ms;  // remaining when the frame was made
  std::uint64_t request_id = 0;
  TraceContext trace;
  std::uint32_t body_length_bytes = 0;
  std::uint32_t payload_length_bytes = 0;
  std::uint64_t payload_offset = 0;  // where the payload goes in the caller's buffer
  std::uint32_t payload_crc32c = 0;

  bool operator==(const FrameHeader&) const = default;
  std::size_t fd_count() const { return (flags & descriptors_attached) != 0 ? (flags >> 8) & 0x1F : 0; }
  void set_fd_count(std::size_t count);
};

using FrameHeaderBytes = std::array<std::byte, frame_header_bytes>;

FrameHeaderBytes encode(const FrameHeader& header);
// Checks magic, layout version, header checksum, kind and flags; lengths are check_lengths().
Result<FrameHeader> decode_frame_header(std::span<const std::byte, frame_header_bytes> bytes);

// What a peer may send: nothing longer is ever allocated for.
struct FrameLimits {
  std::uint32_t max_body_bytes = 0;
  std::uint32_t max_payload_bytes = 0;
  std::uint64_t max_frame_bytes = 0;  // header, body and payload together

  static FrameLimits before_hello();
  static FrameLimits after_hello(std::uint32_t max_body_bytes, std::uint32_t max_payload_bytes);
};
Status check_lengths(const FrameHeader& header, const FrameLimits& limits);

// ---- hello: the only bodies that are not protobuf, so that every version can read them ----------

inline constexpr std::uint8_t min_wire_version = 1;
inline constexpr std::uint8_t max_wire_version = 1;
std::string_view build_version();  // "0.1.0"

// Body of hello: lowest and highest version, two reserved zero bytes, build version (at most 64 bytes).
// Body of hello_reply with code ok: the same four bytes with lowest = highest = the chosen version.
struct Hello {
  std::uint8_t min_version = min_wire_version;
  std::uint8_t max_version = max_wire_version;
  std::string build;
};
std::string encode(const Hello& hello);
Result<Hello> decode_hello(std::string_view body);
// The highest version both speak, or version_mismatch with a sentence for the operator of `theirs`.
Result<std::uint8_t> choose_version(const Hello& ours, const Hello& theirs);

}  // namespace hearth

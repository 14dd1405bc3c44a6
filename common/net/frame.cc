#include "common/net/frame.h"

#include "common/crc32c.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace hearth {
namespace {

static_assert(std::endian::native == std::endian::little, "the codec copies little-endian fields as they are");

constexpr std::uint16_t known_flags =
    FrameHeader::descriptors_attached | FrameHeader::payload_checksummed | (0x1FU << 8);
constexpr std::size_t checksummed_bytes = frame_header_bytes - sizeof(std::uint32_t);
constexpr std::size_t max_build_bytes = 64;

class Writer {
 public:
  explicit Writer(std::byte* at) : at_(at) {}
  template <class T>
  void put(T value) {
    std::memcpy(at_, &value, sizeof value);
    at_ += sizeof value;
  }

 private:
  std::byte* at_;
};

class Reader {
 public:
  explicit Reader(const std::byte* at) : at_(at) {}
  template <class T>
  T get() {
    T value;
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

 private:
  const std::byte* at_;
};

Error bad(std::string what) {
  return Error(Code::bad_frame, "the peer sent " + std::move(what) + "; it does not speak Hearth's protocol");
}

std::string range(const Hello& hello) {
  std::string text = std::to_string(hello.min_version);
  if (hello.max_version != hello.min_version) text += " to " + std::to_string(hello.max_version);
  return text + " (build " + (hello.build.empty() ? "unknown" : hello.build) + ")";
}

}  // namespace

std::string_view name(FrameKind kind) {
  constexpr std::array<std::string_view, 11> names{"none", "hello", "hello_reply", "request", "reply", "part",
                                                   "ping", "pong",  "cancel",      "notice",  "goaway"};
  const auto index = static_cast<std::size_t>(kind);
  return index < names.size() ? names[index] : "unknown";
}

void FrameHeader::set_fd_count(std::size_t count) {
  assert(count <= max_fds_per_frame);
  if (count == 0) return;
  flags = static_cast<std::uint16_t>(flags | descriptors_attached | (count << 8));
}

FrameHeaderBytes encode(const FrameHeader& header) {
  FrameHeaderBytes bytes;
  Writer out(bytes.data());
  out.put(frame_magic);
  out.put(frame_layout_version);
  out.put(static_cast<std::uint8_t>(header.kind));
  out.put(header.flags);
  out.put(static_cast<std::uint16_t>(header.method));
  out.put(static_cast<std::uint16_t>(header.code));
  out.put(header.deadline_ms);
  out.put(header.request_id);
  out.put(header.trace.trace_id);
  out.put(header.trace.span_id);
  out.put(header.body_length_bytes);
  out.put(header.payload_length_bytes);
  out.put(header.payload_offset);
  out.put(header.payload_crc32c);
  out.put(crc32c(std::span<const std::byte>(bytes).first(checksummed_bytes)));
  return bytes;
}

Result<FrameHeader> decode_frame_header(std::span<const std::byte, frame_header_bytes> bytes) {
  Reader in(bytes.data());
  if (in.get<std::uint32_t>() != frame_magic) return bad("bytes that do not begin with HRTH");
  const auto layout = in.get<std::uint8_t>();
  if (layout != frame_layout_version) return bad("frame layout " + std::to_string(layout) + " where 1 is expected");
  Reader tail(bytes.data() + checksummed_bytes);
  if (tail.get<std::uint32_t>() != crc32c(bytes.first(checksummed_bytes))) {
    return bad("a frame header whose checksum does not match");
  }
  FrameHeader header;
  const auto kind = in.get<std::uint8_t>();
  if (kind < static_cast<std::uint8_t>(FrameKind::hello) || kind > static_cast<std::uint8_t>(FrameKind::goaway)) {
    return bad("a frame of unknown kind " + std::to_string(kind));
  }
  header.kind = static_cast<FrameKind>(kind);
  header.flags = in.get<std::uint16_t>();
  header.method = static_cast<Method>(in.get<std::uint16_t>());
  header.code = static_cast<Code>(in.get<std::uint16_t>());
  header.deadline_ms = in.get<std::uint32_t>();
  header.request_id = in.get<std::uint64_t>();
  header.trace.trace_id = in.get<std::array<std::uint8_t, 16>>();
  header.trace.span_id = in.get<std::uint64_t>();
  header.body_length_bytes = in.get<std::uint32_t>();
  header.payload_length_bytes = in.get<std::uint32_t>();
  header.payload_offset = in.get<std::uint64_t>();
  header.payload_crc32c = in.get<std::uint32_t>();
  if ((header.flags & ~known_flags) != 0) return bad("a frame with unknown flags");
  const std::size_t count_bits = (header.flags >> 8) & 0x1F;
  const bool has_fds = (header.flags & FrameHeader::descriptors_attached) != 0;
  if (has_fds != (count_bits != 0) || count_bits > max_fds_per_frame) {
    return bad("a frame with an impossible number of descriptors");
  }
  return header;
}

FrameLimits FrameLimits::before_hello() {
  return {.max_body_bytes = max_hello_frame_bytes, .max_payload_bytes = 0, .max_frame_bytes = max_hello_frame_bytes};
}

FrameLimits FrameLimits::after_hello(std::uint32_t max_body_bytes, std::uint32_t max_payload_bytes) {
  return {.max_body_bytes = max_body_bytes,
          .max_payload_bytes = max_payload_bytes,
          .max_frame_bytes = frame_header_bytes + std::uint64_t{max_body_bytes} + max_payload_bytes};
}

Status check_lengths(const FrameHeader& header, const FrameLimits& limits) {
  const bool may_have_payload = header.kind == FrameKind::reply || header.kind == FrameKind::part;
  if (header.payload_length_bytes != 0 && !may_have_payload) {
    return bad("a payload in a " + std::string(name(header.kind)) + " frame");
  }
  if (header.body_length_bytes > limits.max_body_bytes) {
    return bad("a body of " + std::to_string(header.body_length_bytes) + " bytes where at most " +
               std::to_string(limits.max_body_bytes) + " are allowed");
  }
  if (header.payload_length_bytes > limits.max_payload_bytes) {
    return bad("a payload of " + std::to_string(header.payload_length_bytes) + " bytes where at most " +
               std::to_string(limits.max_payload_bytes) + " are allowed");
  }
  const std::uint64_t total =
      frame_header_bytes + std::uint64_t{header.body_length_bytes} + header.payload_length_bytes;
  if (total > limits.max_frame_bytes) {
    return bad("a frame of " + std::to_string(total) + " bytes where at most " +
               std::to_string(limits.max_frame_bytes) + " are allowed");
  }
  return ok();
}

std::string_view build_version() {
  return HEARTH_BUILD_VERSION;
}

std::string encode(const Hello& hello) {
  std::string body;
  body.push_back(static_cast<char>(hello.min_version));
  body.push_back(static_cast<char>(hello.max_version));
  body.append(2, '\0');
  body.append(hello.build, 0, max_build_bytes);
  return body;
}

Result<Hello> decode_hello(std::string_view body) {
  if (body.size() < 4 || body.size() > 4 + max_build_bytes) {
    return bad("a hello of " + std::to_string(body.size()) + " bytes");
  }
  Hello hello;
  hello.min_version = static_cast<std::uint8_t>(body[0]);
  hello.max_version = static_cast<std::uint8_t>(body[1]);
  hello.build = std::string(body.substr(4));
  // The text goes into logs and onto terminals.
  const bool printable = std::ranges::all_of(hello.build, [](char c) { return c > ' ' && c < 0x7F; });
  if (!printable || hello.min_version > hello.max_version) return bad("a hello that makes no sense");
  return hello;
}

Result<std::uint8_t> choose_version(const Hello& ours, const Hello& theirs) {
  const std::uint8_t highest = std::min(ours.max_version, theirs.max_version);
  if (highest >= ours.min_version && highest >= theirs.min_version) return highest;
  const bool they_are_older = theirs.max_version < ours.min_version;
  return Error(Code::version_mismatch, "this process speaks protocol version " + range(ours) + " and its peer speaks " +
                                           range(theirs) + ": upgrade the " +
                                           (they_are_older ? "peer" : "process that answered") +
                                           " so that both run the same release of Hearth");
}

}  // namespace hearth

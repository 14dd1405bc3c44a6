// Fuzzes what a peer's bytes reach first: frame headers, the assembler, the hello.
//
// The first byte chooses how the rest is cut into pieces and which limits hold. Checked besides not
// crashing: no frame above the limits comes out, and cutting the stream elsewhere changes nothing.
#include "common/crc32c.h"
#include "common/net/frame_assembler.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace hearth;

constexpr std::uint32_t max_body_bytes = 4096;
constexpr std::uint32_t max_payload_bytes = 8192;

void require(bool condition) {
  if (!condition) std::abort();
}

struct Outcome {
  std::vector<std::string> bodies;
  Code code = Code::ok;
  bool operator==(const Outcome&) const = default;
};

void check(const Frame& frame, const FrameLimits& limits) {
  require(frame.body.size() <= limits.max_body_bytes);
  require(frame.header.payload_length_bytes <= limits.max_payload_bytes);
  require(frame.body.size() == frame.header.body_length_bytes);
  const auto again = decode_frame_header(encode(frame.header));
  require(again.has_value() && *again == frame.header);
  if (frame.header.kind == FrameKind::hello) {
    if (const auto hello = decode_hello(frame.body)) require(encode(*hello).size() == frame.body.size());
  }
}

// Until the assembler wants bytes or refuses; false: it refused.
bool digest(FrameAssembler& assembler, const FrameLimits& limits, std::vector<std::byte>& target, Outcome& outcome) {
  for (;;) {
    const auto step = assembler.advance();
    if (!step) {
      outcome.code = step.code();
      return false;
    }
    if (*step == FrameAssembler::Step::need_bytes) return true;
    if (*step == FrameAssembler::Step::payload_begins) {
      const bool wanted = assembler.header().request_id % 2 == 0;
      assembler.set_payload_target(wanted ? std::span(target).first(assembler.header().payload_length_bytes)
                                          : std::span<std::byte>());
      continue;
    }
    const Frame frame = assembler.take();
    check(frame, limits);
    outcome.bodies.push_back(frame.body);
  }
}

Outcome feed(std::span<const std::uint8_t> stream, std::size_t piece, const FrameLimits& limits) {
  FrameAssembler assembler(limits, 1024);
  std::vector<std::byte> target(max_payload_bytes);
  Outcome outcome;
  while (!stream.empty()) {
    const auto space = assembler.space();
    require(!space.empty());
    const std::size_t count = std::min({piece, space.size(), stream.size()});
    std::memcpy(space.data(), stream.data(), count);
    assembler.received(count, {});
    stream = stream.subspan(count);
    if (!digest(assembler, limits, target, outcome)) break;
  }
  return outcome;
}

void cut_both_ways(std::span<const std::uint8_t> stream, std::uint8_t choice) {
  const FrameLimits limits =
      (choice & 0x80) != 0 ? FrameLimits::before_hello() : FrameLimits::after_hello(max_body_bytes, max_payload_bytes);
  const Outcome whole = feed(stream, stream.size(), limits);
  const Outcome pieces = feed(stream, 1 + (choice & 0x7F), limits);
  require(whole == pieces);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span<const std::uint8_t> stream(data + 1, size - 1);
  cut_both_ways(stream, data[0]);
  if (stream.size() < frame_header_bytes) return 0;
  // Again as a hostile peer sends it: with the right checksum, so that the fields behind it are reached.
  std::vector<std::uint8_t> stamped(stream.begin(), stream.end());
  const std::size_t checksummed = frame_header_bytes - sizeof(std::uint32_t);
  const std::uint32_t checksum = crc32c(std::as_bytes(std::span(stamped)).first(checksummed));
  std::memcpy(stamped.data() + checksummed, &checksum, sizeof checksum);
  cut_both_ways(stamped, data[0]);
  return 0;
}

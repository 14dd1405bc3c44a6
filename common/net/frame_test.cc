// The frame codec against golden bytes (docs/formats/wire.md) and against hostile lengths.
#include "common/net/frame.h"
#include "common/net/stream.h"

#include "common/crc32c.h"

#include <gtest/gtest.h>

#include <cstring>

namespace hearth {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    text.push_back(digits[std::to_integer<unsigned>(byte) >> 4]);
    text.push_back(digits[std::to_integer<unsigned>(byte) & 15]);
  }
  return text;
}

FrameHeader sample() {
  FrameHeader header;
  header.kind = FrameKind::part;
  header.flags = FrameHeader::payload_checksummed;
  header.method = Method::read;
  header.deadline_ms = 1500;
  header.request_id = 0x0102030405060708;
  for (std::uint8_t i = 0; i < 16; ++i) header.trace.trace_id[i] = i;
  header.trace.span_id = 0x1112131415161718;
  header.payload_length_bytes = 4096;
  header.payload_offset = 1U << 20;
  header.payload_crc32c = 0xDEADBEEF;
  return header;
}

TEST(Frame, HasTheseBytesOrTheWireVersionMustGoUp) {
  // If this fails, the format changed: bump max_wire_version and update docs/formats/wire.md.
  EXPECT_EQ(hex(encode(sample())),
            "48525448"
            "01"
            "05"
            "0200"
            "4000"
            "0000"
            "dc050000"
            "0807060504030201"
            "000102030405060708090a0b0c0d0e0f"
            "1817161514131211"
            "00000000"
            "00100000"
            "0000100000000000"
            "efbeadde"
            "55598a6b");
}

TEST(Frame, BeginsEveryConnectionWithTheseBytes) {
  // Written down in docs/formats/wire.md, and made there by an independent program.
  const std::string body = encode(Hello{.build = "0.1.0"});
  FrameHeader header;
  header.kind = FrameKind::hello;
  header.body_length_bytes = static_cast<std::uint32_t>(body.size());
  EXPECT_EQ(hex(encode(header)) + hex(std::as_bytes(std::span(body))),
            "48525448"
            "01"
            "01"
            "0000"
            "0000"
            "0000"
            "ffffffff"
            "0000000000000000"
            "00000000000000000000000000000000"
            "0000000000000000"
            "09000000"
            "00000000"
            "0000000000000000"
            "00000000"
            "6fda8a5f"
            "01010000302e312e30");
}

TEST(Frame, DecodesWhatItEncoded) {
  const FrameHeader header = sample();
  const auto decoded = decode_frame_header(encode(header));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, header);
}

TEST(Frame, RefusesEverySingleFlippedBit) {
  const FrameHeaderBytes good = encode(sample());
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    FrameHeaderBytes bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_EQ(decode_frame_header(bad).code(), Code::bad_frame) << "bit " << bit;
  }
}

// A header as a hostile peer makes it: any value, right checksum.
FrameHeaderBytes forged(std::size_t at, std::uint8_t value) {
  FrameHeaderBytes bytes = encode(FrameHeader());
  bytes[at] = static_cast<std::byte>(value);
  const std::uint32_t checksum = crc32c(std::span<const std::byte>(bytes).first(68));
  std::memcpy(bytes.data() + 68, &checksum, sizeof checksum);
  return bytes;
}

TEST(Frame, RefusesUnknownKindsFlagsAndLayouts) {
  EXPECT_TRUE(decode_frame_header(forged(5, 6)));
  EXPECT_FALSE(decode_frame_header(forged(5, 0)));
  EXPECT_FALSE(decode_frame_header(forged(5, 11)));
  EXPECT_FALSE(decode_frame_header(forged(4, 2)));
  EXPECT_FALSE(decode_frame_header(forged(6, 4)));
  EXPECT_FALSE(decode_frame_header(forged(6, 1))) << "descriptors announced, none counted";
  EXPECT_FALSE(decode_frame_header(forged(7, 1))) << "descriptors counted, none announced";
}

TEST(Frame, ChecksLengthsBeforeAnythingIsAllocated) {
  const FrameLimits limits = FrameLimits::after_hello(1000, 2000);
  const auto check = [&](std::uint32_t body, std::uint32_t payload) {
    FrameHeader header;
    header.kind = FrameKind::reply;
    header.body_length_bytes = body;
    header.payload_length_bytes = payload;
    return check_lengths(header, limits).code();
  };
  for (const std::uint32_t good : {0U, 1U, 1000U}) EXPECT_EQ(check(good, 2000), Code::ok) << good;
  for (const std::uint32_t bad : {1001U, 1U << 31, ~0U}) EXPECT_EQ(check(bad, 0), Code::bad_frame) << bad;
  for (const std::uint32_t bad : {2001U, 1U << 31, ~0U}) EXPECT_EQ(check(0, bad), Code::bad_frame) << bad;
}

TEST(Frame, AllowsSixteenKiBBeforeTheHello) {
  FrameHeader header;
  header.kind = FrameKind::hello;
  header.body_length_bytes = (16U << 10) - frame_header_bytes;
  EXPECT_TRUE(check_lengths(header, FrameLimits::before_hello()));
  ++header.body_length_bytes;
  EXPECT_FALSE(check_lengths(header, FrameLimits::before_hello()));
}

TEST(Frame, RefusesAPayloadInARequest) {
  FrameHeader header;
  header.kind = FrameKind::request;
  header.payload_length_bytes = 1;
  EXPECT_FALSE(check_lengths(header, FrameLimits::after_hello(10, 10)));
}

TEST(Hello, SurvivesTheWire) {
  const Hello hello{.min_version = 1, .max_version = 3, .build = "1.2.3"};
  const std::string body = encode(hello);
  EXPECT_EQ(hex(std::as_bytes(std::span(body))), "01030000312e322e33");
  const auto decoded = decode_hello(body);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->min_version, 1);
  EXPECT_EQ(decoded->max_version, 3);
  EXPECT_EQ(decoded->build, "1.2.3");
}

TEST(Hello, RefusesNonsense) {
  EXPECT_FALSE(decode_hello(""));
  EXPECT_FALSE(decode_hello(std::string("\3\1\0\0", 4)));
  EXPECT_FALSE(decode_hello(std::string("\1\1\0\0\x1b[2J", 8))) << "an escape sequence for the operator's terminal";
  EXPECT_FALSE(decode_hello(std::string("\1\1\0\0", 4) + std::string(65, 'v')));
}

TEST(Hello, ChoosesTheHighestCommonVersion) {
  const auto choose = [](int a, int b, int c, int d) {
    const Hello ours{
        .min_version = static_cast<std::uint8_t>(a), .max_version = static_cast<std::uint8_t>(b), .build = "1.0.0"};
    const Hello theirs{
        .min_version = static_cast<std::uint8_t>(c), .max_version = static_cast<std::uint8_t>(d), .build = "9.0.0"};
    return choose_version(ours, theirs);
  };
  EXPECT_EQ(*choose(1, 3, 2, 5), 3);
  EXPECT_EQ(*choose(1, 1, 1, 1), 1);
  const auto none = choose(1, 2, 3, 4);
  ASSERT_EQ(none.code(), Code::version_mismatch);
  for (const std::string_view word : {"1 to 2", "1.0.0", "3 to 4", "9.0.0", "upgrade"}) {
    EXPECT_NE(none.error().message().find(word), std::string::npos) << word;
  }
}

TEST(Address, ParsesWhatItPrints) {
  for (const std::string text :
       {"127.0.0.1:19801", "[::1]:19801", "master.example:1", "unix:/run/hearth/worker.sock"}) {
    const auto address = Address::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->to_string(), text);
  }
}

TEST(Address, RefusesWhatIsNoAddress) {
  for (const std::string text : {"", "host", ":1", "host:", "host:65536", "host:-1", "host:1x", "::1:5", "[::1]5",
                                 "unix:", "unix:relative", "a b:1"}) {
    EXPECT_EQ(Address::parse(text).code(), Code::invalid_argument) << text;
  }
  EXPECT_FALSE(Address::parse("unix:/" + std::string(107, 'x')));
}

TEST(Method, HasANameEvenWhenUnknown) {
  EXPECT_EQ(name(Method::resolve), "resolve");
  EXPECT_EQ(name(static_cast<Method>(250)), "method-250");
}

}  // namespace
}  // namespace hearth

// Frames out of a stream that arrives in pieces.
#include "common/net/frame_assembler.h"

#include "common/crc32c.h"

#include <gtest/gtest.h>

#include <cstring>

namespace hearth {
namespace {

std::string frame_of(FrameHeader header, const std::string& body, const std::string& payload) {
  header.body_length_bytes = static_cast<std::uint32_t>(body.size());
  header.payload_length_bytes = static_cast<std::uint32_t>(payload.size());
  header.payload_crc32c = crc32c(std::as_bytes(std::span(payload)));
  header.flags |= FrameHeader::payload_checksummed;
  const FrameHeaderBytes bytes = encode(header);
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) + body + payload;
}

FrameHeader reply_header(std::uint64_t id) {
  FrameHeader header;
  header.kind = FrameKind::reply;
  header.request_id = id;
  return header;
}

// Feeds `stream` in pieces of at most `piece` bytes and collects the frames.
struct Feed {
  FrameAssembler assembler{FrameLimits::after_hello(1U << 20, 1U << 20), 4096};
  std::string target = std::string(100'000, '\0');
  std::vector<Frame> frames;
  Status status = ok();

  void pump() {
    for (;;) {
      auto step = assembler.advance();
      if (!step) {
        status = std::move(step).error();
        return;
      }
      if (*step == FrameAssembler::Step::need_bytes) return;
      if (*step == FrameAssembler::Step::payload_begins) {
        assembler.set_payload_target(
            std::as_writable_bytes(std::span(target)).first(assembler.header().payload_length_bytes));
      } else {
        frames.push_back(assembler.take());
      }
    }
  }
  void feed(const std::string& stream, std::size_t piece) {
    for (std::size_t at = 0; at < stream.size() && status;) {
      const auto space = assembler.space();
      ASSERT_FALSE(space.empty());
      const std::size_t count = std::min({piece, space.size(), stream.size() - at});
      std::memcpy(space.data(), stream.data() + at, count);
      assembler.received(count, {});
      at += count;
      pump();
    }
  }
};

TEST(FrameAssembler, CutsFramesAtEveryPieceSize) {
  const std::string payload(9'000, 'p');
  const std::string stream = frame_of(reply_header(1), "one", "") +
                             frame_of(reply_header(2), std::string(5'000, 'b'), payload) +
                             frame_of(reply_header(3), "", "");
  for (const std::size_t piece : {1U, 2U, 71U, 72U, 73U, 1000U, 4096U, 100'000U}) {
    Feed feed;
    feed.feed(stream, piece);
    ASSERT_TRUE(feed.status);
    ASSERT_EQ(feed.frames.size(), 3U) << "pieces of " << piece;
    EXPECT_EQ(feed.frames[0].body, "one");
    EXPECT_EQ(feed.frames[1].body, std::string(5'000, 'b'));
    EXPECT_EQ(feed.frames[1].payload, PayloadState::delivered);
    EXPECT_EQ(feed.target.substr(0, payload.size()), payload);
    EXPECT_FALSE(feed.assembler.mid_frame());
  }
}

TEST(FrameAssembler, WaitsAtEveryByteBoundary) {
  const std::string stream = frame_of(reply_header(1), "body", "payload");
  for (std::size_t cut = 1; cut < stream.size(); ++cut) {
    Feed feed;
    feed.feed(stream.substr(0, cut), cut);
    EXPECT_TRUE(feed.status);
    EXPECT_TRUE(feed.frames.empty()) << "after " << cut << " bytes";
    EXPECT_TRUE(feed.assembler.mid_frame());
    feed.feed(stream.substr(cut), stream.size());
    EXPECT_EQ(feed.frames.size(), 1U);
  }
}

TEST(FrameAssembler, FindsACorruptPayload) {
  std::string stream = frame_of(reply_header(1), "body", "payload");
  stream.back() ^= 1;
  Feed feed;
  feed.feed(stream, 10);
  ASSERT_EQ(feed.frames.size(), 1U);
  EXPECT_EQ(feed.frames[0].payload, PayloadState::corrupt);
}

TEST(FrameAssembler, LetsGoOfTheTargetInTheMiddleOfAPayload) {
  const std::string stream = frame_of(reply_header(7), "", std::string(50'000, 'p'));
  Feed feed;
  feed.feed(stream.substr(0, 10'000), 10'000);
  EXPECT_TRUE(feed.assembler.reads_into_target_of(7));
  EXPECT_FALSE(feed.assembler.reads_into_target_of(8));
  feed.assembler.discard_payload();
  feed.target.assign(feed.target.size(), 'z');
  feed.feed(stream.substr(10'000) + frame_of(reply_header(8), "next", ""), 4096);
  ASSERT_EQ(feed.frames.size(), 2U);
  EXPECT_EQ(feed.frames[0].payload, PayloadState::discarded);
  EXPECT_EQ(feed.frames[1].body, "next");
  EXPECT_EQ(feed.target.find('p'), std::string::npos) << "memory was written after it was let go";
}

TEST(FrameAssembler, RefusesLongFramesWhileTheirHeaderIsAllThatCame) {
  for (const std::uint32_t length : {(1U << 20) + 1, 1U << 31, ~0U}) {
    FrameHeader header = reply_header(1);
    header.body_length_bytes = length;
    const FrameHeaderBytes bytes = encode(header);
    Feed feed;
    feed.feed(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), 72);
    EXPECT_EQ(feed.status.code(), Code::bad_frame) << length;
  }
}

TEST(FrameAssembler, DoesNotAllocateABodyBeforeItsBytesCame) {
  FrameHeader header = reply_header(1);
  header.body_length_bytes = 1U << 20;
  const FrameHeaderBytes bytes = encode(header);
  Feed feed;
  feed.feed(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), 72);
  ASSERT_TRUE(feed.status);
  EXPECT_LT(feed.assembler.body().capacity(), 4096U);
}

TEST(FrameAssembler, RefusesDescriptorsThatDidNotCome) {
  FrameHeader header = reply_header(1);
  header.set_fd_count(2);
  Feed feed;
  feed.feed(frame_of(header, "", ""), 100);
  EXPECT_EQ(feed.status.code(), Code::bad_frame);
}

TEST(FrameAssembler, ClosesDescriptorsThatNobodyAnnounced) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  UniqueFd reader(ends[0]);
  std::vector<UniqueFd> fds;
  fds.emplace_back(ends[1]);
  Feed feed;
  const std::string stream = frame_of(reply_header(1), "", "");
  std::memcpy(feed.assembler.space().data(), stream.data(), stream.size());
  feed.assembler.received(stream.size(), std::move(fds));
  feed.pump();
  feed.feed(stream, stream.size());
  ASSERT_EQ(feed.frames.size(), 2U);
  EXPECT_TRUE(feed.frames[0].fds.empty());
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "the write end is still open";
}

}  // namespace
}  // namespace hearth

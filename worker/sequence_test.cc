#include "worker/sequence.h"

#include <gtest/gtest.h>

namespace hearth::worker {
namespace {

constexpr std::uint64_t mebibyte = 1ULL << 20;

BlockRef block(std::uint64_t pages, std::uint64_t number = 1) {
  BlockRef ref;
  ref.id = BlockId{number, number};
  ref.length_bytes = pages * mebibyte;
  return ref;
}

TEST(SequenceTracker, OneReadIsNoSequence) {
  SequenceTracker tracker(8);
  const ReadaheadAdvice advice = tracker.note(1, block(100), 0, mebibyte);
  EXPECT_EQ(advice.first, advice.end);
}

TEST(SequenceTracker, AdvisesThePagesAfterTheSecondReadInARow) {
  SequenceTracker tracker(8);
  tracker.note(1, block(100), 0, mebibyte);
  const ReadaheadAdvice advice = tracker.note(1, block(100), mebibyte, mebibyte);
  EXPECT_EQ(advice.first, 2U);
  EXPECT_EQ(advice.end, 10U);
}

TEST(SequenceTracker, DoesNotAdviseAPageTwice) {
  SequenceTracker tracker(8);
  tracker.note(1, block(100), 0, mebibyte);
  tracker.note(1, block(100), mebibyte, mebibyte);
  tracker.started(1, block(100).id, 10);
  const ReadaheadAdvice advice = tracker.note(1, block(100), 2 * mebibyte, mebibyte);
  EXPECT_EQ(advice.first, 10U);
  EXPECT_EQ(advice.end, 11U);
}

TEST(SequenceTracker, RequestsOutOfOrderAreStillOneSequence) {
  SequenceTracker tracker(8);
  tracker.note(1, block(100), mebibyte, mebibyte);
  const ReadaheadAdvice advice = tracker.note(1, block(100), 0, mebibyte);
  EXPECT_EQ(advice.first, 2U);
  EXPECT_EQ(advice.end, 10U);
}

TEST(SequenceTracker, RandomReadsAreNoSequence) {
  SequenceTracker tracker(8);
  for (const std::uint64_t page : {50, 3, 77, 20, 91, 11}) {
    const ReadaheadAdvice advice = tracker.note(1, block(100), page * mebibyte, 4096);
    EXPECT_EQ(advice.first, advice.end) << page;
  }
}

TEST(SequenceTracker, StopsAtTheEndOfTheBlock) {
  SequenceTracker tracker(8);
  tracker.note(1, block(4), 0, mebibyte);
  const ReadaheadAdvice advice = tracker.note(1, block(4), mebibyte, mebibyte);
  EXPECT_EQ(advice.first, 2U);
  EXPECT_EQ(advice.end, 4U);
}

TEST(SequenceTracker, ReadersOnOtherConnectionsAreOtherSequences) {
  SequenceTracker tracker(8);
  tracker.note(1, block(100), 0, mebibyte);
  const ReadaheadAdvice advice = tracker.note(2, block(100), mebibyte, mebibyte);
  EXPECT_EQ(advice.first, advice.end);
}

TEST(SequenceTracker, RemembersABoundedNumberOfBlocks) {
  SequenceTracker tracker(8);
  for (std::uint64_t number = 0; number < 1000; ++number) tracker.note(1, block(100, number), 0, mebibyte);
  tracker.forget(1);
  const ReadaheadAdvice advice = tracker.note(1, block(100, 999), mebibyte, mebibyte);
  EXPECT_EQ(advice.first, advice.end);
}

}  // namespace
}  // namespace hearth::worker

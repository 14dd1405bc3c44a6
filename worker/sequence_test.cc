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

// Eight pages ahead.
ReadaheadAdvice note(SequenceTracker& tracker, ConnectionId reader, const BlockRef& ref, std::uint64_t offset, std::uint64_t length) {
  tracker.saw(reader, ref, offset, length);
  return tracker.ahead(reader, ref, 8 * mebibyte);
}

TEST(SequenceTracker, OneReadIsNoSequence) {
  SequenceTracker tracker;
  const ReadaheadAdvice advice = note(tracker, 1, block(100), 0, mebibyte);
  EXPECT_EQ(advice.first, advice.end);
}

TEST(SequenceTracker, AdvisesThePagesAfterTheSecondReadInARow) {
  SequenceTracker tracker;
  note(tracker, 1, block(100), 0, mebibyte);
  const ReadaheadAdvice advice = note(tracker, 1, block(100), mebibyte, mebibyte);
  EXPECT_EQ(advice.first, 2U);
  EXPECT_EQ(advice.end, 10U);
}

TEST(SequenceTracker, DoesNotAdviseAPageTwice) {
  SequenceTracker tracker;
  note(tracker, 1, block(100), 0, mebibyte);
  note(tracker, 1, block(100), mebibyte, mebibyte);
  tracker.started(1, block(100).id, 10);
  const ReadaheadAdvice advice = note(tracker, 1, block(100), 2 * mebibyte, mebibyte);
  EXPECT_EQ(advice.first, 10U);
  EXPECT_EQ(advice.end, 11U);
}

TEST(SequenceTracker, RequestsOutOfOrderAreStillOneSequence) {
  SequenceTracker tracker;
  note(tracker, 1, block(100), mebibyte, mebibyte);
  const ReadaheadAdvice advice = note(tracker, 1, block(100), 0, mebibyte);
  EXPECT_EQ(advice.first, 2U);
  EXPECT_EQ(advice.end, 10U);
}

TEST(SequenceTracker, RandomReadsAreNoSequence) {
  SequenceTracker tracker;
  for (const std::uint64_t page : {50, 3, 77, 20, 91, 11}) {
    const ReadaheadAdvice advice = note(tracker, 1, block(100), page * mebibyte, 4096);
    EXPECT_EQ(advice.first, advice.end) << page;
  }
}

TEST(SequenceTracker, StopsAtTheEndOfTheBlock) {
  SequenceTracker tracker;
  note(tracker, 1, block(4), 0, mebibyte);
  const ReadaheadAdvice advice = note(tracker, 1, block(4), mebibyte, mebibyte);
  EXPECT_EQ(advice.first, 2U);
  EXPECT_EQ(advice.end, 4U);
}

TEST(SequenceTracker, ReadersOnOtherConnectionsAreOtherSequences) {
  SequenceTracker tracker;
  note(tracker, 1, block(100), 0, mebibyte);
  const ReadaheadAdvice advice = note(tracker, 2, block(100), mebibyte, mebibyte);
  EXPECT_EQ(advice.first, advice.end);
}

TEST(SequenceTracker, RemembersABoundedNumberOfBlocks) {
  SequenceTracker tracker;
  for (std::uint64_t number = 0; number < 1000; ++number) note(tracker, 1, block(100, number), 0, mebibyte);
  tracker.forget(1);
  const ReadaheadAdvice advice = note(tracker, 1, block(100, 999), mebibyte, mebibyte);
  EXPECT_EQ(advice.first, advice.end);
}

TEST(SequenceTracker, AdvisesAsFarAsItIsAskedTo) {
  SequenceTracker tracker;
  tracker.saw(1, block(100), 0, mebibyte);
  tracker.saw(1, block(100), mebibyte, mebibyte);
  EXPECT_EQ(tracker.ahead(1, block(100), 1).end, 3U) << "the page that the window begins in";
  EXPECT_EQ(tracker.ahead(1, block(100), 3 * mebibyte).end, 5U);
  const ReadaheadAdvice nothing = tracker.ahead(1, block(100), 0);
  EXPECT_EQ(nothing.first, nothing.end);
}

TEST(SequenceTracker, OneReadOfMostOfABlockIsAReadOfAllOfIt) {
  SequenceTracker tracker;
  EXPECT_EQ(tracker.saw(1, block(100), 0, 49 * mebibyte), AccessPattern::unknown);
  EXPECT_EQ(tracker.saw(2, block(100), 0, 50 * mebibyte), AccessPattern::whole_file);
  EXPECT_EQ(tracker.saw(3, block(100), 50 * mebibyte, 50 * mebibyte), AccessPattern::unknown) << "not from its beginning";
}

TEST(SequenceTracker, AReaderInOrderIsSequentialAndThenReadsTheWholeFile) {
  SequenceTracker tracker;
  EXPECT_EQ(tracker.saw(1, block(10), 0, mebibyte), AccessPattern::unknown);
  for (std::uint64_t page = 1; page < 4; ++page) {
    EXPECT_EQ(tracker.saw(1, block(10), page * mebibyte, mebibyte), AccessPattern::sequential) << page;
  }
  for (std::uint64_t page = 4; page < 10; ++page) {
    EXPECT_EQ(tracker.saw(1, block(10), page * mebibyte, mebibyte), AccessPattern::whole_file) << page;
  }
  EXPECT_EQ(tracker.saw(1, block(10), 0, mebibyte), AccessPattern::unknown) << "it begins anew, which is no jump";
}

TEST(SequenceTracker, AReaderFromTheMiddleOnIsSequentialToTheEnd) {
  SequenceTracker tracker;
  tracker.saw(1, block(100), 40 * mebibyte, mebibyte);
  for (std::uint64_t page = 41; page < 100; ++page) {
    EXPECT_EQ(tracker.saw(1, block(100), page * mebibyte, mebibyte), AccessPattern::sequential) << page;
  }
}

TEST(SequenceTracker, JumpsAreRandomUntilFourReadsInARow) {
  SequenceTracker tracker;
  EXPECT_EQ(tracker.saw(1, block(100), 50 * mebibyte, 4096), AccessPattern::unknown);
  for (const std::uint64_t page : {3, 77, 20, 91, 11}) {
    EXPECT_EQ(tracker.saw(1, block(100), page * mebibyte, 4096), AccessPattern::random) << page;
  }
  EXPECT_EQ(tracker.saw(1, block(100), 11 * mebibyte + 4096, 4096), AccessPattern::random);
  EXPECT_EQ(tracker.saw(1, block(100), 11 * mebibyte + 8192, 4096), AccessPattern::random);
  EXPECT_EQ(tracker.saw(1, block(100), 11 * mebibyte + 12'288, 4096), AccessPattern::sequential);
}

TEST(SequenceTracker, SmallReadsHereAndThereInASmallFileAreRandom) {
  SequenceTracker tracker;
  tracker.saw(1, block(1), 600'000, 4096);
  for (const std::uint64_t offset : {20'000, 900'000, 300'000, 700'000, 60'000}) {
    EXPECT_EQ(tracker.saw(1, block(1), offset, 4096), AccessPattern::random) << offset;
  }
}

TEST(SequenceTracker, ReadingTheSameAgainAndAgainIsNotASequence) {
  SequenceTracker tracker;
  tracker.saw(1, block(100), 10 * mebibyte, mebibyte);
  tracker.saw(1, block(100), 10 * mebibyte, mebibyte);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(tracker.saw(1, block(100), 10 * mebibyte, mebibyte), AccessPattern::random) << i;
  }
}

}  // namespace
}  // namespace hearth::worker

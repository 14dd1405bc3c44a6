#include "worker/report.h"

#include <gtest/gtest.h>

#include <set>

namespace hearth::worker {
namespace {

BlockId id(std::uint64_t number) { return BlockId{number, ~number}; }

std::vector<BlockId> ids(std::uint64_t count) {
  std::vector<BlockId> out;
  for (std::uint64_t i = 0; i < count; ++i) out.push_back(id(i));
  return out;
}

TEST(PresenceReport, CutsAFullReportIntoPagesWithOneBeginAndOneEnd) {
  PresenceReport report(10, 1000);
  report.begin_full(ids(25));
  std::set<BlockId> told;
  std::vector<std::pair<bool, bool>> marks;
  while (report.has_news()) {
    const ReportPage page = report.page();
    EXPECT_LE(page.added.size(), 10U);
    told.insert(page.added.begin(), page.added.end());
    marks.emplace_back(page.full_begin, page.full_end);
    report.acknowledged();
  }
  EXPECT_EQ(told.size(), 25U);
  const std::vector<std::pair<bool, bool>> expected{{true, false}, {false, false}, {false, true}};
  EXPECT_EQ(marks, expected);
}

TEST(PresenceReport, AnEmptyWorkerStillSendsOneFullPage) {
  PresenceReport report(10, 1000);
  report.begin_full({});
  const ReportPage page = report.page();
  EXPECT_TRUE(page.full_begin && page.full_end);
  EXPECT_TRUE(page.added.empty());
}

TEST(PresenceReport, RepeatsAPageUnchangedUntilItIsAcknowledged) {
  PresenceReport report(10, 1000);
  report.begin_full({});
  report.page();
  report.acknowledged();
  report.add({{id(1)}, {}});
  const ReportPage first = report.page();
  report.add({{id(2)}, {id(1)}});
  const ReportPage again = report.page();
  EXPECT_EQ(again.sequence, first.sequence);
  EXPECT_EQ(again.added, first.added);
  EXPECT_TRUE(again.removed.empty());
  report.acknowledged();
  const ReportPage next = report.page();
  EXPECT_EQ(next.sequence, first.sequence + 1);
  EXPECT_EQ(next.added, std::vector<BlockId>{id(2)});
  EXPECT_EQ(next.removed, std::vector<BlockId>{id(1)});
}

TEST(PresenceReport, ChangesDuringAFullReportFollowIt) {
  PresenceReport report(2, 1000);
  report.begin_full(ids(4));
  report.page();
  report.acknowledged();
  report.add({{id(9)}, {id(0)}});
  const ReportPage last = report.page();
  EXPECT_TRUE(last.full_end);
  report.acknowledged();
  const ReportPage delta = report.page();
  EXPECT_EQ(delta.added, std::vector<BlockId>{id(9)});
  EXPECT_EQ(delta.removed, std::vector<BlockId>{id(0)});
}

TEST(PresenceReport, TooManyUntoldChangesBecomeAFullReport) {
  PresenceReport report(10, 20);
  report.begin_full({});
  report.page();
  report.acknowledged();
  report.add({ids(21), {}});
  EXPECT_TRUE(report.full_owed());
  EXPECT_TRUE(report.has_news());
}

TEST(PresenceReport, AFullReportNeverReusesTheNumberOfAPageThatWasGivenUp) {
  PresenceReport report(10, 1000);
  report.begin_full({});
  report.page();
  report.acknowledged();
  report.add({{id(1)}, {}});
  const std::uint64_t given_up = report.page().sequence;
  report.begin_full({id(1)});
  EXPECT_GT(report.page().sequence, given_up);
}

TEST(PresenceReport, NumberingStartsAgainAfterANewRegistration) {
  PresenceReport report(10, 1000);
  report.begin_full({});
  report.page();
  report.acknowledged();
  report.restart();
  EXPECT_TRUE(report.full_owed());
  report.begin_full({});
  EXPECT_EQ(report.page().sequence, 1U);
}

}  // namespace
}  // namespace hearth::worker

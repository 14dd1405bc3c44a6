// LockSessions: leases, and what a restart of the master means for locks. Time is a number here.
#include "master/lock_sessions.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include <unistd.h>

namespace hearth::master {
namespace {

using std::chrono::seconds;
using Standing = LockSessions::Standing;
using Answer = LockTable::Answer;

constexpr std::uint64_t one = 11, other = 12;
constexpr TimePoint start{};

FileLock exclusive(std::uint64_t owner) {
  return {.object = "f", .space = LockSpace::ranges, .mode = LockMode::exclusive, .owner = owner, .range = {0, 9}, .pid = 77};
}

class LockSessionsTest : public ::testing::Test {
 protected:
  LockSessions sessions_{seconds(10), {}, start};
};

TEST_F(LockSessionsTest, LastALeaseFromWhatWasHeardLast) {
  ASSERT_TRUE(sessions_.open(one, "h", start));
  EXPECT_EQ(sessions_.table().lock(one, exclusive(1)), Answer::granted);
  EXPECT_TRUE(sessions_.expire(start + seconds(9)).empty());
  EXPECT_EQ(sessions_.heard(one, start + seconds(9)), Standing::alive);
  EXPECT_TRUE(sessions_.expire(start + seconds(18)).empty());
  EXPECT_EQ(sessions_.expire(start + seconds(19)), std::vector<std::uint64_t>{one});
  EXPECT_EQ(sessions_.heard(one, start + seconds(19)), Standing::ended);
  ASSERT_TRUE(sessions_.open(other, "h", start + seconds(19)));
  EXPECT_EQ(sessions_.table().lock(other, exclusive(1)), Answer::granted);
}

TEST_F(LockSessionsTest, TellTheProcessOfTheirOwnHostOnly) {
  ASSERT_TRUE(sessions_.open(one, "here", start));
  ASSERT_TRUE(sessions_.open(other, "there", start));
  sessions_.table().lock(one, exclusive(1));
  const auto held = sessions_.table().conflict(other, exclusive(1));
  ASSERT_TRUE(held);
  EXPECT_EQ(sessions_.pid_for(other, *held), 0U);
  EXPECT_EQ(sessions_.pid_for(one, *held), 77U);
}

TEST(LockSessionsAfterARestart, GiveNoLockBeforeThoseOfBeforeAreBack) {
  LockSessions sessions(seconds(10), {one, other}, start);
  EXPECT_TRUE(sessions.is_starting());
  EXPECT_EQ(sessions.heard(one, start), Standing::may_reclaim);
  EXPECT_TRUE(sessions.reclaim(one, "h", {exclusive(1)}, start));
  EXPECT_EQ(sessions.heard(one, start), Standing::alive);
  EXPECT_TRUE(sessions.is_starting()) << "the other one may come";
  EXPECT_TRUE(sessions.reclaim(other, "h", {}, start));
  EXPECT_FALSE(sessions.is_starting());
  EXPECT_EQ(sessions.table().lock(other, exclusive(1)), Answer::in_the_way);
}

TEST(LockSessionsAfterARestart, WaitOneLeaseForThoseOfBefore) {
  LockSessions sessions(seconds(10), {one}, start);
  EXPECT_EQ(sessions.ids(), std::set<std::uint64_t>{one}) << "for the next restart, too";
  EXPECT_TRUE(sessions.expire(start + seconds(9)).empty());
  EXPECT_EQ(sessions.expire(start + seconds(10)), std::vector<std::uint64_t>{one});
  EXPECT_FALSE(sessions.is_starting());
  EXPECT_FALSE(sessions.reclaim(one, "h", {exclusive(1)}, start + seconds(10)));
}

TEST(LockSessionsAfterARestart, LetOnlyThoseOfBeforeReclaim) {
  LockSessions sessions(seconds(10), {one}, start);
  EXPECT_EQ(sessions.reclaim(other, "h", {exclusive(1)}, start).code(), Code::stale);
  EXPECT_EQ(sessions.heard(other, start), Standing::ended);
}

TEST(LockSessionsAfterARestart, ReclaimAllOrNothing) {
  LockSessions sessions(seconds(10), {one, other}, start);
  EXPECT_TRUE(sessions.reclaim(one, "h", {exclusive(1)}, start));
  EXPECT_FALSE(sessions.reclaim(other, "h", {exclusive(1)}, start));
  EXPECT_EQ(sessions.table().size(), 1U);
  EXPECT_EQ(sessions.heard(other, start), Standing::ended);
}

TEST(LockSessionsFile, IsReadAsItWasWritten) {
  const std::string directory = ::testing::TempDir() + "lock_sessions_" + std::to_string(::getpid());
  std::filesystem::create_directories(directory);
  const std::string path = directory + "/sessions";
  EXPECT_TRUE(read_lock_sessions(path).empty());
  ASSERT_TRUE(write_lock_sessions(path, {one, UINT64_MAX}));
  EXPECT_EQ(read_lock_sessions(path), (std::set<std::uint64_t>{one, UINT64_MAX}));
  std::ofstream(path, std::ios::app) << "not a number\n";
  EXPECT_EQ(read_lock_sessions(path).size(), 2U) << "what can not be read is left out";
  ASSERT_TRUE(write_lock_sessions(path, {}));
  EXPECT_TRUE(read_lock_sessions(path).empty());
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace hearth::master

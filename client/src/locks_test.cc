// Locks of two clients against a real master in one process.
#include "tests/support/in_process_cluster.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace hearth::testing::locks {
namespace {

using std::chrono::seconds;
using Wait = LockSession::Wait;

FileLock exclusive(std::uint64_t owner, LockRange range = {}) {
  return {.object = "1:f", .space = LockSpace::ranges, .mode = LockMode::exclusive, .owner = owner, .range = range, .pid = 42};
}

// A call for a lock under way.
struct Asked {
  std::uint64_t ticket = 0;
  std::shared_ptr<std::promise<Status>> promise = std::make_shared<std::promise<Status>>();
  std::future<Status> answer = promise->get_future();

  // The errno, 0 for ok; -1: none within the time.
  int error_within(seconds patience) {
    if (answer.wait_for(patience) != std::future_status::ready) return -1;
    const Status status = answer.get();
    return status ? 0 : status.error().error_number();
  }
};

Asked ask(LockSession& locks, FileLock wanted, Wait wait) {
  Asked asked;
  asked.ticket = locks.new_ticket();
  locks.lock(asked.ticket, std::move(wanted), wait, [promise = asked.promise](Status status) { promise->set_value(std::move(status)); });
  return asked;
}
int lock(LockSession& locks, FileLock wanted) { return ask(locks, std::move(wanted), Wait::no).error_within(seconds(20)); }
int unlock(LockSession& locks, FileLock which) {
  auto promise = std::make_shared<std::promise<Status>>();
  locks.unlock(std::move(which), [promise](Status status) { promise->set_value(std::move(status)); });
  const Status status = promise->get_future().get();
  return status ? 0 : status.error().error_number();
}

class Locks : public ::testing::Test {
 protected:
  void start(Duration lease = seconds(10)) {
    cluster_ = std::make_unique<InProcessCluster>(InProcessClusterOptions{.workers = 0, .lock_lease = lease});
    ASSERT_TRUE(cluster_->start());
    one_ = std::make_unique<Client>(*cluster_->connect());
    other_ = std::make_unique<Client>(*cluster_->connect());
    a_ = one_->locks();
    b_ = other_->locks();
  }
  std::unique_ptr<InProcessCluster> cluster_;
  std::unique_ptr<Client> one_, other_;
  std::shared_ptr<LockSession> a_, b_;
};

TEST_F(Locks, OfOneClientKeepAnotherOut) {
  start();
  EXPECT_EQ(lock(*a_, exclusive(1)), 0);
  EXPECT_EQ(lock(*b_, exclusive(1)), EAGAIN);
  auto promise = std::make_shared<std::promise<Result<std::optional<FileLock>>>>();
  b_->find_conflict(exclusive(1), [promise](Result<std::optional<FileLock>> found) { promise->set_value(std::move(found)); });
  const auto found = promise->get_future().get();
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->pid, 42U) << "both are on this host";
  EXPECT_EQ(unlock(*a_, exclusive(1)), 0);
  EXPECT_EQ(lock(*b_, exclusive(1)), 0);
}

TEST_F(Locks, AreGrantedToWhoWaits) {
  start();
  EXPECT_EQ(lock(*a_, exclusive(1)), 0);
  Asked waiting = ask(*b_, exclusive(1), Wait::until_granted);
  EXPECT_EQ(waiting.error_within(seconds(0)), -1);
  EXPECT_EQ(unlock(*a_, exclusive(1)), 0);
  EXPECT_EQ(waiting.error_within(seconds(10)), 0);
}

TEST_F(Locks, OfWhoGaveUpAreNotGranted) {
  start();
  EXPECT_EQ(lock(*a_, exclusive(1)), 0);
  EXPECT_EQ(lock(*b_, exclusive(1, {5, 5})), EAGAIN);
  Asked waiting = ask(*b_, exclusive(1), Wait::until_granted);
  b_->cancel(waiting.ticket);
  EXPECT_EQ(waiting.error_within(seconds(10)), EINTR);
  EXPECT_EQ(unlock(*a_, exclusive(1)), 0);
  EXPECT_EQ(lock(*a_, exclusive(2)), 0);
}

TEST_F(Locks, AreFreeWhenTheirClientGoes) {
  start(std::chrono::minutes(10));
  EXPECT_EQ(lock(*a_, exclusive(1)), 0);
  Asked waiting = ask(*b_, exclusive(1), Wait::until_granted);
  a_.reset();
  one_.reset();
  EXPECT_EQ(waiting.error_within(seconds(10)), 0);
}

TEST_F(Locks, AreClaimedFromAMasterThatStartsAgain) {
  start();
  EXPECT_EQ(lock(*a_, exclusive(1, {0, 9})), 0);
  EXPECT_EQ(lock(*b_, exclusive(1, {10, 19})), 0);
  cluster_->kill_master();
  ASSERT_TRUE(cluster_->start_master());
  EXPECT_EQ(lock(*b_, exclusive(1, {0, 0})), EAGAIN);
  EXPECT_EQ(lock(*a_, exclusive(1, {10, 10})), EAGAIN);
  EXPECT_EQ(unlock(*a_, exclusive(1)), 0);
  EXPECT_EQ(lock(*b_, exclusive(1, {0, 0})), 0);
}

TEST_F(Locks, ThatAreNotCertainAnyMoreAreErrorsUntilTheyAre) {
  start(std::chrono::milliseconds(600));
  EXPECT_EQ(lock(*a_, exclusive(1)), 0);
  cluster_->kill_master();
  const auto latest = std::chrono::steady_clock::now() + seconds(20);
  while (a_->check(exclusive(1)) && std::chrono::steady_clock::now() < latest) std::this_thread::yield();
  EXPECT_EQ(a_->check(exclusive(1)).error().error_number(), EIO);
  EXPECT_TRUE(a_->check(exclusive(2))) << "it has none";
  EXPECT_EQ(lock(*a_, exclusive(2, {1, 1})), ENOLCK) << "nobody to ask";
  EXPECT_EQ(lock(*a_, exclusive(1)), EIO);
  EXPECT_EQ(unlock(*a_, exclusive(1)), EIO);
  EXPECT_EQ(lock(*a_, exclusive(1)), EIO) << "also after it was given back, until it is closed";
  ASSERT_TRUE(cluster_->start_master());
  EXPECT_EQ(lock(*b_, exclusive(1)), 0);
  std::promise<void> closed;
  a_->closed(exclusive(1), [&closed](const Status&) { closed.set_value(); });
  closed.get_future().get();
  EXPECT_EQ(lock(*a_, exclusive(1)), EAGAIN);
}

}  // namespace
}  // namespace hearth::testing::locks

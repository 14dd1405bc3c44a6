// flock, POSIX record locks and locks of open file descriptions. What another process gets is asked of a child.
#include "tests/posix/suite.h"

#include <sched.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>

namespace hearth::posix {
namespace {

using Flock = Posix;
using RecordLock = Posix;
using DescriptionLock = Posix;

// A child process that holds something until it is told to go, or is killed.
class Holder {
 public:
  // `take` returns 0 when it has what it wants; what it opens stays open.
  explicit Holder(const std::function<int()>& take) {
    int up[2], down[2];
    if (::pipe(up) != 0 || ::pipe(down) != 0) ADD_FAILURE() << "pipe";
    child_ = ::fork();
    if (child_ == 0) {
      ::close(up[0]);
      ::close(down[1]);
      const char outcome = static_cast<char>(take());
      char byte;
      if (::write(up[1], &outcome, 1) != 1 || ::read(down[0], &byte, 1) != 0) ::_exit(1);
      ::_exit(0);
    }
    ::close(up[1]);
    ::close(down[0]);
    tell_ = UniqueFd(down[1]);
    const UniqueFd hear(up[0]);
    char outcome = 1;
    if (::read(hear.get(), &outcome, 1) != 1 || outcome != 0)
      ADD_FAILURE() << "the child has not got its lock: " << Errno{outcome};
  }
  Holder(const Holder&) = delete;
  ~Holder() { leave(); }
  pid_t pid() const { return child_; }
  void leave() {
    tell_.reset();
    wait();
  }
  void kill() {
    ::kill(child_, SIGKILL);
    wait();
  }

 private:
  void wait() {
    if (child_ > 0) ::waitpid(child_, nullptr, 0);
    child_ = -1;
  }
  pid_t child_ = -1;
  UniqueFd tell_;
};

Errno try_flock(int fd, int operation) {
  return errno_of(::flock(fd, operation | LOCK_NB));
}
// A file system in user space hears of the last close a moment after that was answered: tried again for five seconds.
int once_it_is_free(const std::function<int()>& take) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  int outcome = take();
  while (outcome == EWOULDBLOCK && std::chrono::steady_clock::now() < until) {
    ::sched_yield();
    outcome = take();
  }
  return outcome;
}
// Of a fresh open, in another process.
int flock_elsewhere(int operation) {
  return in_child([operation] {
    const UniqueFd fd(::open("file", O_RDWR | O_CLOEXEC));
    return try_flock(fd.get(), operation).value;
  });
}

struct Range {
  off_t at = 0, length = 0;  // length 0: to the end and beyond
};
struct flock record(short type, Range range) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = range.at;
  lock.l_len = range.length;
  return lock;
}
Errno set_lock(int fd, short type, Range range, int command = F_SETLK) {
  struct flock lock = record(type, range);
  return errno_of(::fcntl(fd, command, &lock));
}
int lock_elsewhere(short type, Range range, int command = F_SETLK) {
  return in_child([=] {
    const UniqueFd fd(::open("file", O_RDWR | O_CLOEXEC));
    return set_lock(fd.get(), type, range, command).value;
  });
}
// The bytes of [0, 30) that another process can not lock, as "-" (free), "r" and "w" (held).
std::string held_bytes() {
  std::string map;
  for (off_t at = 0; at < 30; ++at) {
    map += lock_elsewhere(F_WRLCK, {at, 1}) == 0 ? '-' : lock_elsewhere(F_RDLCK, {at, 1}) == 0 ? 'r' : 'w';
  }
  return map;
}

TEST_F(Flock, ExclusiveKeepsAllOthersOut) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDWR), other = opened("file", O_RDWR);
  ASSERT_EQ(try_flock(fd.get(), LOCK_EX), 0);
  EXPECT_EQ(try_flock(other.get(), LOCK_EX), EWOULDBLOCK) << "another open of the same process";
  EXPECT_EQ(try_flock(other.get(), LOCK_SH), EWOULDBLOCK);
  EXPECT_EQ(flock_elsewhere(LOCK_EX), EWOULDBLOCK);
  EXPECT_EQ(flock_elsewhere(LOCK_SH), EWOULDBLOCK);
  ASSERT_EQ(try_flock(fd.get(), LOCK_UN), 0);
  EXPECT_EQ(flock_elsewhere(LOCK_EX), 0);
}

TEST_F(Flock, SharedLetsSharersIn) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDONLY);
  ASSERT_EQ(try_flock(fd.get(), LOCK_SH), 0);
  EXPECT_EQ(flock_elsewhere(LOCK_SH), 0);
  EXPECT_EQ(flock_elsewhere(LOCK_EX), EWOULDBLOCK);
}

TEST_F(Flock, NeedsNoWriteAccess) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDONLY);
  EXPECT_EQ(try_flock(fd.get(), LOCK_EX), 0);
  EXPECT_EQ(flock_elsewhere(LOCK_SH), EWOULDBLOCK);
}

TEST_F(Flock, IsReleasedByTheLastClose) {
  make_file("file");
  UniqueFd fd = opened("file", O_RDWR), copy(::dup(fd.get()));
  ASSERT_EQ(try_flock(fd.get(), LOCK_EX), 0);
  {
    const UniqueFd other = opened("file", O_RDWR);  // its close is not this one's
  }
  fd.reset();
  EXPECT_EQ(flock_elsewhere(LOCK_EX), EWOULDBLOCK);
  copy.reset();
  EXPECT_EQ(once_it_is_free([] { return flock_elsewhere(LOCK_EX); }), 0);
}

TEST_F(Flock, IsReleasedByAnUnlockOfAnyCopy) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDWR), copy(::dup(fd.get()));
  ASSERT_EQ(try_flock(fd.get(), LOCK_EX), 0);
  ASSERT_EQ(try_flock(copy.get(), LOCK_UN), 0);
  EXPECT_EQ(flock_elsewhere(LOCK_EX), 0);
}

TEST_F(Flock, IsReleasedWhenTheProcessDies) {
  make_file("file");
  Holder holder([] { return try_flock(::open("file", O_RDWR), LOCK_EX).value; });
  EXPECT_EQ(flock_elsewhere(LOCK_SH), EWOULDBLOCK);
  holder.kill();
  EXPECT_EQ(once_it_is_free([] { return flock_elsewhere(LOCK_EX); }), 0);
}

TEST_F(Flock, IsConvertedBothWays) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(try_flock(fd.get(), LOCK_SH), 0);
  ASSERT_EQ(try_flock(fd.get(), LOCK_EX), 0);
  EXPECT_EQ(flock_elsewhere(LOCK_SH), EWOULDBLOCK);
  ASSERT_EQ(try_flock(fd.get(), LOCK_SH), 0);
  EXPECT_EQ(flock_elsewhere(LOCK_SH), 0);
}

TEST_F(Flock, IsNotUpgradedWhileOthersShare) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(try_flock(fd.get(), LOCK_SH), 0);
  Holder holder([] { return try_flock(::open("file", O_RDWR), LOCK_SH).value; });
  EXPECT_EQ(try_flock(fd.get(), LOCK_EX), EWOULDBLOCK);
  holder.leave();
  EXPECT_EQ(once_it_is_free([&] { return try_flock(fd.get(), LOCK_EX).value; }), 0);
}

TEST_F(Flock, WaitsForTheHolder) {
  make_file("file");
  UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(try_flock(fd.get(), LOCK_EX), 0);
  int started[2];
  ASSERT_EQ(::pipe(started), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(fd.release());  // the child's copy is the same open
    const UniqueFd mine(::open("file", O_RDWR | O_CLOEXEC));
    if (::write(started[1], "x", 1) != 1) ::_exit(1);
    ::_exit(::flock(mine.get(), LOCK_EX) == 0 ? 0 : 2);
  }
  char byte;
  ASSERT_EQ(::read(started[0], &byte, 1), 1);
  int status = -1;
  let_the_clock_move();
  EXPECT_EQ(::waitpid(child, &status, WNOHANG), 0) << "it waits";
  fd.reset();
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ::close(started[0]);
  ::close(started[1]);
}

TEST_F(Flock, AndRecordLocksDoNotMeet) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(try_flock(fd.get(), LOCK_EX), 0);
  EXPECT_EQ(lock_elsewhere(F_WRLCK, {0, 0}), 0);
}

TEST_F(Flock, OfADirectoryWorks) {
  const UniqueFd one = opened(".", O_RDONLY), two = opened(".", O_RDONLY);
  ASSERT_EQ(try_flock(one.get(), LOCK_EX), 0);
  EXPECT_EQ(try_flock(two.get(), LOCK_SH), EWOULDBLOCK);
}

TEST_F(RecordLock, KeepsOthersOutOfItsRange) {
  make_file("file", pattern(30));
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(set_lock(fd.get(), F_WRLCK, {10, 5}), 0);
  ASSERT_EQ(set_lock(fd.get(), F_RDLCK, {20, 3}), 0);
  EXPECT_EQ(held_bytes(), "----------wwwww-----rrr-------");
}

TEST_F(RecordLock, IsSplitMergedAndReplaced) {
  make_file("file", pattern(30));
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(set_lock(fd.get(), F_WRLCK, {0, 30}), 0);
  ASSERT_EQ(set_lock(fd.get(), F_UNLCK, {10, 5}), 0);
  EXPECT_EQ(held_bytes(), "wwwwwwwwww-----wwwwwwwwwwwwwww");
  ASSERT_EQ(set_lock(fd.get(), F_RDLCK, {5, 15}), 0);
  EXPECT_EQ(held_bytes(), "wwwwwrrrrrrrrrrrrrrrwwwwwwwwww");
  ASSERT_EQ(set_lock(fd.get(), F_UNLCK, {0, 0}), 0);
  EXPECT_EQ(held_bytes(), std::string(30, '-'));
}

TEST_F(RecordLock, OfLengthZeroReachesBeyondTheEnd) {
  make_file("file", "x");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(set_lock(fd.get(), F_WRLCK, {100, 0}), 0);
  EXPECT_EQ(lock_elsewhere(F_WRLCK, {0, 100}), 0);
  EXPECT_EQ(lock_elsewhere(F_RDLCK, {1LL << 40, 1}), EAGAIN);
}

TEST_F(RecordLock, CountsFromTheEndAndBackwards) {
  make_file("file", pattern(30));
  const UniqueFd fd = opened("file", O_RDWR);
  struct flock lock = record(F_WRLCK, {-10, 5});
  lock.l_whence = SEEK_END;
  ASSERT_EQ(errno_of(::fcntl(fd.get(), F_SETLK, &lock)), 0);
  ASSERT_EQ(set_lock(fd.get(), F_WRLCK, {10, -5}), 0);
  EXPECT_EQ(held_bytes(), "-----wwwww----------wwwww-----");
}

TEST_F(RecordLock, GetlkNamesTheOwner) {
  make_file("file", pattern(30));
  const UniqueFd fd = opened("file", O_RDWR);
  Holder holder([] { return set_lock(::open("file", O_RDWR), F_WRLCK, {10, 5}).value; });
  struct flock lock = record(F_RDLCK, {0, 30});
  ASSERT_EQ(errno_of(::fcntl(fd.get(), F_GETLK, &lock)), 0);
  EXPECT_EQ(lock.l_type, F_WRLCK);
  EXPECT_EQ(lock.l_start, 10);
  EXPECT_EQ(lock.l_len, 5);
  EXPECT_EQ(lock.l_pid, holder.pid());
  lock = record(F_WRLCK, {15, 10});
  ASSERT_EQ(errno_of(::fcntl(fd.get(), F_GETLK, &lock)), 0);
  EXPECT_EQ(lock.l_type, F_UNLCK);
}

TEST_F(RecordLock, OfTheSameProcessNeverConflicts) {
  make_file("file", pattern(30));
  const UniqueFd one = opened("file", O_RDWR), two = opened("file", O_RDWR);
  ASSERT_EQ(set_lock(one.get(), F_WRLCK, {0, 30}), 0);
  EXPECT_EQ(set_lock(two.get(), F_WRLCK, {0, 30}), 0);
  EXPECT_EQ(set_lock(two.get(), F_UNLCK, {0, 10}), 0);
  EXPECT_EQ(held_bytes(), "----------wwwwwwwwwwwwwwwwwwww");
}

TEST_F(RecordLock, IsReleasedByAnyCloseOfTheFile) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(set_lock(fd.get(), F_WRLCK, {0, 0}), 0);
  EXPECT_EQ(lock_elsewhere(F_RDLCK, {0, 1}), EAGAIN);
  EXPECT_EQ(errno_of_open("file", O_RDONLY), 0);  // opens and closes
  EXPECT_EQ(lock_elsewhere(F_WRLCK, {0, 1}), 0);
}

TEST_F(RecordLock, IsReleasedWhenTheProcessDies) {
  make_file("file");
  Holder holder([] { return set_lock(::open("file", O_RDWR), F_WRLCK, {0, 0}).value; });
  EXPECT_EQ(lock_elsewhere(F_RDLCK, {0, 1}), EAGAIN);
  holder.kill();
  EXPECT_EQ(lock_elsewhere(F_WRLCK, {0, 1}), 0);
}

TEST_F(RecordLock, IsNotInherited) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(set_lock(fd.get(), F_WRLCK, {0, 0}), 0);
  EXPECT_EQ(in_child([&] { return set_lock(fd.get(), F_WRLCK, {0, 0}).value; }), EAGAIN);
}

TEST_F(RecordLock, NeedsTheDescriptorToFit) {
  make_file("file");
  const UniqueFd reader = opened("file", O_RDONLY), writer = opened("file", O_WRONLY);
  EXPECT_EQ(set_lock(reader.get(), F_WRLCK, {0, 1}), EBADF);
  EXPECT_EQ(set_lock(writer.get(), F_RDLCK, {0, 1}), EBADF);
  EXPECT_EQ(set_lock(reader.get(), F_RDLCK, {0, 1}), 0);
  EXPECT_EQ(set_lock(reader.get(), F_RDLCK, {-5, 1}), EINVAL);
}

TEST_F(RecordLock, WaitsForTheHolder) {
  make_file("file");
  Holder holder([] { return set_lock(::open("file", O_RDWR), F_WRLCK, {0, 0}).value; });
  int started[2];
  ASSERT_EQ(::pipe2(started, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const UniqueFd fd(::open("file", O_RDWR | O_CLOEXEC));
    if (::write(started[1], "x", 1) != 1) ::_exit(1);
    ::_exit(set_lock(fd.get(), F_WRLCK, {5, 5}, F_SETLKW).value);
  }
  char byte;
  ASSERT_EQ(::read(started[0], &byte, 1), 1);
  let_the_clock_move();
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, WNOHANG), 0) << "it waits";
  holder.kill();  // not leave(): the waiter has a copy of its pipe
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ::close(started[0]);
  ::close(started[1]);
}

TEST_F(RecordLock, AWaiterIsInterruptedBySignals) {
  make_file("file");
  Holder holder([] { return set_lock(::open("file", O_RDWR), F_WRLCK, {0, 0}).value; });
  EXPECT_EQ(in_child([] {
              const UniqueFd fd(::open("file", O_RDWR | O_CLOEXEC));
              struct sigaction action = {};
              action.sa_handler = [](int) {};  // without SA_RESTART
              ::sigaction(SIGALRM, &action, nullptr);
              ::alarm(1);
              return set_lock(fd.get(), F_WRLCK, {0, 0}, F_SETLKW).value;
            }),
            EINTR);
  holder.leave();
  EXPECT_EQ(lock_elsewhere(F_WRLCK, {0, 0}), 0) << "the waiter that gave up holds nothing";
}

TEST_F(RecordLock, ADeadlockIsRefused) {
  make_file("file", pattern(2));
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(set_lock(fd.get(), F_WRLCK, {0, 1}), 0);
  int started[2];
  ASSERT_EQ(::pipe2(started, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (set_lock(fd.get(), F_WRLCK, {1, 1}).value != 0 || ::write(started[1], "x", 1) != 1) ::_exit(1);
    ::alarm(20);
    ::_exit(set_lock(fd.get(), F_WRLCK, {0, 1}, F_SETLKW).value == EDEADLK ? 3 : 0);
  }
  char byte;
  ASSERT_EQ(::read(started[0], &byte, 1), 1);
  // One of the two is refused, whoever comes second.
  const Errno mine = set_lock(fd.get(), F_WRLCK, {1, 1}, F_SETLKW);
  ASSERT_EQ(set_lock(fd.get(), F_UNLCK, {0, 0}), 0);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE((mine == EDEADLK && status == 0) || (mine == 0 && WEXITSTATUS(status) == 3))
      << mine << ", child " << status;
  ::close(started[0]);
  ::close(started[1]);
}

TEST_F(DescriptionLock, BelongsToTheOpenFile) {
  make_file("file", pattern(30));
  UniqueFd one = opened("file", O_RDWR);
  const UniqueFd two = opened("file", O_RDWR);
  ASSERT_EQ(set_lock(one.get(), F_WRLCK, {0, 10}, F_OFD_SETLK), 0);
  EXPECT_EQ(set_lock(two.get(), F_WRLCK, {5, 10}, F_OFD_SETLK), EAGAIN) << "another open of the same process";
  EXPECT_EQ(set_lock(two.get(), F_WRLCK, {10, 10}, F_OFD_SETLK), 0);
  EXPECT_EQ(errno_of_open("file", O_RDONLY), 0);  // its close releases nothing
  EXPECT_EQ(held_bytes(), "wwwwwwwwwwwwwwwwwwww----------");
  one.reset();
  EXPECT_EQ(held_bytes(), "----------wwwwwwwwww----------");
}

TEST_F(DescriptionLock, IsSharedWithChildren) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(set_lock(fd.get(), F_WRLCK, {0, 10}, F_OFD_SETLK), 0);
  EXPECT_EQ(in_child([&] { return set_lock(fd.get(), F_UNLCK, {0, 10}, F_OFD_SETLK).value; }), 0);
  EXPECT_EQ(lock_elsewhere(F_WRLCK, {0, 10}), 0);
}

TEST_F(DescriptionLock, MeetsRecordLocks) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(set_lock(fd.get(), F_RDLCK, {0, 10}, F_OFD_SETLK), 0);
  EXPECT_EQ(lock_elsewhere(F_RDLCK, {0, 10}), 0);
  EXPECT_EQ(lock_elsewhere(F_WRLCK, {0, 10}), EAGAIN);
  struct flock lock = record(F_WRLCK, {0, 10});
  const UniqueFd other = opened("file", O_RDWR);
  ASSERT_EQ(errno_of(::fcntl(other.get(), F_GETLK, &lock)), 0);
  EXPECT_EQ(lock.l_type, F_RDLCK);
}

TEST_F(DescriptionLock, BelongsToNoProcess) {
  make_file("file");
  const UniqueFd fd = opened("file", O_RDWR), other = opened("file", O_RDWR);
  ASSERT_EQ(set_lock(fd.get(), F_RDLCK, {0, 10}, F_OFD_SETLK), 0);
  struct flock lock = record(F_WRLCK, {0, 10});
  ASSERT_EQ(errno_of(::fcntl(other.get(), F_GETLK, &lock)), 0);
  EXPECT_EQ(lock.l_pid, -1);
}

}  // namespace
}  // namespace hearth::posix

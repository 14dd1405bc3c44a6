// LockTable: the rules one by one, and random operations against a model that remembers each byte.
#include "common/lock_table.h"

#include "common/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <tuple>

namespace hearth {
namespace {

using Answer = LockTable::Answer;
constexpr std::uint64_t a = 1, b = 2;  // sessions

FileLock record(std::uint64_t owner, LockMode mode, LockRange range, std::string object = "f") {
  return {.object = std::move(object), .space = LockSpace::ranges, .mode = mode, .owner = owner, .range = range, .pid = 7};
}
FileLock whole(std::uint64_t owner, LockMode mode) {
  return {.object = "f", .space = LockSpace::whole_file, .mode = mode, .owner = owner, .range = {}, .pid = 7};
}
constexpr auto shared = LockMode::shared;
constexpr auto exclusive = LockMode::exclusive;

TEST(LockTable, OwnersOfTwoSessionsAreTwoOwners) {
  LockTable table;
  EXPECT_EQ(table.lock(a, record(1, exclusive, {0, 9})), Answer::granted);
  EXPECT_EQ(table.lock(b, record(1, exclusive, {9, 9})), Answer::in_the_way);
  EXPECT_EQ(table.lock(b, record(1, exclusive, {10, 19})), Answer::granted);
  const auto found = table.conflict(b, record(1, shared, {0, 100}));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->session, a);
  EXPECT_EQ(found->lock.range, (LockRange{0, 9}));
  EXPECT_EQ(found->lock.pid, 7U);
}

TEST(LockTable, APartIsUnlockedAndNeighboursAreOne) {
  LockTable table;
  table.lock(a, record(1, exclusive, {0, 29}));
  table.unlock(a, record(1, shared, {10, 19}));
  EXPECT_EQ(table.size(), 2U);
  EXPECT_EQ(table.lock(b, record(1, exclusive, {10, 19})), Answer::granted);
  table.unlock(b, record(1, shared, {}));
  table.lock(a, record(1, exclusive, {10, 19}));
  ASSERT_EQ(table.size(), 1U);
  EXPECT_EQ(table.locks_of(a).front().range, (LockRange{0, 29}));
}

TEST(LockTable, ToTheEndOfAllFilesIsARange) {
  LockTable table;
  table.lock(a, record(1, exclusive, {5, UINT64_MAX}));
  table.lock(a, record(1, exclusive, {0, 4}));
  EXPECT_EQ(table.size(), 1U);
  table.unlock(a, record(1, shared, {UINT64_MAX, UINT64_MAX}));
  EXPECT_EQ(table.locks_of(a).front().range, (LockRange{0, UINT64_MAX - 1}));
}

TEST(LockTable, WaitersComeInTheirOrder) {
  LockTable table;
  table.lock(a, record(1, exclusive, {0, 9}));
  EXPECT_EQ(table.lock_or_wait({b, 1}, record(1, exclusive, {0, 9})), Answer::waits);
  EXPECT_EQ(table.lock_or_wait({b, 2}, record(2, exclusive, {0, 9})), Answer::waits);
  EXPECT_EQ(table.lock_or_wait({b, 3}, record(3, exclusive, {20, 29})), Answer::granted) << "nothing is in its way";
  table.unlock(a, record(1, shared, {}));
  EXPECT_EQ(table.take_granted(), (std::vector<LockTicket>{{b, 1}}));
  EXPECT_TRUE(table.cancel({b, 2}));
  EXPECT_FALSE(table.cancel({b, 2}));
  table.unlock(b, record(1, shared, {}));
  EXPECT_TRUE(table.take_granted().empty());
}

TEST(LockTable, ADowngradeLetsSharersIn) {
  LockTable table;
  table.lock(a, record(1, exclusive, {0, 9}));
  table.lock_or_wait({b, 1}, record(1, shared, {0, 9}));
  table.lock(a, record(1, shared, {0, 9}));
  EXPECT_EQ(table.take_granted().size(), 1U);
}

TEST(LockTable, ASessionThatEndsLetsOthersIn) {
  LockTable table;
  table.lock(a, record(1, exclusive, {0, 9}));
  table.lock_or_wait({a, 1}, record(2, exclusive, {0, 9}));
  table.lock_or_wait({b, 1}, record(1, exclusive, {0, 9}));
  table.drop_session(a);
  EXPECT_EQ(table.take_granted(), (std::vector<LockTicket>{{b, 1}}));
  EXPECT_EQ(table.count(a), 0U);
  EXPECT_EQ(table.count(b), 1U);
}

TEST(LockTable, AWaitThatNobodyCouldEndIsRefused) {
  LockTable table;
  table.lock(a, record(1, exclusive, {0, 0}, "x"));
  table.lock(b, record(2, exclusive, {0, 0}, "y"));
  table.lock(b, record(3, exclusive, {0, 0}, "z"));
  EXPECT_EQ(table.lock_or_wait({a, 1}, record(1, exclusive, {0, 0}, "y")), Answer::waits);
  EXPECT_EQ(table.lock_or_wait({b, 1}, record(2, exclusive, {0, 0}, "z")), Answer::waits);
  EXPECT_EQ(table.lock_or_wait({b, 2}, record(3, exclusive, {0, 0}, "x")), Answer::deadlock) << "over three owners";
  EXPECT_EQ(table.lock_or_wait({b, 3}, record(4, exclusive, {0, 0}, "x")), Answer::waits) << "holds nothing itself";
}

TEST(LockTable, TwoWhoShareAFileAndBothWantItAloneGetIt) {
  LockTable table;
  table.lock(a, whole(1, shared));
  table.lock(b, whole(1, shared));
  EXPECT_EQ(table.lock_or_wait({a, 1}, whole(1, exclusive)), Answer::waits);
  EXPECT_EQ(table.lock_or_wait({b, 1}, whole(1, exclusive)), Answer::granted) << "the first gave its own up to wait";
  table.unlock(b, whole(1, shared));
  EXPECT_EQ(table.take_granted(), (std::vector<LockTicket>{{a, 1}}));
  EXPECT_EQ(table.lock(b, record(1, exclusive, {})), Answer::granted) << "ranges are a space of their own";
}

// Each byte of a few, for each owner: what it holds.
class Model {
 public:
  static constexpr std::size_t bytes = 24;
  using Owner = std::tuple<std::uint64_t, std::uint64_t, LockSpace>;  // session, owner
  struct Waiting {
    LockTicket ticket;
    FileLock wanted;
  };

  bool free_for(std::uint64_t session, const FileLock& wanted) const {
    for (const auto& [owner, held] : held_) {
      if (owner == owner_of(session, wanted) || std::get<2>(owner) != wanted.space) continue;
      for (std::size_t i = wanted.range.first; i <= wanted.range.last; ++i) {
        if (held[i] && (*held[i] == exclusive || wanted.mode == exclusive)) return false;
      }
    }
    return true;
  }
  void put(std::uint64_t session, const FileLock& wanted, std::optional<LockMode> mode) {
    auto& held = held_[owner_of(session, wanted)];
    std::fill(held.begin() + static_cast<std::ptrdiff_t>(wanted.range.first),
              held.begin() + static_cast<std::ptrdiff_t>(wanted.range.last) + 1, mode);
  }
  bool lock(std::uint64_t session, const FileLock& wanted) {
    const bool free = free_for(session, wanted);
    if (free) put(session, wanted, wanted.mode);
    if (!free && wanted.space == LockSpace::whole_file) put(session, wanted, std::nullopt);
    settle();
    return free;
  }
  void settle() {
    for (bool changed = true; changed;) {
      const auto next = std::find_if(queue.begin(), queue.end(),
                                     [&](const Waiting& one) { return free_for(one.ticket.session, one.wanted); });
      changed = next != queue.end();
      if (!changed) break;
      put(next->ticket.session, next->wanted, next->wanted.mode);
      granted.push_back(next->ticket);
      queue.erase(next);
    }
  }
  void drop(std::uint64_t session) {
    std::erase_if(held_, [session](const auto& one) { return std::get<0>(one.first) == session; });
    std::erase_if(queue, [session](const Waiting& one) { return one.ticket.session == session; });
    settle();
  }
  // Runs of equal bytes of one owner.
  std::size_t runs() const {
    std::size_t count = 0;
    for (const auto& [owner, held] : held_) {
      for (std::size_t i = 0; i < bytes; ++i) count += held[i] && (i == 0 || held[i] != held[i - 1]) ? 1 : 0;
    }
    return count;
  }

  std::deque<Waiting> queue;
  std::vector<LockTicket> granted;

 private:
  static Owner owner_of(std::uint64_t session, const FileLock& lock) { return {session, lock.owner, lock.space}; }
  std::map<Owner, std::array<std::optional<LockMode>, bytes>> held_;
};

void run_against_the_model(std::uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  SeededRng rng(seed);
  LockTable table;
  Model model;
  std::uint64_t next_ticket = 1;
  for (int step = 0; step < 3000; ++step) {
    const std::uint64_t session = 1 + rng.below(3);
    FileLock lock = record(1 + rng.below(3), rng.below(2) == 0 ? shared : exclusive, {});
    if (rng.below(4) == 0) lock.space = LockSpace::whole_file;
    lock.range.first = lock.space == LockSpace::whole_file ? 0 : rng.below(Model::bytes);
    lock.range.last = lock.space == LockSpace::whole_file ? Model::bytes - 1 : lock.range.first + rng.below(Model::bytes - lock.range.first);
    switch (rng.below(8)) {
      case 0: case 1:
        ASSERT_EQ(table.lock(session, lock) == Answer::granted, model.lock(session, lock)) << "step " << step;
        break;
      case 2: case 3: {
        const LockTicket ticket{session, next_ticket++};
        const Answer answer = table.lock_or_wait(ticket, lock);
        ASSERT_EQ(answer == Answer::granted, model.lock(session, lock)) << "step " << step;
        if (answer == Answer::waits) model.queue.push_back({ticket, lock});
        break;
      }
      case 4: case 5:
        table.unlock(session, lock);
        model.put(session, lock, std::nullopt);
        model.settle();
        break;
      case 6:
        if (model.queue.empty()) break;
        ASSERT_TRUE(table.cancel(model.queue.front().ticket));
        model.queue.pop_front();
        break;
      case 7:
        ASSERT_EQ(!table.conflict(session, lock), model.free_for(session, lock)) << "step " << step;
        if (rng.below(20) == 0) {
          table.drop_session(session);
          model.drop(session);
        }
        break;
    }
    ASSERT_EQ(table.take_granted(), std::exchange(model.granted, {})) << "step " << step;
    ASSERT_EQ(table.size(), model.runs()) << "step " << step;
  }
}

TEST(LockTable, AgreesWithAModelOfBytes) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) run_against_the_model(seed);
}

}  // namespace
}  // namespace hearth

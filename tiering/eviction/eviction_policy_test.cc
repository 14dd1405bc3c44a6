#include "tiering/eviction_policy.h"

#include "common/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <set>
#include <string>
#include <vector>

namespace hearth {
namespace {

const auto any = [](EvictionSlot) { return true; };
const auto none = [](EvictionSlot) { return false; };
constexpr std::uint64_t page_bytes = 4096;

TEST(LruPolicy, NamesTheColdestAndMovesWhatIsInUseToTheYoungEnd) {
  auto policy = make_lru_policy();
  for (EvictionSlot slot = 0; slot < 5; ++slot) policy->inserted(slot, slot, page_bytes);
  policy->touched(0);  // 1 2 3 4 0
  EXPECT_EQ(policy->victim(any), 1U);
  EXPECT_EQ(policy->victim([](EvictionSlot slot) { return slot >= 3; }), 3U);  // 3 4 0 1 2
  policy->removed(3, Removal::evicted);
  EXPECT_EQ(policy->victim(any), 4U);
  EXPECT_EQ(policy->victim(none), std::nullopt);
}

TEST(LruPolicy, AgreesWithAListUnderRandomOperations) {
  auto policy = make_lru_policy();
  std::list<EvictionSlot> model;
  SeededRng rng(20240607);
  for (int step = 0; step < 20000; ++step) {
    const auto slot = static_cast<EvictionSlot>(rng.below(64));
    const auto found = std::find(model.begin(), model.end(), slot);
    if (found == model.end()) {
      policy->inserted(slot, slot, page_bytes);
      model.push_back(slot);
    } else if (rng.below(3) == 0) {
      policy->removed(slot, Removal::dropped);
      model.erase(found);
    } else {
      policy->touched(slot);
      model.splice(model.end(), model, found);
    }
    const auto pinned = static_cast<EvictionSlot>(rng.below(64));
    const auto allowed = [pinned](EvictionSlot candidate) { return candidate % 8 != pinned % 8; };
    const auto expected = std::find_if(model.begin(), model.end(), allowed);
    model.splice(model.end(), model, model.begin(), expected);
    const auto victim = policy->victim(allowed);
    ASSERT_EQ(victim.has_value(), std::any_of(model.begin(), model.end(), allowed));
    if (victim) {
      ASSERT_EQ(*victim, model.front());
    }
  }
}

// What holds for each class, whatever its order.
class AnyEviction : public testing::TestWithParam<std::string_view> {
 protected:
  std::unique_ptr<EvictionPolicy> policy_ = make_policy(GetParam()).value();
};

INSTANTIATE_TEST_SUITE_P(Classes, AnyEviction, testing::ValuesIn(eviction_policy_names), [](const auto& tested) {
  std::string name(tested.param);
  std::erase(name, '-');
  return name;
});

TEST_P(AnyEviction, NamesOnlyWhatIsInsertedAndAllowedAndSomethingWheneverThereIs) {
  std::vector<bool> inserted(200, false);
  std::uint64_t seed = 3;
  SeededRng rng(seed);
  for (int step = 0; step < 100'000; ++step) {
    const auto slot = static_cast<EvictionSlot>(rng.below(inserted.size()));
    if (!inserted[slot]) {
      policy_->inserted(slot, rng.below(1000), page_bytes * (1 + rng.below(256)));
      inserted[slot] = true;
    } else if (rng.below(4) == 0) {
      policy_->removed(slot, rng.below(2) == 0 ? Removal::dropped : Removal::evicted);
      inserted[slot] = false;
    } else {
      policy_->touched(slot);
    }
    const std::uint64_t modulus = 1 + rng.below(40);
    const std::uint64_t allowed_rest = rng.below(modulus);
    const auto allowed = [&](EvictionSlot each) { return each % modulus == allowed_rest; };
    bool exists = false;
    for (EvictionSlot each = 0; each < inserted.size(); ++each) exists = exists || (inserted[each] && allowed(each));
    const auto victim = policy_->victim(allowed);
    ASSERT_EQ(victim.has_value(), exists) << "seed " << seed << " step " << step;
    if (victim) {
      ASSERT_TRUE(inserted[*victim] && allowed(*victim)) << "seed " << seed << " step " << step;
    }
    if (victim && rng.below(2) == 0) {
      policy_->removed(*victim, Removal::evicted);
      inserted[*victim] = false;
    }
  }
}

TEST_P(AnyEviction, LooksAtFewSlotsPerVictimThoughNineOfTenAreInUse) {
  constexpr EvictionSlot slots = 20'000;
  for (EvictionSlot slot = 0; slot < slots; ++slot) policy_->inserted(slot, slot, page_bytes);
  std::uint64_t looks = 0;
  // In use: a long row at the cold end, as after a load that pinned, and more spread over the rest.
  const auto allowed = [&](EvictionSlot slot) {
    ++looks;
    return slot >= slots / 2 && slot % 5 == 0;
  };
  constexpr std::uint64_t evictions = 20'000;
  std::uint64_t fingerprint = slots;
  for (std::uint64_t i = 0; i < evictions; ++i) {
    auto victim = policy_->victim(allowed);
    // One call gives up after max_looks_per_victim; the next goes on behind.
    for (EvictionSlot again = 0; !victim && again < slots / max_looks_per_victim + 1; ++again) victim = policy_->victim(allowed);
    ASSERT_TRUE(victim);
    policy_->removed(*victim, Removal::evicted);
    policy_->inserted(*victim, fingerprint++, page_bytes);
  }
  // Ten slots are in use for each that is not.
  EXPECT_LT(looks, evictions * 20 + slots);
}

TEST_P(AnyEviction, OneCallIsBoundedWhenNothingMayGo) {
  constexpr EvictionSlot slots = 100'000;
  for (EvictionSlot slot = 0; slot < slots; ++slot) policy_->inserted(slot, slot, page_bytes);
  std::uint64_t looks = 0;
  const auto refuse = [&](EvictionSlot) {
    ++looks;
    return false;
  };
  EXPECT_EQ(policy_->victim(refuse), std::nullopt);
  EXPECT_LE(looks, 4 * max_looks_per_victim);
}

TEST_P(AnyEviction, OneCallIsBoundedWhenEverySlotIsHot) {
  constexpr EvictionSlot slots = 100'000;
  for (EvictionSlot slot = 0; slot < slots; ++slot) policy_->inserted(slot, slot, page_bytes);
  // Several rounds, so that S3-FIFO has promoted them and counted up to its maximum.
  for (int round = 0; round < 40; ++round) {
    for (EvictionSlot slot = 0; slot < slots; ++slot) policy_->touched(slot);
    std::uint64_t looks = 0;
    const auto victim = policy_->victim([&](EvictionSlot) { return ++looks > 0; });
    ASSERT_TRUE(victim || round < 30);
    EXPECT_LE(looks, 2U);
  }
}

TEST_P(AnyEviction, KeepsWhatIsReadAgainAndAgain) {
  constexpr EvictionSlot slots = 1000;
  for (EvictionSlot slot = 0; slot < slots; ++slot) policy_->inserted(slot, slot, page_bytes);
  std::set<EvictionSlot> hot;
  for (EvictionSlot slot = 0; slot < slots; slot += 10) hot.insert(slot);
  for (int i = 0; i < 5000; ++i) {
    for (const EvictionSlot slot : hot) {
      if (i % 50 != 0) continue;
      policy_->touched(slot);
      policy_->touched(slot);
    }
    const auto victim = policy_->victim(any);
    ASSERT_TRUE(victim);
    ASSERT_FALSE(hot.contains(*victim)) << "eviction " << i;
    policy_->removed(*victim, Removal::evicted);
    policy_->inserted(*victim, slots + static_cast<std::uint64_t>(i), page_bytes);
  }
}

TEST_P(AnyEviction, TakesAtMostFiftyBytesOfMemoryPerSlot) {
  constexpr EvictionSlot slots = 100'000;
  auto policy = make_policy(GetParam(), {.expected_slots = slots}).value();
  for (EvictionSlot slot = 0; slot < slots; ++slot) policy->inserted(slot, slot, page_bytes);
  for (EvictionSlot i = 0; i < slots; ++i) {
    const EvictionSlot slot = policy->victim(any).value();
    policy->removed(slot, Removal::evicted);
    policy->inserted(slot, slots + i, page_bytes);
  }
  EXPECT_LE(policy->memory_bytes(), slots * 50);
}

TEST(S3FifoPolicy, LetsOneHitWondersGoAndKnowsItsGhosts) {
  auto policy = make_s3_fifo_policy();
  for (EvictionSlot slot = 0; slot < 100; ++slot) policy->inserted(slot, slot, page_bytes);
  for (EvictionSlot slot = 0; slot < 50; ++slot) {
    policy->touched(slot);
    policy->touched(slot);  // twice while small: promoted
  }
  ASSERT_EQ(policy->victim(any), 50U);
  policy->removed(50, Removal::evicted);
  policy->inserted(50, 50, page_bytes);  // a ghost comes back: into main
  // Small loses all its others before main gives up anything, down to its tenth of the bytes.
  for (EvictionSlot slot = 51; slot < 94; ++slot) {
    ASSERT_EQ(policy->victim(any), slot);
    policy->removed(slot, Removal::evicted);
  }
}

TEST(S3FifoPolicy, SharesByBytesAndNotByCount) {
  auto policy = make_s3_fifo_policy();
  // Main: one slot of 900 pages. Small: 80 slots of one page, less than a tenth of the bytes, though most of the slots.
  policy->inserted(0, 0, 900 * page_bytes);
  policy->touched(0);
  policy->touched(0);
  for (EvictionSlot slot = 1; slot <= 80; ++slot) policy->inserted(slot, slot, page_bytes);
  ASSERT_EQ(policy->victim(any), 1U);  // all were small until now
  EXPECT_EQ(policy->victim(any), 0U);
}

TEST(WTinyLfuPolicy, ANewcomerStaysOnlyWhenItWasSeenMoreOftenThanTheColdest) {
  auto policy = make_w_tinylfu_policy();
  for (EvictionSlot slot = 0; slot < 100; ++slot) policy->inserted(slot, slot, page_bytes);
  for (EvictionSlot slot = 0; slot < 100; ++slot) policy->touched(slot);
  const EvictionSlot first = policy->victim(any).value();
  policy->removed(first, Removal::evicted);
  policy->inserted(first, 1000, page_bytes);
  for (std::uint64_t fingerprint = 1001; fingerprint < 1050; ++fingerprint) {
    const EvictionSlot slot = policy->victim(any).value();
    policy->removed(slot, Removal::evicted);
    policy->inserted(slot, fingerprint, page_bytes);
  }
  // Newcomers pushed each other out; of those that had been read twice all but one or two are still there, so
  // the next victim is a newcomer as well.
  std::set<EvictionSlot> victims;
  for (std::uint64_t fingerprint = 2000; fingerprint < 2050; ++fingerprint) {
    const EvictionSlot slot = policy->victim(any).value();
    victims.insert(slot);
    policy->removed(slot, Removal::evicted);
    policy->inserted(slot, fingerprint, page_bytes);
  }
  EXPECT_LE(victims.size(), 3U);
  // What comes often wins: four times the same newcomer.
  for (int times = 0; times < 4; ++times) {
    const EvictionSlot slot = policy->victim(any).value();
    policy->removed(slot, Removal::evicted);
    policy->inserted(slot, 3000, page_bytes);
  }
  policy->inserted(200, 4000, page_bytes);  // 3000 leaves the window
  const EvictionSlot loser = policy->victim(any).value();
  EXPECT_FALSE(victims.contains(loser)) << "one of the old ones made room";
}

TEST(MakePolicy, NamesWhatItKnowsWhenItIsAskedForSomethingElse) {
  const auto refused = make_policy("random");
  EXPECT_EQ(refused.code(), Code::invalid_argument);
  EXPECT_EQ(refused.error().message(), "eviction \"random\" is not known; use one of lru, s3-fifo, w-tinylfu");
}

}  // namespace
}  // namespace hearth

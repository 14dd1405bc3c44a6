#include "tiering/eviction_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <list>
#include <random>

namespace hearth {
namespace {

TEST(LruPolicy, NamesTheColdestAllowedSlot) {
  auto policy = make_lru_policy();
  for (EvictionSlot slot = 0; slot < 5; ++slot) policy->inserted(slot, slot);
  policy->touched(0);
  const auto any = [](EvictionSlot) { return true; };
  EXPECT_EQ(policy->victim(any), 1U);
  EXPECT_EQ(policy->victim([](EvictionSlot slot) { return slot >= 3; }), 3U);
  EXPECT_EQ(policy->victim([](EvictionSlot) { return false; }), std::nullopt);
  policy->removed(1, Removal::evicted);
  EXPECT_EQ(policy->victim(any), 2U);
}

TEST(LruPolicy, AgreesWithAListUnderRandomOperations) {
  auto policy = make_lru_policy();
  std::list<EvictionSlot> model;
  std::mt19937_64 random(20240607);
  for (int step = 0; step < 20000; ++step) {
    const auto slot = static_cast<EvictionSlot>(random() % 64);
    const auto found = std::find(model.begin(), model.end(), slot);
    if (found == model.end()) {
      policy->inserted(slot, slot);
      model.push_back(slot);
    } else if (random() % 3 == 0) {
      policy->removed(slot, Removal::dropped);
      model.erase(found);
    } else {
      policy->touched(slot);
      model.splice(model.end(), model, found);
    }
    const auto pinned = static_cast<EvictionSlot>(random() % 64);
    const auto allowed = [pinned](EvictionSlot candidate) { return candidate % 8 != pinned % 8; };
    const auto expected = std::find_if(model.begin(), model.end(), allowed);
    const auto victim = policy->victim(allowed);
    ASSERT_EQ(victim.has_value(), expected != model.end());
    if (victim) {
      ASSERT_EQ(*victim, *expected);
    }
  }
}

}  // namespace
}  // namespace hearth

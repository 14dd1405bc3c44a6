// The ledger: invariants under random operations, and what is preferred when space is short.
#include "tiering/policy/quota.h"

#include <gtest/gtest.h>

#include <random>

namespace hearth::policy {
namespace {

Quota quota(const std::string& name, const std::string& min, const std::string& max) {
  Quota out;
  out.name = name;
  out.memory_min = *parse_share(min);
  out.memory_max = *parse_share(max);
  out.nvme_min = out.memory_min;
  out.nvme_max = out.memory_max;
  return out;
}

QuotaSet set_of(std::initializer_list<std::size_t> indexes) {
  QuotaSet out;
  for (const std::size_t index : indexes) out.add(index);
  return out;
}

constexpr auto memory = CacheTier::memory;
constexpr auto nvme = CacheTier::nvme;

TEST(QuotaLedger, SharesAreOfTheTierAndSizesAreThemselves) {
  const std::vector<Quota> quotas{quota("a", "5%", "20%"), quota("b", "0B", "100B")};
  QuotaLedger ledger(quotas, {.memory_bytes = 1000, .nvme_bytes = 10'000});
  EXPECT_EQ(ledger.minimum(0, memory), 50u);
  EXPECT_EQ(ledger.maximum(0, memory), 200u);
  EXPECT_EQ(ledger.maximum(0, nvme), 2000u);
  EXPECT_EQ(ledger.maximum(1, nvme), 100u);
  ledger.resize({.memory_bytes = 100, .nvme_bytes = 100});
  EXPECT_EQ(ledger.maximum(0, memory), 20u);
}

TEST(QuotaLedger, AdmitsUpToTheLastByteOfEachQuotaAndNamesTheOneInTheWay) {
  const std::vector<Quota> quotas{quota("a", "0B", "200B"), quota("b", "0B", "100B")};
  QuotaLedger ledger(quotas, {.memory_bytes = 1000, .nvme_bytes = 1000});
  EXPECT_TRUE(ledger.may_admit(set_of({0, 1}), memory, 100));
  EXPECT_EQ(ledger.in_the_way(set_of({0, 1}), memory, 101), 1u);
  EXPECT_TRUE(ledger.may_admit(set_of({0}), memory, 200));
  EXPECT_TRUE(ledger.may_admit({}, memory, 1'000'000)) << "what counts for no quota is bounded by the tier only";
  ledger.charge(set_of({0, 1}), memory, 100);
  EXPECT_EQ(ledger.in_the_way(set_of({0, 1}), memory, 1), 1u);
  EXPECT_TRUE(ledger.may_admit(set_of({0}), memory, 100));
  EXPECT_FALSE(ledger.may_admit(set_of({0}), memory, UINT64_MAX)) << "no overflow";
  EXPECT_TRUE(ledger.may_admit(set_of({0, 1}), nvme, 100)) << "tiers are counted apart";
}

TEST(QuotaLedger, WhoIsOverGoesFirstAndWhoIsBelowItsMinimumLast) {
  const std::vector<Quota> quotas{quota("a", "10%", "50%"), quota("b", "0%", "20%"), quota("c", "0%", "10%")};
  QuotaLedger ledger(quotas, {.memory_bytes = 1000, .nvme_bytes = 1000});
  EXPECT_EQ(ledger.standing(set_of({0}), memory), Standing::protected_);
  EXPECT_EQ(ledger.standing(set_of({1}), memory), Standing::ordinary);
  EXPECT_EQ(ledger.standing({}, memory), Standing::ordinary);
  ledger.charge(set_of({0}), memory, 100);
  EXPECT_EQ(ledger.standing(set_of({0}), memory), Standing::protected_);
  ledger.charge(set_of({0}), memory, 1);
  EXPECT_EQ(ledger.standing(set_of({0}), memory), Standing::ordinary);
  ledger.charge(set_of({1}), memory, 200);
  ledger.charge(set_of({2}), memory, 100);
  EXPECT_TRUE(ledger.over(memory).empty());
  ledger.resize({.memory_bytes = 500, .nvme_bytes = 500});
  EXPECT_EQ(ledger.over(memory), (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(ledger.standing(set_of({1}), memory), Standing::over);
  ledger.uncharge(set_of({0}), memory, 90);
  EXPECT_EQ(ledger.standing(set_of({0, 1}), memory), Standing::over) << "over outweighs protected";
}

TEST(QuotaLedger, AMinimumAboveTheMaximumOfASmallWorkerProtectsNoMoreThanIsAllowed) {
  const std::vector<Quota> quotas{quota("a", "100B", "10%")};
  QuotaLedger ledger(quotas, {.memory_bytes = 500, .nvme_bytes = 0});
  EXPECT_EQ(ledger.minimum(0, memory), 50u);
  EXPECT_FALSE(ledger.may_admit(set_of({0}), nvme, 1)) << "a share of nothing is nothing";
}

TEST(QuotaLedger, HoldsTheSumOfWhatWasAdmittedUnderRandomOperations) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::vector<Quota> quotas;
  for (int i = 0; i < 6; ++i) quotas.push_back(quota(std::to_string(i), "2%", std::to_string(5 + 15 * i) + "%"));
  QuotaLedger ledger(quotas, {.memory_bytes = 100'000, .nvme_bytes = 1'000'000});
  struct Held {
    QuotaSet quotas;
    CacheTier tier;
    std::uint64_t bytes;
  };
  std::vector<Held> held;
  std::array<std::array<std::uint64_t, 2>, 6> sums{};
  for (int step = 0; step < 300'000; ++step) {
    if (held.empty() || random() % 2 == 0) {
      const Held one{{random() % 64}, random() % 2 == 0 ? memory : nvme, random() % 5000};
      const bool fits = ledger.may_admit(one.quotas, one.tier, one.bytes);
      bool expected = true;
      for (std::size_t i = 0; i < 6; ++i) {
        if (one.quotas.has(i)) expected = expected && sums[i][static_cast<std::size_t>(one.tier)] + one.bytes <= ledger.maximum(i, one.tier);
      }
      ASSERT_EQ(fits, expected) << step;
      if (!fits) continue;
      ledger.charge(one.quotas, one.tier, one.bytes);
      for (std::size_t i = 0; i < 6; ++i) sums[i][static_cast<std::size_t>(one.tier)] += one.quotas.has(i) ? one.bytes : 0;
      held.push_back(one);
    } else {
      std::swap(held[random() % held.size()], held.back());
      const Held one = held.back();
      held.pop_back();
      ledger.uncharge(one.quotas, one.tier, one.bytes);
      for (std::size_t i = 0; i < 6; ++i) sums[i][static_cast<std::size_t>(one.tier)] -= one.quotas.has(i) ? one.bytes : 0;
    }
    const std::size_t any = random() % 6;
    for (const CacheTier tier : {memory, nvme}) {
      ASSERT_EQ(ledger.charged(any, tier), sums[any][static_cast<std::size_t>(tier)]);
      ASSERT_LE(ledger.charged(any, tier), ledger.maximum(any, tier));
      ASSERT_TRUE(ledger.over(tier).empty());
    }
  }
}

}  // namespace
}  // namespace hearth::policy

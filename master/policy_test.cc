// Versions of the policy: what is kept, what is refused, what survives.
#include "master/memory_meta_store.h"
#include "master/policy_store.h"
#include "master/testing/names_harness.h"

#include <gtest/gtest.h>

namespace hearth::master {
namespace {

std::string policy(int number) { return "[defaults]\nreplicas = " + std::to_string(number) + "\n"; }

class Policies : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    Result<std::unique_ptr<PolicyStore>> opened = PolicyStore::open(meta_);
    ASSERT_TRUE(opened) << opened.error().to_string();
    store_ = std::move(*opened);
  }
  PolicyChange change(std::optional<std::uint64_t> expected = std::nullopt) const {
    return {.by = "alice@host", .comment = "why", .expected_version = expected, .at_ns = 64};
  }

  MemoryMetaStore meta_;
  std::unique_ptr<PolicyStore> store_;
};

TEST_F(Policies, AreNumberedFromOneAndTheNewestIsInForce) {
  EXPECT_EQ(store_->current().version, 0u);
  EXPECT_EQ(store_->current().text, "");
  ASSERT_TRUE(store_->apply(policy(2), change()));
  const Result<PolicyRow> second = store_->apply(policy(3), change());
  ASSERT_TRUE(second);
  EXPECT_EQ(second->version, 2u);
  EXPECT_EQ(store_->current().text, policy(3));
  EXPECT_EQ(store_->version(1)->text, policy(2));
  EXPECT_EQ(store_->version(1)->by, "alice@host");
  EXPECT_EQ(store_->version(9).code(), Code::not_found);
  EXPECT_NE(store_->version(9).error().message().find("versions 1 to 2 are"), std::string::npos);
}

TEST_F(Policies, AnInvalidTextChangesNothingAndIsAnsweredWithLineColumnAndReason) {
  ASSERT_TRUE(store_->apply(policy(2), change()));
  const Result<PolicyRow> refused = store_->apply("[defaults]\nreplcas = 3\n", change());
  EXPECT_EQ(refused.code(), Code::invalid_argument);
  EXPECT_EQ(refused.error().message(), "policy.toml:2:1: error: unknown key 'replcas'; did you mean 'replicas'?");
  EXPECT_EQ(store_->current().version, 1u);
  open();
  EXPECT_EQ(store_->all().size(), 1u);
}

TEST_F(Policies, AnotherVersionThanExpectedIsAConflict) {
  ASSERT_TRUE(store_->apply(policy(2), change(0)));
  const Result<PolicyRow> late = store_->apply(policy(3), change(0));
  EXPECT_EQ(late.code(), Code::stale);
  EXPECT_NE(late.error().message().find("policy version 1 is in force, and version 0 was expected"), std::string::npos);
  EXPECT_EQ(store_->rollback(1, change(7)).code(), Code::stale);
  EXPECT_TRUE(store_->apply(policy(3), change(1)));
}

TEST_F(Policies, RollingBackIsANewVersionWithTheOldText) {
  ASSERT_TRUE(store_->apply(policy(2), change()));
  ASSERT_TRUE(store_->apply(policy(3), change()));
  const Result<PolicyRow> back = store_->rollback(1, change());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->version, 3u);
  EXPECT_EQ(back->restored_from, 1u);
  EXPECT_EQ(store_->current().text, policy(2));
  EXPECT_EQ(store_->rollback(44, change()).code(), Code::not_found);
}

TEST_F(Policies, TheTextInForceAppliedAgainIsTheSameVersion) {
  ASSERT_TRUE(store_->apply(policy(2), change()));
  EXPECT_EQ(store_->apply(policy(2), change())->version, 1u);
  EXPECT_EQ(store_->rollback(1, change())->version, 1u);
  EXPECT_EQ(store_->apply("", change())->version, 2u) << "no rules is a policy, too";
}

TEST_F(Policies, TheLastTwentyAreKeptAndNumbersAreNeverReused) {
  for (int i = 0; i < 25; ++i) ASSERT_TRUE(store_->apply("# " + std::to_string(i) + "\n", change()));
  open();
  EXPECT_EQ(store_->all().size(), PolicyStore::kept);
  EXPECT_EQ(store_->all().begin()->first, 6u);
  EXPECT_EQ(store_->current().version, 25u);
  EXPECT_EQ(store_->version(5).code(), Code::not_found);
  EXPECT_EQ(store_->apply(policy(2), change())->version, 26u);
}

TEST_F(Policies, AFailedWriteChangesNothingInMemoryEither) {
  ASSERT_TRUE(store_->apply(policy(2), change()));
  meta_.fail_next(Error(Code::no_space, "full"));
  EXPECT_EQ(store_->apply(policy(3), change()).code(), Code::no_space);
  EXPECT_EQ(store_->current().version, 1u);
  EXPECT_EQ(store_->apply(policy(4), change())->version, 2u);
}

TEST_F(Policies, RecordsKeepTheirGoldenBytesAndRefuseEverythingElse) {
  const PolicyRow row{7, "x=1", 64, "a@b", "c", 2};
  const std::string bytes = encode(row);
  EXPECT_EQ(bytes, std::string("\x01\x03x=1\x80\x01\x03" "a@b\x01" "c\x02", 14));
  EXPECT_EQ(*decode_policy(7, bytes), row);
  for (std::size_t length = 0; length < bytes.size(); ++length) EXPECT_EQ(decode_policy(7, bytes.substr(0, length)).code(), Code::corrupt);
  EXPECT_EQ(decode_policy(7, bytes + "x").code(), Code::corrupt);
}

TEST(PolicyService, WhatWasAcknowledgedSurvivesPowerLossAndIsToldAfterwards) {
  MemoryMetaStore meta;
  NamesHarness names(&meta);
  std::vector<std::uint64_t> told;
  names.service().on_policy_changed([&](std::uint64_t version) { told.push_back(version); });
  const Result<PolicyRow> applied = names.run(names.service().apply_policy(policy(2), {}, names.soon()));
  ASSERT_TRUE(applied) << applied.error().to_string();
  EXPECT_EQ(told, (std::vector<std::uint64_t>{0, 1}));
  names.close();
  meta.lose_unsynced();
  names.open();
  EXPECT_EQ(names.run(names.service().policy(0))->text, policy(2));
}

// Everything but syncs, which fail.
class NoSyncStore final : public MetaStore {
 public:
  Result<std::optional<std::string>> get(Family family, std::string_view key) override { return rows_.get(family, key); }
  Result<std::vector<std::optional<std::string>>> get_many(Family family, const std::vector<std::string>& keys) override {
    return rows_.get_many(family, keys);
  }
  Result<std::vector<Row>> scan(Family family, std::string_view prefix, std::string_view after, std::size_t limit) override {
    return rows_.scan(family, prefix, after, limit);
  }
  Status write(const WriteBatch& batch) override { return rows_.write(batch); }
  Status sync() override { return broken ? Status(Error(Code::io_error, "the disk is gone")) : rows_.sync(); }
  std::uint64_t approximate_count(Family family) override { return rows_.approximate_count(family); }

  bool broken = false;

 private:
  MemoryMetaStore rows_;
};

TEST(PolicyService, WhatCouldNotBeSyncedIsNeitherAcknowledgedNorTold) {
  NoSyncStore meta;
  NamesHarness names(&meta);
  std::vector<std::uint64_t> told;
  names.service().on_policy_changed([&](std::uint64_t version) { told.push_back(version); });
  meta.broken = true;
  EXPECT_EQ(names.run(names.service().apply_policy(policy(2), {}, names.soon())).code(), Code::io_error);
  EXPECT_EQ(told, std::vector<std::uint64_t>{0});
}

TEST(PolicyService, ThePolicyFileOfTheFirstStartDoesNotReplaceOneThatWasApplied) {
  NamesHarness names;
  EXPECT_EQ(names.service().begin_with_policy(policy(2))->version, 1u);
  EXPECT_EQ(names.service().begin_with_policy(policy(3))->text, policy(2));
}

}  // namespace
}  // namespace hearth::master

#include "tiering/eviction/admission_policy.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

using namespace std::chrono_literals;

TEST(Admission, AlwaysKeepsAndNeverBypasses) {
  auto always = make_admission("always").value();
  auto never = make_admission("never").value();
  for (std::uint64_t fingerprint = 0; fingerprint < 100; ++fingerprint) {
    EXPECT_EQ(always->decide(fingerprint % 7, 1s), Admission::keep);
    EXPECT_EQ(never->decide(fingerprint % 7, 1s), Admission::bypass);
  }
}

TEST(Admission, SecondReadKeepsWhatComesTwiceWithinTheWindow) {
  auto policy = make_admission("second-read", {.remembered = 1000, .window = 60s}).value();
  EXPECT_EQ(policy->decide(1, 0s), Admission::bypass);
  EXPECT_EQ(policy->decide(2, 1s), Admission::bypass);
  EXPECT_EQ(policy->decide(1, 59s), Admission::keep);
  // Kept once is forgotten: after its eviction it has to earn its place again.
  EXPECT_EQ(policy->decide(1, 59s), Admission::bypass);
  EXPECT_EQ(policy->decide(2, 62s), Admission::bypass) << "the first read was 61 s ago";
  EXPECT_EQ(policy->decide(2, 63s), Admission::keep) << "the read that came too late counts as a first one";
}

TEST(Admission, SecondReadForgetsTheOldestAndKeepsItsMemory) {
  auto policy = make_admission("second-read", {.remembered = 1000, .window = 1h}).value();
  const std::size_t memory = policy->memory_bytes();
  EXPECT_LE(memory, 13'000U);
  for (std::uint64_t fingerprint = 0; fingerprint < 100'000; ++fingerprint) {
    EXPECT_EQ(policy->decide(fingerprint, std::chrono::milliseconds(fingerprint)), Admission::bypass);
  }
  EXPECT_EQ(policy->memory_bytes(), memory);
  int kept = 0;
  for (std::uint64_t fingerprint = 99'500; fingerprint < 100'000; ++fingerprint) {
    kept += policy->decide(fingerprint, 100s) == Admission::keep;
  }
  EXPECT_GT(kept, 490) << "the last 500 of 1,000 remembered";
  EXPECT_EQ(policy->decide(5, 100s), Admission::bypass);
}

TEST(Admission, RefusesWhatCanNotWork) {
  EXPECT_EQ(make_admission("sometimes").code(), Code::invalid_argument);
  EXPECT_EQ(make_admission("second-read", {.remembered = 0}).code(), Code::invalid_argument);
  EXPECT_EQ(make_admission("second-read", {.window = 0s}).code(), Code::invalid_argument);
  for (const std::string_view name : admission_policy_names) EXPECT_TRUE(make_admission(name));
}

}  // namespace
}  // namespace hearth

// What a real server refuses, in one sentence: only where the environment names one (s3_conformance_test.cc says how).
#include "understore/s3/s3_world.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace hearth::s3 {
namespace {

class S3RealRefusals : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("HEARTH_TEST_S3_ENDPOINT") == nullptr) GTEST_SKIP() << "no real S3 server is named";
  }
  Result<ObjectInfo> stat_with(StoreOptions options, Clock& clock = real_clock()) {
    options.emplace("endpoint", std::getenv("HEARTH_TEST_S3_ENDPOINT"));
    options.emplace("credentials", std::string("file:") + std::getenv("HEARTH_TEST_S3_CREDENTIALS"));
    opener_.clock = &clock;
    TRY(store, opener_.open(std::string("s3://") + std::getenv("HEARTH_TEST_S3_BUCKET"), options, opener_.seams({})));
    return run_task(store->stat("missing", DoubleStore::soon()));
  }
  S3Opener opener_;
};

TEST_F(S3RealRefusals, AClockThatIsOffIsSaidSo) {
  class ShiftedClock final : public Clock {
   public:
    TimePoint now() const override { return real_clock().now(); }
    WallTime wall_now() const override { return real_clock().wall_now() + std::chrono::hours(1); }
    Task<> sleep_until(TimePoint when) override { return real_clock().sleep_until(when); }
  } shifted;
  const auto answer = stat_with({}, shifted);
  EXPECT_EQ(answer.code(), Code::unauthenticated) << answer.error().to_string();
  EXPECT_NE(answer.error().message().find("this host's clock is more than 15 minutes off the store's ("), std::string::npos) << answer.error().message();
  EXPECT_NE(answer.error().message().find("RequestTimeTooSkewed"), std::string::npos) << answer.error().message();
}

TEST_F(S3RealRefusals, AWrongRegionIsCorrectedByWhatTheServerSays) {
  EXPECT_EQ(stat_with({{"region", "eu-west-3"}}).code(), Code::not_found) << "the server answered";
}

TEST_F(S3RealRefusals, UnsignedRequestsAreNotTaken) {
  const auto answer = stat_with({{"credentials", "anonymous"}});
  EXPECT_TRUE(answer.code() == Code::permission_denied || answer.code() == Code::unauthenticated) << answer.error().to_string();
  EXPECT_NE(answer.error().message().find("request id "), std::string::npos) << answer.error().message();
}

}  // namespace
}  // namespace hearth::s3

// What a real server refuses, in one sentence, and large uploads to it: only where the environment names one (s3_conformance_test.cc says how).
#include "understore/s3/s3_world.h"
#include "understore/staged_conformance.h"

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

class S3RealUploads : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::getenv("HEARTH_TEST_S3_ENDPOINT") == nullptr) GTEST_SKIP() << "no real S3 server is named";
    const std::string uri = std::string("s3://") + std::getenv("HEARTH_TEST_S3_BUCKET") + "/uploads-" + std::to_string(::getpid());
    const StoreOptions options{{"endpoint", std::getenv("HEARTH_TEST_S3_ENDPOINT")},
                               {"credentials", std::string("file:") + std::getenv("HEARTH_TEST_S3_CREDENTIALS")},
                               {"part_size", "5MiB"},
                               {"checksum", GetParam()}};
    auto opened = opener_.open(uri, options, opener_.seams({}));
    ASSERT_TRUE(opened) << opened.error().to_string();
    store_ = *opened;
  }
  S3Opener opener_;
  std::shared_ptr<S3Store> store_;
};

TEST_P(S3RealUploads, PartsOfAFileArriveAndAConditionIsKept) {
  const std::string content = content_of_length((16U << 20) + 1);
  const UniqueFd fd = staged_file(content);
  const std::string path = std::string("large-") + GetParam();
  const auto info = run_task(store_->upload(path, {.fd = fd.get(), .length_bytes = content.size()}, DoubleStore::soon()));
  ASSERT_TRUE(info) << info.error().to_string();
  std::string back(content.size(), '?');
  const std::span<std::byte> into = std::as_writable_bytes(std::span(back));
  ASSERT_TRUE(run_task(store_->read(path, info->version, 0, into, DoubleStore::soon())));
  EXPECT_TRUE(back == content);
  // Past the look that upload() takes first: the server's own refusal.
  S3Objects objects(store_->client());
  for (const std::size_t length : {std::size_t{1}, content.size()}) {
    NewObject object{.key = store_->client().options().prefix + path,
                     .content_type = "application/octet-stream",
                     .content = ByteSource::memory(as_bytes_of(std::string_view(content).substr(0, length))),
                     .replaces = StagedContent::Replaces::nothing};
    const auto refused = run_task(objects.put_new(std::move(object), DoubleStore::soon()));
    EXPECT_EQ(refused.code(), Code::already_exists) << length;
  }
  EXPECT_EQ(run_task(store_->stat(path, DoubleStore::soon()))->version, info->version);
}
INSTANTIATE_TEST_SUITE_P(S3RealBy, S3RealUploads, ::testing::Values("crc32c", "crc64nvme", "sha256", "none"));

}  // namespace
}  // namespace hearth::s3

// What is done beside reading and writing: leftovers taken back, many objects at a time.
#include "understore/s3/s3_world.h"

#include <gtest/gtest.h>

#include <vector>

namespace hearth::s3 {
namespace {

class S3Upkeep : public ::testing::Test {
 protected:
  S3Upkeep() : store_(DoubleOptions(), {{"part_size", "5MiB"}, {"parallel", "3"}}) {}
  DoubleStore store_;
  std::string big_ = std::string(11U << 20, 'b');  // parts of 5, 5 and 1 MiB
};

TEST_F(S3Upkeep, UploadsOfOthersAreSweptOnlyWhereTheOptionSaysSo) {
  const WallTime now = real_clock().wall_now();
  store_.server().add_open_upload("old", "old", now - std::chrono::hours(48));
  store_.server().add_open_upload("young", "young", now);
  const auto kept = run_task(store_.store().sweep(DoubleStore::soon()));
  ASSERT_TRUE(kept) << kept.error().to_string();
  EXPECT_EQ(*kept, 0U);
  EXPECT_EQ(store_.server().count("ListMultipartUploads"), 0U);
  auto asked = store_.opener().open("s3://bucket/", {{"endpoint", store_.server().origin()}, {"sweep_uploads_after", "24h"}},
                                    store_.opener().seams({{"AWS_ACCESS_KEY_ID", store_.server().options().identity.access_key_id},
                                                           {"AWS_SECRET_ACCESS_KEY", store_.server().options().identity.secret}}));
  ASSERT_TRUE(asked) << asked.error().to_string();
  const auto swept = run_task((*asked)->sweep(DoubleStore::soon()));
  ASSERT_TRUE(swept) << swept.error().to_string();
  EXPECT_EQ(*swept, 1U);
  EXPECT_EQ(store_.server().open_uploads(), 1U);
  EXPECT_EQ(parse_s3_options("s3://bucket/", {{"sweep_uploads_after", "30s"}}).code(), Code::invalid_argument);
}

TEST_F(S3Upkeep, AnUploadThatCouldNotBeAbortedIsTakenBackByTheNextSweep) {
  store_.server().always("UploadPart", {.kind = DoubleFault::Kind::refuse, .status = 400, .text = "InvalidRequest"});
  store_.server().always("AbortMultipartUpload", {.kind = DoubleFault::Kind::refuse, .status = 403, .text = "AccessDenied"});
  EXPECT_FALSE(run_task(store_.store().write("f", big_, DoubleStore::soon())));
  ASSERT_EQ(store_.server().open_uploads(), 1U);
  store_.server().forgive();
  ASSERT_TRUE(run_task(store_.store().sweep(DoubleStore::soon())));
  EXPECT_EQ(store_.server().open_uploads(), 0U);
}

TEST_F(S3Upkeep, ATreeIsCopiedSeveralObjectsAtATime) {
  constexpr Duration answer_takes = std::chrono::milliseconds(100);
  for (int i = 0; i < 12; ++i) store_.server().put("tree/" + std::to_string(i), "x");
  store_.server().always("CopyObject", {.kind = DoubleFault::Kind::delay, .delay = answer_takes});
  ASSERT_TRUE(run_task(store_.store().rename("tree", "moved", DoubleStore::soon())));
  const std::vector<TestRequest> copies = store_.server().log_of("CopyObject");
  ASSERT_EQ(copies.size(), 12U);
  int together = 0;
  for (std::size_t i = 1; i < copies.size(); ++i) together += copies[i].received - copies[i - 1].received < answer_takes ? 1 : 0;
  EXPECT_GT(together, 0) << "each copy waited for the answer to the one before";
}

}  // namespace
}  // namespace hearth::s3

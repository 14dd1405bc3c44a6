#include "understore/store_factory.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(StoreIdentity, IsTheUriWhereOptionsNameNoPlace) {
  EXPECT_EQ(store_identity("file:///data", {}), "file:///data");
  EXPECT_EQ(store_identity("s3://bucket/p", {}), "s3://bucket/p");
  EXPECT_EQ(store_identity("s3://bucket/p", {{"region", "eu-west-3"}, {"parallel", "4"}, {"credentials", "env"}}), "s3://bucket/p") << "buckets are unique in a partition";
  EXPECT_EQ(store_identity("hdfs://nn:8020/d", {{"user", "a"}, {"guard.max_attempts", "1"}}), "hdfs://nn:8020/d");
  EXPECT_EQ(store_identity("sim://s", {{"endpoint", "x"}}), "sim://s");
}

TEST(StoreIdentity, TellsPlacesApartAndSpellingsNot) {
  const auto s3 = [](const char* endpoint) { return store_identity("s3://bucket", {{"endpoint", endpoint}}); };
  EXPECT_NE(s3("https://one:9000"), s3("https://two:9000"));
  EXPECT_NE(s3("https://one:9000"), s3("http://one:9000"));
  EXPECT_EQ(s3("https://one:9000"), s3("https://one:9000//"));
  EXPECT_NE(s3("https://one:9000"), store_identity("s3://bucket", {}));
  EXPECT_NE(store_identity("s3://bucket", {{"region", "cn-north-1"}}), store_identity("s3://bucket", {}));
  EXPECT_NE(store_identity("s3://bucket", {{"region", "us-gov-east-1"}}), store_identity("s3://bucket", {}));
  const auto hdfs = [](const char* addresses) { return store_identity("hdfs://cluster/d", {{"http_address", addresses}}); };
  EXPECT_NE(hdfs("nn1:9870,nn2:9870"), hdfs("other:9870"));
  EXPECT_EQ(hdfs("nn1:9870,nn2:9870"), hdfs("nn2:9870,nn1:9870"));
  EXPECT_NE(store_identity("hdfs://nn:8020/", {{"http_port", "50070"}}), store_identity("hdfs://nn:8020/", {}));
}

TEST(StoreIdentity, AUriWithALineBreakDoesNotReadLikeAnotherWithItsPlace) {
  const std::string placed = store_identity("hdfs://nn/d", {{"http_port", "50070"}});
  EXPECT_EQ(placed, "50070\nhdfs://nn/d");
  EXPECT_NE(placed, store_identity("hdfs://nn/d\n50070", {}));
}

}  // namespace
}  // namespace hearth

#include "master/event_intake.h"
#include "master/s3_events.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace hearth::master {
namespace {

// As AWS documents it, shortened; MinIO sends the same with "EventName" and "Key" beside "Records".
constexpr const char* aws = R"({"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-west-2",
  "eventTime":"2026-11-21T14:00:00.250Z","eventName":"ObjectCreated:Put","s3":{"s3SchemaVersion":"1.0",
  "bucket":{"name":"lake","arn":"arn:aws:s3:::lake"},"object":{"key":"raw/a+b/%C3%BC%2B%25.bin","size":1024,"eTag":"d41d"}}},
  {"eventName":"s3:ObjectRemoved:Delete","eventTime":"1970-01-01T00:00:01Z",
   "s3":{"bucket":{"name":"lake"},"object":{"key":"raw/gone"}}}]})";

TEST(S3Events, ReadsTheShapeOfAwsAndMinio) {
  const auto events = parse_s3_events(aws);
  ASSERT_TRUE(events) << events.error().message();
  ASSERT_EQ(events->size(), 2U);
  EXPECT_EQ((*events)[0].bucket, "lake");
  EXPECT_EQ((*events)[0].key, "raw/a b/\xC3\xBC+%.bin");
  EXPECT_EQ((*events)[0].kind, StoreEvent::Kind::written);
  EXPECT_EQ((*events)[0].when, WallTime(std::chrono::milliseconds(1795269600250)));
  EXPECT_EQ((*events)[1].kind, StoreEvent::Kind::removed);
  EXPECT_EQ((*events)[1].when, WallTime(std::chrono::seconds(1)));
}

TEST(S3Events, TakesTheTestEventAndRefusesWhatIsNoEvent) {
  EXPECT_TRUE(parse_s3_events(R"({"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"lake"})")->empty());
  EXPECT_TRUE(parse_s3_events("{}")->empty());
  for (const char* wrong : {"", "[", "[]", "1", "{\"Records\":1}", "{\"detail\":{}}", "{\"Records\":[}"}) {
    EXPECT_EQ(parse_s3_events(wrong).code(), Code::invalid_argument) << wrong;
  }
  EXPECT_EQ(parse_s3_events(std::string(100'000, '[')).code(), Code::invalid_argument) << "depth is bounded";
  EXPECT_TRUE(parse_s3_events(R"({"Records":[1,null,{},{"s3":{}},{"s3":{"bucket":{"name":"b"},"object":{"key":"%zz"}}}]})")->empty());
  const auto timeless = parse_s3_events(R"({"Records":[{"eventTime":"soon","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]})");
  ASSERT_EQ(timeless->size(), 1U);
  EXPECT_FALSE(timeless->front().when);
}

TEST(S3Events, FindsThePathInsideAnAttachment) {
  const auto path = [](const std::string& key, std::string_view uri) {
    return path_of_event(StoreEvent{.bucket = "lake", .key = key}, uri).value_or("(none)");
  };
  EXPECT_EQ(path("a/b", "s3://lake"), "a/b");
  EXPECT_EQ(path("a/b", "s3://lake/a"), "b");
  EXPECT_EQ(path("a/b", "s3://lake/a/"), "b");
  EXPECT_EQ(path("a b/c", "s3://lake/a%20b"), "c");
  EXPECT_EQ(path("a/", "s3://lake"), "a") << "the marker of a directory";
  EXPECT_EQ(path("a/", "s3://lake/a"), "") << "the root itself";
  EXPECT_EQ(path("ab/c", "s3://lake/a"), "(none)") << "a prefix ends at a slash";
  EXPECT_EQ(path("a/b", "s3://pond"), "(none)");
  EXPECT_EQ(path("a/b", "file:///lake"), "(none)");
  EXPECT_EQ(path("a//b", "s3://lake"), "(none)");
  EXPECT_EQ(path("a/../b", "s3://lake"), "(none)");
}

TEST(EventIntake, NeedsATokenOfSomeLength) {
  char name[] = "/tmp/hearth-token-XXXXXX";
  const int fd = ::mkstemp(name);
  ASSERT_GE(fd, 0);
  ::close(fd);
  const auto with = [&](const std::string& token) {
    std::ofstream(name) << token << "\n";
    return start_event_intake({.listen = "127.0.0.1:0", .token_file = name}, [](std::vector<StoreEvent>) { return ok(); }).code();
  };
  EXPECT_EQ(with("0123456789abcdef"), Code::ok);
  EXPECT_EQ(with("short"), Code::invalid_argument);
  EXPECT_EQ(with(""), Code::invalid_argument);
  ::unlink(name);
  EXPECT_EQ(start_event_intake({.listen = "127.0.0.1:0"}, nullptr).code(), Code::invalid_argument);
}

}  // namespace
}  // namespace hearth::master

#include "understore/store_path.h"

#include "understore/descriptor_cache.h"
#include "understore/oracle.h"
#include "understore/store_factory.h"

#include <gtest/gtest.h>

#include <fcntl.h>

#include <vector>

namespace hearth {
namespace {

TEST(StoreUri, NamesAnAbsoluteDirectory) {
  EXPECT_EQ(directory_of_file_uri("file:///abs/dir").value_or("failed"), "/abs/dir");
  EXPECT_EQ(directory_of_file_uri("FILE:///abs/dir//").value_or("failed"), "/abs/dir");
  EXPECT_EQ(directory_of_file_uri("file:///").value_or("failed"), "/");
  EXPECT_EQ(directory_of_file_uri("file:///a%20b%2Fc%ff").value_or("failed"), "/a b/c\xff");
}

TEST(StoreUri, SaysWhatWasExpected) {
  for (const char* uri : {"file://host/dir", "file://", "file:relative", "/abs/dir", "file:///a%2", "file:///a%zz",
                          "file:///a%00b", "file:///a?b", "file:///a#b", "s3://bucket/x", ""}) {
    const auto directory = directory_of_file_uri(uri);
    EXPECT_EQ(directory.code(), Code::invalid_argument) << uri;
    EXPECT_FALSE(directory.error().message().empty());
  }
  EXPECT_NE(directory_of_file_uri("file://host/dir").error().message().find("file:///abs/dir"), std::string::npos);
}

TEST(StoreUri, HasOneSpellingPerDirectory) {
  const std::string evil = "/a b/\xff\n%?#\"/ok-1.2_~";
  EXPECT_EQ(file_uri_of_directory("/a b"), "file:///a%20b");
  EXPECT_EQ(directory_of_file_uri(file_uri_of_directory(evil)).value_or("failed"), evil);
}

TEST(StorePath, IsShownWithoutControlCharacters) {
  EXPECT_EQ(printable_path("a\nb\xff\"\\"), "\"a\\x0ab\\xff\\\"\\\\\"");
  EXPECT_LT(printable_path(std::string(5000, '\n')).size(), 1200U);
}

TEST(StoreFactory, KnowsItsSchemesAndListsThem) {
  BlockingPool pool(1, 10);
  const StoreContext context{.pool = pool, .clock = real_clock()};
  const auto store = open_under_store("file:///usr", {}, context);
  ASSERT_TRUE(store);
  EXPECT_EQ((*store)->uri(), "file:///usr");
  const auto unknown = open_under_store("gopher://hole/x", {}, context);
  EXPECT_EQ(unknown.code(), Code::unsupported);
  EXPECT_NE(unknown.error().message().find("file://"), std::string::npos) << unknown.error().message();
  EXPECT_EQ(open_under_store("no uri", {}, context).code(), Code::invalid_argument);
  EXPECT_EQ(open_under_store("file:///does/not/exist", {}, context).code(), Code::not_found);
  EXPECT_EQ(open_under_store("file:///proc/version", {}, context).code(), Code::not_directory);
}

TEST(StoreFactory, RefusesAnOptionThatTheStoreDoesNotTake) {
  BlockingPool pool(1, 10);
  const StoreContext context{.pool = pool, .clock = real_clock()};
  const auto opened = open_under_store("file:///usr", {{"endpoint", "http://127.0.0.1:9000"}}, context);
  EXPECT_EQ(opened.code(), Code::invalid_argument);
  EXPECT_NE(opened.error().message().find("\"endpoint\"; it takes none"), std::string::npos) << opened.error().message();
  const Status near = check_store_option_names("s3://bucket", {{"regoin", "eu"}}, {"endpoint", "region"});
  EXPECT_NE(near.error().message().find("did you mean region?"), std::string::npos) << near.error().message();
  EXPECT_TRUE(check_store_option_names("s3://bucket", {{"region", "eu"}}, {"endpoint", "region"}));
}

TEST(DescriptorCache, KeepsTheMostRecentAndClosesTheIdle) {
  using namespace std::chrono_literals;
  const auto descriptor = [] { return std::make_shared<const OpenFile>(UniqueFd(::open("/dev/null", O_RDONLY))); };
  DescriptorCache cache(2);
  TimePoint now{};
  cache.insert("a", "1", descriptor(), now);
  cache.insert("b", "1", descriptor(), now);
  EXPECT_NE(cache.find("a", "1", now), nullptr);
  cache.insert("c", "1", descriptor(), now);
  EXPECT_EQ(cache.find("b", "1", now), nullptr);
  EXPECT_EQ(cache.find("a", "2", now), nullptr) << "another version is another file";
  cache.erase("c", "1");
  EXPECT_EQ(cache.find("c", "1", now), nullptr);
  EXPECT_NE(cache.find("a", "1", now + 9s), nullptr);
  EXPECT_EQ(cache.find("x", "1", now + 20s), nullptr);
  EXPECT_EQ(cache.size(), 0U);
}

TEST(Oracle, AgreesWithItselfAtEveryAlignment) {
  for (std::uint64_t offset : {0U, 1U, 7U, 8U, 4097U}) {
    for (std::size_t length : {0U, 1U, 8U, 17U, 100U}) {
      std::vector<std::byte> bytes(length);
      oracle_fill(bytes, 3, 4, offset);
      for (std::size_t i = 0; i < length; ++i) ASSERT_EQ(bytes[i], oracle_byte(3, 4, offset + i));
      EXPECT_EQ(oracle_mismatch(bytes, 3, 4, offset), std::nullopt);
      if (length == 0) continue;
      bytes[length - 1] ^= std::byte{1};
      EXPECT_EQ(oracle_mismatch(bytes, 3, 4, offset), offset + length - 1);
    }
  }
}

}  // namespace
}  // namespace hearth

// What must hold when the store lies, cuts, or changes underneath: on the strict double.
#include "understore/s3/s3_world.h"

#include "common/crc32c.h"

#include <gtest/gtest.h>

namespace hearth::s3 {
namespace {

using Kind = DoubleFault::Kind;

std::string pattern(std::size_t length, char seed) {
  std::string text(length, '\0');
  for (std::size_t i = 0; i < length; ++i) text[i] = static_cast<char>(seed + static_cast<char>((i * 31) ^ (i >> 8)));
  return text;
}

constexpr std::uint64_t part = 64ULL << 10;
constexpr std::uint64_t parts = 12;

// One read in ranges of 64 KiB, the last one short.
class S3Reads : public ::testing::Test {
 protected:
  S3Reads() : store_(DoubleOptions(), {{"parallel", "1"}}) {
    store_.part_bytes = part;
    store_.reopen();
    old_ = pattern(parts * part - 1000, 1);
    fresh_ = pattern(parts * part - 1000, 2);
    store_.server().put("big", old_);
    store_.server().put("f", old_.substr(0, 1000));
    version_ = store_.stat("big")->version;
    small_version_ = store_.stat("f")->version;
    store_.server().forgive();
  }
  Result<std::string> read_big() { return store_.read("big", version_, 0, old_.size()); }
  Result<std::string> read_middle() { return store_.read("f", small_version_, 100, 500); }

  DoubleStore store_;
  std::string old_;
  std::string fresh_;
  std::string version_;
  std::string small_version_;
};

TEST_F(S3Reads, AVersionSwitchAtEveryRequestIsStaleAndNeverAMix) {
  const auto whole = read_big();
  ASSERT_TRUE(whole);
  ASSERT_TRUE(*whole == old_);
  const std::uint64_t requests = store_.server().count("GetObject");
  ASSERT_EQ(requests, parts);
  for (const Kind honest : {Kind::switch_version, Kind::ignore_if_match}) {
    for (std::uint64_t k = 0; k < requests; ++k) {
      store_.server().forgive();
      store_.server().put("big", old_);
      store_.server().prepare_switch("big", fresh_);
      if (honest == Kind::ignore_if_match) {
        // The object is replaced before request k, and every later request ignores If-Match.
        if (k == 0) store_.server().put("big", fresh_);
        store_.server().always("GetObject", {.kind = Kind::ignore_if_match});
      }
      store_.server().at_request("GetObject", k, {.kind = Kind::switch_version});
      const auto bytes = read_big();
      EXPECT_EQ(bytes.code(), Code::stale) << "request " << k;
      EXPECT_EQ(store_.read_all("big").value_or("failed") == fresh_, true) << "the new version is read whole";
    }
  }
}

TEST_F(S3Reads, AServerThatIgnoresIfMatchDoesNotGetThrough) {
  store_.server().put("f", fresh_.substr(0, 1000));
  store_.server().always("GetObject", {.kind = Kind::ignore_if_match});
  EXPECT_EQ(read_middle().code(), Code::stale);
  store_.server().put("f", fresh_.substr(0, 900));
  EXPECT_EQ(store_.read("f", small_version_, 0, 1000).code(), Code::stale);
}

TEST_F(S3Reads, AServerThatLiesAboutRangesDoesNotGetThrough) {
  const std::vector<std::pair<Kind, Code>> lies{{Kind::ignore_range, Code::corrupt}, {Kind::other_range, Code::corrupt}, {Kind::lie_total, Code::stale},
                                                {Kind::no_content_range, Code::corrupt}, {Kind::no_etag, Code::corrupt}};
  for (const auto& [lie, code] : lies) {
    store_.server().always("GetObject", {.kind = lie});
    const auto bytes = read_middle();
    EXPECT_EQ(bytes.code(), code) << static_cast<int>(lie) << " " << (bytes ? "was believed" : bytes.error().to_string());
  }
  store_.server().forgive();
  EXPECT_EQ(read_middle().value_or("failed"), old_.substr(100, 500));
}

TEST_F(S3Reads, AWholeObjectWithStatus200IsWhatWasAsked) {
  store_.server().always("GetObject", {.kind = Kind::ignore_range});
  EXPECT_EQ(store_.read("f", small_version_, 0, 1000).value_or("failed"), old_.substr(0, 1000));
}

TEST_F(S3Reads, ABodyCutAnywhereIsNeverTakenForWhole) {
  const std::uint64_t n = 500;
  for (const Kind cut : {Kind::cut_body, Kind::cut_before_length}) {
    for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{1}, n / 2, n - 1}) {
      store_.server().always("GetObject", {.kind = cut, .at = at});
      const auto bytes = read_middle();
      EXPECT_TRUE(bytes.code() == Code::unavailable || bytes.code() == Code::corrupt) << at << ": " << name(bytes.code());
    }
  }
  for (std::uint64_t at = 0; at < part; at += 8192) {
    store_.server().forgive();
    store_.server().at_request("GetObject", 2, {.kind = Kind::cut_body, .at = at});
    EXPECT_FALSE(read_big()) << at;
  }
}

TEST_F(S3Reads, ABodyWithoutLengthIsCountedToo) {
  store_.server().always("GetObject", {.kind = Kind::cut_before_length, .at = 500});
  EXPECT_EQ(read_middle().value_or("failed"), old_.substr(100, 500));
}

TEST_F(S3Reads, ADamagedWholeObjectDoesNotMatchTheStoresChecksum) {
  const std::string content = pattern(100'000, 7);
  for (const char* checksum : {"crc32c", "crc64nvme", "sha256"}) {
    DoubleStore store(DoubleOptions(), {{"checksum", checksum}});
    const auto written = run_task(store.store().write("w", content, DoubleStore::soon()));
    ASSERT_TRUE(written) << written.error().to_string();
    EXPECT_EQ(store.read("w", written->version, 0, content.size()).value_or("failed"), content);
    store.server().at_request("GetObject", 0, {.kind = Kind::corrupt_body, .at = 77'777});
    EXPECT_EQ(store.read("w", written->version, 0, content.size()).code(), Code::corrupt) << checksum;
  }
}

TEST_F(S3Reads, TellsItsProgressFromTheFrontOnly) {
  std::string bytes(old_.size(), '?');
  const std::span<std::byte> into = std::as_writable_bytes(std::span(bytes));
  std::vector<std::uint64_t> told;
  ReadOptions options;
  bool right = true;
  options.progress = [&](std::uint64_t have) {
    told.push_back(have);
    right = right && std::string_view(bytes).substr(0, have) == std::string_view(old_).substr(0, have);
  };
  ASSERT_TRUE(run_task(store_.store().read_with("big", version_, 0, into, options, DoubleStore::soon())));
  EXPECT_TRUE(right);
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back(), old_.size());
}

TEST_F(S3Reads, EveryRangeCarriesIfMatch) {
  ASSERT_TRUE(read_big());
  const auto requests = store_.server().log_of("GetObject");
  ASSERT_EQ(requests.size(), parts);
  for (const TestRequest& request : requests) EXPECT_TRUE(request.header("if-match")) << request.target;
}

TEST(S3Version, IsPrintableAndReadsBack) {
  for (const std::string& etag : {std::string("abc"), std::string("abc-12"), std::string("W/\"x-y\""), std::string("\xff\n -")}) {
    const std::string text = to_string(ObjectVersion{.etag = etag, .length_bytes = 0x1234567890});
    EXPECT_EQ(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%"), std::string::npos) << text;
    const auto version = parse_object_version(text);
    ASSERT_TRUE(version) << text;
    EXPECT_EQ(version->etag, etag);
    EXPECT_EQ(version->length_bytes, 0x1234567890U);
  }
  for (const char* broken : {"", "v", "s1-", "s1-abc", "s1-abc-", "s1-abc-xyz", "s1--5", "s2-abc-5", "s1-%zz-5"}) EXPECT_FALSE(parse_object_version(broken)) << broken;
}

TEST(S3Version, ChecksEveryPartOfAReply) {
  const ObjectVersion version{.etag = "e", .length_bytes = 100};
  const auto head = [](int status, std::vector<HttpHeader> headers, std::optional<std::uint64_t> length) {
    return HttpHead{.status = status, .headers = std::move(headers), .content_length = length};
  };
  const HttpHeader etag{.name = "ETag", .value = "\"e\""};
  const auto ranged = [&](const char* range) { return std::vector<HttpHeader>{etag, {.name = "Content-Range", .value = range}}; };
  EXPECT_TRUE(check_range_reply(head(206, ranged("bytes 10-19/100"), 10), version, {.offset = 10, .length_bytes = 10}));
  EXPECT_TRUE(check_range_reply(head(206, ranged("bytes 10-19/100"), std::nullopt), version, {.offset = 10, .length_bytes = 10}));
  EXPECT_TRUE(check_range_reply(head(200, {etag}, 100), version, {.offset = 0, .length_bytes = 100}));
  EXPECT_EQ(check_range_reply(head(200, {etag}, 101), version, {.offset = 0, .length_bytes = 100}).code(), Code::stale);
  EXPECT_EQ(check_range_reply(head(200, {etag}, 100), version, {.offset = 10, .length_bytes = 10}).code(), Code::corrupt);
  EXPECT_EQ(check_range_reply(head(204, {etag}, 0), version, {.offset = 0, .length_bytes = 100}).code(), Code::corrupt);
  for (const char* range : {"", "bytes", "bytes 10-19/*", "bytes */100", "bytes 10-20/100", "bytes 11-20/100", "bytes 19-10/100", "bytes -10-19/100", "octets 10-19/100",
                            "bytes 10-19/100x", "bytes 18446744073709551626-19/100"}) {
    EXPECT_EQ(check_range_reply(head(206, ranged(range), 10), version, {.offset = 10, .length_bytes = 10}).code(), Code::corrupt) << range;
  }
  EXPECT_EQ(check_range_reply(head(206, ranged("bytes 10-19/99"), 10), version, {.offset = 10, .length_bytes = 10}).code(), Code::stale);
  EXPECT_EQ(check_range_reply(head(206, ranged("bytes 10-19/100"), 100), version, {.offset = 10, .length_bytes = 10}).code(), Code::corrupt);
}

}  // namespace
}  // namespace hearth::s3

// Names, refusals, regions, credentials and changes: on the strict double.
#include "understore/s3/s3_world.h"

#include "common/log.h"
#include "common/metrics.h"
#include "understore/s3/metrics.h"
#include "understore/s3/s3_listing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace hearth::s3 {
namespace {

using Kind = DoubleFault::Kind;

TEST(S3Names, TheZooOfKeys) {
  const std::vector<std::string> zoo{"a b", "a+b", "a%b", "a%2Bb", "a&b", "a?b", "a#b", "a=b", "a;b", "a'b", "a\"b", "a<b>", "a\\b", "a:b", "a@b", "a,b", "a*b", "a(b)",
                                     "a!b", "a|b", "~a", "...", "-rf", " ", "tab\tb", "new\nline", "cr\rx", "\x01", "caf\xc3\xa9", "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x94\xa5",
                                     std::string(255, 'x')};
  for (const auto lists : {DoubleOptions::Lists::encoded, DoubleOptions::Lists::as_they_are}) {
    DoubleOptions options;
    options.lists = lists;
    DoubleStore store(options);
    for (const std::string& name : zoo) {
      store.server().put("d/" + name, "content of " + name);
      store.server().put("d/" + name + ".dir/child", "x");
    }
    std::vector<std::string> expected;
    for (const std::string& name : zoo) {
      expected.push_back(name);
      expected.push_back(name + ".dir/");
    }
    auto names = store.names("d");
    std::sort(expected.begin(), expected.end());
    std::sort(names.begin(), names.end());
    EXPECT_EQ(names, expected);
    for (const std::string& name : zoo) {
      EXPECT_EQ(store.read_all("d/" + name).value_or("failed"), "content of " + name);
      EXPECT_EQ(store.names("d/" + name + ".dir"), std::vector<std::string>{"child"}) << name;
    }
  }
}

TEST(S3Names, AKeyOf1024BytesWorksAndOneMoreIsTooLong) {
  DoubleStore store;
  std::string path;
  while (path.size() < 1000) path += std::string(99, 'k') + "/";
  path += std::string(1024 - path.size(), 'z');
  ASSERT_TRUE(run_task(store.store().write(path, "long", DoubleStore::soon())));
  EXPECT_EQ(store.read_all(path).value_or("failed"), "long");
  EXPECT_EQ(store.stat(path + "z").code(), Code::name_too_long);
}

TEST(S3Names, AKeyThatIsAnObjectAndAPrefixIsTheFile) {
  DoubleOptions options;
  for (const std::size_t page : {1, 2, 1000}) {
    options.max_page = page;
    DoubleStore store(options);
    // "both!x" and "both-x" sort between "both" and "both/".
    for (const char* key : {"both", "both!x", "both-x", "both-x/y", "both/child", "both0"}) store.server().put(key, key);
    EXPECT_EQ(store.names(""), (std::vector<std::string>{"both", "both!x", "both-x", "both0"})) << page;
    EXPECT_EQ(store.stat("both")->type, FileType::regular);
    EXPECT_EQ(store.read_all("both").value_or("failed"), "both");
    EXPECT_EQ(store.read_all("both/child").value_or("failed"), "both/child") << "a whole path is a key";
  }
}

TEST(S3Names, KeysThatNoPathHasAreLeftOutAndCounted) {
  DoubleStore store;
  const auto counted = [] { return metrics().counter(described::unreachable_keys_total).value(); };
  const std::uint64_t before = counted();
  for (const char* key : {"/leading", "a//b", "a/./b", "a/../b", "a/ok", "./x", "../x", "\xff\xfe"}) store.server().put(key, "x");
  EXPECT_EQ(store.names(""), std::vector<std::string>{"a/"});
  EXPECT_EQ(store.names("a"), std::vector<std::string>{"ok"});
  EXPECT_GE(counted() - before, 7U);
}

TEST(S3Names, DirectoriesAreImpliedOrMarked) {
  DoubleStore store;
  store.server().put("implied/x", "1");
  store.server().put("marked/", "");
  store.server().put("full/", "bytes in a marker");
  store.server().put("full/y", "2");
  store.server().forgive();
  EXPECT_EQ(store.stat("implied")->type, FileType::directory);
  const auto lists = store.server().log_of("ListObjectsV2");
  ASSERT_EQ(lists.size(), 1U);
  EXPECT_NE(lists[0].target.find("max-keys=1&"), std::string::npos) << lists[0].target;
  EXPECT_EQ(store.stat("marked")->type, FileType::directory);
  EXPECT_EQ(store.names("marked"), std::vector<std::string>{});
  EXPECT_EQ(store.names("full"), std::vector<std::string>{"y"});
  EXPECT_EQ(store.names(""), (std::vector<std::string>{"full/", "implied/", "marked/"}));
  EXPECT_EQ(store.stat("impl").code(), Code::not_found) << "a prefix of a name is no directory";
}

TEST(S3Listing, StreamsManyKeysAPageAtATime) {
  DoubleStore store;
  constexpr int count = 25'000;
  for (int i = 0; i < count; ++i) store.server().put("d/" + std::to_string(100'000 + i), "");
  store.server().forgive();
  auto listing = run_task(store.store().list("d", DoubleStore::soon()));
  ASSERT_TRUE(listing);
  EXPECT_EQ(store.server().count("ListObjectsV2"), 1U) << "pages are fetched when they are asked for";
  int seen = 0;
  for (std::size_t batch = 1; batch > 0;) {
    const auto entries = run_task((*listing)->next(999, DoubleStore::soon()));
    ASSERT_TRUE(entries);
    batch = entries->size();
    for (const ObjectInfo& entry : *entries) EXPECT_EQ(entry.name, std::to_string(100'000 + seen++));
  }
  EXPECT_EQ(seen, count);
  EXPECT_EQ(store.server().count("ListObjectsV2"), 25U);
}

TEST(S3Listing, GoesOnAfterAFailedPage) {
  DoubleOptions options;
  options.max_page = 10;
  DoubleStore store(options);
  for (int i = 0; i < 35; ++i) store.server().put("d/" + std::to_string(10 + i), "");
  store.server().forgive();
  store.server().at_request("ListObjectsV2", 2, {.kind = Kind::slow_down});
  auto listing = run_task(store.store().list("d", DoubleStore::soon()));
  ASSERT_TRUE(listing);
  int seen = 0;
  int failures = 0;
  while (true) {
    const auto entries = run_task((*listing)->next(100, DoubleStore::soon()));
    if (!entries) {
      EXPECT_EQ(entries.code(), Code::overloaded);
      ++failures;
      continue;
    }
    if (entries->empty()) break;
    seen += static_cast<int>(entries->size());
  }
  EXPECT_EQ(seen, 35);
  EXPECT_EQ(failures, 1);
}

TEST(S3Listing, HostilePagesEndInAnError) {
  DoubleStore store;
  const std::string open = "<ListBucketResult><EncodingType>url</EncodingType>";
  for (const std::string& page : {std::string("<a>"), std::string("not xml"), open + "<Contents><Key>elsewhere</Key><ETag>e</ETag><Size>1</Size></Contents></ListBucketResult>",
                                  open + "<CommonPrefixes><Prefix>d/no-slash</Prefix></CommonPrefixes></ListBucketResult>",
                                  open + "<Contents><Key>d/x</Key><Size>1</Size></Contents></ListBucketResult>",
                                  open + "<Contents><Key>d/x/y</Key><ETag>e</ETag><Size>1</Size></Contents></ListBucketResult>",
                                  std::string("<!DOCTYPE a [<!ENTITY b 'c'>]><ListBucketResult/>")}) {
    store.server().always("ListObjectsV2", {.kind = Kind::replace_body, .text = page});
    EXPECT_EQ(store.list("d").code(), Code::corrupt) << page;
  }
  // A page that names itself as the next would never end.
  store.server().always("ListObjectsV2", {.kind = Kind::replace_body, .text = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>"});
  EXPECT_EQ(store.list("d").code(), Code::corrupt);
}

struct Sentence {
  const char* says;
  Code code;
  const char* store_code;
};

void expect_sentence(const Result<ObjectInfo>& answer, const Sentence& expected) {
  ASSERT_FALSE(answer);
  const std::string& message = answer.error().message();
  EXPECT_EQ(answer.code(), expected.code) << message;
  EXPECT_NE(message.find(expected.says), std::string::npos) << message;
  EXPECT_NE(message.find(expected.store_code), std::string::npos) << message;
  EXPECT_NE(message.find("request id req-"), std::string::npos) << message;
  EXPECT_EQ(message.find("canary"), std::string::npos) << message;
}

TEST(S3Refusals, EachIsOneClearSentenceWithTheStoresOwnCode) {
  DoubleStore store;
  store.server().put("f", "x");
  const std::vector<Sentence> scripted{
      {"the identity from the environment may not do this", Code::permission_denied, "AccessDenied"},
      {"the store is busy", Code::overloaded, "SlowDown"},
      {"an internal error", Code::unavailable, "InternalError"},
      {"the bucket's quota is used up", Code::no_space, "QuotaExceeded"},
      {"the object is archived", Code::io_error, "InvalidObjectState"},
      {"temporary credentials from the environment have expired", Code::unauthenticated, "ExpiredToken"},
      {"does not know the access key id", Code::unauthenticated, "InvalidAccessKeyId"},
      {"more than 15 minutes off", Code::unauthenticated, "RequestTimeTooSkewed"},
      {"SomethingNew", Code::permission_denied, "SomethingNew"},
  };
  for (const Sentence& sentence : scripted) {
    store.server().always("", {.kind = Kind::refuse, .status = std::string(sentence.store_code) == "SlowDown" ? 503 : std::string(sentence.store_code) == "InternalError" ? 500 : 403, .text = sentence.store_code});
    // HEAD has no body to say why; the same question is asked as a GET.
    if (std::string(sentence.store_code) != "SlowDown") expect_sentence(store.stat("f"), sentence);
    const auto listed = store.list("");
    EXPECT_EQ(listed.code(), sentence.code) << sentence.store_code;
  }
}

TEST(S3Refusals, SlowDownSaysWhenToComeBack) {
  DoubleStore store;
  store.server().put("f", "x");
  store.server().always("", {.kind = Kind::slow_down});
  const auto answer = store.stat("f");
  EXPECT_EQ(answer.code(), Code::overloaded);
  EXPECT_EQ(answer.error().retry_after_ms(), 1000U);
}

TEST(S3Refusals, AWrongSecretIsSaidSoAndAskedTwiceAtMost) {
  DoubleStore store;
  store.server().put("f", "x");
  store.reopen("canary-wrong-secret");
  expect_sentence(store.stat("f"), {"the secret key from the environment is wrong", Code::unauthenticated, "SignatureDoesNotMatch"});
  EXPECT_LE(store.server().count(""), 2U);
}

TEST(S3Refusals, AMissingBucketIsUnreachableNotEmpty) {
  DoubleStore store;
  store.server().put("f", "x");
  store.server().set_bucket_exists(false);
  expect_sentence(store.stat("f"), {"the bucket does not exist", Code::unavailable, "NoSuchBucket"});
  EXPECT_EQ(store.stat("missing").code(), Code::unavailable);
  EXPECT_EQ(store.list("").code(), Code::unavailable);
}

TEST(S3Refusals, ANotFoundThatNoS3ServiceWroteProvesNothing) {
  DoubleStore store;
  for (const char* code : {"", "NoSuchUser", "XAdminUserNotFound"}) {
    store.server().always("ListObjectsV2", {.kind = Kind::refuse, .status = 404, .text = code});
    EXPECT_NE(store.stat("missing").code(), Code::not_found) << code;
    EXPECT_NE(store.list("missing").code(), Code::not_found) << code;
  }
  store.server().forgive();
  store.server().put("f", "x");
  const std::string version = store.stat("f")->version;
  store.server().always("", {.kind = Kind::refuse, .status = 404, .text = ""});
  EXPECT_EQ(store.read("f", version, 0, 1).code(), Code::unavailable);
}

TEST(S3Refusals, OneForbiddenPrefixLeavesTheOthers) {
  DoubleStore store;
  store.server().put("open/f", "x");
  store.server().put("closed/f", "x");
  store.server().deny("closed/");
  EXPECT_EQ(store.stat("closed/f").code(), Code::permission_denied);
  EXPECT_EQ(store.list("closed").code(), Code::permission_denied);
  EXPECT_EQ(store.read_all("open/f").value_or("failed"), "x");
}

TEST(S3Refusals, AClockThatIsOffIsSaidSo) {
  class ShiftedClock final : public Clock {
   public:
    TimePoint now() const override { return real_clock().now(); }
    WallTime wall_now() const override { return real_clock().wall_now() + std::chrono::hours(1); }
    Task<> sleep_until(TimePoint when) override { return real_clock().sleep_until(when); }
  } shifted;
  DoubleOptions options;
  options.clock = &shifted;
  DoubleStore store(options);
  expect_sentence(store.stat("f"), {"this host's clock is more than 15 minutes off the store's (", Code::unauthenticated, "RequestTimeTooSkewed"});
}

TEST(S3Region, IsLearnedFromTheRefusalAndKept) {
  DoubleOptions options;
  options.identity.region = "eu-central-1";
  DoubleStore store(options);
  store.server().put("f", "x");
  EXPECT_EQ(store.stat("f")->length_bytes, 1U);
  const std::uint64_t first = store.server().count("");
  EXPECT_EQ(store.stat("f")->length_bytes, 1U);
  EXPECT_EQ(store.server().count("") - first, 1U) << "remembered";
  EXPECT_EQ(store.store().client().region(), "eu-central-1");
}

TEST(S3Region, AHostileRegionIsNotTaken) {
  for (const char* region : {"evil.example.com/", "a@b", "", "EU", "x:1"}) {
    DoubleOptions options;
    options.identity.region = region;
    DoubleStore store(options);
    EXPECT_EQ(store.stat("f").code(), Code::unauthenticated) << region;
    EXPECT_EQ(store.store().client().region(), "us-east-1");
    EXPECT_LE(store.server().count(""), 2U);
  }
}

TEST(S3Region, TheHostFollowsTheRegionAtAwsOnly) {
  S3Opener opener;
  const auto at = [&](const StoreOptions& options, const char* bucket) {
    return (*opener.open(std::string("s3://") + bucket, options, opener.seams({{"AWS_REGION", "eu-west-3"}})))->client().endpoint();
  };
  EXPECT_EQ(at({}, "bucket"), "https://bucket.s3.eu-west-3.amazonaws.com");
  EXPECT_EQ(at({{"region", "cn-north-1"}}, "with.dots"), "https://s3.cn-north-1.amazonaws.com.cn");
  EXPECT_EQ(at({{"endpoint", "https://minio.example:9000"}, {"path_style", "false"}}, "bucket"), "https://bucket.minio.example:9000");
  EXPECT_EQ(at({{"endpoint", "https://minio.example:9000/base"}}, "bucket"), "https://minio.example:9000/base");
}

class S3Changes : public ::testing::Test {
 protected:
  S3Changes() : store_(DoubleOptions(), {{"part_size", "5MiB"}, {"parallel", "3"}}) {}
  DoubleStore store_;
  std::string big_ = std::string(11U << 20, 'b');  // parts of 5, 5 and 1 MiB
};

TEST_F(S3Changes, ABigObjectGoesUpInParts) {
  const auto written = run_task(store_.store().write("big", big_, DoubleStore::soon()));
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(store_.server().count("UploadPart"), 3U);
  EXPECT_EQ(store_.server().open_uploads(), 0U);
  EXPECT_EQ(store_.stat("big")->version, written->version);
  EXPECT_TRUE(store_.server().content("big") == big_);
}

// One part at a time: a part whose sender was cancelled may arrive late, and would take the next round's fault.
TEST_F(S3Changes, AFailedPartOrCompletionAbortsTheUploadAndKeepsTheOldObject) {
  DoubleStore store(DoubleOptions(), {{"part_size", "5MiB"}, {"parallel", "1"}});
  store.server().put("big", "old");
  for (std::uint64_t k = 0; k < 3; ++k) {
    store.server().forgive();
    store.server().at_request("UploadPart", k, {.kind = Kind::refuse, .status = 500, .text = "InternalError"});
    EXPECT_EQ(run_task(store.store().write("big", big_, DoubleStore::soon())).code(), Code::unavailable) << k;
    EXPECT_EQ(store.server().open_uploads(), 0U) << k;
    EXPECT_TRUE(store.server().content("big") == "old");
  }
  store.server().at_request("CompleteMultipartUpload", 0, {.kind = Kind::replace_body, .text = "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>late</Message></Error>"});
  const auto late = run_task(store.store().write("big", big_, DoubleStore::soon()));
  EXPECT_EQ(late.code(), Code::unavailable) << "200 with an error inside";
  EXPECT_TRUE(store.server().content("big") == "old");
  EXPECT_EQ(store.server().open_uploads(), 0U);
}

TEST_F(S3Changes, WhatCouldNotBeAbortedIsSweptLater) {
  store_.server().always("UploadPart", {.kind = Kind::refuse, .status = 500, .text = "InternalError"});
  store_.server().always("AbortMultipartUpload", {.kind = Kind::refuse, .status = 500, .text = "InternalError"});
  EXPECT_FALSE(run_task(store_.store().write("big", big_, DoubleStore::soon())));
  EXPECT_EQ(store_.server().open_uploads(), 1U);
  store_.server().forgive();
  const WallTime now = real_clock().wall_now();
  store_.server().add_open_upload("old one+", "old/+=", now - std::chrono::hours(48));
  store_.server().add_open_upload("young", "young", now);
  const auto swept = run_task(store_.store().sweep_uploads(std::chrono::hours(24), DoubleStore::soon()));
  ASSERT_TRUE(swept) << swept.error().to_string();
  EXPECT_EQ(*swept, 1U);
  EXPECT_EQ(store_.server().open_uploads(), 1U) << "the young one of somebody else stays";
}

TEST_F(S3Changes, CopiesBeyondTheLimitGoInParts) {
  store_.single_copy_limit = 10U << 20;
  store_.part_of_copy = 6U << 20;
  store_.reopen();
  store_.server().put("from", big_ + "tail");
  ASSERT_TRUE(run_task(store_.store().rename("from", "to", DoubleStore::soon())));
  EXPECT_TRUE(store_.server().content("to") == big_ + "tail");
  EXPECT_FALSE(store_.server().content("from"));
  EXPECT_EQ(store_.server().count("UploadPartCopy"), 2U);
  EXPECT_EQ(store_.server().count("CopyObject"), 0U);
}

TEST_F(S3Changes, ARenamedTreeIsCopiedThenDeletedInBatches) {
  for (int i = 0; i < 1010; ++i) store_.server().put("tree/" + std::to_string(i) + "/f & <g>", std::to_string(i));
  ASSERT_TRUE(run_task(store_.store().rename("tree", "moved", Deadline::after(real_clock(), std::chrono::seconds(100)))));
  EXPECT_EQ(store_.server().count("DeleteObjects"), 2U);
  EXPECT_EQ(store_.server().keys().size(), 1010U);
  EXPECT_EQ(store_.read_all("moved/77/f & <g>").value_or("failed"), "77");
  EXPECT_EQ(store_.stat("tree").code(), Code::not_found);
}

TEST_F(S3Changes, ASourceThatChangesDuringARenameIsNotLost) {
  store_.server().put("from", "old");
  store_.server().prepare_switch("to", "");
  store_.server().always("CopyObject", {.kind = Kind::refuse, .status = 412, .text = "PreconditionFailed"});
  EXPECT_EQ(run_task(store_.store().rename("from", "to", DoubleStore::soon())).code(), Code::stale);
  EXPECT_EQ(store_.server().content("from"), "old");
}

TEST_F(S3Changes, DamagedUploadsAreRefusedByTheStore) {
  // The double checks x-amz-checksum-* and x-amz-content-sha256 against what arrived; nothing here may pass unchecked.
  for (const char* payload : {"signed", "unsigned", "streaming"}) {
    DoubleStore store(DoubleOptions(), {{"payload", payload}, {"checksum", "crc32c"}});
    ASSERT_TRUE(run_task(store.store().write("f", "content", DoubleStore::soon())));
    const auto puts = store.server().log_of("PutObject");
    ASSERT_EQ(puts.size(), 1U);
    EXPECT_TRUE(puts[0].header("x-amz-checksum-crc32c")) << payload;
    EXPECT_EQ(puts[0].header("x-amz-decoded-content-length").has_value(), std::string(payload) == "streaming");
  }
}

TEST(S3Headers, EncryptionAndRequesterPaysAreSentWhereTheyBelong) {
  const std::string key_file = (std::filesystem::temp_directory_path() / ("hearth-ssec-" + std::to_string(::getpid()))).string();
  std::ofstream(key_file) << std::string(32, 'k');
  DoubleStore kms(DoubleOptions(), {{"sse", "kms:key-1"}, {"requester_pays", "true"}});
  ASSERT_TRUE(run_task(kms.store().write("f", "x", DoubleStore::soon())));
  EXPECT_EQ(kms.server().log_of("PutObject").at(0).header("x-amz-server-side-encryption-aws-kms-key-id"), "key-1");
  for (const TestRequest& request : kms.server().log()) EXPECT_EQ(request.header("x-amz-request-payer"), "requester");
  // The customer's key goes over TLS only: what would be sent is looked at without a server.
  S3Opener opener;
  const auto store = opener.open("s3://bucket", {{"sse", "c:" + key_file}}, opener.seams({}));
  ASSERT_TRUE(store) << store.error().to_string();
  std::vector<HttpHeader> headers;
  (*store)->client().add_customer_key(headers, S3Client::KeyUse::object);
  ASSERT_EQ(headers.size(), 3U);
  EXPECT_EQ(headers[1].value, base64({reinterpret_cast<const std::uint8_t*>(std::string(32, 'k').data()), 32}));
  std::ofstream(key_file) << "too short";
  EXPECT_EQ(opener.open("s3://bucket", {{"sse", "c:" + key_file}}, opener.seams({})).code(), Code::invalid_argument);
  std::filesystem::remove(key_file);
}

// Whatever goes wrong, nothing that was logged, said or counted holds a secret.
TEST(S3Secrets, NeverInLogsErrorsOrMetrics) {
  const std::string log = (std::filesystem::temp_directory_path() / ("hearth-s3-log-" + std::to_string(::getpid()))).string();
  LogOptions to_file;
  to_file.level = LogLevel::debug;
  to_file.file = log;
  start_logging(to_file);
  std::string said;
  {
    DoubleOptions options;
    options.identity.session_token = "canary-token";
    DoubleStore store(options);
    store.server().put("f", "x");
    for (const Kind kind : {Kind::refuse, Kind::slow_down, Kind::drop, Kind::cut_body, Kind::no_etag}) {
      store.server().always("", {.kind = kind, .at = 0, .status = 403, .text = "ExpiredToken"});
      for (const Result<ObjectInfo>& answer : {store.stat("f"), run_task(store.store().write("g", "y", DoubleStore::soon()))}) {
        said += answer ? "" : answer.error().to_string();
      }
      const auto listed = store.list("");
      said += listed ? "" : listed.error().to_string();
    }
    store.reopen("canary-wrong");
    said += store.stat("f").error().to_string();
  }
  stop_logging();
  std::ifstream file(log);
  const std::string logged{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  EXPECT_FALSE(said.empty());
  EXPECT_EQ(said.find("canary"), std::string::npos) << said;
  EXPECT_EQ(logged.find("canary"), std::string::npos);
  EXPECT_EQ(metrics().to_prometheus().find("canary"), std::string::npos);
  std::filesystem::remove(log);
}

// The signer and the double's verifier were written apart: every request that one makes, the other must take.
TEST(SigV4, AgreesWithAnIndependentVerifierOnRandomRequests) {
  SeededRng random(20261121);
  const DoubleIdentity identity;
  const Credentials credentials{.access_key_id = identity.access_key_id, .secret_access_key = Secret(identity.secret)};
  Signer signer;
  const auto word = [&](std::size_t longest) {
    std::string text;
    const std::size_t length = random.below(longest + 1);
    while (text.size() < length) text.push_back(static_cast<char>(random.below(256)));
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    SignableRequest request{.method = round % 2 == 0 ? "GET" : "PUT", .encoded_path = uri_encode_path("/bucket/" + word(40))};
    for (std::uint64_t i = random.below(4); i > 0; --i) request.query.emplace_back(word(6), word(12));
    request.headers = {{.name = "Host", .value = "127.0.0.1:1234"}, {.name = "x-amz-meta-a", .value = "  " + std::to_string(round) + "   b "}};
    const std::string body = word(50);
    request.payload_hash = hex(sha256(body));
    const WallTime now = real_clock().wall_now();
    signer.sign(credentials, {.region = identity.region}, now, request);
    const std::string query = canonical_query(request.query);
    TestRequest sent;
    sent.method = request.method;
    sent.target = request.encoded_path + (query.empty() ? "" : "?" + query);
    sent.headers = request.headers;
    sent.body = body;
    const VerifiedBody verified = verify_request(sent, identity, now);
    ASSERT_FALSE(verified.refusal) << verified.refusal->code << " round " << round << " " << sent.target;
    // And nothing else: each change is refused.
    if (round % 10 != 0) continue;
    sent.body += "x";
    EXPECT_TRUE(verify_request(sent, identity, now).refusal);
    sent.body = body;
    sent.target += sent.target.find('?') == std::string::npos ? "?a=b" : "&a=b";
    EXPECT_TRUE(verify_request(sent, identity, now).refusal);
  }
}

}  // namespace
}  // namespace hearth::s3

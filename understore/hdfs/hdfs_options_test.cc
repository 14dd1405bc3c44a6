#include "understore/hdfs/hdfs_options.h"

#include "understore/hdfs/hdfs_json.h"
#include "understore/hdfs/remote_error.h"
#include "understore/hdfs/url_text.h"

#include <gtest/gtest.h>

namespace hearth::hdfs {
namespace {

TEST(HdfsOptions, MapsTheRpcAddressToTheHttpOne) {
  const auto parsed = parse_hdfs_options("hdfs://nn1:8020/warehouse/", {});
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  EXPECT_EQ(parsed->namenodes, std::vector<std::string>{"nn1:9870"});
  EXPECT_EQ(parsed->scheme, "http");
  EXPECT_EQ(parsed->root, "/warehouse");
  EXPECT_EQ(parsed->uri, "hdfs://nn1:8020/warehouse");
  EXPECT_EQ(parse_hdfs_options("hdfs://nn1/", {{"http_port", "50070"}})->namenodes.front(), "nn1:50070");
  EXPECT_EQ(parse_hdfs_options("hdfs://nn1/", {{"tls", "on"}})->namenodes.front(), "nn1:9871");
  EXPECT_EQ(parse_hdfs_options("webhdfs://nn1:50070/x", {})->namenodes.front(), "nn1:50070");
  EXPECT_EQ(parse_hdfs_options("webhdfs://nn1", {})->root, "");
  EXPECT_EQ(parse_hdfs_options("swebhdfs://nn1/x", {})->namenodes.front(), "nn1:9871");
  EXPECT_EQ(parse_hdfs_options("swebhdfs://nn1/x", {})->scheme, "https");
}

TEST(HdfsOptions, ANameserviceHasItsAddressesFromAnOption) {
  const auto parsed = parse_hdfs_options("hdfs://cluster/a%20b", {{"http_address", "nn1:9870,nn2"}});
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  EXPECT_EQ(parsed->namenodes, (std::vector<std::string>{"nn1:9870", "nn2:9870"}));
  EXPECT_EQ(parsed->root, "/a b");
  EXPECT_EQ(parsed->uri, "hdfs://cluster/a%20b");
}

TEST(HdfsOptions, WrongOnesSayWhatWasExpected) {
  struct Case { std::string uri; StoreOptions options; std::string says; };
  const std::vector<Case> cases{
      {"hdfs://nn/", {{"usr", "x"}}, "user"},
      {"hdfs://nn/", {{"auth", "magic"}}, "kerberos"},
      {"hdfs://nn/", {{"auth", "token"}}, "delegation_token_file"},
      {"hdfs://nn/", {{"delegation_token_file", "relative"}}, "absolute"},
      {"hdfs://nn/", {{"host_map", "dn1"}}, "host_map"},
      {"hdfs://nn/", {{"http_port", "x"}}, "http"},
      {"hdfs://nn/", {{"uid", "root"}}, "number"},
      {"hdfs://nn/", {{"inode_paths", "maybe"}}, "on or off"},
      {"swebhdfs://nn/", {{"tls", "off"}}, "swebhdfs"},
      {"hdfs:///x", {}, "http_address"},
      {"hdfs://user@nn/x", {}, "user"},
      {"hdfs://nn/a/../b", {}, ".."},
      {"hdfs://nn/a?b", {}, "%3F"},
      {"hdfs://nn/%ff", {}, "UTF-8"},
      {"hdfs://n n/", {}, "host"}};
  for (const Case& each : cases) {
    const auto parsed = parse_hdfs_options(each.uri, each.options);
    ASSERT_EQ(parsed.code(), Code::invalid_argument) << each.uri << " " << each.says;
    EXPECT_NE(parsed.error().message().find(each.says), std::string::npos) << parsed.error().message();
  }
}

TEST(HdfsOptions, MapsHostsWithAndWithoutPort) {
  const std::map<std::string, std::string> host_map{{"dn1:9864", "127.0.0.1:19864"}, {"dn2", "10.0.0.2"}};
  EXPECT_EQ(mapped_address(host_map, "dn1:9864"), "127.0.0.1:19864");
  EXPECT_EQ(mapped_address(host_map, "dn1:9865"), std::nullopt);
  EXPECT_EQ(mapped_address(host_map, "dn2:9864"), "10.0.0.2:9864");
  EXPECT_EQ(mapped_address(host_map, "dn3:9864"), std::nullopt);
}

TEST(HdfsVersion, RoundTripsAndRefusesEverythingElse) {
  const Version version{.file_id = 16388, .modified_ms = 1795269329428, .length_bytes = 0xffffffffffULL};
  EXPECT_EQ(to_string(version), "h1-4004-1a1fe640214-ffffffffff");
  EXPECT_EQ(parse_version(to_string(version)), version);
  for (const char* text : {"", "h1-", "h1-1-2", "h1-1-2-3-4", "h1-1-2-x", "l1-1-2-3", "h1--2-3", "h1-1-2-3 "}) {
    EXPECT_EQ(parse_version(text), std::nullopt) << text;
  }
}

TEST(HdfsText, KnowsUtf8) {
  for (const char* good : {"", "a", "caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\x01"}) EXPECT_TRUE(is_utf8(good)) << good;
  for (const char* bad : {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "a\x80", "\xe2\x82"}) {
    EXPECT_FALSE(is_utf8(bad)) << bad;
  }
  EXPECT_EQ(encode_path("/a b/%+&?#;:"), "/a%20b/%25%2B%26%3F%23%3B%3A");
  EXPECT_EQ(decode("a%2fb+"), "a/b+");
  EXPECT_EQ(decode("%0"), std::nullopt);
  EXPECT_EQ(decode("%00"), std::nullopt);
}

TEST(HdfsJson, HostileAnswersAreCorruptNeverAFile) {
  const std::string deep(100'000, '[');
  for (const std::string& text : {std::string(), std::string("<html>"), std::string("{}"), std::string("[]"), deep,
                                  std::string("{\"FileStatus\":null}"), std::string("{\"FileStatus\":{}}"),
                                  std::string("{\"FileStatus\":{\"length\":-1,\"modificationTime\":1,\"type\":\"FILE\",\"fileId\":1,\"permission\":\"644\"}}"),
                                  std::string("{\"FileStatus\":{\"length\":1,\"modificationTime\":1,\"type\":\"FILE\",\"fileId\":1,\"permission\":\"999\"}}"),
                                  std::string("{\"FileStatus\":{\"length\":1,\"modificationTime\":1,\"type\":\"FILE\",\"permission\":\"644\"}}")}) {
    EXPECT_EQ(parse_file_status(text).code(), Code::corrupt) << text.substr(0, 80);
    EXPECT_EQ(parse_listing(text).code(), Code::corrupt) << text.substr(0, 80);
    EXPECT_EQ(parse_boolean(text).code(), Code::corrupt);
    EXPECT_EQ(parse_remote_exception(text), std::nullopt);
  }
  for (const char* name : {"a/b", "..", ".", "a\\u0000b"}) {
    const std::string listing = std::string("{\"FileStatuses\":{\"FileStatus\":[{\"length\":1,\"modificationTime\":1,\"type\":\"FILE\","
                                            "\"fileId\":1,\"permission\":\"644\",\"pathSuffix\":\"") + name + "\"}]}}";
    EXPECT_EQ(parse_listing(listing).code(), Code::corrupt) << name;
  }
}

HttpReply answer(int status, const std::string& body) {
  HttpReply reply;
  reply.head.status = status;
  reply.body = body;
  return reply;
}
std::string thrown(const std::string& name, const std::string& message) {
  return "{\"RemoteException\":{\"exception\":\"" + name + "\",\"javaClassName\":\"x\",\"message\":\"" + message + "\"}}";
}

TEST(HdfsError, OnlyTheStoreItselfCanSayThatAFileIsAbsent) {
  EXPECT_EQ(refusal_of(answer(404, thrown("FileNotFoundException", "File does not exist: /a")), "x").error.code(), Code::not_found);
  EXPECT_EQ(refusal_of(answer(404, "<html>Not Found</html>"), "x").error.code(), Code::unavailable);
  EXPECT_EQ(refusal_of(answer(404, ""), "x").error.code(), Code::unavailable);
  EXPECT_EQ(refusal_of(answer(502, "bad gateway"), "x").error.code(), Code::unavailable);
}

TEST(HdfsError, HasOneClearSentencePerTrouble) {
  struct Case { int status; std::string name; std::string message; Code code; };
  const std::vector<Case> cases{
      {403, "SafeModeException", "Cannot create /a. Name node is in safe mode.", Code::unavailable},
      {403, "DSQuotaExceededException", "The DiskSpace quota of /a is exceeded", Code::no_space},
      {403, "IOException", "File /a could only be written to 0 of the 1 minReplication nodes.", Code::no_space},
      {403, "AccessControlException", "Permission denied: user=eve", Code::permission_denied},
      {403, "AccessControlException", "/a (is not a directory)", Code::not_directory},
      {403, "InvalidToken", "token is expired", Code::unauthenticated},
      {401, "AuthenticationException", "no", Code::unauthenticated},
      {403, "AlreadyBeingCreatedException", "held", Code::busy},
      {500, "SomethingNew", "what", Code::io_error}};
  for (const Case& each : cases) {
    const auto refusal = refusal_of(answer(each.status, thrown(each.name, each.message)), "CREATE of \"/a\" at nn:9870");
    EXPECT_EQ(refusal.error.code(), each.code) << each.name << " " << each.message;
    EXPECT_NE(refusal.error.message().find(each.name), std::string::npos);
    EXPECT_NE(refusal.error.message().find(each.message), std::string::npos) << refusal.error.message();
    EXPECT_EQ(refusal.standing, Standing::active);
  }
  EXPECT_EQ(refusal_of(answer(403, thrown("StandbyException", "no")), "x").standing, Standing::standby);
  EXPECT_EQ(refusal_of(answer(503, ""), "x").error.code(), Code::overloaded);
}

}  // namespace
}  // namespace hearth::hdfs

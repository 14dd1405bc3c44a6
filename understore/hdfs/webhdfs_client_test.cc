#include "understore/hdfs/webhdfs_client.h"

#include "common/http/test_certificate.h"
#include "understore/conformance.h"
#include "understore/hdfs/webhdfs_double.h"

#include <filesystem>
#include <fstream>

namespace hearth::hdfs {
namespace {

class WebHdfsClientTest : public ::testing::Test {
 protected:
  static Deadline soon() { return Deadline::after(real_clock(), std::chrono::seconds(20)); }
  static std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

  static HdfsOptions options_for(const WebHdfsDouble& server) {
    auto parsed = parse_hdfs_options("hdfs://cluster/", {{"http_address", server.http_address()}, {"user", "hearth"}});
    EXPECT_TRUE(parsed) << parsed.error().to_string();
    return std::move(parsed).value();
  }
  Result<std::string> read(WebHdfsClient& client, const std::string& path, std::size_t length) {
    std::string bytes(length, '?');
    TRY(got, run_task(client.open(path, 0, std::as_writable_bytes(std::span(bytes)), soon())));
    bytes.resize(got);
    return bytes;
  }

  BlockingPool pool_{1, 100};
  std::unique_ptr<HttpClient> http_ = make_http_client({}, real_clock());
};

TEST_F(WebHdfsClientTest, SpeaksEveryOperation) {
  WebHdfsDouble server;
  WebHdfsClient client(options_for(server), *http_, pool_);
  EXPECT_TRUE(run_task(client.make_directories("/a b/c", 0750, soon())).value_or(false));
  ASSERT_TRUE(run_task(client.create("/a b/f", Overwrite::no, bytes_of("hello"), soon())));
  EXPECT_EQ(run_task(client.create("/a b/f", Overwrite::no, bytes_of("x"), soon())).code(), Code::already_exists);
  ASSERT_TRUE(run_task(client.append("/a b/f", bytes_of(" world"), soon())));
  EXPECT_EQ(read(client, "/a b/f", 100).value_or("failed"), "hello world");
  ASSERT_TRUE(run_task(client.set_permission("/a b/f", 0600, soon())));
  ASSERT_TRUE(run_task(client.set_owner("/a b/f", "alice", "users", soon())));
  ASSERT_TRUE(run_task(client.set_times("/a b/f", 12345, soon())));
  const auto status = run_task(client.status("/a b/f", soon()));
  ASSERT_TRUE(status) << status.error().to_string();
  EXPECT_EQ(status->mode, 0600U);
  EXPECT_EQ(status->owner, "alice");
  EXPECT_EQ(status->group, "users");
  EXPECT_EQ(status->modified_ms, 12345);
  EXPECT_EQ(status->length_bytes, 11U);
  const auto summary = run_task(client.summary("/a b", soon()));
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->file_count, 1U);
  EXPECT_EQ(summary->directory_count, 2U);
  EXPECT_EQ(summary->length_bytes, 11U);
  EXPECT_EQ(run_task(client.checksum("/a b/f", soon()))->algorithm, "MD5-of-1MD5-of-512CRC32C");
  EXPECT_TRUE(run_task(client.rename("/a b/f", "/a b/g", Overwrite::yes, soon())).value_or(false));
  EXPECT_FALSE(run_task(client.remove("/a b/f", Recursive::no, soon())).value_or(true));
  EXPECT_EQ(run_task(client.remove("/a b", Recursive::no, soon())).code(), Code::not_empty);
  EXPECT_TRUE(run_task(client.remove("/a b", Recursive::yes, soon())).value_or(false));
}

TEST_F(WebHdfsClientTest, FindsTheActiveNamenodeAndRemembersIt) {
  WebHdfsDouble server({.namenodes = 3});
  server.put("/f", "content");
  server.make_standby(0);
  server.make_standby(1);
  WebHdfsClient client(options_for(server), *http_, pool_);
  EXPECT_EQ(read(client, "/f", 7).value_or("failed"), "content");
  EXPECT_TRUE(run_task(client.make_directories("/d", 0755, soon())));
  EXPECT_EQ(server.namenode_log(0).size(), 1U);
  EXPECT_EQ(server.namenode_log(1).size(), 1U);
  EXPECT_EQ(server.namenode_log(2).size(), 2U);
  server.make_active(1);
  server.make_standby(2);
  EXPECT_TRUE(run_task(client.remove("/d", Recursive::no, soon())).value_or(false)) << "refused by a standby, so it may move on";
  EXPECT_EQ(read(client, "/f", 7).value_or("failed"), "content");
}

TEST_F(WebHdfsClientTest, PassesOverADeadNamenodeForWhatMayBeRepeated) {
  WebHdfsDouble server({.namenodes = 2});
  server.put("/f", "content");
  WebHdfsClient client(options_for(server), *http_, pool_);
  server.stop_namenode(0);
  EXPECT_EQ(run_task(client.remove("/f", Recursive::no, soon())).code(), Code::unavailable)
      << "whether it was carried out is unknown";
  EXPECT_TRUE(run_task(client.remove("/f", Recursive::no, soon())).value_or(false)) << "the next call goes to the other one";
}

TEST_F(WebHdfsClientTest, WithoutAnyActiveNamenodeItSaysSo) {
  WebHdfsDouble server({.namenodes = 2});
  server.make_standby(0);
  server.make_standby(1);
  WebHdfsClient client(options_for(server), *http_, pool_);
  const auto status = run_task(client.status("/", soon()));
  EXPECT_EQ(status.code(), Code::unavailable);
  EXPECT_NE(status.error().message().find("StandbyException"), std::string::npos) << status.error().message();
}

TEST_F(WebHdfsClientTest, ReachesDatanodesWhoseNamesNobodyResolves) {
  WebHdfsDouble server;
  server.put("/f", "content");
  server.advertise_datanode("dn1.cluster.invalid:9864");
  HdfsOptions options = options_for(server);
  WebHdfsClient lost(options, *http_, pool_);
  const auto failed = read(lost, "/f", 7);
  EXPECT_EQ(failed.code(), Code::unavailable);
  options.host_map["dn1.cluster.invalid:9864"] = "127.0.0.1:" + std::to_string(server.datanode_port());
  WebHdfsClient client(options, *http_, pool_);
  EXPECT_EQ(read(client, "/f", 7).value_or("failed"), "content");
  ASSERT_TRUE(run_task(client.create("/g", Overwrite::yes, bytes_of("new"), soon())));
  EXPECT_EQ(read(client, "/g", 3).value_or("failed"), "new");
}

TEST_F(WebHdfsClientTest, AsksForAnotherDatanodeWhenOneDoesNotAnswer) {
  WebHdfsDouble server;
  server.put("/f", "content");
  const std::string working = "127.0.0.1:" + std::to_string(server.datanode_port());
  server.advertise_datanode("dn-down.invalid:9864");
  server.on_request([&](const DoubleRequest& request) -> std::optional<TestReply> {
    if (request.operation == "OPEN" && request.number == 1) server.advertise_datanode(working);
    return std::nullopt;
  });
  WebHdfsClient client(options_for(server), *http_, pool_);
  EXPECT_EQ(read(client, "/f", 7).value_or("failed"), "content");
  const auto log = server.namenode_log();
  ASSERT_EQ(log.size(), 2U);
  EXPECT_NE(log[1].target.find("excludedatanodes=dn-down.invalid"), std::string::npos) << log[1].target;
}

TEST_F(WebHdfsClientTest, ATokenComesFromItsFileAndNeverIntoAMessage) {
  const std::string file = (std::filesystem::temp_directory_path() / ("hearth-token-" + std::to_string(::getpid()))).string();
  std::ofstream(file) << "CANARY-token/+=\n";
  WebHdfsDouble server({.required_token = "CANARY-token/+="});
  server.put("/f", "content");
  auto parsed = parse_hdfs_options("hdfs://cluster/", {{"http_address", server.http_address()}, {"delegation_token_file", file}});
  ASSERT_TRUE(parsed);
  WebHdfsClient client(*parsed, *http_, pool_);
  EXPECT_EQ(read(client, "/f", 7).value_or("failed"), "content");
  std::ofstream(file) << "CANARY-wrong";
  const auto refused = run_task(client.status("/f", soon()));
  EXPECT_EQ(refused.code(), Code::unauthenticated);
  EXPECT_EQ(refused.error().message().find("CANARY"), std::string::npos) << refused.error().message();
  server.stop();
  std::ofstream(file) << "CANARY-token/+=\n";
  const auto away = run_task(client.status("/f", soon()));
  EXPECT_EQ(away.error().message().find("CANARY"), std::string::npos) << away.error().message();
  std::filesystem::remove(file);
  EXPECT_EQ(run_task(client.status("/f", soon())).code(), Code::unauthenticated);
}

TEST_F(WebHdfsClientTest, NothingGoesFromTlsToPlain) {
  TestAuthority authority;
  const TestKeyPair pair = authority.issue("localhost");
  WebHdfsDouble server({.server = {.certificate_file = pair.certificate_file, .key_file = pair.key_file}});
  server.put("/f", "content");
  TestServer plain([](const TestRequest&) { return TestReply{.body = "content"}; });
  auto parsed = parse_hdfs_options("swebhdfs://cluster/", {{"http_address", server.http_address()},
                                                          {"user", "hearth"},
                                                          {"host_map", "localhost=127.0.0.1"},
                                                          {"ca_file", authority.ca_file()}});
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  WebHdfsClient client(*parsed, *http_, pool_);
  EXPECT_EQ(read(client, "/f", 7).value_or("failed"), "content");
  server.on_reply([&](const DoubleRequest&, TestReply& reply) {
    if (reply.status == 307) reply.headers[0].value = plain.origin() + "/webhdfs/v1/f?op=OPEN&delegation=secret";
  });
  EXPECT_EQ(read(client, "/f", 7).code(), Code::permission_denied);
  EXPECT_EQ(run_task(client.create("/g", Overwrite::yes, bytes_of("new"), soon())).code(), Code::permission_denied);
  EXPECT_EQ(plain.requests(), 0U);
}

TEST_F(WebHdfsClientTest, AServerWithoutBatchesListsAtOnce) {
  WebHdfsDouble server;
  for (int i = 0; i < 30; ++i) server.put("/d/" + std::to_string(i), "x");
  server.on_request([](const DoubleRequest& request) -> std::optional<TestReply> {
    if (request.operation != "LISTSTATUS_BATCH") return std::nullopt;
    return WebHdfsDouble::exception({.status = 400, .name = "IllegalArgumentException",
                                     .class_name = "java.lang.IllegalArgumentException", .message = "Invalid value for webhdfs parameter \"op\""});
  });
  WebHdfsClient client(options_for(server), *http_, pool_);
  const auto page = run_task(client.list("/d", "", soon()));
  ASSERT_TRUE(page) << page.error().to_string();
  EXPECT_EQ(page->entries.size(), 30U);
  EXPECT_EQ(page->remaining, 0U);
}

}  // namespace
}  // namespace hearth::hdfs

// `hearth attach --dry-run hdfs://...`: which step it names, and TLS (swebhdfs): on the double.
#include "common/http/test_certificate.h"
#include "understore/access_check.h"
#include "understore/conformance.h"
#include "understore/hdfs/webhdfs_double.h"

#include <filesystem>
#include <fstream>

namespace hearth::hdfs {
namespace {

class HdfsAccess : public ::testing::Test {
 protected:
  std::vector<AccessStep> check(StoreOptions options, const std::string& uri = "hdfs://cluster/data") {
    const StoreContext context{.pool = pool_, .clock = real_clock(), .http = http_.get()};
    const Deadline soon = Deadline::after(real_clock(), std::chrono::seconds(20));
    auto steps = run_task(check_store_access(uri, std::move(options), context, soon));
    EXPECT_TRUE(steps && !steps->empty());
    return std::move(steps).value();
  }
  StoreOptions right() { return {{"http_address", server_.http_address()}, {"user", "hearth"}}; }
  StoreOptions right_but(const std::string& name, const std::string& value) {
    StoreOptions options = right();
    options[name] = value;
    return options;
  }
  void expect_failure(const std::vector<AccessStep>& steps, const std::string& step, Code code, const std::string& words) {
    ASSERT_FALSE(steps.back().outcome) << "all is well up to " << steps.back().name;
    EXPECT_EQ(steps.back().name, step) << steps.back().outcome.error().to_string();
    EXPECT_EQ(steps.back().outcome.code(), code) << steps.back().outcome.error().to_string();
    EXPECT_NE(steps.back().outcome.error().message().find(words), std::string::npos) << steps.back().outcome.error().message();
    EXPECT_EQ(steps.back().outcome.error().message().find("CANARY"), std::string::npos) << "no secret is shown";
  }
  static std::vector<std::string> names(const std::vector<AccessStep>& steps) {
    std::vector<std::string> names;
    for (const AccessStep& step : steps) names.push_back(step.name + (step.outcome ? "" : "!"));
    return names;
  }

  WebHdfsDouble server_{{.namenodes = 2, .required_user = "hearth"}};
  BlockingPool pool_{1, 100};
  std::unique_ptr<HttpClient> http_ = make_http_client({}, real_clock());
};

TEST_F(HdfsAccess, ProvesEveryStep) {
  server_.put("/data/deep/er/f", "content");
  const auto steps = check(right());
  EXPECT_EQ(names(steps), (std::vector<std::string>{"options", "resolve", "connect", "http", "credentials", "access", "list", "read"}));
  EXPECT_EQ(steps[4].detail, "user.name=\"hearth\", which clusters without Kerberos believe");
  EXPECT_EQ(steps.back().detail, "\"deep/er/f\"");
}

TEST_F(HdfsAccess, NamesTheStepThatFailed) {
  server_.put("/data/f", "content");
  expect_failure(check(right_but("http_adress", "x")), "options", Code::invalid_argument, "did you mean http_address?");
  expect_failure(check(right_but("http_address", "no-such-host.invalid:1")), "resolve", Code::unavailable, "check the option http_address");
  expect_failure(check(right_but("http_address", "127.0.0.1:1")), "connect", Code::unavailable, "check the option http_address");
  expect_failure(check(right_but("delegation_token_file", "/nonexistent/token")), "credentials", Code::unauthenticated, "/nonexistent/token");
  expect_failure(check(right_but("user", "somebody")), "access", Code::permission_denied, "Permission denied: user=somebody");
  expect_failure(check(right(), "hdfs://cluster/missing"), "access", Code::not_found, "FileNotFoundException");
  TestServer stranger([](const TestRequest&) { return TestReply{.status = 404, .body = "nothing here"}; });
  expect_failure(check(right_but("http_address", "127.0.0.1:" + std::to_string(stranger.port()))), "access", Code::unavailable, "does not answer as WebHDFS, check http_address");
}

TEST_F(HdfsAccess, NamesListingAndReadingToo) {
  server_.put("/data/f", "content");
  server_.on_request([](const DoubleRequest& request) -> std::optional<TestReply> {
    if (request.operation != "LISTSTATUS_BATCH") return std::nullopt;
    return WebHdfsDouble::exception({.status = 403, .name = "AccessControlException", .class_name = "org.apache.hadoop.security.AccessControlException",
                                     .message = "Permission denied: user=hearth, access=READ_EXECUTE, inode=\"/data\":hdfs:supergroup:drwx--x--x"});
  });
  expect_failure(check(right()), "list", Code::permission_denied, "access=READ_EXECUTE");
  server_.on_request(nullptr);
  server_.advertise_datanode("dn1.cluster.invalid:9864");
  expect_failure(check(right()), "read", Code::unavailable, "at datanode dn1.cluster.invalid:9864");
}

TEST_F(HdfsAccess, OneNamenodeOfSeveralIsEnough) {
  server_.put("/data/f", "content");
  server_.stop_namenode(0);
  const auto steps = check(right());
  ASSERT_TRUE(steps.back().outcome) << steps.back().name << ": " << steps.back().outcome.error().to_string();
  EXPECT_EQ(steps.back().name, "read");
  EXPECT_NE(steps[2].detail.find("; but nobody answers at 127.0.0.1"), std::string::npos) << steps[2].detail;
  server_.make_standby(1);
  expect_failure(check(right()), "access", Code::unavailable, "none of the namenodes");
}

TEST_F(HdfsAccess, LooksWhereTheHostMapAndTheProxyLead) {
  server_.put("/data/f", "content");
  StoreOptions options = right();
  const std::string first = server_.http_address().substr(0, server_.http_address().find(','));
  options["http_address"] = "nn1.cluster.invalid:9870";
  options["host_map"] = "nn1.cluster.invalid:9870=" + first;
  const auto mapped = check(options);
  EXPECT_TRUE(mapped.back().outcome) << mapped.back().name << ": " << mapped.back().outcome.error().to_string();
  options.erase("host_map");
  options["proxy"] = "http://127.0.0.1:1";
  expect_failure(check(options), "connect", Code::unavailable, "127.0.0.1, port 1");
}

TEST_F(HdfsAccess, ShowsTheTokensFileAndNeverTheToken) {
  const std::string file = (std::filesystem::temp_directory_path() / ("hearth-access-token-" + std::to_string(::getpid()))).string();
  std::ofstream(file) << "CANARY-wrong\n";
  WebHdfsDouble strict({.required_token = "CANARY-right"});
  strict.put("/data/f", "content");
  const StoreOptions options{{"http_address", strict.http_address()}, {"delegation_token_file", file}};
  const auto refused = check(options);
  expect_failure(refused, "access", Code::unauthenticated, "the delegation token expired or was cancelled: fetch a new one");
  EXPECT_EQ(refused[4].detail, "the delegation token in \"" + file + "\"");
  std::ofstream(file) << "CANARY-right\n";
  const auto good = check(options);
  EXPECT_TRUE(good.back().outcome) << good.back().outcome.error().to_string();
  std::filesystem::remove(file);
}

class SecureWebHdfs : public HdfsAccess {
 protected:
  using Validity = TestAuthority::Validity;
  std::vector<AccessStep> check_tls(const std::string& name, const TestAuthority& trusted, Validity validity = Validity::now) {
    const TestKeyPair pair = authority_.issue(name, validity);
    WebHdfsDouble secure({.required_user = "hearth", .server = {.certificate_file = pair.certificate_file, .key_file = pair.key_file}});
    secure.put("/data/f", "content");
    auto steps = check({{"http_address", secure.http_address()}, {"user", "hearth"}, {"ca_file", trusted.ca_file()}, {"host_map", "localhost=127.0.0.1"}}, "swebhdfs://cluster/data");
    const bool refused = !steps.back().outcome && steps.back().name == "tls";
    EXPECT_EQ(secure.requests() == 0, refused) << "nobody who is not trusted is asked anything";
    return steps;
  }
  TestAuthority authority_;
};

TEST_F(SecureWebHdfs, ServesWithATrustedCertificate) {
  const auto steps = check_tls("localhost", authority_);
  ASSERT_TRUE(steps.back().outcome) << steps.back().name << ": " << steps.back().outcome.error().to_string();
  EXPECT_EQ(names(steps), (std::vector<std::string>{"options", "resolve", "connect", "tls", "credentials", "access", "list", "read"}));
}

TEST_F(SecureWebHdfs, SaysWhatIsWrongWithACertificate) {
  expect_failure(check_tls("elsewhere.example", authority_), "tls", Code::permission_denied, "for another name than this host");
  expect_failure(check_tls("localhost", authority_, Validity::over), "tls", Code::permission_denied, "has expired");
  const TestAuthority other("An authority of somebody else");
  expect_failure(check_tls("localhost", other), "tls", Code::permission_denied, "name that authority in ca_file");
}

}  // namespace
}  // namespace hearth::hdfs

// Every source of credentials, against services of this process.
#include "understore/s3/credentials.h"

#include "common/http/test_server.h"
#include "common/manual_clock.h"
#include "understore/s3/s3_world.h"
#include "understore/s3/shared_config.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>

#include <filesystem>
#include <fstream>
#include <map>

namespace hearth::s3 {
namespace {

class CredentialsTest : public ::testing::Test {
 protected:
  CredentialsTest() : directory_(std::filesystem::temp_directory_path() / ("hearth-credentials-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(directory_);
  }
  ~CredentialsTest() override { std::filesystem::remove_all(directory_); }

  std::string file(const std::string& name, const std::string& text) {
    const std::string path = (directory_ / name).string();
    std::ofstream(path) << text;
    std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    return path;
  }
  CredentialContext context() {
    return {.pool = opener_.pool(), .clock = real_clock(), .http = opener_.http(), .environment = [this](const std::string& name) -> std::optional<std::string> {
              const auto at = environment_.find(name);
              if (at == environment_.end()) return std::nullopt;
              return at->second;
            }};
  }
  Result<Credentials> fetch(const std::string& source) {
    const auto parsed = parse_credential_source(source);
    EXPECT_TRUE(parsed) << source;
    const auto fetcher = make_credential_fetcher(*parsed, context());
    return run_task(fetcher->fetch(DoubleStore::soon()));
  }
  void expect_keys(const Result<Credentials>& found, const std::string& id, const std::string& secret, const std::string& token = "") {
    ASSERT_TRUE(found) << found.error().to_string();
    EXPECT_EQ(found->access_key_id, id);
    EXPECT_EQ(found->secret_access_key.reveal(), secret);
    EXPECT_EQ(found->session_token.reveal(), token);
  }

  S3Opener opener_;
  std::map<std::string, std::string> environment_{{"HOME", "/nonexistent"}, {"AWS_EC2_METADATA_DISABLED", "true"}};
  std::filesystem::path directory_;
};

TEST_F(CredentialsTest, FromTheEnvironment) {
  environment_["AWS_ACCESS_KEY_ID"] = "id";
  EXPECT_EQ(fetch("env").code(), Code::unauthenticated) << "half a pair is none";
  environment_["AWS_SECRET_ACCESS_KEY"] = "secret";
  environment_["AWS_SESSION_TOKEN"] = "token";
  expect_keys(fetch("env"), "id", "secret", "token");
  expect_keys(fetch("default"), "id", "secret", "token");
}

TEST_F(CredentialsTest, FromAFileItsProfilesAndASystemdCredential) {
  const std::string path = file("keys", "# a comment\naws_access_key_id = plain\naws_secret_access_key=s0\n\n[prod]\n aws_nested = ignored\naws_access_key_id=p\naws_secret_access_key = s1\naws_session_token=t1\n");
  expect_keys(fetch("file:" + path), "plain", "s0");
  expect_keys(fetch("file:" + path + "#prod"), "p", "s1", "t1");
  environment_["CREDENTIALS_DIRECTORY"] = directory_.string();
  expect_keys(fetch("systemd:keys"), "plain", "s0");
  for (const std::string& source : {"file:" + path + "#missing", std::string("file:/nonexistent/keys"), std::string("systemd:missing")}) {
    EXPECT_EQ(fetch(source).code(), Code::unauthenticated) << source;
  }
  const auto broken = fetch("file:" + file("broken", "[default]\ncanary-secret-without-equals\n"));
  EXPECT_EQ(broken.code(), Code::invalid_argument);
  EXPECT_NE(broken.error().message().find("line 2"), std::string::npos);
  EXPECT_EQ(broken.error().message().find("canary"), std::string::npos) << "the text may be a secret";
  EXPECT_EQ(fetch("file:" + file("empty", "")).code(), Code::unauthenticated);
}

TEST_F(CredentialsTest, FromTheSharedProfileInBothFiles) {
  environment_["AWS_SHARED_CREDENTIALS_FILE"] = file("credentials", "[a]\naws_access_key_id=ca\naws_secret_access_key=sa\n");
  environment_["AWS_CONFIG_FILE"] = file("config", "[profile b]\nregion = x\ns3 =\n  max = 1\naws_access_key_id=cb\naws_secret_access_key=sb\n[default]\naws_access_key_id=cd\naws_secret_access_key=sd\n");
  expect_keys(fetch("profile:a"), "ca", "sa");
  expect_keys(fetch("profile:b"), "cb", "sb");
  expect_keys(fetch("default"), "cd", "sd");
  environment_["AWS_PROFILE"] = "a";
  expect_keys(fetch("default"), "ca", "sa");
}

TEST_F(CredentialsTest, FromInstanceMetadataVersion2) {
  const std::string document = R"({"Code":"Success","AccessKeyId":"ik","SecretAccessKey":"is","Token":"it","Expiration":"2099-01-01T00:00:00Z"})";
  TestServer server([&](const TestRequest& request) {
    TestReply reply;
    if (request.method == "PUT" && request.path() == "/latest/api/token") {
      reply.body = request.header("x-aws-ec2-metadata-token-ttl-seconds") ? "session" : "";
      return reply;
    }
    if (request.header("x-aws-ec2-metadata-token") != "session") {
      reply.status = 401;
    } else if (request.path() == "/latest/meta-data/iam/security-credentials/") {
      reply.body = "my role\n";
    } else if (request.path() == "/latest/meta-data/iam/security-credentials/my%20role") {
      reply.body = document;
    } else {
      reply.status = 404;
    }
    return reply;
  });
  environment_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.origin();
  environment_.erase("AWS_EC2_METADATA_DISABLED");
  const auto found = fetch("imds");
  expect_keys(found, "ik", "is", "it");
  ASSERT_TRUE(found->expires);
  expect_keys(fetch("default"), "ik", "is", "it");
}

TEST_F(CredentialsTest, FromTheContainerEndpointWithItsToken) {
  TestServer server([&](const TestRequest& request) {
    TestReply reply;
    reply.status = request.header("authorization") == "Bearer t" ? 200 : 403;
    reply.body = R"({"AccessKeyId":"ck","SecretAccessKey":"cs","Token":"ct"})";
    return reply;
  });
  environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.origin() + "/creds";
  EXPECT_EQ(fetch("container").code(), Code::unauthenticated);
  environment_["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = file("token", "Bearer t\n");
  expect_keys(fetch("container"), "ck", "cs", "ct");
  for (const char* elsewhere : {"http://example.com/creds", "http://127.0.0.1.evil.example/creds", "http://127.0.0.1@evil.example/creds", "ftp://127.0.0.1/"}) {
    environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = elsewhere;
    EXPECT_EQ(fetch("container").code(), Code::unauthenticated) << elsewhere;
  }
  EXPECT_EQ(server.requests(), 2U);
}

TEST_F(CredentialsTest, FromWebIdentityOverSts) {
  std::string form;
  TestServer server([&](const TestRequest& request) {
    form = request.body;
    TestReply reply;
    reply.body = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>wk</AccessKeyId><SecretAccessKey>ws</SecretAccessKey>"
                 "<SessionToken>wt</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
    if (form.find("WebIdentityToken=good%2Ftoken") != std::string::npos) return reply;
    reply.status = 400;
    reply.body = "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>no</Message></Error></ErrorResponse>";
    return reply;
  });
  environment_["AWS_ENDPOINT_URL_STS"] = server.origin();
  environment_["AWS_ROLE_ARN"] = "arn:aws:iam::1:role/r";
  environment_["AWS_WEB_IDENTITY_TOKEN_FILE"] = file("jwt", "good/token\n");
  expect_keys(fetch("web-identity"), "wk", "ws", "wt");
  EXPECT_NE(form.find("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr"), std::string::npos) << form;
  environment_["AWS_WEB_IDENTITY_TOKEN_FILE"] = file("jwt", "canary-token");
  const auto refused = fetch("web-identity");
  EXPECT_EQ(refused.code(), Code::unauthenticated);
  EXPECT_NE(refused.error().message().find("InvalidIdentityToken"), std::string::npos);
  EXPECT_EQ(refused.error().message().find("canary"), std::string::npos);
}

TEST_F(CredentialsTest, HostileAnswersAreRefused) {
  std::string body;
  TestServer server([&](const TestRequest&) {
    TestReply reply;
    reply.body = body;
    return reply;
  });
  environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.origin() + "/creds";
  for (const std::string& hostile : {std::string(""), std::string("[]"), std::string("{"), std::string("{\"AccessKeyId\":5}"), std::string(100, '['), std::string(1U << 20, ' '),
                                     std::string("{\"Code\":\"AssumeRoleUnauthorizedAccess\"}")}) {
    body = hostile;
    EXPECT_FALSE(fetch("container")) << hostile.substr(0, 50);
  }
}

TEST_F(CredentialsTest, TheFirstConfiguredSourceDecidesAlsoWhenItFails) {
  environment_["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/nonexistent/token";
  environment_["AWS_ROLE_ARN"] = "r";
  environment_["AWS_SHARED_CREDENTIALS_FILE"] = file("credentials", "[default]\naws_access_key_id=other\naws_secret_access_key=identity\n");
  EXPECT_EQ(fetch("default").code(), Code::unauthenticated);
}

TEST_F(CredentialsTest, NothingConfiguredSaysWhatToDo) {
  const auto none = fetch("default");
  EXPECT_EQ(none.code(), Code::unauthenticated);
  EXPECT_NE(none.error().message().find("option credentials"), std::string::npos);
  EXPECT_TRUE(fetch("anonymous")->anonymous());
}

// Hands out what it is told to, when it is told to.
class ScriptedFetcher final : public CredentialFetcher {
 public:
  Task<Credentials> fetch(Deadline) override {
    ++calls;
    if (gate != nullptr) {
      const auto opened = co_await gate->sleep_until(open_at);
      if (!opened) co_return opened.error();
    }
    if (fails) co_return Error(Code::unavailable, "the source is away");
    Credentials credentials{.access_key_id = "id" + std::to_string(calls), .secret_access_key = Secret("s"), .source = "a script"};
    credentials.expires = expires;
    co_return credentials;
  }
  int calls = 0;
  bool fails = false;
  std::optional<WallTime> expires;
  Clock* gate = nullptr;
  TimePoint open_at{};
};

class CachedCredentialsTest : public ::testing::Test {
 protected:
  CachedCredentialsTest() {
    auto fetcher = std::make_unique<ScriptedFetcher>();
    fetcher_ = fetcher.get();
    provider_ = make_credential_provider(std::move(fetcher), clock_);
  }
  Result<Credentials> get() { return run_task(provider_->get(Deadline::after(clock_, std::chrono::hours(1)))); }

  ManualClock clock_;
  ScriptedFetcher* fetcher_ = nullptr;
  std::unique_ptr<CredentialProvider> provider_;
};

TEST_F(CachedCredentialsTest, AreRefreshedBeforeTheyExpire) {
  fetcher_->expires = clock_.wall_now() + std::chrono::hours(1);
  EXPECT_EQ(get()->access_key_id, "id1");
  clock_.advance(std::chrono::minutes(54));
  EXPECT_EQ(get()->access_key_id, "id1");
  clock_.advance(std::chrono::minutes(2));
  fetcher_->expires = clock_.wall_now() + std::chrono::hours(1);
  EXPECT_EQ(get()->access_key_id, "id2");
  EXPECT_EQ(fetcher_->calls, 2);
}

TEST_F(CachedCredentialsTest, AFailedRefreshKeepsWhatStillHolds) {
  fetcher_->expires = clock_.wall_now() + std::chrono::minutes(4);
  EXPECT_EQ(get()->access_key_id, "id1");
  fetcher_->fails = true;
  EXPECT_EQ(get()->access_key_id, "id1");
  EXPECT_EQ(get()->access_key_id, "id1");
  EXPECT_EQ(fetcher_->calls, 2) << "not asked again at once";
  clock_.advance(std::chrono::minutes(5));
  EXPECT_EQ(get().code(), Code::unavailable) << "expired for good";
}

TEST_F(CachedCredentialsTest, RefusedOnesAreFetchedAnewOnce) {
  const auto first = get();
  provider_->refused(*first);
  const auto second = get();
  EXPECT_EQ(second->access_key_id, "id2");
  provider_->refused(*first);
  EXPECT_EQ(get()->access_key_id, "id2") << "somebody refreshed meanwhile";
}

TEST_F(CachedCredentialsTest, OneFetchServesAllWhoWait) {
  fetcher_->gate = &clock_;
  fetcher_->open_at = clock_.now() + std::chrono::seconds(1);
  asio::io_context context{1};
  std::vector<std::string> got;
  for (int i = 0; i < 50; ++i) {
    asio::co_spawn(context, provider_->get(Deadline::after(clock_, std::chrono::hours(1))),
                   [&got](const std::exception_ptr&, const Result<Credentials>& result) { got.push_back(result ? result->access_key_id : "failed"); });
  }
  context.poll();
  EXPECT_TRUE(got.empty());
  clock_.advance(std::chrono::seconds(1));
  context.restart();
  context.run();
  EXPECT_EQ(got, std::vector<std::string>(50, "id1"));
  EXPECT_EQ(fetcher_->calls, 1);
}

TEST_F(CachedCredentialsTest, AWaiterKeepsItsOwnDeadline) {
  fetcher_->gate = &clock_;
  fetcher_->open_at = clock_.now() + std::chrono::seconds(20);
  asio::io_context context{1};
  std::vector<Code> codes;
  const auto note = [&codes](const std::exception_ptr&, const Result<Credentials>& result) { codes.push_back(result.code()); };
  asio::co_spawn(context, provider_->get(Deadline::after(clock_, std::chrono::hours(1))), note);
  asio::co_spawn(context, provider_->get(Deadline::after(clock_, std::chrono::seconds(5))), note);
  context.poll();
  clock_.advance(std::chrono::seconds(5));
  context.restart();
  context.poll();
  EXPECT_EQ(codes, std::vector<Code>{Code::deadline_exceeded});
  clock_.advance(std::chrono::seconds(15));
  context.restart();
  context.run();
  EXPECT_EQ(codes, (std::vector<Code>{Code::deadline_exceeded, Code::ok}));
}

TEST(SharedConfig, ReadsSectionsStrictly) {
  EXPECT_EQ(read_config_section("[x]\na=1\n[y]\na=2\n", "y")->at("a"), "2");
  EXPECT_EQ(read_config_section("[profile x]\na = b = c \r\n", "x")->at("a"), "b = c");
  EXPECT_EQ(read_config_section("[x\n", "x").code(), Code::invalid_argument);
  EXPECT_EQ(read_config_section("[x]\n", "y").code(), Code::not_found);
}

}  // namespace
}  // namespace hearth::s3

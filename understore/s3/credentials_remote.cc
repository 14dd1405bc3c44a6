// Credentials that a service hands out: instance metadata (v2), container endpoint, STS web identity.
#include "understore/s3/credentials.h"
#include "understore/s3/s3_xml.h"
#include "understore/s3/uri_encode.h"
#include "understore/store_path.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

namespace hearth::s3 {
namespace {

constexpr Duration connect_timeout = std::chrono::seconds(1);  // link-local: not there means not there
constexpr Duration answer_timeout = std::chrono::seconds(5);
constexpr std::uint64_t max_answer_bytes = 64U << 10;

HttpRequest small_request(std::string method, std::string url) {
  HttpRequest request{.method = std::move(method), .url = std::move(url), .max_body_bytes = max_answer_bytes};
  request.timeouts.connect = connect_timeout;
  request.timeouts.first_byte = answer_timeout;
  return request;
}

std::string field(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (value == nullptr || !value->is_string()) return "";
  return std::string(value->as_string());
}

// What the instance and the container endpoint answer alike.
Result<Credentials> credentials_of_json(std::string body, const std::string& where) {
  boost::system::error_code failed;
  boost::json::parse_options limits;
  limits.max_depth = 8;
  const auto value = boost::json::parse(body, failed, {}, limits);
  wipe(body);
  if (failed || !value.is_object()) return Error(Code::corrupt, where + " answered something that is not JSON");
  const auto& object = value.as_object();
  std::string secret = field(object, "SecretAccessKey");
  std::string token = field(object, "Token");
  Credentials credentials{.access_key_id = field(object, "AccessKeyId"), .secret_access_key = Secret(secret), .session_token = Secret(token), .source = where};
  wipe(secret);
  wipe(token);
  if (const auto expires = parse_iso_time_ns(field(object, "Expiration"))) credentials.expires = WallTime(Duration(*expires));
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    return Error(Code::unauthenticated, where + " answered without credentials" + (field(object, "Code").empty() ? "" : " (" + field(object, "Code") + ")"));
  }
  return credentials;
}

Error refused_by(const std::string& where, const HttpReply& reply) {
  const auto error = parse_error(reply.body);
  return Error(reply.head.status >= 500 || reply.head.status == 429 ? Code::unavailable : Code::unauthenticated,
               where + " answered " + std::to_string(reply.head.status) + (error ? " " + error->code + " (" + error->message + ")" : std::string()));
}

// IMDSv2: a session token first, so that nothing that merely forwards GETs can be tricked into asking.
class InstanceFetcher final : public CredentialFetcher {
 public:
  explicit InstanceFetcher(CredentialContext context)
      : context_(std::move(context)),
        base_(context_.environment("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or("http://169.254.169.254")) {
    while (base_.ends_with('/')) base_.pop_back();
  }

  Task<Credentials> fetch(Deadline deadline) override {
    HttpRequest ask = small_request("PUT", base_ + "/latest/api/token");
    ask.headers.push_back({.name = "X-aws-ec2-metadata-token-ttl-seconds", .value = "21600"});
    auto token = co_await context_.http.send(std::move(ask), deadline);
    // Nobody at that address: this is no such machine.
    if (!token && token.code() != Code::cancelled) co_return Error(Code::not_found, "there is no instance metadata service at " + base_ + " (" + token.error().message() + ")");
    if (!token) co_return std::move(token).error();
    if (token->head.status != 200) co_return refused_by(where_, *token);
    CO_TRY(roles, co_await get("/latest/meta-data/iam/security-credentials/", token->body, deadline));
    const std::string role = roles.substr(0, roles.find('\n'));
    if (role.empty()) co_return Error(Code::not_found, "this instance has no role");
    CO_TRY(answer, co_await get("/latest/meta-data/iam/security-credentials/" + uri_encode(role), token->body, deadline));
    co_return credentials_of_json(std::move(answer), where_);
  }

 private:
  Task<std::string> get(std::string path, std::string token, Deadline deadline) {
    HttpRequest ask = small_request("GET", base_ + path);
    ask.headers.push_back({.name = "X-aws-ec2-metadata-token", .value = std::move(token)});
    CO_TRY(reply, co_await context_.http.send(std::move(ask), deadline));
    if (reply.head.status == 404) co_return Error(Code::not_found, "this instance has no role");
    if (reply.head.status != 200) co_return refused_by(where_, reply);
    co_return std::move(reply.body);
  }

  CredentialContext context_;
  std::string base_;
  const std::string where_ = "the instance metadata service";
};

Result<std::string> read_token_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error(Code::unauthenticated, "the token file " + printable_path(path) + " can not be opened: " + std::strerror(errno));
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.empty() || text.size() > max_answer_bytes) return Error(Code::unauthenticated, "the token file " + printable_path(path) + " is empty or too long");
  return text;
}

// Over plain http only to this machine and the addresses that ECS and EKS give their agents.
bool may_ask_container(std::string_view url) {
  if (url.starts_with("https://")) return true;
  constexpr std::array<std::string_view, 6> hosts{"http://169.254.170.2", "http://169.254.170.23", "http://127.0.0.1",
                                                  "http://localhost",     "http://[fd00:ec2::23]", "http://[::1]"};
  for (const std::string_view host : hosts) {
    if (url.starts_with(host) && (url.size() == host.size() || url[host.size()] == '/' || url[host.size()] == ':')) {
      return url.substr(0, url.find('/', host.size())).find('@') == std::string_view::npos;
    }
  }
  return false;
}

class ContainerFetcher final : public CredentialFetcher {
 public:
  explicit ContainerFetcher(CredentialContext context) : context_(std::move(context)) {}

  Task<Credentials> fetch(Deadline deadline) override {
    const auto relative = context_.environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const auto full = context_.environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (!relative && !full) co_return Error(Code::not_found, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI are not set");
    const std::string url = relative ? "http://169.254.170.2" + *relative : *full;
    if (!may_ask_container(url)) {
      co_return Error(Code::unauthenticated, "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this machine's container agent");
    }
    HttpRequest ask = small_request("GET", url);
    auto token = context_.environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    if (const auto file = context_.environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
      std::function<Result<std::string>()> read = [path = *file] { return read_token_file(path); };
      CO_TRY(text, co_await context_.pool.run(std::move(read)));
      token = std::move(text);
    }
    if (token) ask.headers.push_back({.name = "Authorization", .value = *token});
    CO_TRY(reply, co_await context_.http.send(std::move(ask), deadline));
    if (reply.head.status != 200) co_return refused_by("the container's credential endpoint", reply);
    co_return credentials_of_json(std::move(reply.body), "the container's credential endpoint");
  }

 private:
  CredentialContext context_;
};

class WebIdentityFetcher final : public CredentialFetcher {
 public:
  explicit WebIdentityFetcher(CredentialContext context) : context_(std::move(context)) {}

  Task<Credentials> fetch(Deadline deadline) override {
    const auto file = context_.environment("AWS_WEB_IDENTITY_TOKEN_FILE");
    const auto role = context_.environment("AWS_ROLE_ARN");
    if (!file || !role) co_return Error(Code::not_found, "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not both set");
    std::function<Result<std::string>()> read = [path = *file] { return read_token_file(path); };
    CO_TRY(token, co_await context_.pool.run(std::move(read)));
    std::string form = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" + uri_encode(*role) + "&RoleSessionName=" +
                       uri_encode(context_.environment("AWS_ROLE_SESSION_NAME").value_or("hearth")) + "&WebIdentityToken=" + uri_encode(token);
    wipe(token);
    HttpRequest ask = small_request("POST", endpoint() + "/");
    ask.timeouts.connect = answer_timeout;
    ask.headers.push_back({.name = "Content-Type", .value = "application/x-www-form-urlencoded"});
    ask.body.push_back(as_bytes_of(form));
    auto reply = co_await context_.http.send(std::move(ask), deadline);
    wipe(form);
    if (!reply) co_return std::move(reply).error().with_context("asking the security token service");
    if (reply->head.status != 200) co_return refused_by("the security token service", *reply);
    auto answer = parse_web_identity_reply(reply->body);
    wipe(reply->body);
    if (!answer) co_return std::move(answer).error();
    Credentials credentials{.access_key_id = answer->access_key_id, .source = "web identity (" + *role + ")"};
    credentials.secret_access_key = Secret(answer->secret_access_key);
    credentials.session_token = Secret(answer->session_token);
    if (answer->expires_ns > 0) credentials.expires = WallTime(Duration(answer->expires_ns));
    wipe(answer->secret_access_key);
    wipe(answer->session_token);
    co_return credentials;
  }

 private:
  std::string endpoint() const {
    if (!context_.sts_endpoint.empty()) return context_.sts_endpoint;
    if (const auto named = context_.environment("AWS_ENDPOINT_URL_STS")) return *named;
    return "https://sts." + context_.region + ".amazonaws.com";
  }

  CredentialContext context_;
};

}  // namespace

std::unique_ptr<CredentialFetcher> make_web_identity_fetcher(CredentialContext context) {
  return std::make_unique<WebIdentityFetcher>(std::move(context));
}
std::unique_ptr<CredentialFetcher> make_container_fetcher(CredentialContext context) {
  return std::make_unique<ContainerFetcher>(std::move(context));
}
std::unique_ptr<CredentialFetcher> make_instance_fetcher(CredentialContext context) {
  return std::make_unique<InstanceFetcher>(std::move(context));
}

}  // namespace hearth::s3

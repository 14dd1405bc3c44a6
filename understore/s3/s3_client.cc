#include "understore/s3/s3_client.h"

#include "common/crc32c.h"
#include "common/log.h"
#include "understore/s3/metrics.h"
#include "understore/s3/uri_encode.h"
#include "understore/store_path.h"

#include <algorithm>
#include <unordered_map>

namespace hearth::s3 {

// What one try of a request is made of; kept together because it lives across waits.
struct S3Client::Attempt {
  std::string region;
  Credentials credentials;
  SignableRequest signable;
  ChunkedBody chunked;
  bool streaming = false;
  bool region_repaired = false;
  bool credentials_repaired = false;
};

namespace {

constexpr std::string_view default_region = "us-east-1";

// Looked up once a thread and operation: it costs a lock and several strings, and every request passes here.
struct OperationCells {
  Counter* good;
  HistogramMetric* seconds;
};

const OperationCells& cells_of(const std::string& operation) {
  thread_local std::unordered_map<std::string, OperationCells> known;
  const auto found = known.find(operation);
  if (found != known.end()) return found->second;
  const OperationCells cells{&metrics().counter(described::requests_total, {operation, std::string(name(Code::ok))}),
                             &metrics().histogram(described::request_seconds, {operation})};
  return known.emplace(operation, cells).first->second;
}

// It becomes part of a host name that gets credentials: nothing but what AWS names regions with.
bool is_region_name(std::string_view text) {
  return !text.empty() && text.size() <= 32 && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

bool means_stale_credentials(std::string_view code) {
  return code == "ExpiredToken" || code == "ExpiredTokenException" || code == "InvalidToken" || code == "TokenRefreshRequired" ||
         code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch";
}

bool same_keys(const Credentials& a, const Credentials& b) {
  return a.access_key_id == b.access_key_id && a.secret_access_key == b.secret_access_key && a.session_token == b.session_token;
}

// What a request is about: a key, or the prefix that is listed.
std::string_view subject_of(const S3Request& request) {
  if (!request.key.empty()) return request.key;
  for (const auto& [name, value] : request.query) {
    if (name == "prefix") return value;
  }
  return "";
}

// As curl writes the Host header: without the port that the scheme has anyway.
std::string authority_of(const std::string& origin) {
  const auto begin = origin.find("://") + 3;
  std::string authority = origin.substr(begin, origin.find('/', begin) - begin);
  const std::string_view usual = origin.starts_with("https://") ? ":443" : ":80";
  if (authority.ends_with(usual)) authority.resize(authority.size() - usual.size());
  return authority;
}

std::string base_path_of(const std::string& origin) {
  const auto slash = origin.find('/', origin.find("://") + 3);
  return slash == std::string::npos ? "" : origin.substr(slash);
}

}  // namespace

S3Client::S3Client(S3Options options, HttpClient& http, std::unique_ptr<CredentialProvider> credentials, Clock& clock,
                   std::string region_of_environment, Secret customer_key)
    : options_(std::move(options)),
      http_(http),
      credentials_(std::move(credentials)),
      clock_(clock),
      customer_key_(std::move(customer_key)),
      region_(!options_.region.empty() ? options_.region : region_of_environment) {
  if (!is_region_name(region_) && options_.region.empty()) region_ = default_region;
}

std::string S3Client::region() const {
  const std::lock_guard lock(mutex_);
  return region_;
}

std::string S3Client::endpoint() const { return host_for(region()); }

std::string S3Client::host_for(const std::string& region) const {
  if (options_.endpoint.empty()) {
    const std::string domain = "s3." + region + ".amazonaws.com" + (region.starts_with("cn-") ? ".cn" : "");
    return "https://" + (options_.virtual_hosted() ? options_.bucket + "." : "") + domain;
  }
  if (!options_.virtual_hosted()) return options_.endpoint;
  const auto host = options_.endpoint.find("://") + 3;
  return options_.endpoint.substr(0, host) + options_.bucket + "." + options_.endpoint.substr(host);
}

std::string S3Client::describe(std::string_view key) const {
  return printable_path("s3://" + options_.bucket + "/" + std::string(key));
}

std::string S3Client::copy_source(std::string_view key) const {
  return "/" + options_.bucket + "/" + uri_encode_path(key);
}

void S3Client::add_customer_key(std::vector<HttpHeader>& headers, KeyUse use) const {
  if (customer_key_.empty()) return;
  const std::string prefix = use == KeyUse::copy_source ? "x-amz-copy-source-server-side-encryption-customer-" : "x-amz-server-side-encryption-customer-";
  const std::string_view key = customer_key_.reveal();
  headers.push_back({.name = prefix + "algorithm", .value = "AES256"});
  headers.push_back({.name = prefix + "key", .value = base64({reinterpret_cast<const std::uint8_t*>(key.data()), key.size()})});
  headers.push_back({.name = prefix + "key-MD5", .value = base64(md5(key))});
}

void S3Client::add_encryption(std::vector<HttpHeader>& headers) const {
  using Kind = Encryption::Kind;
  const Encryption& encryption = options_.encryption;
  if (encryption.kind == Kind::s3) headers.push_back({.name = "x-amz-server-side-encryption", .value = "AES256"});
  if (encryption.kind == Kind::kms) {
    headers.push_back({.name = "x-amz-server-side-encryption", .value = "aws:kms"});
    if (!encryption.kms_key_id.empty()) headers.push_back({.name = "x-amz-server-side-encryption-aws-kms-key-id", .value = encryption.kms_key_id});
  }
  if (encryption.kind == Kind::customer_key) add_customer_key(headers, KeyUse::object);
}

PayloadSigning S3Client::payload_mode() const {
  if (options_.payload != PayloadSigning::automatic) return options_.payload;
  return options_.tls() ? PayloadSigning::unsigned_body : PayloadSigning::signed_body;
}

// How the body is vouched for, before the signature over it.
void S3Client::add_payload(const S3Request& request, Attempt& attempt) const {
  SignableRequest& signable = attempt.signable;
  const PayloadSigning mode = payload_mode();
  const bool anonymous = attempt.credentials.anonymous();
  if (request.body_kind != S3Request::BodyKind::object || mode == PayloadSigning::signed_body) {
    signable.payload_hash = request.body_sha256.empty() ? hex(sha256(std::span(&request.body, 1))) : request.body_sha256;
  } else if (mode == PayloadSigning::streaming && !anonymous) {
    attempt.streaming = true;
    signable.payload_hash = streaming_payload;
    signable.headers.push_back({.name = "content-encoding", .value = "aws-chunked"});
    signable.headers.push_back({.name = "x-amz-decoded-content-length", .value = std::to_string(request.body.size())});
  } else {
    signable.payload_hash = unsigned_payload;
  }
}

HttpRequest S3Client::plain_request(std::string method, std::string url) const {
  HttpRequest http{.method = std::move(method), .url = std::move(url), .max_body_bytes = max_xml_bytes};
  http.tls = {.ca_file = options_.ca_file, .client_certificate = options_.client_certificate, .client_key = options_.client_key};
  http.proxy = options_.proxy;
  return http;
}

Task<> S3Client::greet(Deadline deadline) {
  HttpRequest request = plain_request("GET", endpoint() + "/");
  const auto reply = co_await http_.send(std::move(request), deadline);
  if (!reply) co_return reply.error();
  co_return ok();
}

Task<HttpReply> S3Client::attempt(std::shared_ptr<S3Request> request, std::shared_ptr<Attempt> attempt, Deadline deadline) {
  attempt->region = region();
  CO_TRY(credentials, co_await credentials_->get(deadline));
  attempt->credentials = std::move(credentials);
  const std::string origin = host_for(attempt->region);
  std::string path = base_path_of(origin);
  if (!options_.virtual_hosted()) path += "/" + options_.bucket;
  if (!request->key.empty() || options_.virtual_hosted()) path += "/" + uri_encode_path(request->key);
  SignableRequest& signable = attempt->signable;
  signable = {.method = request->method, .encoded_path = path, .query = request->query, .headers = request->headers};
  signable.headers.push_back({.name = "Host", .value = authority_of(origin)});
  if (options_.requester_pays == RequesterPays::yes) signable.headers.push_back({.name = "x-amz-request-payer", .value = "requester"});
  attempt->streaming = false;
  add_payload(*request, *attempt);
  SeedSignature seed = signer_.sign(attempt->credentials, {.region = attempt->region}, clock_.wall_now(), signable);

  const std::string query = canonical_query(request->query);
  HttpRequest http = plain_request(request->method, origin.substr(0, origin.find('/', origin.find("://") + 3)) + path + (query.empty() ? "" : "?" + query));
  http.headers = signable.headers;
  if (attempt->streaming) {
    attempt->chunked = chunked_body(std::move(seed), request->body);
    http.body = attempt->chunked.spans;
  } else if (!request->body.empty()) {
    http.body.push_back(request->body);
  }
  http.accept_head = request->accept_head;
  http.into = request->into;
  http.progress = request->progress;
  co_return co_await http_.send(std::move(http), deadline);
}

bool S3Client::learn_region(const HttpReply& reply, const ErrorDocument& document, Attempt& attempt) {
  if (attempt.region_repaired) return false;
  const int status = reply.head.status;
  if (status != 301 && status != 307 && status != 400 && status != 403) return false;
  std::string told(reply.head.header("x-amz-bucket-region").value_or(""));
  if (told.empty() && document.code == "AuthorizationHeaderMalformed") told = document.region;
  if (told == attempt.region || !is_region_name(told)) return false;
  attempt.region_repaired = true;
  metrics().counter(described::region_redirects_total).add();
  const std::lock_guard lock(mutex_);
  if (region_ == attempt.region) {
    log_info("s3_region_learned", {{"bucket", options_.bucket}, {"was", region_}, {"region", told}});
    region_ = told;
  }
  return true;
}

S3Client::Repair S3Client::repair(const HttpReply& reply, Attempt& attempt) {
  const ErrorDocument document = parse_error(reply.body).value_or(ErrorDocument{});
  if (learn_region(reply, document, attempt)) return Repair::retry;
  if (means_stale_credentials(document.code) && !attempt.credentials_repaired && !attempt.credentials.anonymous()) {
    attempt.credentials_repaired = true;
    credentials_->refused(attempt.credentials);
    return Repair::retry;
  }
  return Repair::none;
}

Refusal S3Client::refusal_of(const S3Request& request, const HttpReply& reply, const Attempt& attempt) const {
  Refusal refusal{.status = reply.head.status,
                  .operation = request.operation,
                  .object = describe(subject_of(request)),
                  .endpoint = host_for(attempt.region),
                  .region = attempt.region,
                  .credentials = attempt.credentials.source,
                  .document = parse_error(reply.body).value_or(ErrorDocument{}),
                  .retry_after = std::string(reply.head.header("retry-after").value_or("")),
                  .date = std::string(reply.head.header("date").value_or(""))};
  if (refusal.document.request_id.empty()) refusal.document.request_id = reply.head.header("x-amz-request-id").value_or("");
  return refusal;
}

Task<S3Reply> S3Client::exchange(S3Request request, Deadline deadline) {
  if (deadline.expired(clock_.now())) {
    co_return Error(Code::deadline_exceeded, request.operation + " " + describe(subject_of(request)) + ": the time was over before it began");
  }
  const TimePoint began = clock_.now();
  // Shared with the coroutine of each attempt: its parameters outlive every wait.
  const auto shared = std::make_shared<S3Request>(std::move(request));
  const auto state = std::make_shared<Attempt>();
  Result<HttpReply> reply;
  bool again = true;
  bool resent = false;
  while (again) {
    reply = co_await attempt(shared, state, deadline);
    again = false;
    if (reply && reply->head.status >= 300) again = repair(*reply, *state) == Repair::retry;
    if (again && state->credentials_repaired) {
      // Asking again with the same keys would only be refused again.
      const auto fresh = co_await credentials_->get(deadline);
      again = state->region_repaired || (fresh && !same_keys(*fresh, state->credentials));
    }
    // A kept connection that the store had just closed: the transport repeats reads by itself, and these may be repeated too.
    // Not on the condition that nothing is there: what the first one made would refuse the second.
    const bool conditional = std::any_of(shared->headers.begin(), shared->headers.end(), [](const HttpHeader& each) { return each.name == "if-none-match"; });
    const bool repeatable = (shared->method == "PUT" && !conditional) || shared->method == "DELETE";
    if (!reply && reply.code() == Code::unavailable && repeatable && !resent) again = resent = true;
  }
  const Code code = reply ? (reply->head.status < 300 ? Code::ok : Code::io_error) : reply.code();
  const OperationCells& cells = cells_of(shared->operation);
  cells.seconds->observe(clock_.now() - began);
  if (code == Code::ok) {
    cells.good->add();
  } else {
    metrics().counter(described::requests_total, {shared->operation, reply ? std::to_string(reply->head.status) : std::string(name(code))}).add();
  }
  if (!reply) co_return std::move(reply).error().with_context(shared->operation + " " + describe(subject_of(*shared)));
  S3Reply answer;
  answer.http = std::move(*reply);
  if (!answer.good()) answer.refusal = refusal_of(*shared, answer.http, *state);
  co_return answer;
}

Task<HttpReply> S3Client::send(S3Request request, Deadline deadline) {
  CO_TRY(reply, co_await exchange(std::move(request), deadline));
  if (!reply.good()) co_return error_of(reply.refusal);
  co_return std::move(reply.http);
}

}  // namespace hearth::s3

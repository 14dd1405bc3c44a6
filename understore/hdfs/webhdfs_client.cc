#include "understore/hdfs/webhdfs_client.h"

#include "common/http/http_url.h"
#include "understore/hdfs/hdfs_json.h"
#include "understore/hdfs/remote_error.h"
#include "understore/hdfs/url_text.h"
#include "understore/store_path.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>

namespace hearth::hdfs {
namespace {

constexpr std::string_view service = "/webhdfs/v1";
constexpr std::size_t max_datanodes_tried = 3;
constexpr std::size_t max_token_bytes = 16U << 10;
constexpr std::uint64_t max_whole_listing_bytes = 256ULL << 20;  // of LISTSTATUS, where batches are not known
constexpr Duration pipeline_patience = std::chrono::seconds(60);  // a datanode answers a write when all copies are there

Result<std::string> read_token(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string token(max_token_bytes, '\0');
  in.read(token.data(), static_cast<std::streamsize>(token.size()));
  token.resize(static_cast<std::size_t>(in.gcount()));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) token.pop_back();
  if (!token.empty()) return token;
  return Error(Code::unauthenticated, "the delegation token file " + printable_path(file) +
                                          " can not be read or is empty; fetch a token (hdfs fetchdt) and put its URL-safe form there");
}

std::string octal(std::uint32_t mode) {
  std::array<char, 12> digits{};
  return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), mode, 8).ptr};
}

constexpr std::span<const std::byte> no_content;

bool is_redirect(int status) { return status == 307 || status == 302 || status == 303 || status == 301; }

// A datanode that does not answer may have a neighbour that does.
bool may_try_another(Code code) { return code == Code::unavailable || code == Code::corrupt; }

}  // namespace

std::string WebHdfsClient::Call::what() const {
  return query.substr(3, query.find('&') == std::string::npos ? std::string::npos : query.find('&') - 3) + " of " +
         printable_path(path.empty() ? "/" : path);
}

WebHdfsClient::WebHdfsClient(HdfsOptions options, HttpClient& http, BlockingPool& pool)
    : options_(std::move(options)), http_(http), pool_(pool), namenodes_(options_.namenodes) {}

HttpRequest WebHdfsClient::request_to(const std::string& url, std::string_view authority) const {
  HttpRequest request;
  request.url = url;
  request.tls = {.ca_file = options_.ca_file,
                 .client_certificate = options_.client_certificate,
                 .client_key = options_.client_key};
  request.proxy = options_.proxy;
  request.connect_to = mapped_address(options_.host_map, authority);
  return request;
}

std::string WebHdfsClient::cookie_of(const std::string& authority) const {
  const std::lock_guard lock(mutex_);
  const auto found = cookies_.find(authority);
  return found == cookies_.end() ? std::string() : found->second;
}

// "hadoop.auth" spares the next request the way to the KDC.
void WebHdfsClient::keep_cookie(const std::string& authority, const HttpHead& head) {
  std::string kept;
  if (head.status != 401) {
    for (const HttpHeader& each : head.headers) {
      const bool sets = each.name == "Set-Cookie" || each.name == "set-cookie";
      if (sets && each.value.starts_with("hadoop.auth=")) kept = each.value.substr(0, each.value.find(';'));
    }
    if (kept.empty()) return;
  }
  const std::lock_guard lock(mutex_);
  if (kept.empty()) cookies_.erase(authority); else cookies_[authority] = std::move(kept);
}

Task<HttpReply> WebHdfsClient::send(HttpRequest request, std::string authority, Deadline deadline) {
  const bool to_namenode = std::find(options_.namenodes.begin(), options_.namenodes.end(), authority) != options_.namenodes.end();
  if (options_.login != Login::kerberos || !to_namenode) co_return co_await http_.send(std::move(request), deadline);
  const std::string cookie = cookie_of(authority);
  if (!cookie.empty()) {
    HttpRequest with_cookie = request;
    with_cookie.headers.push_back({"Cookie", cookie});
    CO_TRY(reply, co_await http_.send(std::move(with_cookie), deadline));
    keep_cookie(authority, reply.head);
    if (reply.head.status != 401) co_return std::move(reply);
  }
  request.negotiate.emplace();
  CO_TRY(reply, co_await http_.send(std::move(request), deadline));
  keep_cookie(authority, reply.head);
  co_return std::move(reply);
}

Task<std::string> WebHdfsClient::login_parameters() {
  if (options_.login == Login::simple && !options_.user.empty()) co_return "&user.name=" + encode_value(options_.user);
  if (options_.login != Login::token) co_return std::string();
  std::function<Result<std::string>()> work = [this] { return read_token(options_.token_file); };
  CO_TRY(token, co_await pool_.run<std::string>(std::move(work)));
  co_return "&delegation=" + encode_value(token);
}

std::vector<std::string> WebHdfsClient::dialled() const {
  if (!options_.proxy.empty()) return {options_.proxy};
  std::vector<std::string> origins;
  for (const std::string& each : options_.namenodes) {
    origins.push_back(options_.scheme + "://" + mapped_address(options_.host_map, each).value_or(each));
  }
  return origins;
}

Task<> WebHdfsClient::greet(Deadline deadline) {
  std::string failures;
  Code code = Code::unavailable;
  for (const std::string& authority : options_.namenodes) {
    HttpRequest request = request_to(options_.scheme + "://" + authority + std::string(service) + "/?op=GETFILESTATUS", authority);
    const auto reply = co_await http_.send(std::move(request), deadline);
    if (reply) co_return ok();
    code = reply.code();
    failures += (failures.empty() ? "" : "; ") + reply.error().message();
  }
  co_return Error(code, failures);
}

Task<std::string> WebHdfsClient::find_login() {
  CO_CHECK_OK(co_await login_parameters());  // the token's file is there
  switch (options_.login) {
    case Login::token: co_return "the delegation token in " + printable_path(options_.token_file);
    case Login::kerberos: co_return std::string("the Kerberos ticket of this process, if it has one");
    case Login::simple: break;
  }
  co_return "user.name=" + printable_path(options_.user) + ", which clusters without Kerberos believe";
}

Task<WebHdfsClient::Attempt> WebHdfsClient::ask_one(Call call, std::size_t index, std::string login, Deadline deadline) {
  const std::string& authority = namenodes_.address(index);
  const std::string url = options_.scheme + "://" + authority + std::string(service) +
                          (call.path.empty() ? "/" : encode_path(call.path)) + "?" + call.query + login;
  HttpRequest request = request_to(url, authority);
  request.method = call.method;
  request.into = call.into;
  request.max_body_bytes = call.max_body_bytes;
  auto sent = co_await send(std::move(request), authority, deadline);
  Attempt attempt;
  if (!sent) {
    const Code code = sent.code();
    const bool reachable_elsewhere = code == Code::unavailable || code == Code::corrupt;
    if (reachable_elsewhere) namenodes_.failed(index);
    attempt.try_next = reachable_elsewhere && call.repeat == Repeat::allowed;
    attempt.error = std::move(sent).error();
  } else if (sent->head.status >= 400) {
    Refusal refusal = refusal_of(*sent, call.what() + " at " + authority);
    attempt.try_next = refusal.standing == Standing::standby;
    if (attempt.try_next) namenodes_.failed(index);
    attempt.error = std::move(refusal.error);
  } else {
    namenodes_.answered(index);
    attempt.answer = Answer{std::move(*sent), authority};
  }
  co_return std::move(attempt);
}

Task<Answer> WebHdfsClient::ask(Call call, Deadline deadline) {
  CO_TRY(login, co_await login_parameters());
  const std::size_t first = namenodes_.preferred();
  std::string failures;
  for (std::size_t i = 0; i < namenodes_.size(); ++i) {
    CO_TRY(attempt, co_await ask_one(call, namenodes_.choose(first, i), login, deadline));
    if (attempt.answer) co_return std::move(*attempt.answer);
    if (!attempt.try_next || namenodes_.size() == 1) co_return std::move(*attempt.error);
    failures += (failures.empty() ? "" : "; ") + attempt.error->message();
  }
  co_return Error(Code::unavailable, "none of the namenodes " + namenodes_.to_string() + " is active: " + failures);
}

Task<HttpReply> WebHdfsClient::follow(Call call, Answer redirect, std::span<const std::byte> content, Deadline deadline) {
  const auto location = redirect.reply.head.header("Location");
  if (!location) co_return Error(Code::corrupt, call.what() + " at " + redirect.authority + ": a redirect without Location");
  CO_TRY(target, parse_http_url(*location));
  if (options_.scheme == "https" && target.scheme != "https") {
    co_return Error(Code::permission_denied, call.what() + " at " + redirect.authority + " was sent on to " + target.origin() +
                                                 " without TLS, which swebhdfs refuses; set dfs.http.policy=HTTPS_ONLY");
  }
  HttpRequest request = request_to(std::string(*location), target.authority);
  request.method = call.method;
  request.into = call.into;
  if (call.method != "GET") {
    request.headers.push_back({"Content-Type", "application/octet-stream"});
    request.body.push_back(content);
    request.timeouts.first_byte = pipeline_patience;
  }
  auto sent = co_await send(std::move(request), target.authority, deadline);
  if (!sent) co_return std::move(sent).error().with_context(call.what() + " at datanode " + target.authority);
  if (sent->head.status / 100 != 2) {
    const Refusal refusal = refusal_of(*sent, call.what() + " at datanode " + target.authority);
    co_return refusal.error;
  }
  co_return std::move(*sent);
}

Task<FileStatus> WebHdfsClient::status(std::string path, Deadline deadline) {
  Call call{.path = std::move(path), .query = "op=GETFILESTATUS"};
  CO_TRY(answer, co_await ask(std::move(call), deadline));
  co_return parse_file_status(answer.reply.body);
}

Task<ListingPage> WebHdfsClient::list(std::string path, std::string after, Deadline deadline) {
  Call call{.path = path, .query = "op=LISTSTATUS_BATCH&startAfter=" + encode_value(after)};
  auto batch = co_await ask(std::move(call), deadline);
  if (batch) co_return parse_listing(batch->reply.body);
  // HttpFS before 3.0 does not know the operation; without continuation the whole listing comes at once.
  const bool unknown_operation = after.empty() && (batch.code() == Code::invalid_argument || batch.code() == Code::unsupported);
  if (!unknown_operation) co_return std::move(batch).error();
  Call whole{.path = std::move(path), .query = "op=LISTSTATUS", .max_body_bytes = max_whole_listing_bytes};
  CO_TRY(answer, co_await ask(std::move(whole), deadline));
  co_return parse_listing(answer.reply.body);
}

Task<std::uint64_t> WebHdfsClient::open(std::string path, std::uint64_t offset, std::span<std::byte> into, Deadline deadline) {
  std::string excluded;
  std::optional<Error> first_failure;
  for (std::size_t tried = 0;; ++tried) {
    Call call{.path = path,
              .query = "op=OPEN&offset=" + std::to_string(offset) + "&length=" + std::to_string(into.size()) + excluded,
              .into = into};
    auto answer = co_await ask(call, deadline);
    if (!answer) co_return first_failure ? *first_failure : answer.error();  // there is no other datanode
    if (!is_redirect(answer->reply.head.status)) co_return answer->reply.body_bytes;  // HttpFS answers itself
    const std::string location(answer->reply.head.header("Location").value_or(""));
    auto followed = co_await follow(std::move(call), std::move(*answer), no_content, deadline);
    if (followed) co_return followed->body_bytes;
    if (!first_failure) first_failure = followed.error();
    const auto target = parse_http_url(location);
    if (!may_try_another(followed.code()) || !target || tried + 1 == max_datanodes_tried) co_return *first_failure;
    // By host: the namenode knows another port of it than the one in the redirect.
    const std::string host = target->authority.substr(0, target->authority.rfind(':'));
    excluded = excluded.empty() ? "&excludedatanodes=" + encode_value(host) : excluded + "%2C" + encode_value(host);
  }
}

Task<> WebHdfsClient::upload(Call call, std::span<const std::byte> content, Deadline deadline) {
  CO_TRY(answer, co_await ask(call, deadline));
  if (!is_redirect(answer.reply.head.status)) {
    co_return Error(Code::corrupt, call.what() + " at " + answer.authority + ": HTTP status " +
                                       std::to_string(answer.reply.head.status) + " where a redirect to a datanode belongs");
  }
  CO_CHECK_OK(co_await follow(std::move(call), std::move(answer), content, deadline));
  co_return ok();
}

Task<> WebHdfsClient::create(std::string path, Overwrite overwrite, std::span<const std::byte> content, Deadline deadline) {
  Call call{.method = "PUT",
            .path = std::move(path),
            .query = std::string("op=CREATE&createparent=false&permission=644&overwrite=") +
                     (overwrite == Overwrite::yes ? "true" : "false")};
  co_return co_await upload(std::move(call), content, deadline);
}

Task<> WebHdfsClient::append(std::string path, std::span<const std::byte> content, Deadline deadline) {
  Call call{.method = "POST", .path = std::move(path), .query = "op=APPEND"};
  co_return co_await upload(std::move(call), content, deadline);
}

Task<bool> WebHdfsClient::rename(std::string from, std::string to, Overwrite overwrite, Deadline deadline) {
  Call call{.method = "PUT",
            .path = std::move(from),
            .query = "op=RENAME&destination=" + encode_value(to) + "&renameoptions=" + (overwrite == Overwrite::yes ? "OVERWRITE" : "NONE"),
            .repeat = Repeat::never};
  CO_TRY(answer, co_await ask(std::move(call), deadline));
  if (answer.reply.body.empty()) co_return true;  // the form with options answers nothing, or an exception
  co_return parse_boolean(answer.reply.body);
}

Task<bool> WebHdfsClient::remove(std::string path, Recursive recursive, Deadline deadline) {
  Call call{.method = "DELETE",
            .path = std::move(path),
            .query = std::string("op=DELETE&recursive=") + (recursive == Recursive::yes ? "true" : "false"),
            .repeat = Repeat::never};
  CO_TRY(answer, co_await ask(std::move(call), deadline));
  co_return parse_boolean(answer.reply.body);
}

Task<bool> WebHdfsClient::make_directories(std::string path, std::uint32_t mode, Deadline deadline) {
  Call call{.method = "PUT", .path = std::move(path), .query = "op=MKDIRS&permission=" + octal(mode)};
  CO_TRY(answer, co_await ask(std::move(call), deadline));
  co_return parse_boolean(answer.reply.body);
}

Task<> WebHdfsClient::set_permission(std::string path, std::uint32_t mode, Deadline deadline) {
  Call call{.method = "PUT", .path = std::move(path), .query = "op=SETPERMISSION&permission=" + octal(mode)};
  CO_CHECK_OK(co_await ask(std::move(call), deadline));
  co_return ok();
}

Task<> WebHdfsClient::set_owner(std::string path, std::string owner, std::string group, Deadline deadline) {
  Call call{.method = "PUT", .path = std::move(path), .query = "op=SETOWNER"};
  if (!owner.empty()) call.query += "&owner=" + encode_value(owner);
  if (!group.empty()) call.query += "&group=" + encode_value(group);
  CO_CHECK_OK(co_await ask(std::move(call), deadline));
  co_return ok();
}

Task<> WebHdfsClient::set_times(std::string path, std::int64_t modified_ms, Deadline deadline) {
  Call call{.method = "PUT",
            .path = std::move(path),
            .query = "op=SETTIMES&modificationtime=" + std::to_string(modified_ms)};
  CO_CHECK_OK(co_await ask(std::move(call), deadline));
  co_return ok();
}

Task<FileChecksum> WebHdfsClient::checksum(std::string path, Deadline deadline) {
  Call call{.path = std::move(path), .query = "op=GETFILECHECKSUM"};
  CO_TRY(answer, co_await ask(call, deadline));
  if (!is_redirect(answer.reply.head.status)) co_return parse_file_checksum(answer.reply.body);
  CO_TRY(reply, co_await follow(std::move(call), std::move(answer), no_content, deadline));
  co_return parse_file_checksum(reply.body);
}

Task<ContentSummary> WebHdfsClient::summary(std::string path, Deadline deadline) {
  Call call{.path = std::move(path), .query = "op=GETCONTENTSUMMARY"};
  CO_TRY(answer, co_await ask(std::move(call), deadline));
  co_return parse_content_summary(answer.reply.body);
}

}  // namespace hearth::hdfs

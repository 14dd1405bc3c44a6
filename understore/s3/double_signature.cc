#include "understore/s3/double_signature.h"

#include "understore/s3/digest.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <map>
#include <set>
#include <sstream>

namespace hearth::s3 {
namespace {

constexpr auto allowed_skew = std::chrono::minutes(15);

// RFC 2104 by its formula.
std::string hmac(std::string key, std::string_view text) {
  constexpr std::size_t block = 64;
  if (key.size() > block) key = std::string(view(sha256(key)));
  key.resize(block, '\0');
  std::string inner = key;
  std::string outer = key;
  for (char& c : inner) c = static_cast<char>(c ^ 0x36);
  for (char& c : outer) c = static_cast<char>(c ^ 0x5c);
  return std::string(view(sha256(outer + std::string(view(sha256(inner + std::string(text)))))));
}

std::string to_hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    text += {digits[(static_cast<unsigned char>(c) >> 4) & 15], digits[static_cast<unsigned char>(c) & 15]};
  }
  return text;
}

// "Each path segment, and each name and value, encoded: unreserved characters are left, everything else is %XY."
std::string encode_again(std::string_view decoded, std::string_view kept) {
  std::ostringstream out;
  for (const char c : decoded) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("_-~.").find(c) != std::string_view::npos;
    if (unreserved || kept.find(c) != std::string_view::npos) {
      out << c;
    } else {
      char escape[4];
      std::snprintf(escape, sizeof escape, "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out << escape;
    }
  }
  return out.str();
}

std::string canonical_query_of(std::string_view raw) {
  std::multiset<std::pair<std::string, std::string>> pairs;
  while (!raw.empty()) {
    const auto end = std::min(raw.find('&'), raw.size());
    const std::string_view item = raw.substr(0, end);
    const auto equals = std::min(item.find('='), item.size());
    pairs.emplace(encode_again(double_percent_decode(item.substr(0, equals)), ""),
                  encode_again(double_percent_decode(item.substr(std::min(equals + 1, item.size()))), ""));
    raw.remove_prefix(std::min(end + 1, raw.size()));
  }
  std::string text;
  for (const auto& [name, value] : pairs) text += (text.empty() ? "" : "&") + name + "=" + value;
  return text;
}

struct Authorization {
  std::string access_key_id, date, region, service, terminator, signed_headers, signature;
};

std::optional<Authorization> parse_authorization(std::string_view header) {
  constexpr std::string_view algorithm = "AWS4-HMAC-SHA256 ";
  if (!header.starts_with(algorithm)) return std::nullopt;
  std::map<std::string, std::string> fields;
  std::istringstream words{std::string(header.substr(algorithm.size()))};
  for (std::string word; std::getline(words, word, ',');) {
    word.erase(0, word.find_first_not_of(' '));
    const auto equals = word.find('=');
    if (equals == std::string::npos) return std::nullopt;
    fields[word.substr(0, equals)] = word.substr(equals + 1);
  }
  Authorization parsed{.signed_headers = fields["SignedHeaders"], .signature = fields["Signature"]};
  std::istringstream scope(fields["Credential"]);
  for (std::string* part : {&parsed.access_key_id, &parsed.date, &parsed.region, &parsed.service, &parsed.terminator}) std::getline(scope, *part, '/');
  return parsed;
}

std::string lowered(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Every header that changes what a request means must be signed.
std::optional<std::string> unsigned_header(const TestRequest& request, const std::string& signed_headers) {
  const std::string list = ";" + signed_headers + ";";
  for (const HttpHeader& header : request.headers) {
    const std::string name = lowered(header.name);
    const bool must = name == "host" || name.starts_with("x-amz-") || name == "content-md5" || name == "content-type";
    if (must && list.find(";" + name + ";") == std::string::npos) return name;
  }
  return std::nullopt;
}

std::string canonical_headers(const TestRequest& request, const std::string& signed_headers) {
  std::string text;
  std::istringstream names(signed_headers);
  for (std::string name; std::getline(names, name, ';');) {
    std::string values;
    for (const HttpHeader& header : request.headers) {
      if (lowered(header.name) != name) continue;
      std::istringstream words(header.value);
      std::string value;
      for (std::string word; words >> word;) value += (value.empty() ? "" : " ") + word;
      values += (values.empty() ? "" : ",") + value;
    }
    text += name + ":" + values + "\n";
  }
  return text;
}

std::optional<WallTime> parse_amz_date(std::string_view text) {
  std::tm utc{};
  const std::string copy(text);
  const char* end = ::strptime(copy.c_str(), "%Y%m%dT%H%M%SZ", &utc);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::from_time_t(::timegm(&utc)));
}

// Takes off aws-chunked and checks each piece against the one before.
VerifiedBody unwrap(const TestRequest& request, const std::string& key, const std::string& date, const std::string& scope, std::string previous) {
  const VerifiedBody bad{.refusal = DoubleRefusal{.status = 403, .code = "SignatureDoesNotMatch", .message = "a chunk's signature is wrong"}, .body = ""};
  VerifiedBody verified;
  std::string_view rest = request.body;
  for (bool last = false; !last;) {
    const auto line = rest.find("\r\n");
    const auto mark = rest.find(";chunk-signature=");
    if (line == std::string_view::npos || mark == std::string_view::npos || mark > line) return bad;
    const std::size_t length = std::strtoull(std::string(rest.substr(0, mark)).c_str(), nullptr, 16);
    const std::string told(rest.substr(mark + 17, line - mark - 17));
    rest.remove_prefix(line + 2);
    if (rest.size() < length + 2 || rest.substr(length, 2) != "\r\n") return bad;
    const std::string_view piece = rest.substr(0, length);
    const std::string text = "AWS4-HMAC-SHA256-PAYLOAD\n" + date + "\n" + scope + "\n" + previous + "\n" + to_hex(view(sha256(""))) + "\n" + to_hex(view(sha256(piece)));
    previous = to_hex(hmac(key, text));
    if (previous != told) return bad;
    verified.body += piece;
    rest.remove_prefix(length + 2);
    last = length == 0;
  }
  const auto announced = request.header("x-amz-decoded-content-length");
  if (!rest.empty() || !announced || *announced != std::to_string(verified.body.size())) {
    return {.refusal = DoubleRefusal{.status = 400, .code = "IncompleteBody", .message = "the decoded length is another than announced"}, .body = ""};
  }
  return verified;
}

VerifiedBody refused(int status, std::string code, std::string message) {
  return {.refusal = DoubleRefusal{.status = status, .code = std::move(code), .message = std::move(message)}, .body = ""};
}

std::optional<DoubleRefusal> check_claims(const TestRequest& request, const Authorization& claims, const DoubleIdentity& identity, WallTime now) {
  const auto refuse = [](int status, std::string code, std::string message) {
    return DoubleRefusal{.status = status, .code = std::move(code), .message = std::move(message)};
  };
  if (claims.access_key_id != identity.access_key_id) return refuse(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.");
  const auto date = request.header("x-amz-date");
  const auto when = date ? parse_amz_date(*date) : std::nullopt;
  if (!when || date->substr(0, 8) != claims.date) return refuse(403, "AccessDenied", "x-amz-date is missing or not the scope's");
  if (*when > now + allowed_skew || *when < now - allowed_skew) return refuse(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.");
  if (claims.service != "s3" || claims.terminator != "aws4_request") return refuse(400, "AuthorizationHeaderMalformed", "the scope is not s3's");
  if (claims.region != identity.region) {
    return refuse(400, "AuthorizationHeaderMalformed", "the region '" + claims.region + "' is wrong; expecting '" + identity.region + "'");
  }
  if (request.header("x-amz-security-token").value_or("") != identity.session_token) {
    return refuse(400, identity.session_token.empty() ? "InvalidToken" : "ExpiredToken", "The provided token has expired.");
  }
  if (const auto name = unsigned_header(request, claims.signed_headers)) return refuse(403, "AccessDenied", "the header " + *name + " is not signed");
  if (!request.header("x-amz-content-sha256")) return refuse(400, "MissingSecurityHeader", "x-amz-content-sha256 is missing");
  return std::nullopt;
}

}  // namespace

std::string double_percent_decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && std::isxdigit(static_cast<unsigned char>(text[i + 1])) != 0 && std::isxdigit(static_cast<unsigned char>(text[i + 2])) != 0) {
      decoded.push_back(static_cast<char>(std::strtol(std::string(text.substr(i + 1, 2)).c_str(), nullptr, 16)));
      i += 2;
    } else {
      decoded.push_back(text[i]);
    }
  }
  return decoded;
}

VerifiedBody verify_request(const TestRequest& request, const DoubleIdentity& identity, WallTime now) {
  const auto header = request.header("authorization");
  if (!header) return refused(403, "AccessDenied", "Access Denied: the request is not signed");
  const auto claims = parse_authorization(*header);
  if (!claims) return refused(400, "AuthorizationHeaderMalformed", "the Authorization header is not AWS4-HMAC-SHA256");
  if (auto refusal = check_claims(request, *claims, identity, now)) return {.refusal = std::move(refusal), .body = ""};
  const std::string date(*request.header("x-amz-date"));
  const std::string payload(*request.header("x-amz-content-sha256"));
  const std::string scope = claims->date + "/" + claims->region + "/s3/aws4_request";
  const std::string canonical = request.method + "\n" + encode_again(double_percent_decode(request.path()), "/") + "\n" + canonical_query_of(request.query()) +
                                "\n" + canonical_headers(request, claims->signed_headers) + "\n" + claims->signed_headers + "\n" + payload;
  const std::string text = "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + to_hex(view(sha256(canonical)));
  std::string key = "AWS4" + identity.secret;
  for (const std::string& step : {claims->date, claims->region, std::string("s3"), std::string("aws4_request")}) key = hmac(key, step);
  const std::string signature = to_hex(hmac(key, text));
  if (signature != claims->signature) {
    return refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.");
  }
  if (payload == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD") return unwrap(request, key, date, scope, signature);
  if (payload != "UNSIGNED-PAYLOAD" && payload != to_hex(view(sha256(request.body)))) {
    return refused(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.");
  }
  return {.refusal = std::nullopt, .body = request.body};
}

}  // namespace hearth::s3

#include "understore/s3/sigv4.h"

#include "understore/s3/uri_encode.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <map>

namespace hearth::s3 {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";
constexpr std::size_t signature_length = 64;

std::string lower(std::string_view text) {
  std::string lowered(text);
  for (char& c : lowered) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return lowered;
}

// Trimmed, and every run of white space inside is one space.
std::string canonical_value(std::string_view value) {
  std::string canonical;
  bool gap = false;
  for (const char c : value) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      gap = true;
      continue;
    }
    if (gap && !canonical.empty()) canonical.push_back(' ');
    gap = false;
    canonical.push_back(c);
  }
  return canonical;
}

std::string hex_length(std::uint64_t length) {
  char text[17];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(length));
  return text;
}

constexpr std::string_view chunk_extension = ";chunk-signature=";

std::string sign_chunk(SeedSignature& seed, Bytes piece) {
  static const std::string nothing = hex(sha256(""));
  const std::string text = std::string(algorithm) + "-PAYLOAD\n" + seed.amz_date + "\n" + seed.scope + "\n" + seed.signature +
                           "\n" + nothing + "\n" + hex(sha256(std::span(&piece, 1)));
  seed.signature = hex(hmac_sha256(seed.key.reveal(), text));
  return hex_length(piece.size()) + std::string(chunk_extension) + seed.signature + "\r\n";
}

}  // namespace

std::string canonical_query(const QueryParameters& query) {
  QueryParameters encoded;
  encoded.reserve(query.size());
  for (const auto& [name, value] : query) encoded.emplace_back(uri_encode(name), uri_encode(value));
  std::sort(encoded.begin(), encoded.end());
  std::string text;
  for (const auto& [name, value] : encoded) text += (text.empty() ? "" : "&") + name + "=" + value;
  return text;
}

CanonicalRequest canonical_request(const SignableRequest& request) {
  std::map<std::string, std::string> headers;
  for (const HttpHeader& header : request.headers) {
    std::string& values = headers[lower(header.name)];
    values += (values.empty() ? "" : ",") + canonical_value(header.value);
  }
  CanonicalRequest canonical;
  canonical.text = request.method + "\n" + request.encoded_path + "\n" + canonical_query(request.query) + "\n";
  for (const auto& [name, value] : headers) {
    canonical.text += name + ":" + value + "\n";
    canonical.signed_headers += (canonical.signed_headers.empty() ? "" : ";") + name;
  }
  canonical.text += "\n" + canonical.signed_headers + "\n" + request.payload_hash;
  return canonical;
}

std::string amz_date(WallTime when) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::seconds>(when));
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
  return text;
}

std::string scope_text(const SigningScope& scope, std::string_view date) {
  return std::string(date.substr(0, 8)) + "/" + scope.region + "/" + scope.service + "/aws4_request";
}

std::string string_to_sign(std::string_view date, std::string_view scope, std::string_view canonical) {
  return std::string(algorithm) + "\n" + std::string(date) + "\n" + std::string(scope) + "\n" + hex(sha256(canonical));
}

Secret signing_key(const Secret& secret_access_key, const SigningScope& scope, std::string_view date) {
  constexpr std::string_view version = "AWS4";
  // One allocation: a string that grows leaves what it held in freed memory.
  std::string start;
  start.reserve(version.size() + secret_access_key.reveal().size());
  start.append(version).append(secret_access_key.reveal());
  Sha256 key = hmac_sha256(start, date.substr(0, 8));
  wipe(start);
  for (const std::string_view step : {std::string_view(scope.region), std::string_view(scope.service), std::string_view("aws4_request")}) {
    Sha256 next = hmac_sha256(view(key), step);
    key = next;
    ::explicit_bzero(next.data(), next.size());
  }
  Secret kept(view(key));
  ::explicit_bzero(key.data(), key.size());
  return kept;
}

Secret Signer::key_for(const Credentials& credentials, const SigningScope& scope, const std::string& date) {
  const std::string wanted = scope_text(scope, date);
  const std::lock_guard lock(mutex_);
  for (const CachedKey& cached : keys_) {
    if (cached.day_and_scope == wanted && cached.secret == credentials.secret_access_key) return cached.key;
  }
  CachedKey fresh{.day_and_scope = wanted,
                  .secret = credentials.secret_access_key,
                  .key = signing_key(credentials.secret_access_key, scope, date)};
  keys_.push_front(std::move(fresh));
  if (keys_.size() > max_keys_) keys_.pop_back();
  return keys_.front().key;
}

SeedSignature Signer::sign(const Credentials& credentials, const SigningScope& scope, WallTime now, SignableRequest& request) {
  SeedSignature seed;
  if (credentials.anonymous()) return seed;
  seed.amz_date = amz_date(now);
  seed.scope = scope_text(scope, seed.amz_date);
  request.headers.push_back({.name = "x-amz-date", .value = seed.amz_date});
  if (scope.service == "s3") request.headers.push_back({.name = "x-amz-content-sha256", .value = request.payload_hash});
  if (!credentials.session_token.empty()) {
    request.headers.push_back({.name = "x-amz-security-token", .value = std::string(credentials.session_token.reveal())});
  }
  const CanonicalRequest canonical = canonical_request(request);
  seed.key = key_for(credentials, scope, seed.amz_date);
  seed.signature = hex(hmac_sha256(seed.key.reveal(), string_to_sign(seed.amz_date, seed.scope, canonical.text)));
  request.headers.push_back({.name = "Authorization",
                             .value = std::string(algorithm) + " Credential=" + credentials.access_key_id + "/" + seed.scope +
                                      ", SignedHeaders=" + canonical.signed_headers + ", Signature=" + seed.signature});
  return seed;
}

ChunkedBody chunked_body(SeedSignature seed, Bytes body, std::size_t piece_bytes) {
  ChunkedBody chunked;
  for (std::size_t at = 0; at < body.size(); at += piece_bytes) {
    const Bytes piece = body.subspan(at, std::min(piece_bytes, body.size() - at));
    // The "\r\n" that ends the piece before goes with the next header.
    chunked.headers.push_back((at == 0 ? "" : "\r\n") + sign_chunk(seed, piece));
    chunked.spans.push_back(as_bytes_of(chunked.headers.back()));
    chunked.spans.push_back(piece);
  }
  chunked.headers.push_back((body.empty() ? "" : "\r\n") + sign_chunk(seed, {}) + "\r\n");
  chunked.spans.push_back(as_bytes_of(chunked.headers.back()));
  return chunked;
}

std::uint64_t chunked_length(std::uint64_t body_bytes, std::size_t piece_bytes) {
  const auto framed = [](std::uint64_t length) {
    return hex_length(length).size() + chunk_extension.size() + signature_length + 2 + length + 2;
  };
  const std::uint64_t rest = body_bytes % piece_bytes;
  return body_bytes / piece_bytes * framed(piece_bytes) + (rest > 0 ? framed(rest) : 0) + framed(0);
}

}  // namespace hearth::s3

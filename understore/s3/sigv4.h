// AWS Signature Version 4 in the Authorization header, our own (libcurl 7.88 signs several request shapes wrongly).
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
//
// Threads: free functions are pure; Signer may be used from any thread.
// Owns:    the last signing keys (one a day, region and secret), as Secrets.
#pragma once

#include "common/clock.h"
#include "common/http/http.h"
#include "understore/s3/digest.h"
#include "understore/s3/secret.h"

#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hearth::s3 {

struct Credentials {
  std::string access_key_id;  // "" = anonymous: nothing is signed
  Secret secret_access_key;
  Secret session_token;
  std::optional<WallTime> expires;
  std::string source;  // where they come from, for messages

  bool anonymous() const { return access_key_id.empty(); }
};

using QueryParameters = std::vector<std::pair<std::string, std::string>>;  // raw; encoded here

inline constexpr std::string_view unsigned_payload = "UNSIGNED-PAYLOAD";
inline constexpr std::string_view streaming_payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";

struct SigningScope {
  std::string region;
  std::string service = "s3";
};

struct SignableRequest {
  std::string method;
  std::string encoded_path;  // as sent: what is signed for S3 is the path encoded once
  QueryParameters query;
  std::vector<HttpHeader> headers;  // with host; all of them are signed
  std::string payload_hash;         // hex SHA-256, or one of the constants above
};

// "a=1&b=": encoded, sorted by encoded name and value; also what is sent.
std::string canonical_query(const QueryParameters& query);

struct CanonicalRequest {
  std::string text;
  std::string signed_headers;
};
CanonicalRequest canonical_request(const SignableRequest& request);

std::string amz_date(WallTime when);  // 20130524T000000Z
std::string scope_text(const SigningScope& scope, std::string_view amz_date);
std::string string_to_sign(std::string_view amz_date, std::string_view scope, std::string_view canonical_request);
Secret signing_key(const Secret& secret_access_key, const SigningScope& scope, std::string_view amz_date);

// What a streaming upload goes on from: each chunk is signed after the one before it.
struct SeedSignature {
  Secret key;
  std::string amz_date;
  std::string scope;
  std::string signature;
};

class Signer {
 public:
  // Adds x-amz-date, x-amz-security-token (where there is one), for S3 x-amz-content-sha256, and Authorization.
  // Anonymous credentials add nothing.
  SeedSignature sign(const Credentials& credentials, const SigningScope& scope, WallTime now, SignableRequest& request);

 private:
  struct CachedKey {
    std::string day_and_scope;
    Secret secret;
    Secret key;
  };
  Secret key_for(const Credentials& credentials, const SigningScope& scope, const std::string& amz_date);

  static constexpr std::size_t max_keys_ = 8;
  std::mutex mutex_;
  std::list<CachedKey> keys_;  // guarded by mutex_, latest first
};

// The aws-chunked form of a body (STREAMING-AWS4-HMAC-SHA256-PAYLOAD): the headers between the pieces, which stay
// where they are. `spans` = header, piece, "\r\n", header, piece, ..., last header.
struct ChunkedBody {
  std::list<std::string> headers;  // stable addresses
  std::vector<std::span<const std::byte>> spans;
};
inline constexpr std::size_t chunk_bytes = 1U << 20;  // S3 wants at least 8 KiB
ChunkedBody chunked_body(SeedSignature seed, Bytes body, std::size_t piece_bytes = chunk_bytes);
// The length of the whole aws-chunked body: known before anything is signed.
std::uint64_t chunked_length(std::uint64_t body_bytes, std::size_t piece_bytes = chunk_bytes);

}  // namespace hearth::s3

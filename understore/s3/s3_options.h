// What "s3://bucket/prefix" and the options of its attachment mean.
//
// Threads: pure functions.
// Fails:   invalid_argument, with the option, its value and what is accepted; an unknown option names the nearest.
#pragma once

#include "understore/s3/credential_source.h"
#include "understore/store_factory.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::s3 {

enum class PathStyle : std::uint8_t { automatic, always, never };
enum class RequesterPays : std::uint8_t { no, yes };
enum class PayloadSigning : std::uint8_t {
  automatic,  // unsigned over TLS, signed over http
  unsigned_body,
  signed_body,
  streaming,  // aws-chunked, each piece signed
};
enum class Checksum : std::uint8_t { none, crc32c, crc64nvme, sha256 };

struct Encryption {
  enum class Kind : std::uint8_t { none, s3, kms, customer_key };
  Kind kind = Kind::none;
  std::string kms_key_id;  // "" = the bucket's
  std::string key_file;    // 32 raw bytes, or their base64
};

struct S3Options {
  std::string bucket;
  std::string prefix;  // of keys: "" or ending with "/"
  std::string uri;     // the one spelling

  std::string endpoint;  // "" = AWS; else http(s)://host[:port][/base], without trailing slash
  std::string region;    // "" = from the environment, else us-east-1, else what the store tells
  PathStyle path_style = PathStyle::automatic;
  CredentialSource credentials;
  RequesterPays requester_pays = RequesterPays::no;
  Encryption encryption;
  PayloadSigning payload = PayloadSigning::automatic;
  Checksum checksum = Checksum::crc32c;
  std::uint32_t parallel = 8;                  // ranges of one read, or parts of one write, at a time
  // Unfinished uploads below the prefix that are older are aborted, whoever began them; unset: none but our own.
  std::optional<Duration> sweep_uploads_after;
  std::uint64_t part_bytes = 8ULL << 20;       // of ranges and parts; a read up to twice this is one request
  std::string ca_file;
  std::string client_certificate;
  std::string client_key;
  std::string proxy;
  std::string sts_endpoint;

  bool tls() const { return endpoint.empty() || endpoint.starts_with("https://"); }
  bool virtual_hosted() const;
};

Result<S3Options> parse_s3_options(std::string_view uri, const StoreOptions& options);
const std::vector<std::string_view>& s3_option_names();

}  // namespace hearth::s3

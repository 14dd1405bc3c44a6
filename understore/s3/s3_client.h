// One signed request to one bucket at a time: credentials, region, signature, and what a refusal means.
//
// Threads: any; send() resumes on the caller's executor.
// Owns:    the credentials and the region that the store told. Tasks end before it goes.
// Never:   sends credentials to another host than the endpoint's (at AWS: the bucket's host in the region that AWS names);
//          follows a Location; retries, but for a region or credentials that were corrected, once.
// Fails:   as s3_error.h says, as HttpClient says, as credentials.h says.
#pragma once

#include "understore/s3/credentials.h"
#include "understore/s3/s3_error.h"
#include "understore/s3/s3_options.h"

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace hearth::s3 {

struct S3Request {
  std::string operation;  // as the API names it: for messages and metrics
  std::string method = "GET";
  std::string key;  // raw; "" = the bucket itself
  QueryParameters query;
  std::vector<HttpHeader> headers;
  Bytes body;  // alive until the task ends
  enum class BodyKind : std::uint8_t { none, object, document };
  BodyKind body_kind = BodyKind::none;
  std::string body_sha256;  // in hex, where the caller knows it already

  std::function<Status(const HttpHead&)> accept_head;
  std::span<std::byte> into;
  std::function<void(std::uint64_t have)> progress;
};

// Any status; what a region or fresh credentials could repair has been repaired.
struct S3Reply {
  HttpReply http;
  Refusal refusal;  // of any status but 2xx
  bool good() const { return http.head.status >= 200 && http.head.status < 300; }
};

class S3Client {
 public:
  S3Client(S3Options options, HttpClient& http, std::unique_ptr<CredentialProvider> credentials, Clock& clock,
           std::string region_of_environment, Secret customer_key);

  const S3Options& options() const { return options_; }
  Clock& clock() { return clock_; }
  // Whether the signature of a request covers the SHA-256 of an object's bytes.
  bool signs_object_bytes() const { return payload_mode() == PayloadSigning::signed_body; }
  // "s3://bucket/key", for messages.
  std::string describe(std::string_view key) const;

  // The reply, whatever its status. Fails only when there is none.
  Task<S3Reply> exchange(S3Request request, Deadline deadline);
  // A 2xx reply; any other status is its error.
  Task<HttpReply> send(S3Request request, Deadline deadline);

  // One unsigned request to the endpoint: ok whatever its answer.
  Task<> greet(Deadline deadline);

  // Headers of SSE-C that reads, writes and copies repeat; `as_source` for the source of a copy.
  enum class KeyUse : std::uint8_t { object, copy_source };
  void add_customer_key(std::vector<HttpHeader>& headers, KeyUse use) const;
  // Headers of a new object's encryption.
  void add_encryption(std::vector<HttpHeader>& headers) const;
  std::string copy_source(std::string_view key) const;

  std::string region() const;
  std::string endpoint() const;  // scheme and host that requests go to now
  Task<Credentials> credentials(Deadline deadline) { return credentials_->get(deadline); }

 private:
  struct Attempt;
  enum class Repair : std::uint8_t { none, retry };

  HttpRequest plain_request(std::string method, std::string url) const;
  std::string host_for(const std::string& region) const;
  Task<HttpReply> attempt(std::shared_ptr<S3Request> request, std::shared_ptr<Attempt> attempt, Deadline deadline);
  PayloadSigning payload_mode() const;
  void add_payload(const S3Request& request, Attempt& attempt) const;
  Repair repair(const HttpReply& reply, Attempt& attempt);
  bool learn_region(const HttpReply& reply, const ErrorDocument& document, Attempt& attempt);
  Refusal refusal_of(const S3Request& request, const HttpReply& reply, const Attempt& attempt) const;

  // Set once
  S3Options options_;
  HttpClient& http_;
  std::unique_ptr<CredentialProvider> credentials_;
  Clock& clock_;
  Secret customer_key_;
  Signer signer_;

  mutable std::mutex mutex_;
  std::string region_;  // guarded by mutex_
};

}  // namespace hearth::s3

#include "understore/s3/s3_error.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace hearth::s3 {
namespace {

struct Meaning {
  std::string_view store_code;
  Code code;
  // What happened and what to do; {name} is taken from the refusal.
  std::string_view sentence;
};

constexpr std::string_view wait_a_little = "the store is busy and asks for fewer requests";

constexpr std::array meanings{
    Meaning{"InvalidAccessKeyId", Code::unauthenticated, "the store does not know the access key id from {credentials}; check it, and that it belongs to {endpoint}"},
    Meaning{"XAdminUserNotFound", Code::unauthenticated, "the store does not know the access key id from {credentials}; check it, and that it belongs to {endpoint}"},
    Meaning{"SignatureDoesNotMatch", Code::unauthenticated, "the secret key from {credentials} is wrong (the signature did not match); correct it there"},
    Meaning{"AuthorizationHeaderMalformed", Code::unauthenticated, "the request was signed for the region {region}, which is not the bucket's; set the option region"},
    Meaning{"IllegalLocationConstraintException", Code::unauthenticated, "the bucket is in another region than {region}; set the option region"},
    Meaning{"PermanentRedirect", Code::unavailable, "the bucket lives at another endpoint ({other}); set the options endpoint and region"},
    Meaning{"TemporaryRedirect", Code::unavailable, "the bucket is moving to another endpoint ({other}); try again later or set the option region"},
    Meaning{"RequestTimeTooSkewed", Code::unauthenticated, "this host's clock is more than 15 minutes off the store's ({date}); set the clock"},
    Meaning{"RequestExpired", Code::unauthenticated, "this host's clock is more than 15 minutes off the store's ({date}); set the clock"},
    Meaning{"ExpiredToken", Code::unauthenticated, "the temporary credentials from {credentials} have expired and no newer ones are there; renew them"},
    Meaning{"ExpiredTokenException", Code::unauthenticated, "the temporary credentials from {credentials} have expired and no newer ones are there; renew them"},
    Meaning{"TokenRefreshRequired", Code::unauthenticated, "the temporary credentials from {credentials} must be renewed"},
    Meaning{"InvalidToken", Code::unauthenticated, "the session token from {credentials} is not valid; renew it"},
    Meaning{"InvalidClientTokenId", Code::unauthenticated, "the access key id or session token from {credentials} is not valid"},
    Meaning{"MissingSecurityHeader", Code::unauthenticated, "the store wants signed requests; set the option credentials"},
    // Not "not found": the root of the attachment is away, and nothing under it is proven absent.
    Meaning{"NoSuchBucket", Code::unavailable, "the bucket does not exist at {endpoint}; check its name and the option endpoint"},
    Meaning{"AccessDenied", Code::permission_denied, "the identity from {credentials} may not do this; grant it in the bucket's policy"},
    Meaning{"AllAccessDisabled", Code::permission_denied, "all access to the bucket is disabled"},
    Meaning{"AccountProblem", Code::permission_denied, "the store reports a problem with the account"},
    Meaning{"InvalidObjectState", Code::io_error, "the object is archived; restore it first"},
    Meaning{"NoSuchKey", Code::not_found, "there is no such object"},
    Meaning{"NoSuchVersion", Code::stale, "that version of the object is gone"},
    Meaning{"NoSuchUpload", Code::stale, "the multipart upload was aborted by somebody else"},
    Meaning{"PreconditionFailed", Code::stale, "the object changed underneath"},
    Meaning{"InvalidRange", Code::stale, "the object is shorter than it was"},
    Meaning{"SlowDown", Code::overloaded, wait_a_little},
    Meaning{"SlowDownRead", Code::overloaded, wait_a_little},
    Meaning{"SlowDownWrite", Code::overloaded, wait_a_little},
    Meaning{"ServiceUnavailable", Code::overloaded, wait_a_little},
    Meaning{"RequestLimitExceeded", Code::overloaded, wait_a_little},
    Meaning{"Throttling", Code::overloaded, wait_a_little},
    Meaning{"ThrottlingException", Code::overloaded, wait_a_little},
    Meaning{"TooManyRequests", Code::overloaded, wait_a_little},
    Meaning{"Busy", Code::overloaded, wait_a_little},
    // Nothing was written, and AWS says: send it again.
    Meaning{"ConditionalRequestConflict", Code::overloaded, "another change of the same object got in the way"},
    Meaning{"InternalError", Code::unavailable, "the store had an internal error"},
    Meaning{"RequestTimeout", Code::unavailable, "the store did not get the request in time"},
    Meaning{"OperationAborted", Code::unavailable, "another operation on the same object is under way"},
    Meaning{"BadDigest", Code::corrupt, "the bytes arrived damaged (their checksum did not match)"},
    Meaning{"InvalidDigest", Code::corrupt, "the bytes arrived damaged (their checksum did not match)"},
    Meaning{"XAmzContentSHA256Mismatch", Code::corrupt, "the bytes arrived damaged (their SHA-256 did not match)"},
    Meaning{"XAmzContentChecksumMismatch", Code::corrupt, "the bytes arrived damaged (their checksum did not match)"},
    Meaning{"QuotaExceeded", Code::no_space, "the bucket's quota is used up"},
    Meaning{"XMinioStorageFull", Code::no_space, "the store is full"},
    Meaning{"EntityTooLarge", Code::invalid_argument, "the object is larger than the store takes"},
    Meaning{"KeyTooLongError", Code::name_too_long, "the key is longer than 1,024 bytes"},
    Meaning{"NotImplemented", Code::unsupported, "the store does not implement this"},
    Meaning{"MethodNotAllowed", Code::unsupported, "the store does not allow this here"},
    Meaning{"InvalidBucketName", Code::invalid_argument, "the bucket's name is not valid"},
};

const Meaning* meaning_of_code(std::string_view store_code) {
  const auto at = std::find_if(meanings.begin(), meanings.end(), [&](const Meaning& each) { return each.store_code == store_code; });
  return at == meanings.end() ? nullptr : &*at;
}

// For replies without a document (HEAD, a proxy in between) and codes of another dialect.
Meaning meaning_of_status(int status) {
  switch (status) {
    case 301: case 302: case 307: case 308: return {"", Code::unavailable, "the store sends to another place ({other}); set the options endpoint and region"};
    case 400: return {"", Code::invalid_argument, "the store did not understand the request"};
    case 401: return {"", Code::unauthenticated, "the store wants other credentials than those from {credentials}"};
    case 403: return {"", Code::permission_denied, "the identity from {credentials} may not do this"};
    // Absent is what the store calls NoSuchKey, or a HEAD that has no room to say so; a proxy's 404 proves nothing.
    case 404: return {"", Code::unavailable, "the answer is not an S3 service's; check the option endpoint"};
    case 405: return {"", Code::unsupported, "the store does not allow this here"};
    case 407: return {"", Code::unavailable, "the proxy wants credentials"};
    case 408: return {"", Code::unavailable, "the store did not get the request in time"};
    case 409: return {"", Code::unavailable, "another operation on the same object is under way"};
    case 412: return {"", Code::stale, "the object changed underneath"};
    case 416: return {"", Code::stale, "the object is shorter than it was"};
    case 429: case 503: return {"", Code::overloaded, wait_a_little};
    case 501: return {"", Code::unsupported, "the store does not implement this"};
    case 507: return {"", Code::no_space, "the store is full"};
    default: break;
  }
  if (status >= 500) return {"", Code::unavailable, "the store had an internal error"};
  return {"", Code::io_error, "the store refused"};
}

// What a stranger wrote, fit for one line of a log.
std::string plain(std::string_view text, std::size_t limit) {
  std::string shown;
  for (const char c : text.substr(0, limit)) shown.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
  return shown;
}

std::string fill(std::string_view sentence, const Refusal& refusal) {
  const std::array<std::pair<std::string_view, std::string>, 5> values{{
      {"{credentials}", refusal.credentials},
      {"{endpoint}", refusal.endpoint},
      {"{region}", refusal.region},
      {"{other}", refusal.document.endpoint.empty() ? "it does not say which" : plain(refusal.document.endpoint, 120)},
      {"{date}", refusal.date.empty() ? "it does not say its time" : plain(refusal.date, 40)},
  }};
  std::string filled(sentence);
  for (const auto& [name, value] : values) {
    const auto at = filled.find(name);
    if (at != std::string::npos) filled.replace(at, name.size(), value);
  }
  return filled;
}

}  // namespace

Error error_of(const Refusal& refusal) {
  const Meaning* known = meaning_of_code(refusal.document.code);
  const bool bare_head = refusal.status == 404 && refusal.operation == "HeadObject" && refusal.document.code.empty();
  const Meaning meaning = known != nullptr ? *known
                          : bare_head      ? Meaning{"", Code::not_found, "there is no such object"}
                                           : meaning_of_status(refusal.status);
  std::string message = refusal.operation + " " + refusal.object + ": " + fill(meaning.sentence, refusal) + " (";
  message += refusal.document.code.empty() ? "HTTP " + std::to_string(refusal.status) : plain(refusal.document.code, 60);
  if (known == nullptr && !refusal.document.message.empty()) message += ": " + plain(refusal.document.message, 200);
  message += refusal.document.request_id.empty() ? ")" : ", request id " + plain(refusal.document.request_id, 80) + ")";
  std::uint32_t seconds = 0;
  const auto parsed = std::from_chars(refusal.retry_after.data(), refusal.retry_after.data() + refusal.retry_after.size(), seconds);
  if (meaning.code != Code::overloaded || parsed.ec != std::errc() || seconds == 0) return Error(meaning.code, message);
  seconds = std::min(seconds, 3600U);
  return Error(meaning.code, message + "; come back in " + std::to_string(seconds) + " s").with_retry_after_ms(seconds * 1000);
}

}  // namespace hearth::s3

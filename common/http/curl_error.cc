#include "common/http/curl_error.h"

#include <curl/curl.h>

#include <string_view>

namespace hearth {
namespace {

struct Meaning {
  Code code;
  const char* step;
};

// libcurl has one code for every certificate that does not do; only OpenSSL's words tell what to repair.
const char* mistrust_of(std::string_view detail) {
  const auto says = [&](std::string_view words) { return detail.find(words) != std::string_view::npos; };
  if (says("subject name")) return "the peer's certificate is for another name than this host; dial the name that it is for, or give the peer another certificate";
  if (says("expired")) return "the peer's certificate has expired; renew it there, or correct this host's clock";
  if (says("not yet valid")) return "the peer's certificate is not valid yet; correct the clock of this host or the peer's";
  // "EVP lib": its name is known here, with another key.
  if (says("issuer") || says("self-signed") || says("self signed") || says("EVP lib")) {
    return "the peer's certificate was issued by an authority that this host does not trust; name that authority in ca_file";
  }
  return "the peer's certificate is not trusted for this host";
}

Meaning meaning_of(int result, const Transfer& transfer, std::string_view detail) {
  const bool answering = transfer.status() != 0;
  switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST: return {Code::unavailable, "the host's name could not be resolved"};
    case CURLE_COULDNT_RESOLVE_PROXY: return {Code::unavailable, "the proxy's name could not be resolved"};
    case CURLE_COULDNT_CONNECT: return {Code::unavailable, "no connection"};
    case CURLE_OPERATION_TIMEDOUT: return {Code::unavailable, "the connection timed out"};
    case CURLE_GOT_NOTHING: return {Code::unavailable, "the connection was closed before the answer"};
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND: return {Code::unavailable, "the connection broke while sending"};
    case CURLE_RECV_ERROR:
      return {Code::unavailable, answering ? "the answer was cut off, the connection broke"
                                           : "the connection broke before the answer"};
    case CURLE_PARTIAL_FILE: return {Code::corrupt, "the answer was cut off, fewer bytes came than were announced"};
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_UNSUPPORTED_PROTOCOL: return {Code::corrupt, "the peer's answer is not proper HTTP/1.1"};
    case CURLE_PEER_FAILED_VERIFICATION: return {Code::permission_denied, mistrust_of(detail)};
    case CURLE_SSL_CONNECT_ERROR: return {Code::unavailable, "no TLS connection"};
    case CURLE_SSL_CACERT_BADFILE: return {Code::invalid_argument, "the file of trusted authorities can not be used"};
    case CURLE_SSL_CERTPROBLEM: return {Code::invalid_argument, "the client certificate or its key can not be used"};
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS: return {Code::permission_denied, "the TLS connection is not trusted"};
    case CURLE_AUTH_ERROR: return {Code::unauthenticated, "no Kerberos credentials for it"};
    case CURLE_URL_MALFORMAT:
    case CURLE_LOGIN_DENIED: return {Code::invalid_argument, "the URL can not be used"};
    // Also what libcurl says of one header line beyond its own 100 KiB.
    case CURLE_OUT_OF_MEMORY: return {Code::overloaded, "a header is too long, or memory is short"};
    case CURLE_PROXY: return {Code::unavailable, "the proxy refused"};
    default: return {Code::unavailable, "the transfer failed"};
  }
}

}  // namespace

std::optional<Error> error_of_curl(int result, const Transfer& transfer, const std::string& detail) {
  if (result == CURLE_OK) return std::nullopt;
  if (transfer.failure()) return *transfer.failure();
  const Meaning meaning = meaning_of(result, transfer, detail);
  const std::string said = detail.empty() ? curl_easy_strerror(static_cast<CURLcode>(result)) : detail;
  return Error(meaning.code, transfer.describe() + ": " + meaning.step + " (" + said + ")");
}

}  // namespace hearth

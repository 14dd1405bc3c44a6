#include "common/http/transfer_options.h"

#include <curl/curl.h>

#include <utility>

namespace hearth {
namespace {

// Receive and upload buffers: larger costs memory per transfer, smaller costs system calls (1 MiB page: 8 of each).
constexpr long buffer_bytes = 128L << 10;
// Where little is expected: from here on malloc takes a mapping of its own for each transfer, which costs more than the
// transfer's bytes.
constexpr long small_buffer_bytes = 32L << 10;

Transfer& transfer_of(void* user) { return *static_cast<Transfer*>(user); }

std::size_t header_came(char* data, std::size_t size, std::size_t count, void* user) {
  return transfer_of(user).on_header({data, size * count});
}
std::size_t body_came(char* data, std::size_t size, std::size_t count, void* user) {
  return transfer_of(user).on_body({data, size * count});
}
std::size_t upload_wanted(char* room, std::size_t size, std::size_t count, void* user) {
  return transfer_of(user).on_upload(std::as_writable_bytes(std::span(room, size * count)));
}
int rewind_wanted(void* user, curl_off_t offset, int origin) {
  const bool done = origin == SEEK_SET && transfer_of(user).on_rewind(static_cast<std::uint64_t>(offset));
  return done ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}
int about_to_send(void* user, char*, char*, int, int) {
  return transfer_of(user).on_connected() ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

void append(void*& list, const std::string& text) {
  list = curl_slist_append(static_cast<curl_slist*>(list), text.c_str());
}

// libcurl's defaults that are not Hearth's: Accept, Expect and its Content-Type; a name without value removes one.
void set_headers(CURL* easy, const HttpRequest& request, CurlLists& lists) {
  append(lists.headers, "Expect:");
  bool accepts = false;
  for (const HttpHeader& each : request.headers) {
    accepts = accepts || each.name == "Accept" || each.name == "accept";
    append(lists.headers, each.value.empty() ? each.name + ";" : each.name + ": " + each.value);
  }
  if (!accepts) append(lists.headers, "Accept:");
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, static_cast<curl_slist*>(lists.headers));
}

void set_method(CURL* easy, Transfer& transfer) {
  const HttpRequest& request = transfer.request();
  std::uint64_t bytes = 0;
  for (const auto& span : request.body) bytes += span.size();
  if (request.method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  } else if (bytes > 0 || request.method == "PUT" || request.method == "POST") {
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(bytes));
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, &upload_wanted);
    curl_easy_setopt(easy, CURLOPT_READDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, &rewind_wanted);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, buffer_bytes);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  } else {
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

void set_tls(CURL* easy, const HttpTls& tls) {
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!tls.ca_file.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, tls.ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  if (!tls.client_certificate.empty()) curl_easy_setopt(easy, CURLOPT_SSLCERT, tls.client_certificate.c_str());
  if (!tls.client_key.empty()) curl_easy_setopt(easy, CURLOPT_SSLKEY, tls.client_key.c_str());
}

void set_way(CURL* easy, const HttpRequest& request, CurlLists& lists) {
  // "" also switches off http_proxy and its kin: a proxy is used when it was given, and only then.
  curl_easy_setopt(easy, CURLOPT_PROXY, request.proxy.c_str());
  curl_easy_setopt(easy, CURLOPT_NOPROXY, request.proxy.empty() ? "*" : "");
  if (!request.connect_to) return;
  append(lists.connect_to, "::" + *request.connect_to);
  curl_easy_setopt(easy, CURLOPT_CONNECT_TO, static_cast<curl_slist*>(lists.connect_to));
}

long receive_buffer_bytes(const HttpRequest& request) {
  const bool expects_little = request.method == "HEAD" || (!request.into.empty() && request.into.size() <= small_buffer_bytes);
  return expects_little ? small_buffer_bytes : buffer_bytes;
}

bool has_negotiate() {
  return (curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_SPNEGO) != 0;
}

}  // namespace

CurlLists::~CurlLists() {
  curl_slist_free_all(static_cast<curl_slist*>(headers));
  curl_slist_free_all(static_cast<curl_slist*>(connect_to));
}
CurlLists::CurlLists(CurlLists&& other) noexcept
    : headers(std::exchange(other.headers, nullptr)), connect_to(std::exchange(other.connect_to, nullptr)) {}

Status set_curl_options(void* easy, Transfer& transfer, const HttpClientOptions& options, CurlLists& lists,
                        char* error_buffer) {
  const HttpRequest& request = transfer.request();
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_buffer);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  // A transfer that ends while its name is looked up must not wait for getaddrinfo: the loop serves all others.
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, receive_buffer_bytes(request));
  curl_easy_setopt(easy, CURLOPT_USERAGENT, options.user_agent.c_str());
  // Our own timers (Transfer::due) are exact about phases; libcurl's must not fire before them (0 = 300 s).
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 3'600'000L);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &header_came);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &body_came);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, &about_to_send);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, &transfer);
  set_method(easy, transfer);
  set_headers(easy, request, lists);
  set_tls(easy, request.tls);
  set_way(easy, request, lists);
  if (!request.negotiate) return ok();
  if (!has_negotiate()) {
    return Error(Code::unsupported, transfer.describe() + ": this libcurl was built without SPNEGO, which Kerberos needs");
  }
  curl_easy_setopt(easy, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_NEGOTIATE));
  curl_easy_setopt(easy, CURLOPT_USERPWD, ":");
  return ok();
}

}  // namespace hearth

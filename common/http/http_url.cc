#include "common/http/http_url.h"

#include <algorithm>
#include <cctype>

namespace hearth {
namespace {

constexpr std::size_t max_url_bytes = 64U << 10;

Error bad_url(std::string_view why) {
  return Error(Code::invalid_argument, "a URL for an HTTP request " + std::string(why) +
                                           "; expected http://host:port/path or https://, already percent-encoded");
}

}  // namespace

std::string HttpUrl::printable() const { return origin() + target.substr(0, target.find('?')); }

Result<HttpUrl> parse_http_url(std::string_view url) {
  if (url.size() > max_url_bytes) return bad_url("is longer than 64 KiB");
  const auto forbidden = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; };
  if (std::any_of(url.begin(), url.end(), forbidden)) return bad_url("contains a space or control character");
  const auto colon = url.find("://");
  if (colon == std::string_view::npos) return bad_url("has no scheme");
  HttpUrl parsed;
  parsed.scheme = url.substr(0, colon);
  for (char& c : parsed.scheme) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (parsed.scheme != "http" && parsed.scheme != "https") return bad_url("has another scheme than http or https");
  url.remove_prefix(colon + 3);
  const auto end = std::min(url.find_first_of("/?#"), url.size());
  parsed.authority = url.substr(0, end);
  parsed.target = url.substr(end);
  if (parsed.authority.empty()) return bad_url("names no host");
  if (parsed.authority.find('@') != std::string::npos) return bad_url("contains credentials, which never travel in one");
  if (parsed.target.find('#') != std::string::npos) return bad_url("contains a literal #; write it as %23");
  return parsed;
}

}  // namespace hearth

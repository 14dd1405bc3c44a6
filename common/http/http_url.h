// The parts of a URL that decide where a request goes. Nothing is decoded or normalised.
//
// Fails: invalid_argument (not http or https, credentials inside, control characters, no host).
#pragma once

#include <hearth/result.h>

#include <string>
#include <string_view>

namespace hearth {

struct HttpUrl {
  std::string scheme;     // "http" or "https", lower case
  std::string authority;  // host[:port] as written, IPv6 in brackets
  std::string target;     // path and query as written, from the first "/" or "?"; "" when there is none
  std::string origin() const { return scheme + "://" + authority; }
  // Without the query: it may hold tokens.
  std::string printable() const;
};

Result<HttpUrl> parse_http_url(std::string_view url);

}  // namespace hearth

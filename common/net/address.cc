#include "common/net/stream.h"

#include <charconv>

namespace hearth {
namespace {

constexpr std::string_view unix_prefix = "unix:";
constexpr std::size_t max_unix_path_bytes = 107;  // sun_path is 108 with its end

Error bad_address(std::string_view text, std::string_view why) {
  return Error(Code::invalid_argument, "address '" + std::string(text) + "' " + std::string(why) +
                                           "; write host:port, [ipv6]:port or unix:/path");
}

}  // namespace

Result<Address> Address::parse(std::string_view text) {
  if (text.starts_with(unix_prefix)) {
    const std::string_view path = text.substr(unix_prefix.size());
    if (path.empty() || path.front() != '/') return bad_address(text, "needs an absolute socket path");
    if (path.size() > max_unix_path_bytes) return bad_address(text, "has a socket path of more than 107 bytes");
    if (path.find('\0') != path.npos) return bad_address(text, "has a zero byte in its path");
    return Address{.kind = Kind::unix_socket, .host = std::string(path)};
  }
  std::string_view host;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find("]:");
    if (end == text.npos) return bad_address(text, "has no ]:port");
    host = text.substr(1, end - 1);
    port = text.substr(end + 2);
  } else {
    const std::size_t colon = text.rfind(':');
    if (colon == text.npos) return bad_address(text, "has no port");
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.find(':') != host.npos) return bad_address(text, "is IPv6 without brackets");
  }
  if (host.empty()) return bad_address(text, "has no host");
  if (host.size() > 253 || host.find_first_of(" \t\r\n/\\\0") != host.npos)
    return bad_address(text, "has no valid host");
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number > 65535) {
    return bad_address(text, "needs a port between 0 and 65535");
  }
  return Address{.kind = Kind::tcp, .host = std::string(host), .port = static_cast<std::uint16_t>(number)};
}

std::string Address::to_string() const {
  if (kind == Kind::unix_socket) return std::string(unix_prefix) + host;
  const bool bare_ipv6 = host.find(':') != host.npos;
  return (bare_ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace hearth

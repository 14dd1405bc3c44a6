#include "understore/hdfs/hdfs_options.h"

#include "understore/hdfs/url_text.h"
#include "understore/store_path.h"

#include <algorithm>
#include <charconv>

namespace hearth::hdfs {
namespace {

constexpr std::string_view default_http_port = "9870";   // dfs.namenode.http-address
constexpr std::string_view default_https_port = "9871";  // dfs.namenode.https-address

Error bad_uri(std::string_view uri, std::string_view why) {
  return Error(Code::invalid_argument, "under-store URI " + printable_path(uri) + " " + std::string(why));
}
Error bad_option(std::string_view name, std::string_view value, std::string_view expected) {
  return Error(Code::invalid_argument, "the option " + std::string(name) + " is " + printable_path(value) + "; expected " +
                                           std::string(expected));
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto end = std::min(text.find(','), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// "host", "host:port", "[v6]:port".
struct HostPort {
  std::string host;
  std::string port;
};
std::optional<HostPort> host_port_of(std::string_view text) {
  constexpr std::string_view host_characters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._[]:%";
  if (text.empty() || text.find_first_not_of(host_characters) != std::string_view::npos) return std::nullopt;
  const auto bracket = text.find(']');
  const auto colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
  HostPort parsed{.host = std::string(text.substr(0, colon)), .port = ""};
  if (colon != std::string_view::npos) parsed.port = text.substr(colon + 1);
  std::uint16_t number = 0;
  const char* end = parsed.port.data() + parsed.port.size();
  const bool bad_port = colon != std::string_view::npos &&
                        (std::from_chars(parsed.port.data(), end, number).ptr != end || number == 0);
  if (parsed.host.empty() || bad_port) return std::nullopt;
  return parsed;
}

const std::string* option(const StoreOptions& options, const char* name) {
  const auto found = options.find(name);
  return found == options.end() ? nullptr : &found->second;
}

Result<std::optional<std::uint32_t>> number_option(const StoreOptions& options, const char* name) {
  const std::string* text = option(options, name);
  if (text == nullptr) return std::optional<std::uint32_t>();
  std::uint32_t value = 0;
  const char* end = text->data() + text->size();
  if (text->empty() || std::from_chars(text->data(), end, value).ptr != end) return bad_option(name, *text, "a number");
  return std::optional<std::uint32_t>(value);
}

Status set_root(HdfsOptions& parsed, std::string_view uri, std::string_view path) {
  if (path.find_first_of("?#") != std::string_view::npos) return bad_uri(uri, "contains ? or #; write them as %3F and %23");
  auto decoded = decode(path);
  if (!decoded || !is_utf8(*decoded)) return bad_uri(uri, "has a path that is not percent-encoded UTF-8");
  while (!decoded->empty() && decoded->back() == '/') decoded->pop_back();
  if (!decoded->empty()) CHECK_OK(check_store_path(std::string_view(*decoded).substr(1)));
  parsed.root = std::move(*decoded);
  return ok();
}

// webhdfs and swebhdfs name the HTTP address itself; hdfs names the RPC address, or a nameservice that only options explain.
Status set_namenodes(HdfsOptions& parsed, std::string_view uri, const StoreUri& split_uri, std::string_view authority,
                     const StoreOptions& options) {
  const std::string* addresses = option(options, "http_address");
  const std::string* port = option(options, "http_port");
  const std::string default_port(parsed.scheme == "https" ? default_https_port : default_http_port);
  const bool from_uri = addresses == nullptr;
  for (const std::string& each : from_uri ? split(authority) : split(*addresses)) {
    auto parts = host_port_of(each);
    if (!parts) {
      if (from_uri) return bad_uri(uri, "has no usable host; expected for example hdfs://namenode:8020/path");
      return bad_option("http_address", *addresses, "host:port of the namenodes' HTTP servers, separated by commas");
    }
    const bool rpc_port = from_uri && split_uri.scheme == "hdfs";
    if (parts->port.empty() || rpc_port) parts->port = port != nullptr ? *port : default_port;
    parsed.namenodes.push_back(parts->host + ":" + parts->port);
  }
  if (parsed.namenodes.empty()) {
    return bad_uri(uri, "names no namenode; expected hdfs://host:port/path, or set the option http_address");
  }
  if (port != nullptr && !host_port_of("host:" + *port)) return bad_option("http_port", *port, "a port number");
  return ok();
}

Status set_login(HdfsOptions& parsed, const StoreOptions& options) {
  if (const std::string* user = option(options, "user")) parsed.user = *user;
  if (const std::string* file = option(options, "delegation_token_file")) {
    if (file->empty() || file->front() != '/') return bad_option("delegation_token_file", *file, "an absolute path");
    parsed.token_file = *file;
    parsed.login = Login::token;
  }
  const std::string* login = option(options, "auth");
  if (login == nullptr) return ok();
  if (*login == "simple") {
    parsed.login = Login::simple;
  } else if (*login == "kerberos") {
    parsed.login = Login::kerberos;
  } else if (*login == "token") {
    if (parsed.token_file.empty()) return bad_option("auth", *login, "delegation_token_file beside it");
    parsed.login = Login::token;
  } else {
    return bad_option("auth", *login, "simple, kerberos or token");
  }
  return ok();
}

Status set_host_map(HdfsOptions& parsed, const StoreOptions& options) {
  const std::string* text = option(options, "host_map");
  if (text == nullptr) return ok();
  for (const std::string& each : split(*text)) {
    const auto equals = each.find('=');
    const bool whole = equals != std::string::npos && host_port_of(std::string_view(each).substr(0, equals)) &&
                       host_port_of(std::string_view(each).substr(equals + 1));
    if (!whole) return bad_option("host_map", *text, "datanode:port=address:port, separated by commas");
    parsed.host_map[each.substr(0, equals)] = each.substr(equals + 1);
  }
  return ok();
}

Status set_rest(HdfsOptions& parsed, const StoreOptions& options) {
  const std::pair<const char*, std::string*> texts[] = {{"ca_file", &parsed.ca_file},
                                                        {"client_certificate", &parsed.client_certificate},
                                                        {"client_key", &parsed.client_key},
                                                        {"proxy", &parsed.proxy}};
  for (const auto& [name, target] : texts) {
    if (const std::string* text = option(options, name)) *target = *text;
  }
  if (const std::string* inodes = option(options, "inode_paths")) {
    if (*inodes != "on" && *inodes != "off") return bad_option("inode_paths", *inodes, "on or off");
    parsed.inode_paths = *inodes == "on" ? InodePaths::yes : InodePaths::no;
  }
  TRY(uid, number_option(options, "uid"));
  TRY(gid, number_option(options, "gid"));
  parsed.uid = uid;
  parsed.gid = gid;
  return ok();
}

}  // namespace

const std::vector<std::string_view>& hdfs_option_names() {
  static const std::vector<std::string_view> names{
      "http_address", "http_port", "tls", "user", "auth", "delegation_token_file", "host_map", "inode_paths",
      "ca_file", "client_certificate", "client_key", "proxy", "uid", "gid"};
  return names;
}

Result<HdfsOptions> parse_hdfs_options(std::string_view uri, const StoreOptions& options) {
  TRY(split_uri, parse_store_uri(uri));
  CHECK_OK(check_store_option_names(uri, options, hdfs_option_names()));
  HdfsOptions parsed;
  const std::string* tls = option(options, "tls");
  if (tls != nullptr && *tls != "on" && *tls != "off") return bad_option("tls", *tls, "on or off");
  const bool contradicts = tls != nullptr && ((split_uri.scheme == "swebhdfs" && *tls == "off") ||
                                              (split_uri.scheme == "webhdfs" && *tls == "on"));
  if (contradicts) return bad_option("tls", *tls, "nothing beside " + split_uri.scheme + "://, which says it already");
  parsed.scheme = split_uri.scheme == "swebhdfs" || (tls != nullptr && *tls == "on") ? "https" : "http";
  const auto slash = std::min(split_uri.rest.find('/'), split_uri.rest.size());
  const std::string authority = split_uri.rest.substr(0, slash);
  if (authority.find('@') != std::string::npos) return bad_uri(uri, "contains a user; use the option user");
  CHECK_OK(set_root(parsed, uri, split_uri.rest.substr(slash)));
  CHECK_OK(set_namenodes(parsed, uri, split_uri, authority, options));
  CHECK_OK(set_login(parsed, options));
  CHECK_OK(set_host_map(parsed, options));
  CHECK_OK(set_rest(parsed, options));
  parsed.uri = split_uri.scheme + "://" + authority + (parsed.root.empty() ? "/" : encode_path(parsed.root));
  return parsed;
}

std::optional<std::string> mapped_address(const std::map<std::string, std::string>& host_map, std::string_view authority) {
  const auto parts = host_port_of(authority);
  if (!parts) return std::nullopt;
  auto found = host_map.find(std::string(authority));
  if (found == host_map.end()) found = host_map.find(parts->host);
  if (found == host_map.end()) return std::nullopt;
  const auto target = host_port_of(found->second);
  if (!target) return std::nullopt;
  const std::string& port = target->port.empty() ? parts->port : target->port;
  return port.empty() ? target->host : target->host + ":" + port;
}

}  // namespace hearth::hdfs

#include "understore/hdfs/webhdfs_double.h"

#include "understore/hdfs/url_text.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <map>
#include <mutex>
#include <set>

namespace hearth::hdfs {
namespace {

constexpr std::string_view service = "/webhdfs/v1";

using Parameters = std::map<std::string, std::string>;

struct Operation {
  std::string_view name;
  std::string_view method;
  std::vector<std::string_view> parameters;
};

const std::vector<Operation>& operations() {
  static const std::vector<Operation> all{
      {"OPEN", "GET", {"offset", "length", "excludedatanodes"}},
      {"GETFILESTATUS", "GET", {}},
      {"LISTSTATUS", "GET", {}},
      {"LISTSTATUS_BATCH", "GET", {"startAfter"}},
      {"GETFILECHECKSUM", "GET", {}},
      {"GETCONTENTSUMMARY", "GET", {}},
      {"CREATE", "PUT", {"overwrite", "createparent", "permission", "excludedatanodes"}},
      {"MKDIRS", "PUT", {"permission"}},
      {"RENAME", "PUT", {"destination", "renameoptions"}},
      {"SETPERMISSION", "PUT", {"permission"}},
      {"SETOWNER", "PUT", {"owner", "group"}},
      {"SETTIMES", "PUT", {"modificationtime", "accesstime"}},
      {"APPEND", "POST", {"excludedatanodes"}},
      {"DELETE", "DELETE", {"recursive"}}};
  return all;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    constexpr std::string_view digits = "0123456789abcdef";
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20) {
      out += "\\u00";
      out += {digits[byte / 16], digits[byte % 16]};
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string octal(std::uint32_t mode) {
  std::array<char, 12> digits{};
  return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), mode, 8).ptr};
}

std::uint64_t number_of(const Parameters& parameters, const std::string& name, std::uint64_t fallback, int base = 10) {
  const auto found = parameters.find(name);
  std::uint64_t value = fallback;
  if (found != parameters.end()) {
    std::from_chars(found->second.data(), found->second.data() + found->second.size(), value, base);
  }
  return value;
}

std::string text_of(const Parameters& parameters, const std::string& name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::string() : found->second;
}

std::string status_json(const DoubleTree::Node& node, const std::string& suffix) {
  const char* type = node.is_directory ? "DIRECTORY" : node.symlink_target.empty() ? "FILE" : "SYMLINK";
  std::string json = "{\"accessTime\":0,\"blockSize\":134217728,\"childrenNum\":" + std::to_string(node.children.size()) +
                     ",\"fileId\":" + std::to_string(node.id) + ",\"group\":\"" + escaped(node.group) +
                     "\",\"length\":" + std::to_string(node.content.size()) +
                     ",\"modificationTime\":" + std::to_string(node.modified_ms) + ",\"owner\":\"" + escaped(node.owner) +
                     "\",\"pathSuffix\":\"" + escaped(suffix) + "\",\"permission\":\"" + octal(node.mode) +
                     "\",\"replication\":1,\"storagePolicy\":0";
  if (!node.symlink_target.empty()) json += ",\"symlink\":\"" + escaped(node.symlink_target) + "\"";
  return json + ",\"type\":\"" + type + "\"}";
}

TestReply json_reply(std::string body) {
  return {.headers = {{"Content-Type", "application/json"}}, .body = std::move(body), .framing = TestFraming::chunked};
}
TestReply boolean_reply(bool value) { return json_reply(std::string("{\"boolean\":") + (value ? "true" : "false") + "}"); }

DoubleException illegal(const std::string& message) {
  return {.status = 400, .name = "IllegalArgumentException", .class_name = "java.lang.IllegalArgumentException", .message = message};
}

// What a careful client never sends raw in a target.
bool is_properly_encoded(std::string_view target) {
  constexpr std::string_view allowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/%?&=:@,;";
  return target.find_first_not_of(allowed) == std::string_view::npos;
}

}  // namespace

struct WebHdfsDouble::Impl {
  struct Parsed {
    DoubleRequest request;
    Parameters parameters;
    std::optional<DoubleException> wrong;
  };

  TestReply serve(DoubleRequest::Role role, std::size_t namenode, const TestRequest& request);
  Parsed parse(const TestRequest& request) const;
  std::optional<DoubleException> check_login(const Parameters& parameters) const;
  TestReply namenode_answer(const Parsed& parsed, const TestRequest& request);
  TestReply datanode_answer(const Parsed& parsed, const TestRequest& request);
  TestReply redirect(const Parsed& parsed, const TestRequest& request) const;
  TestReply status_or_listing(const Parsed& parsed);
  TestReply change(const Parsed& parsed);
  TestReply content(const Parsed& parsed);
  template <class T>
  static TestReply done(const DoubleOutcome<T>& outcome, TestReply success) {
    return outcome.value ? success : exception(outcome.exception);
  }

  // Set once
  WebHdfsDoubleOptions options;
  std::vector<std::unique_ptr<TestServer>> namenodes;
  std::unique_ptr<TestServer> datanode;
  std::atomic<std::uint64_t> requests{0};
  std::mutex mutex;
  // Guarded by mutex
  DoubleTree tree;
  std::set<std::size_t> standby;
  bool safe_mode = false;
  std::string advertised;
  std::function<std::optional<TestReply>(const DoubleRequest&)> before;
  std::function<void(const DoubleRequest&, TestReply&)> after;
};

TestReply WebHdfsDouble::exception(const DoubleException& thrown) {
  TestReply reply = json_reply("{\"RemoteException\":{\"exception\":\"" + thrown.name + "\",\"javaClassName\":\"" +
                               thrown.class_name + "\",\"message\":\"" + escaped(thrown.message) + "\"}}");
  reply.status = thrown.status;
  return reply;
}

WebHdfsDouble::Impl::Parsed WebHdfsDouble::Impl::parse(const TestRequest& request) const {
  Parsed parsed;
  const auto wrong = [&parsed](const std::string& why) {
    parsed.wrong = illegal(why);
    return parsed;
  };
  if (!is_properly_encoded(request.target)) return wrong("the target has characters that belong encoded");
  const auto path = decode(request.path());
  if (!path || !path->starts_with(service)) return wrong("not a path of " + std::string(service));
  parsed.request.path = path->substr(service.size());
  std::string_view rest = request.query();
  while (!rest.empty()) {
    const std::string_view each = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(each.size() + 1, rest.size()));
    const auto equals = std::min(each.find('='), each.size());
    const auto value = decode(each.substr(std::min(equals + 1, each.size())));
    if (!value) return wrong("a parameter is not properly encoded");
    if (!parsed.parameters.emplace(std::string(each.substr(0, equals)), *value).second) return wrong("a parameter came twice");
  }
  parsed.request.operation = text_of(parsed.parameters, "op");
  const auto operation = std::find_if(operations().begin(), operations().end(),
                                      [&](const Operation& each) { return each.name == parsed.request.operation; });
  if (operation == operations().end()) return wrong("Invalid value for webhdfs parameter \"op\"");
  if (operation->method != request.method) return wrong("the operation wants " + std::string(operation->method));
  const std::set<std::string> always{"op", "user.name", "delegation", "namenoderpcaddress"};
  for (const auto& [name, value] : parsed.parameters) {
    const bool known = always.contains(name) || std::find(operation->parameters.begin(), operation->parameters.end(), name) !=
                                                    operation->parameters.end();
    if (!known) return wrong("unknown parameter " + name);
  }
  return parsed;
}

std::optional<DoubleException> WebHdfsDouble::Impl::check_login(const Parameters& parameters) const {
  const std::string token = text_of(parameters, "delegation");
  const std::string user = text_of(parameters, "user.name");
  if (!options.required_token.empty() && token != options.required_token) {
    return DoubleException{.status = 403, .name = "SecurityException", .class_name = "java.lang.SecurityException",
                           .message = "Failed to obtain user group information: org.apache.hadoop.security.token.SecretManager$InvalidToken: token can't be found in cache"};
  }
  const bool user_is_right = options.required_user.empty() ? !user.empty() || !token.empty() : user == options.required_user;
  if (options.required_token.empty() && !user_is_right) {
    return DoubleException{.status = 401, .name = "AccessControlException", .class_name = "org.apache.hadoop.security.AccessControlException", .message = "Permission denied: user=" + user};
  }
  return std::nullopt;
}

TestReply WebHdfsDouble::Impl::serve(DoubleRequest::Role role, std::size_t namenode, const TestRequest& request) {
  Parsed parsed = parse(request);
  parsed.request.role = role;
  parsed.request.namenode = namenode;
  parsed.request.number = requests++;
  if (parsed.wrong) return exception(*parsed.wrong);
  std::function<std::optional<TestReply>(const DoubleRequest&)> first;
  std::function<void(const DoubleRequest&, TestReply&)> last;
  {
    const std::lock_guard lock(mutex);
    first = before;
    last = after;
  }
  std::optional<TestReply> scripted = first ? first(parsed.request) : std::nullopt;
  TestReply reply;
  if (scripted) {
    reply = std::move(*scripted);
  } else if (const auto refused = check_login(parsed.parameters)) {
    reply = exception(*refused);
  } else {
    const std::lock_guard lock(mutex);
    reply = role == DoubleRequest::Role::namenode ? namenode_answer(parsed, request) : datanode_answer(parsed, request);
  }
  if (last) last(parsed.request, reply);
  return reply;
}

TestReply WebHdfsDouble::Impl::namenode_answer(const Parsed& parsed, const TestRequest& request) {
  const std::string& operation = parsed.request.operation;
  if (standby.contains(parsed.request.namenode)) {
    return exception({.status = 403, .name = "StandbyException", .class_name = "org.apache.hadoop.ipc.StandbyException",
                      .message = "Operation category READ is not supported in state standby"});
  }
  const bool changes = request.method != "GET";
  if (changes && safe_mode) {
    return exception({.status = 403, .name = "SafeModeException", .class_name = "org.apache.hadoop.hdfs.server.namenode.SafeModeException",
                      .message = "Cannot " + operation + " " + parsed.request.path + ". Name node is in safe mode."});
  }
  const bool httpfs = options.kind == WebHdfsDoubleOptions::Kind::httpfs;
  if (httpfs && parsed.request.path.starts_with("/.reserved")) return exception(DoubleTree::not_found(parsed.request.path));
  if (operation == "CREATE" || operation == "APPEND") {
    if (!request.body.empty()) return exception(illegal("content belongs to a datanode"));
    return redirect(parsed, request);
  }
  if (operation == "OPEN" || operation == "GETFILECHECKSUM") {
    const auto node = tree.find(parsed.request.path);
    if (!node || node->is_directory) return exception(DoubleTree::not_found(parsed.request.path));
    const std::uint64_t offset = number_of(parsed.parameters, "offset", 0);
    const std::uint64_t size = node->content.size();
    if (operation == "OPEN" && offset >= size && size > 0) {
      return exception({.status = 403, .name = "IOException", .class_name = "java.io.IOException",
                        .message = "Offset=" + std::to_string(offset) + " out of the range [0, " + std::to_string(size) + ")"});
    }
    return httpfs ? content(parsed) : redirect(parsed, request);
  }
  return changes ? change(parsed) : status_or_listing(parsed);
}

// The namenode copies what it was asked and adds itself; tokens travel on, as the real one lets them.
TestReply WebHdfsDouble::Impl::redirect(const Parsed& parsed, const TestRequest& request) const {
  const std::string excluded = text_of(parsed.parameters, "excludedatanodes");
  const std::string host = advertised.substr(0, advertised.rfind(':'));
  if (("," + excluded + ",").find("," + host + ",") != std::string::npos) {
    return exception({.status = 403, .name = "IOException", .class_name = "java.io.IOException",
                      .message = "Failed to find datanode, suggest to check cluster health. excludeDatanodes=" + excluded});
  }
  const std::string scheme = options.server.certificate_file.empty() ? "http://" : "https://";
  return {.status = 307,
          .headers = {{"Location", scheme + advertised + std::string(request.path()) + "?" + std::string(request.query()) +
                                       "&namenoderpcaddress=127.0.0.1:8020"}}};
}

TestReply WebHdfsDouble::Impl::status_or_listing(const Parsed& parsed) {
  const std::string& operation = parsed.request.operation;
  const auto node = tree.find(parsed.request.path);
  if (!node) return exception(DoubleTree::not_found(parsed.request.path));
  if (operation == "GETFILESTATUS") return json_reply("{\"FileStatus\":" + status_json(*node, "") + "}");
  if (operation == "GETCONTENTSUMMARY") {
    std::uint64_t files = 0;
    std::uint64_t directories = 0;
    std::uint64_t length = 0;
    std::vector<DoubleTree::NodeHandle> open{node};
    while (!open.empty()) {
      const auto each = open.back();
      open.pop_back();
      (each->is_directory ? directories : files) += 1;
      length += each->content.size();
      for (const auto& [name, child] : each->children) open.push_back(child);
    }
    return json_reply("{\"ContentSummary\":{\"directoryCount\":" + std::to_string(directories) + ",\"fileCount\":" +
                      std::to_string(files) + ",\"length\":" + std::to_string(length) + ",\"quota\":-1,\"spaceConsumed\":" +
                      std::to_string(length) + ",\"spaceQuota\":-1}}");
  }
  std::string entries;
  std::size_t listed = 0;
  std::size_t remaining = 0;
  if (!node->is_directory) entries = status_json(*node, "");
  const std::string after = text_of(parsed.parameters, "startAfter");
  const bool batch = operation == "LISTSTATUS_BATCH";
  for (const auto& [name, child] : node->children) {
    if (batch && !after.empty() && name <= after) continue;
    if (batch && listed == options.listing_limit) {
      ++remaining;
      continue;
    }
    entries += (entries.empty() ? "" : ",") + status_json(*child, name);
    ++listed;
  }
  const std::string statuses = "{\"FileStatuses\":{\"FileStatus\":[" + entries + "]}}";
  if (!batch) return json_reply(statuses);
  return json_reply("{\"DirectoryListing\":{\"partialListing\":" + statuses + ",\"remainingEntries\":" + std::to_string(remaining) + "}}");
}

TestReply WebHdfsDouble::Impl::change(const Parsed& parsed) {
  const std::string& operation = parsed.request.operation;
  const std::string& path = parsed.request.path;
  const Parameters& parameters = parsed.parameters;
  if (operation == "MKDIRS") {
    const auto mode = static_cast<std::uint32_t>(number_of(parameters, "permission", 0755, 8));
    return done(tree.make_directories(path, mode), boolean_reply(true));
  }
  if (operation == "DELETE") {
    const auto outcome = tree.remove(path, text_of(parameters, "recursive") == "true" ? DoubleTree::Depth::whole : DoubleTree::Depth::single);
    return done(outcome, boolean_reply(outcome.value.value_or(false)));
  }
  if (operation == "RENAME") {
    const std::string to = text_of(parameters, "destination");
    const std::string how = options.kind == WebHdfsDoubleOptions::Kind::webhdfs ? text_of(parameters, "renameoptions") : "";
    if (how == "OVERWRITE") return done(tree.rename_over(path, to), TestReply{});
    if (how == "NONE") return done(tree.rename_new(path, to), TestReply{});
    return boolean_reply(tree.rename_plain(path, to).value.value_or(false));
  }
  const auto node = tree.find(path);
  if (!node) return exception(DoubleTree::not_found(path));
  if (operation == "SETPERMISSION") node->mode = static_cast<std::uint32_t>(number_of(parameters, "permission", 0755, 8));
  if (operation == "SETTIMES") node->modified_ms = static_cast<std::int64_t>(number_of(parameters, "modificationtime", 0));
  if (operation == "SETOWNER") {
    if (parameters.contains("owner")) node->owner = text_of(parameters, "owner");
    if (parameters.contains("group")) node->group = text_of(parameters, "group");
  }
  return {};
}

TestReply WebHdfsDouble::Impl::content(const Parsed& parsed) {
  const auto node = tree.find(parsed.request.path);
  if (!node || node->is_directory) return exception(DoubleTree::not_found(parsed.request.path));
  if (parsed.request.operation == "GETFILECHECKSUM") {
    return json_reply("{\"FileChecksum\":{\"algorithm\":\"MD5-of-1MD5-of-512CRC32C\",\"bytes\":\"00112233\",\"length\":28}}");
  }
  const std::uint64_t offset = std::min<std::uint64_t>(number_of(parsed.parameters, "offset", 0), node->content.size());
  const std::uint64_t length = number_of(parsed.parameters, "length", node->content.size());
  return {.headers = {{"Content-Type", "application/octet-stream"}}, .body = node->content.substr(offset, length)};
}

TestReply WebHdfsDouble::Impl::datanode_answer(const Parsed& parsed, const TestRequest& request) {
  const std::string& operation = parsed.request.operation;
  if (!parsed.parameters.contains("namenoderpcaddress")) return exception(illegal("the datanode was not asked by redirect"));
  if (operation == "OPEN" || operation == "GETFILECHECKSUM") {
    TestReply reply = content(parsed);
    reply.ending = TestEnding::close_announced;
    return reply;
  }
  if (operation != "CREATE" && operation != "APPEND") return exception(illegal("not an operation of datanodes"));
  const bool typed = request.header("Content-Type") == "application/octet-stream" && request.header("Content-Length");
  if (!typed) return exception(illegal("content without its type and length"));
  if (operation == "APPEND") return done(tree.append(parsed.request.path, request.body), TestReply{});
  const auto existing = text_of(parsed.parameters, "overwrite") == "true" ? DoubleTree::Existing::replace : DoubleTree::Existing::refuse;
  const bool require = text_of(parsed.parameters, "createparent") == "false" && options.kind == WebHdfsDoubleOptions::Kind::webhdfs;
  const auto parents = require ? DoubleTree::Parents::require : DoubleTree::Parents::make;
  return done(tree.create(parsed.request.path, request.body, existing, parents),
              TestReply{.status = 201, .ending = TestEnding::close_announced});
}

WebHdfsDouble::WebHdfsDouble(WebHdfsDoubleOptions options) : impl_(std::make_unique<Impl>()) {
  impl_->options = std::move(options);
  Impl* const impl = impl_.get();
  const auto of_datanode = [impl](const TestRequest& request) { return impl->serve(DoubleRequest::Role::datanode, 0, request); };
  impl->datanode = std::make_unique<TestServer>(of_datanode, impl->options.server);
  const std::string host = impl->options.server.certificate_file.empty() ? "127.0.0.1:" : "localhost:";
  impl->advertised = host + std::to_string(impl->datanode->port());
  for (std::size_t i = 0; i < impl->options.namenodes; ++i) {
    const auto handler = [impl, i](const TestRequest& request) { return impl->serve(DoubleRequest::Role::namenode, i, request); };
    impl->namenodes.push_back(std::make_unique<TestServer>(handler, impl->options.server));
  }
}

WebHdfsDouble::~WebHdfsDouble() { stop(); }

std::string WebHdfsDouble::http_address() const {
  std::string text;
  const std::string host = impl_->options.server.certificate_file.empty() ? "127.0.0.1:" : "localhost:";
  for (const auto& each : impl_->namenodes) text += (text.empty() ? "" : ",") + host + std::to_string(each->port());
  return text;
}
std::uint16_t WebHdfsDouble::datanode_port() const { return impl_->datanode->port(); }

void WebHdfsDouble::edit(const std::function<void(DoubleTree&)>& work) {
  const std::lock_guard lock(impl_->mutex);
  work(impl_->tree);
}
void WebHdfsDouble::put(const std::string& path, const std::string& content) {
  edit([&](DoubleTree& tree) { tree.create(path, content, DoubleTree::Existing::replace, DoubleTree::Parents::make); });
}
void WebHdfsDouble::make_standby(std::size_t namenode) {
  const std::lock_guard lock(impl_->mutex);
  impl_->standby.insert(namenode);
}
void WebHdfsDouble::make_active(std::size_t namenode) {
  const std::lock_guard lock(impl_->mutex);
  impl_->standby.erase(namenode);
}
void WebHdfsDouble::enter_safe_mode() {
  const std::lock_guard lock(impl_->mutex);
  impl_->safe_mode = true;
}
void WebHdfsDouble::advertise_datanode(const std::string& authority) {
  const std::lock_guard lock(impl_->mutex);
  impl_->advertised = authority;
}
void WebHdfsDouble::stop_namenode(std::size_t namenode) { impl_->namenodes.at(namenode)->stop(); }
void WebHdfsDouble::stop_datanode() { impl_->datanode->stop(); }
void WebHdfsDouble::stop() {
  for (const auto& each : impl_->namenodes) each->stop();
  impl_->datanode->stop();
}
void WebHdfsDouble::on_request(std::function<std::optional<TestReply>(const DoubleRequest&)> hook) {
  const std::lock_guard lock(impl_->mutex);
  impl_->before = std::move(hook);
}
void WebHdfsDouble::on_reply(std::function<void(const DoubleRequest&, TestReply&)> hook) {
  const std::lock_guard lock(impl_->mutex);
  impl_->after = std::move(hook);
}
std::uint64_t WebHdfsDouble::requests() const { return impl_->requests.load(); }
std::vector<TestRequest> WebHdfsDouble::namenode_log(std::size_t namenode) const { return impl_->namenodes.at(namenode)->log(); }
std::vector<TestRequest> WebHdfsDouble::datanode_log() const { return impl_->datanode->log(); }

}  // namespace hearth::hdfs

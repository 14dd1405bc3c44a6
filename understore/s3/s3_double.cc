#include "understore/s3/s3_double.h"

#include "understore/s3/digest.h"
#include "understore/s3/double_call.h"

#include <algorithm>
#include <array>

namespace hearth::s3 {

using Kind = DoubleFault::Kind;
using namespace double_text;  // NOLINT: one vocabulary, a source file
namespace {

std::map<std::string, std::string> parse_query(std::string_view raw) {
  std::map<std::string, std::string> query;
  while (!raw.empty()) {
    const auto end = std::min(raw.find('&'), raw.size());
    const std::string_view item = raw.substr(0, end);
    const auto equals = std::min(item.find('='), item.size());
    query[double_percent_decode(item.substr(0, equals))] = double_percent_decode(item.substr(std::min(equals + 1, item.size())));
    raw.remove_prefix(std::min(end + 1, raw.size()));
  }
  return query;
}

std::string operation_of(const TestRequest& request, const std::string& key, const std::map<std::string, std::string>& query) {
  const std::string& method = request.method;
  if (key.empty()) {
    if (query.contains("uploads")) return "ListMultipartUploads";
    if (query.contains("delete")) return "DeleteObjects";
    return method == "GET" ? "ListObjectsV2" : "HeadBucket";
  }
  const bool copies = request.header("x-amz-copy-source").has_value();
  if (method == "GET") return "GetObject";
  if (method == "HEAD") return "HeadObject";
  if (query.contains("uploads")) return "CreateMultipartUpload";
  if (query.contains("uploadId") && method == "PUT") return copies ? "UploadPartCopy" : "UploadPart";
  if (query.contains("uploadId")) return method == "POST" ? "CompleteMultipartUpload" : "AbortMultipartUpload";
  if (method == "PUT") return copies ? "CopyObject" : "PutObject";
  return "DeleteObject";
}

template <class Number>
std::array<Number, 256> crc_table(Number polynomial) {
  std::array<Number, 256> table{};
  for (unsigned i = 0; i < 256; ++i) {
    Number crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
    table[i] = crc;
  }
  return table;
}

// What is wrong with the wire, whatever the operation answered.
void spoil(TestReply& reply, const DoubleFault& fault) {
  switch (fault.kind) {
    case Kind::delay: reply.delay_head = fault.delay; break;
    case Kind::cut_body: reply.cut_body_at = fault.at; break;
    case Kind::cut_before_length:
      reply.framing = TestFraming::until_close;
      reply.body.resize(std::min<std::size_t>(reply.body.size(), fault.at));
      break;
    case Kind::corrupt_body:
      if (!reply.body.empty()) reply.body[fault.at % reply.body.size()] ^= 0x10;
      break;
    case Kind::replace_body:
      reply.status = 200;
      reply.body = fault.text;
      break;
    case Kind::drop:
      reply.raw_head = "";
      reply.body.clear();
      reply.ending = TestEnding::close;
      break;
    default: break;
  }
}

}  // namespace

S3Double::S3Double(DoubleOptions options) : options_(std::move(options)) { come_back(); }

void S3Double::go_away() {
  options_.server.port = server_->port();
  server_->stop();
}

void S3Double::come_back() {
  server_ = std::make_unique<TestServer>([this](const TestRequest& request) { return answer(request); }, options_.server);
}

S3Double::Object S3Double::make_object(std::string content, const std::vector<HttpHeader>& headers) const {
  Object object{.content = std::move(content), .etag = "", .modified = options_.clock->wall_now(), .checksums = {}};
  object.etag = hex(md5(object.content));
  for (const HttpHeader& header : headers) {
    for (const char* name : {"x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme", "x-amz-checksum-sha256"}) {
      if (header.name == name) object.checksums.push_back(header);
    }
  }
  return object;
}

void S3Double::put(const std::string& key, std::string content) {
  const std::lock_guard lock(mutex_);
  objects_[key] = make_object(std::move(content), {});
}
void S3Double::put_made(const std::string& key, std::uint64_t length_bytes, Maker make) {
  const std::lock_guard lock(mutex_);
  Object object = make_object("", {});
  object.etag = hex(md5(key + " of " + std::to_string(length_bytes) + " bytes"));
  object.made_length = length_bytes;
  object.make = std::move(make);
  objects_[key] = std::move(object);
}
void S3Double::erase(const std::string& key) {
  const std::lock_guard lock(mutex_);
  objects_.erase(key);
}
std::optional<std::string> S3Double::content(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto at = objects_.find(key);
  if (at == objects_.end()) return std::nullopt;
  return at->second.content;
}
std::vector<std::string> S3Double::keys() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [key, object] : objects_) keys.push_back(key);
  return keys;
}
std::size_t S3Double::open_uploads() const {
  const std::lock_guard lock(mutex_);
  return uploads_.size();
}
void S3Double::add_open_upload(const std::string& key, const std::string& id, WallTime initiated) {
  const std::lock_guard lock(mutex_);
  uploads_[id] = Upload{.key = key, .initiated = initiated, .parts = {}};
}
void S3Double::prepare_switch(const std::string& key, std::string content) {
  const std::lock_guard lock(mutex_);
  switches_[key] = std::move(content);
}
void S3Double::at_request(const std::string& operation, std::uint64_t nth, DoubleFault fault) {
  const std::lock_guard lock(mutex_);
  scripted_[{operation, counts_[operation] + nth}] = std::move(fault);
}
void S3Double::always(const std::string& operation, DoubleFault fault) {
  const std::lock_guard lock(mutex_);
  always_[operation] = std::move(fault);
}
void S3Double::randomly(double probability, std::uint64_t seed, DoubleFault fault) {
  const std::lock_guard lock(mutex_);
  probability_ = probability;
  random_ = std::make_unique<SeededRng>(seed);
  random_fault_ = std::move(fault);
}
void S3Double::forgive() {
  const std::lock_guard lock(mutex_);
  scripted_.clear();
  always_.clear();
  switches_.clear();
  probability_ = 0;
  counts_.clear();
  operations_.clear();
  bytes_sent_ = 0;
  server_->clear_log();
}
void S3Double::set_identity(DoubleIdentity identity) {
  const std::lock_guard lock(mutex_);
  options_.identity = std::move(identity);
}
void S3Double::set_bucket_exists(bool exists) {
  const std::lock_guard lock(mutex_);
  bucket_exists_ = exists;
}
void S3Double::deny(const std::string& key_prefix) {
  const std::lock_guard lock(mutex_);
  denied_.push_back(key_prefix);
}
std::uint64_t S3Double::count(const std::string& operation) const {
  const std::lock_guard lock(mutex_);
  const auto at = counts_.find(operation);
  return at == counts_.end() ? 0 : at->second;
}
std::vector<TestRequest> S3Double::log_of(const std::string& operation) const {
  std::vector<TestRequest> found = server_->log();
  const std::lock_guard lock(mutex_);
  std::erase_if(found, [&](const TestRequest& request) {
    const auto at = operations_.find(request.number);
    return at == operations_.end() || at->second != operation;
  });
  return found;
}
std::uint64_t S3Double::bytes_sent() const {
  const std::lock_guard lock(mutex_);
  return bytes_sent_;
}

DoubleFault S3Double::fault_for(const std::string& operation) {
  DoubleFault fault;
  if (probability_ > 0 && random_->fraction() < probability_) fault = random_fault_;
  for (const std::string& name : {std::string(), operation}) {
    const std::uint64_t number = counts_[name]++;
    if (const auto at = always_.find(name); at != always_.end()) fault = at->second;
    if (const auto at = scripted_.find({name, number}); at != scripted_.end()) fault = at->second;
  }
  return fault;
}

TestReply S3Double::answer(const TestRequest& request) {
  const std::lock_guard lock(mutex_);
  std::string path = double_percent_decode(request.path());
  path.erase(0, 1);
  const auto slash = std::min(path.find('/'), path.size());
  const std::string bucket = path.substr(0, slash);
  Call call{.request = request, .operation = "", .key = path.substr(std::min(slash + 1, path.size())), .query = parse_query(request.query()), .body = "", .fault = {}, .request_id = "req-" + std::to_string(request.number)};
  call.operation = operation_of(request, call.key, call.query);
  operations_[request.number] = call.operation;
  call.fault = fault_for(call.operation);
  const WallTime now = options_.clock->wall_now();
  VerifiedBody verified = verify_request(request, options_.identity, now);
  TestReply reply;
  if (verified.refusal) {
    const std::string region = verified.refusal->code == "AuthorizationHeaderMalformed" ? "<Region>" + options_.identity.region + "</Region>" : "";
    reply = refusal(verified.refusal->status, verified.refusal->code, verified.refusal->message, call.request_id, region);
  } else if (bucket != options_.bucket || !bucket_exists_) {
    reply = refusal(404, "NoSuchBucket", "The specified bucket does not exist", call.request_id);
  } else {
    call.body = std::move(verified.body);
    reply = dispatch(call);
  }
  reply.headers.push_back({.name = "x-amz-request-id", .value = call.request_id});
  reply.headers.push_back({.name = "Date", .value = http_time(now)});
  spoil(reply, call.fault);
  if (request.method == "HEAD") {
    if (reply.status >= 300) reply.body.clear();
  }
  bytes_sent_ += reply.body.size();
  return reply;
}

TestReply S3Double::dispatch(Call& call) {
  if (call.fault.kind == Kind::slow_down) {
    TestReply busy = refusal(503, "SlowDown", "Please reduce your request rate.", call.request_id);
    busy.headers.push_back({.name = "Retry-After", .value = "1"});
    return busy;
  }
  if (call.fault.kind == Kind::refuse) return refusal(call.fault.status, call.fault.text, "as scripted", call.request_id);
  if (call.fault.kind == Kind::switch_version && switches_.contains(call.key)) {
    objects_[call.key] = make_object(switches_[call.key], {});
  }
  const std::string asked = call.operation == "ListObjectsV2" ? call.query["prefix"] : call.key;
  for (const std::string& prefix : denied_) {
    if (asked.starts_with(prefix)) return refusal(403, "AccessDenied", "Access Denied", call.request_id);
  }
  const std::string& operation = call.operation;
  if (operation == "GetObject" || operation == "HeadObject") return get_object(call);
  if (operation == "PutObject") return put_object(call);
  if (operation == "CopyObject") return copy_object(call);
  if (operation == "ListObjectsV2") return list_objects(call);
  if (operation == "CreateMultipartUpload") return begin_upload(call);
  if (operation == "UploadPart" || operation == "UploadPartCopy") return upload_part(call);
  if (operation == "CompleteMultipartUpload") return complete_upload(call);
  if (operation == "AbortMultipartUpload") return abort_upload(call);
  if (operation == "ListMultipartUploads") return list_uploads(call);
  if (operation == "DeleteObjects") return delete_objects(call);
  if (operation == "DeleteObject") {
    objects_.erase(call.key);
    TestReply gone;
    gone.status = 204;
    return gone;
  }
  return refusal(501, "NotImplemented", operation, call.request_id);
}

TestReply S3Double::get_object(Call& call) {
  const auto found = objects_.find(call.key);
  if (found == objects_.end()) return refusal(404, "NoSuchKey", "The specified key does not exist.", call.request_id);
  const Object& object = found->second;
  const std::string quoted = "\"" + object.etag + "\"";
  const std::string wanted = call.header("if-match");
  if (!wanted.empty() && wanted != quoted && call.fault.kind != Kind::ignore_if_match) {
    return refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", call.request_id);
  }
  TestReply reply;
  if (call.fault.kind != Kind::no_etag) reply.headers.push_back({.name = "ETag", .value = quoted});
  reply.headers.push_back({.name = "Last-Modified", .value = http_time(object.modified)});
  reply.headers.push_back({.name = "Accept-Ranges", .value = "bytes"});
  const std::string range = call.header("range");
  const std::uint64_t total = object.length();
  const auto send = [&](std::uint64_t first, std::uint64_t length) {
    if (!object.make) {
      reply.body = object.content.substr(first, length);
      return;
    }
    reply.generated_length = length;
    reply.generator = [make = object.make, first](std::uint64_t position, std::size_t room) {
      std::string piece(room, '\0');
      make(first + position, std::as_writable_bytes(std::span(piece)));
      return piece;
    };
  };
  if (range.empty() || call.fault.kind == Kind::ignore_range) {
    if (call.header("x-amz-checksum-mode") == "ENABLED") reply.headers.insert(reply.headers.end(), object.checksums.begin(), object.checksums.end());
    send(0, total);
    return reply;
  }
  std::uint64_t first = std::stoull(range.substr(6));
  std::uint64_t last = std::min<std::uint64_t>(std::stoull(range.substr(range.find('-') + 1)), total - 1);
  if (first >= total) return refusal(416, "InvalidRange", "The requested range is not satisfiable", call.request_id);
  if (call.fault.kind == Kind::other_range && last + 1 < total) ++first, ++last;
  const std::uint64_t told_total = call.fault.kind == Kind::lie_total ? total + 1 : total;
  reply.status = 206;
  if (call.fault.kind != Kind::no_content_range) {
    reply.headers.push_back({.name = "Content-Range", .value = "bytes " + std::to_string(first) + "-" + std::to_string(last) + "/" + std::to_string(told_total)});
  }
  send(first, last - first + 1);
  if (call.fault.kind == Kind::whole_length) reply.headers.push_back({.name = "Content-Length", .value = std::to_string(total)});
  return reply;
}

std::optional<TestReply> S3Double::check_absent(const Call& call) const {
  const std::string condition = call.header("if-none-match");
  if (condition.empty()) return std::nullopt;
  if (condition != "*") return refusal(501, "NotImplemented", "A header you provided implies functionality that is not implemented", call.request_id);
  if (!objects_.contains(call.key)) return std::nullopt;
  return refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", call.request_id);
}

TestReply S3Double::put_object(Call& call) {
  if (auto wrong = check_checksum(call)) return *wrong;
  if (call.key.size() > 1024) return refusal(400, "KeyTooLongError", "Your key is too long", call.request_id);
  if (auto refused = check_absent(call)) return *refused;
  const Object object = make_object(call.body, call.request.headers);
  objects_[call.key] = object;
  TestReply reply;
  reply.headers.push_back({.name = "ETag", .value = "\"" + object.etag + "\""});
  return reply;
}

// By tables of its own, so that it shares nothing with the code it checks.
std::optional<TestReply> S3Double::check_checksum(const Call& call) const {
  static const auto table32 = crc_table<std::uint32_t>(0x82F63B78U);
  static const auto table64 = crc_table<std::uint64_t>(0x9A6C9329AC4BC9B5ULL);
  std::uint32_t crc32 = ~0U;
  std::uint64_t crc64 = ~0ULL;
  const bool wants32 = call.request.header("x-amz-checksum-crc32c").has_value();
  const bool wants64 = call.request.header("x-amz-checksum-crc64nvme").has_value();
  for (const char c : std::string_view(call.body).substr(0, wants32 || wants64 ? call.body.size() : 0)) {
    const auto byte = static_cast<unsigned char>(c);
    crc32 = (crc32 >> 8) ^ table32[(crc32 ^ byte) & 0xFF];
    crc64 = (crc64 >> 8) ^ table64[(crc64 ^ byte) & 0xFF];
  }
  const bool right = (!wants32 || call.header("x-amz-checksum-crc32c") == base64_of_number(~crc32)) &&
                     (!wants64 || call.header("x-amz-checksum-crc64nvme") == base64_of_number(~crc64));
  const std::string sha = call.header("x-amz-checksum-sha256");
  if (right && (sha.empty() || sha == base64(sha256(call.body)))) return std::nullopt;
  return refusal(400, "XAmzContentChecksumMismatch", "The checksum you specified did not match", call.request_id);
}

std::optional<std::string> S3Double::source_of_copy(Call& call, TestReply& refused) {
  std::string source = double_percent_decode(call.header("x-amz-copy-source"));
  source.erase(0, source.starts_with('/') ? 1 : 0);
  const auto found = objects_.find(source.substr(source.find('/') + 1));
  if (found == objects_.end()) {
    refused = refusal(404, "NoSuchKey", "The specified key does not exist.", call.request_id);
    return std::nullopt;
  }
  const std::string wanted = call.header("x-amz-copy-source-if-match");
  if (!wanted.empty() && wanted != "\"" + found->second.etag + "\"") {
    refused = refusal(412, "PreconditionFailed", "the source changed", call.request_id);
    return std::nullopt;
  }
  return found->second.content;
}

TestReply S3Double::copy_object(Call& call) {
  TestReply refused;
  const auto content = source_of_copy(call, refused);
  if (!content) return refused;
  objects_[call.key] = make_object(*content, {});
  return xml_reply("<CopyObjectResult><ETag>&quot;" + objects_[call.key].etag + "&quot;</ETag></CopyObjectResult>");
}

TestReply S3Double::list_objects(Call& call) {
  const std::string prefix = call.query["prefix"];
  const std::string delimiter = call.query["delimiter"];
  const std::string token = double_percent_decode(call.query["continuation-token"]);
  const bool encoded = call.query["encoding-type"] == "url" && options_.lists == DoubleOptions::Lists::encoded;
  const auto name = [&](const std::string& text) { return encoded ? xml_text(form_encode(text)) : xml_text(text); };
  const std::size_t asked = call.query["max-keys"].empty() ? 1000 : std::stoul(call.query["max-keys"]);
  const std::size_t limit = std::min(asked, options_.max_page);
  std::string entries;
  std::string last = token.empty() ? call.query["start-after"] : token;
  std::size_t count = 0;
  bool truncated = false;
  for (const auto& [key, object] : objects_) {
    if (!key.starts_with(prefix)) continue;
    const auto cut = delimiter.empty() ? std::string::npos : key.find(delimiter, prefix.size());
    const std::string entry = cut == std::string::npos ? key : key.substr(0, cut + 1);
    if (!last.empty() && entry <= last) continue;
    if (count == limit) {
      truncated = true;
      break;
    }
    ++count;
    last = entry;
    entries += cut != std::string::npos ? "<CommonPrefixes><Prefix>" + name(entry) + "</Prefix></CommonPrefixes>"
                                        : "<Contents><Key>" + name(key) + "</Key><LastModified>" + iso_time(object.modified) + "</LastModified><ETag>&quot;" +
                                              object.etag + "&quot;</ETag><Size>" + std::to_string(object.length()) + "</Size></Contents>";
  }
  std::string next;
  if (truncated) {
    // Opaque, and full of characters that need encoding.
    for (const char c : last) {
      char escape[4];
      std::snprintf(escape, sizeof escape, "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
      next += escape;
    }
  }
  TestReply reply = xml_reply("<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>" + options_.bucket + "</Name>" + (encoded ? "<EncodingType>url</EncodingType>" : "") +
                   "<IsTruncated>" + (truncated ? "true" : "false") + "</IsTruncated>" + (truncated ? "<NextContinuationToken>" + next + "</NextContinuationToken>" : "") + entries +
                   "</ListBucketResult>");
  reply.headers.push_back({.name = "Date", .value = http_time(options_.clock->wall_now())});
  return reply;
}

}  // namespace hearth::s3

#include "understore/s3/s3_store.h"

#include "common/crc32c.h"
#include "understore/s3/metrics.h"
#include "understore/s3/parallel.h"
#include "understore/s3/s3_listing.h"
#include "understore/s3/uri_encode.h"
#include "understore/store_path.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <mutex>

namespace hearth::s3 {
namespace {

constexpr std::size_t max_key_bytes = 1024;
constexpr std::size_t customer_key_bytes = 32;

std::string region_from(const Environment& environment) {
  if (const auto region = environment("AWS_REGION")) return *region;
  return environment("AWS_DEFAULT_REGION").value_or("us-east-1");
}

std::unique_ptr<CredentialProvider> provider_for(const S3Options& options, const StoreContext& context, const Environment& environment) {
  CredentialContext credentials{.pool = context.pool,
                                .clock = context.clock,
                                .http = *context.http,
                                .environment = environment,
                                .region = options.region.empty() ? region_from(environment) : options.region,
                                .sts_endpoint = options.sts_endpoint};
  return make_credential_provider(make_credential_fetcher(options.credentials, std::move(credentials)), context.clock);
}

Result<Secret> read_customer_key(const Encryption& encryption) {
  if (encryption.kind != Encryption::Kind::customer_key) return Secret();
  std::ifstream file(encryption.key_file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (text.size() != customer_key_bytes) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    if (auto decoded = base64_decode(text)) text.swap(*decoded);
  }
  Secret key(text);
  const bool right = text.size() == customer_key_bytes;
  wipe(text);
  if (!right) {
    return Error(Code::invalid_argument, "option sse: the key file " + printable_path(encryption.key_file) + " must hold 32 bytes, or their base64");
  }
  return key;
}

Result<StoredObject> stored_object(const HttpHead& head, std::optional<std::uint64_t> length, const std::string& what) {
  StoredObject object;
  object.etag = unquote_etag(head.header("etag").value_or(""));
  if (object.etag.empty() || !length) return Error(Code::corrupt, what + ": the store's reply has no ETag or no length");
  object.length_bytes = *length;
  object.mtime_ns = parse_http_time_ns(head.header("last-modified").value_or("")).value_or(0);
  return object;
}

ObjectInfo info_of(std::string_view path, const StoredObject& object) {
  return file_info(split_store_path(path).name,
                   ListedObject{.key = "", .etag = object.etag, .length_bytes = object.length_bytes, .mtime_ns = object.mtime_ns});
}

bool verifies(const WholeChecksum& checksum, Bytes bytes) {
  switch (checksum.kind) {
    case WholeChecksum::Kind::crc32c: return base64_of_number(crc32c(bytes)) == checksum.expected;
    case WholeChecksum::Kind::crc64nvme: return base64_of_number(crc64nvme(bytes)) == checksum.expected;
    case WholeChecksum::Kind::sha256: return base64(sha256(std::span(&bytes, 1))) == checksum.expected;
  }
  return false;
}

// How far a read of several ranges is, from the front without a gap.
struct FrontProgress {
  std::mutex mutex;
  std::vector<std::uint64_t> have;
  std::uint64_t part_bytes = 0;
  std::function<void(std::uint64_t)> tell;

  void reached(std::size_t part, std::uint64_t bytes) {
    const std::lock_guard lock(mutex);
    have[part] = bytes;
    std::uint64_t front = 0;
    for (const std::uint64_t each : have) {
      front += each;
      if (each < part_bytes) break;
    }
    tell(front);
  }
};

}  // namespace

S3Store::S3Store(S3Options options, const StoreContext& context, Secret customer_key, S3Seams seams)
    : pool_(context.pool), client_(options, *context.http, provider_for(options, context, seams.environment), context.clock, region_from(seams.environment),
              std::move(customer_key)),
      objects_(client_, seams.single_copy_limit, seams.part_of_copy) {}

StoreCapabilities S3Store::capabilities() const {
  StoreCapabilities can;
  can.writable = true;
  can.has_directories = false;
  can.writing = StoreCapabilities::Writing::staged;
  can.has_posix_attributes = false;
  can.keeps_set_attributes = false;
  can.directory_version_tracks_entries = false;
  can.listing_resumes = true;
  can.preferred_read_bytes = client_.options().part_bytes;
  return can;
}

Task<std::string> S3Store::find_credentials(Deadline deadline) {
  CO_TRY(credentials, co_await client_.credentials(deadline));
  co_return credentials.source;
}

Status S3Store::check(std::string_view path, Deadline deadline) {
  CHECK_OK(check_store_path(path));
  if (client_.options().prefix.size() + path.size() > max_key_bytes) {
    return Error(Code::name_too_long, "the key of " + printable_path(path) + " is longer than 1,024 bytes, the limit of S3");
  }
  if (!is_utf8(path)) {
    return Error(Code::invalid_argument, "the path " + printable_path(path) + " is not UTF-8, which keys of S3 are");
  }
  if (deadline.expired(client_.clock().now())) return Error(Code::deadline_exceeded, "the time for " + printable_path(path) + " was over before it began");
  return ok();
}

Error S3Store::not_found(std::string_view path) const {
  return Error(Code::not_found, client_.describe(key_of(path)) + " does not exist, neither as an object nor as a directory");
}

// A HEAD that fails says nothing but its status; the same question as a GET is answered with a document.
Task<StoredObject> S3Store::head_by_get(std::string key, Deadline deadline) {
  S3Request request;
  request.operation = "GetObject";
  request.key = key;
  request.headers = {{.name = "range", .value = "bytes=0-0"}};
  client_.add_customer_key(request.headers, S3Client::KeyUse::object);
  CO_TRY(reply, co_await client_.send(std::move(request), deadline));
  std::optional<std::uint64_t> length = reply.head.content_length;
  const auto range = reply.head.header("content-range");
  if (range && range->find('/') != std::string_view::npos) {
    std::uint64_t total = 0;
    const std::string digits(range->substr(range->find('/') + 1));
    for (const char c : digits) total = c >= '0' && c <= '9' ? total * 10 + static_cast<std::uint64_t>(c - '0') : 0;
    length = total;
  }
  co_return stored_object(reply.head, length, "GetObject " + client_.describe(key));
}

Task<StoredObject> S3Store::head(std::string key, Deadline deadline) {
  S3Request request;
  request.operation = "HeadObject";
  request.method = "HEAD";
  request.key = key;
  client_.add_customer_key(request.headers, S3Client::KeyUse::object);
  CO_TRY(reply, co_await client_.exchange(std::move(request), deadline));
  if (reply.good()) co_return stored_object(reply.http.head, reply.http.head.content_length, "HeadObject " + client_.describe(key));
  const int status = reply.http.head.status;
  if (status == 404 || status == 503 || status == 429) co_return error_of(reply.refusal);
  co_return co_await head_by_get(std::move(key), deadline);
}

Task<ListPage> S3Store::below(std::string path, std::size_t limit, Deadline deadline) {
  ListQuery query;
  query.prefix = path.empty() ? client_.options().prefix : key_of(path) + "/";
  query.by_directory = false;
  query.max_keys = limit;
  co_return co_await list_page(client_, std::move(query), deadline);
}

Task<ObjectInfo> S3Store::stat(std::string path, Deadline deadline) {
  CO_CHECK_OK(check(path, deadline));
  if (!path.empty()) {
    auto object = co_await head(key_of(path), deadline);
    if (object) co_return info_of(path, *object);
    // Also what HEAD says of a bucket that is not there: the listing tells.
    if (object.code() != Code::not_found) co_return std::move(object).error();
  }
  CO_TRY(page, co_await below(path, 1, deadline));
  // The root exists as long as its bucket does: an empty prefix can not be told from a missing one.
  if (path.empty() || !page.objects.empty()) co_return directory_info(split_store_path(path).name);
  co_return not_found(path);
}

Task<std::unique_ptr<Listing>> S3Store::list(std::string path, Deadline deadline) {
  CO_CHECK_OK(check(path, deadline));
  auto listing = std::make_unique<S3Listing>(client_, shared_from_this(), path.empty() ? client_.options().prefix : key_of(path) + "/");
  CO_CHECK_OK(co_await listing->fill(deadline));
  if (!path.empty() && !listing->exists()) {
    auto object = co_await head(key_of(path), deadline);
    if (object) co_return Error(Code::not_directory, client_.describe(key_of(path)) + " is an object, not a directory");
    if (object.code() == Code::not_found) co_return not_found(path);
    co_return std::move(object).error();
  }
  co_return std::unique_ptr<Listing>(std::move(listing));
}

// An object that is not there may be a directory.
Task<> S3Store::why_missing(std::string path, Deadline deadline) {
  CO_TRY(info, co_await stat(path, deadline));
  if (info.type == FileType::directory) co_return Error(Code::is_directory, client_.describe(key_of(path)) + " is a directory");
  co_return Error(Code::stale, "the object changed underneath: " + client_.describe(key_of(path)) + " has the version " + info.version + " now");
}

Task<> S3Store::read_range(std::string path, ObjectVersion version, std::uint64_t offset, std::span<std::byte> into, ReadOptions options,
                           Deadline deadline) {
  const ByteRange range{.offset = offset, .length_bytes = into.size()};
  const bool whole = offset == 0 && into.size() == version.length_bytes;
  S3Request request;
  request.operation = "GetObject";
  request.key = key_of(path);
  request.headers = {{.name = "if-match", .value = quoted_etag(version.etag)}};
  if (!whole) request.headers.push_back({.name = "range", .value = "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + into.size() - 1)});
  if (whole) request.headers.push_back({.name = "x-amz-checksum-mode", .value = "ENABLED"});
  client_.add_customer_key(request.headers, S3Client::KeyUse::object);
  request.into = into;
  request.progress = std::move(options.progress);
  request.accept_head = [version, range](const HttpHead& head) {
    auto believed = check_range_reply(head, version, range);
    if (!believed) metrics().counter(described::refused_replies_total, {std::string(name(believed.code()))}).add();
    return believed;
  };
  CO_TRY(reply, co_await client_.send(std::move(request), deadline));
  if (reply.body_bytes != into.size()) {
    metrics().counter(described::refused_replies_total, {"cut"}).add();
    co_return Error(Code::unavailable, "GetObject " + client_.describe(key_of(path)) + ": the reply ended after " + std::to_string(reply.body_bytes) +
                                           " of " + std::to_string(into.size()) + " bytes");
  }
  if (const auto checksum = whole ? whole_checksum(reply.head) : std::nullopt) {
    if (!verifies(*checksum, into)) {
      metrics().counter(described::refused_replies_total, {"checksum"}).add();
      co_return Error(Code::corrupt, "GetObject " + client_.describe(key_of(path)) + ": the bytes do not match the store's checksum");
    }
  }
  static Counter& read_bytes = metrics().counter(described::read_bytes_total);
  read_bytes.add(into.size());
  co_return ok();
}

Task<> S3Store::read_parts(std::string path, ObjectVersion version, std::uint64_t offset, std::span<std::byte> into, ReadOptions options,
                           Deadline deadline) {
  const std::uint64_t part_bytes = client_.options().part_bytes;
  const std::size_t count = (into.size() + part_bytes - 1) / part_bytes;
  auto front = std::make_shared<FrontProgress>();
  front->have.resize(count);
  front->part_bytes = part_bytes;
  front->tell = std::move(options.progress);
  std::vector<Task<>> tasks;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t at = i * part_bytes;
    ReadOptions part;
    if (front->tell) part.progress = [front, i](std::uint64_t have) { front->reached(i, have); };
    const std::span<std::byte> piece = into.subspan(at, std::min<std::uint64_t>(part_bytes, into.size() - at));
    tasks.push_back(read_range(path, version, offset + at, piece, std::move(part), deadline));
  }
  co_return co_await run_parallel(std::move(tasks), client_.options().parallel);
}

Task<> S3Store::check_unchanged(std::string path, ObjectVersion version, Deadline deadline) {
  CO_TRY(info, co_await stat(path, deadline));
  if (info.version == to_string(version)) co_return ok();
  co_return co_await why_missing(std::move(path), deadline);
}

Task<> S3Store::read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into, Deadline deadline) {
  ReadOptions none;
  co_return co_await read_with(std::move(path), std::move(version), offset, into, std::move(none), deadline);
}

Task<> S3Store::read_with(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into, ReadOptions options,
                          Deadline deadline) {
  CO_CHECK_OK(check(path, deadline));
  const auto wanted = parse_object_version(version);
  if (!wanted || path.empty()) co_return co_await why_missing(std::move(path), deadline);
  if (offset > wanted->length_bytes || into.size() > wanted->length_bytes - offset) {
    co_return Error(Code::stale, client_.describe(key_of(path)) + " of the version " + version + " ends before the bytes asked for");
  }
  if (into.empty()) co_return co_await check_unchanged(std::move(path), *wanted, deadline);
  const bool split = into.size() > 2 * client_.options().part_bytes;
  Status done;
  if (split) {
    done = co_await read_parts(path, *wanted, offset, into, std::move(options), deadline);
  } else {
    done = co_await read_range(path, *wanted, offset, into, std::move(options), deadline);
  }
  if (done || done.code() != Code::not_found) co_return done;
  co_return co_await why_missing(std::move(path), deadline);
}

Result<std::shared_ptr<S3Store>> open_s3_store_with(std::string_view uri, const StoreOptions& options, const StoreContext& context,
                                                    S3Seams seams) {
  TRY(parsed, parse_s3_options(uri, options));
  if (context.http == nullptr) return Error(Code::unsupported, "this process has no HTTP client, which " + parsed.uri + " needs");
  if (seams.part_bytes) parsed.part_bytes = *seams.part_bytes;
  TRY(customer_key, read_customer_key(parsed.encryption));
  return std::make_shared<S3Store>(std::move(parsed), context, std::move(customer_key), std::move(seams));
}

Result<std::shared_ptr<UnderStore>> open_s3_store(std::string_view uri, const StoreOptions& options, const StoreContext& context) {
  TRY(store, open_s3_store_with(uri, options, context, S3Seams()));
  return std::shared_ptr<UnderStore>(std::move(store));
}

}  // namespace hearth::s3

#include "understore/s3/s3_objects.h"

#include "common/crc32c.h"
#include "common/log.h"
#include "understore/s3/metrics.h"
#include "understore/s3/parallel.h"
#include "understore/s3/s3_version.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace hearth::s3 {

// One multipart upload while it runs; its parts fill their own places. Its name is among the leftovers when it goes
// without having been completed or aborted, as when its task is cancelled.
struct S3Objects::Upload {
  explicit Upload(std::shared_ptr<Leftovers> leftovers) : leftovers(std::move(leftovers)) {}
  ~Upload() {
    if (id.empty()) return;
    const std::lock_guard lock(leftovers->mutex);
    leftovers->uploads.push_back({.key = std::move(key), .upload_id = std::move(id)});
  }
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  const std::shared_ptr<Leftovers> leftovers;
  std::string key;
  std::string id;  // "" = nothing is left of it
  Checksum checksum = Checksum::none;
  ByteSource content;
  std::uint64_t part_bytes = 0;
  StagedContent::Replaces replaces = StagedContent::Replaces::anything;
  std::vector<UploadedPart> parts;
  std::vector<std::uint64_t> crcs;  // of each part, for Checksum::crc64nvme

  std::uint64_t length_of(std::size_t part) const {
    return std::min<std::uint64_t>(part_bytes, content.length_bytes() - part * part_bytes);
  }
};

namespace {

// What is done when a write failed gets time of its own: the caller's may be over.
constexpr Duration time_to_abort = std::chrono::seconds(10);

std::string checksum_element(Checksum checksum) {
  switch (checksum) {
    case Checksum::crc32c: return "ChecksumCRC32C";
    case Checksum::crc64nvme: return "ChecksumCRC64NVME";
    case Checksum::sha256: return "ChecksumSHA256";
    case Checksum::none: break;
  }
  return "";
}

// What a piece of content is vouched for with, found out where the piece is read.
struct Vouched {
  std::string checksum;       // as the header has it; "" for Checksum::none
  std::uint64_t crc64 = 0;    // for Checksum::crc64nvme
  std::string body_sha256;    // where the signature covers it
};

Vouched vouch(Checksum checksum, bool is_signed, Bytes content) {
  Vouched out;
  std::optional<Sha256> digest;
  if (is_signed || checksum == Checksum::sha256) digest = sha256(std::span(&content, 1));
  if (is_signed) out.body_sha256 = hex(*digest);
  switch (checksum) {
    case Checksum::crc32c: out.checksum = base64_of_number(crc32c(content)); break;
    case Checksum::crc64nvme:
      out.crc64 = crc64nvme(content);
      out.checksum = base64_of_number(out.crc64);
      break;
    case Checksum::sha256: out.checksum = base64(*digest); break;
    case Checksum::none: break;
  }
  return out;
}

std::string_view checksum_word(Checksum checksum) {
  switch (checksum) {
    case Checksum::crc32c: return "crc32c";
    case Checksum::crc64nvme: return "crc64nvme";
    case Checksum::sha256: return "sha256";
    case Checksum::none: break;
  }
  return "";
}

HttpHeader checksum_header(Checksum checksum, std::string value) {
  return {.name = "x-amz-checksum-" + std::string(checksum_word(checksum)), .value = std::move(value)};
}

std::int64_t answered_at_ns(const HttpHead& head) {
  return parse_http_time_ns(head.header("last-modified").value_or(head.header("date").value_or(""))).value_or(0);
}

// 200 and still an error: the store had already begun to answer when it failed.
Result<WrittenObject> written_by(const std::string& what, const HttpReply& reply) {
  auto outcome = parse_write_outcome(reply.body);
  if (!outcome) return std::move(outcome).error().with_context(what);
  if (outcome->written) return *outcome->written;
  Refusal refusal{.status = 500, .operation = what, .document = *outcome->error};
  return error_of(refusal);
}

}  // namespace

Task<StoredObject> S3Objects::put(std::string key, Bytes content, std::string content_type, Deadline deadline) {
  NewObject object{.key = std::move(key), .content_type = std::move(content_type), .content = ByteSource::memory(content)};
  co_return co_await put_new(std::move(object), deadline);
}

Task<StoredObject> S3Objects::put_new(NewObject object, Deadline deadline) {
  metrics().counter(described::written_bytes_total).add(object.content.length_bytes());
  if (object.content.length_bytes() <= 2 * client_.options().part_bytes) co_return co_await put_whole(std::move(object), deadline);
  co_return co_await put_parts(std::move(object), deadline);
}

// The request that makes an object visible.
Task<HttpReply> S3Objects::send_new(S3Request request, StagedContent::Replaces replaces, Deadline deadline) {
  const bool only_new = replaces == StagedContent::Replaces::nothing;
  if (only_new) request.headers.push_back({.name = "if-none-match", .value = "*"});
  const std::string key = request.key;
  CO_TRY(reply, co_await client_.exchange(std::move(request), deadline));
  if (reply.good()) co_return std::move(reply.http);
  if (only_new && reply.http.head.status == 412) co_return Error(Code::already_exists, client_.describe(key) + " exists already: somebody else made it meanwhile");
  co_return error_of(reply.refusal);
}

Task<StoredObject> S3Objects::put_whole(NewObject object, Deadline deadline) {
  const Checksum checksum = client_.options().checksum;
  Vouched vouched;
  LookAtBytes look = [&](Bytes bytes) { vouched = vouch(checksum, client_.signs_object_bytes(), bytes); };
  CO_TRY(content, co_await read_piece(object.content, 0, object.content.length_bytes(), std::move(look)));
  S3Request request;
  request.operation = "PutObject";
  request.method = "PUT";
  request.key = object.key;
  request.body = content.bytes;
  request.body_kind = S3Request::BodyKind::object;
  request.body_sha256 = std::move(vouched.body_sha256);
  if (checksum != Checksum::none) request.headers.push_back(checksum_header(checksum, std::move(vouched.checksum)));
  request.headers.push_back({.name = "content-type", .value = std::move(object.content_type)});
  client_.add_encryption(request.headers);
  CO_TRY(reply, co_await send_new(std::move(request), object.replaces, deadline));
  StoredObject stored;
  stored.etag = unquote_etag(reply.head.header("etag").value_or(""));
  stored.length_bytes = content.bytes.size();
  stored.mtime_ns = answered_at_ns(reply.head);
  if (stored.etag.empty()) co_return Error(Code::corrupt, "PutObject " + client_.describe(object.key) + ": the store confirmed without an ETag");
  co_return stored;
}

Task<std::shared_ptr<S3Objects::Upload>> S3Objects::begin_upload(std::string key, std::string content_type, Checksum checksum, Deadline deadline) {
  auto upload = std::make_shared<Upload>(leftovers_);
  upload->key = key;
  upload->checksum = checksum;
  S3Request request;
  request.operation = "CreateMultipartUpload";
  request.method = "POST";
  request.key = std::move(key);
  request.query = {{"uploads", ""}};
  if (!content_type.empty()) request.headers.push_back({.name = "content-type", .value = std::move(content_type)});
  if (checksum != Checksum::none) {
    std::string word(checksum_word(checksum));
    std::transform(word.begin(), word.end(), word.begin(), [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    request.headers.push_back({.name = "x-amz-checksum-algorithm", .value = std::move(word)});
    // CRC-64/NVME exists for whole objects only.
    if (checksum == Checksum::crc64nvme) request.headers.push_back({.name = "x-amz-checksum-type", .value = "FULL_OBJECT"});
  }
  client_.add_encryption(request.headers);
  CO_TRY(reply, co_await client_.send(std::move(request), deadline));
  CO_TRY(id, parse_upload_id(reply.body));
  upload->id = std::move(id);
  co_return std::move(upload);
}

Task<> S3Objects::upload_part(std::shared_ptr<Upload> upload, std::size_t index, Deadline deadline) {
  Vouched vouched;
  LookAtBytes look = [&](Bytes bytes) { vouched = vouch(upload->checksum, client_.signs_object_bytes(), bytes); };
  CO_TRY(piece, co_await read_piece(upload->content, index * upload->part_bytes, upload->length_of(index), std::move(look)));
  UploadedPart& part = upload->parts[index];
  part.number = static_cast<int>(index + 1);
  part.checksum_element = checksum_element(upload->checksum);
  part.checksum = std::move(vouched.checksum);
  if (upload->checksum == Checksum::crc64nvme) upload->crcs[index] = vouched.crc64;
  S3Request request;
  request.operation = "UploadPart";
  request.method = "PUT";
  request.key = upload->key;
  request.query = {{"partNumber", std::to_string(part.number)}, {"uploadId", upload->id}};
  request.body = piece.bytes;
  request.body_kind = S3Request::BodyKind::object;
  request.body_sha256 = std::move(vouched.body_sha256);
  if (!part.checksum.empty()) request.headers.push_back(checksum_header(upload->checksum, part.checksum));
  client_.add_customer_key(request.headers, S3Client::KeyUse::object);
  CO_TRY(reply, co_await client_.send(std::move(request), deadline));
  part.etag = unquote_etag(reply.head.header("etag").value_or(""));
  if (part.etag.empty()) co_return Error(Code::corrupt, "UploadPart " + client_.describe(upload->key) + ": the store confirmed without an ETag");
  co_return ok();
}

Task<StoredObject> S3Objects::complete(std::shared_ptr<Upload> upload, Deadline deadline) {
  const std::string body = complete_upload_body(upload->parts);
  S3Request request;
  request.operation = "CompleteMultipartUpload";
  request.method = "POST";
  request.key = upload->key;
  request.query = {{"uploadId", upload->id}};
  request.body = as_bytes_of(body);
  request.body_kind = S3Request::BodyKind::document;
  if (upload->checksum == Checksum::crc64nvme) {
    std::uint64_t whole = 0;
    for (std::size_t i = 0; i < upload->crcs.size(); ++i) whole = i == 0 ? upload->crcs[i] : crc64nvme_of_both(whole, upload->crcs[i], upload->length_of(i));
    request.headers.push_back(checksum_header(upload->checksum, base64_of_number(whole)));
    request.headers.push_back({.name = "x-amz-checksum-type", .value = "FULL_OBJECT"});
  }
  client_.add_customer_key(request.headers, S3Client::KeyUse::object);
  CO_TRY(reply, co_await send_new(std::move(request), upload->replaces, deadline));
  CO_TRY(written, written_by("CompleteMultipartUpload " + client_.describe(upload->key), reply));
  StoredObject stored;
  stored.etag = std::move(written.etag);
  stored.length_bytes = upload->content.length_bytes();
  stored.mtime_ns = answered_at_ns(reply.head);
  upload->id.clear();
  co_return stored;
}

Task<StoredObject> S3Objects::put_parts(NewObject object, Deadline deadline) {
  const Checksum checksum = client_.options().checksum;
  CO_TRY(upload, co_await begin_upload(object.key, std::move(object.content_type), checksum, deadline));
  const std::uint64_t length_bytes = object.content.length_bytes();
  upload->part_bytes = std::max<std::uint64_t>(client_.options().part_bytes, (length_bytes + max_parts - 1) / max_parts);
  upload->content = std::move(object.content);
  upload->replaces = object.replaces;
  upload->parts.resize((length_bytes + upload->part_bytes - 1) / upload->part_bytes);
  if (checksum == Checksum::crc64nvme) upload->crcs.resize(upload->parts.size());
  std::vector<Task<>> tasks;
  for (std::size_t i = 0; i < upload->parts.size(); ++i) tasks.push_back(upload_part(upload, i, deadline));
  const auto sent = co_await run_parallel(std::move(tasks), client_.options().parallel);
  Result<StoredObject> stored = Error(Code::internal, "not completed");
  if (sent) stored = co_await complete(upload, deadline);
  if (sent && stored) co_return stored;
  CO_CHECK_OK(co_await give_up(upload));
  if (!sent) co_return sent.error();
  co_return stored;
}

// A failure is remembered and logged by abort().
Task<> S3Objects::give_up(std::shared_ptr<Upload> upload) {
  const auto aborted = co_await abort(upload->key, upload->id, Deadline::after(client_.clock(), time_to_abort));
  static_cast<void>(aborted);
  upload->id.clear();
  co_return ok();
}

Task<> S3Objects::abort(std::string key, std::string upload_id, Deadline deadline) {
  S3Request request;
  request.operation = "AbortMultipartUpload";
  request.method = "DELETE";
  request.key = key;
  request.query = {{"uploadId", upload_id}};
  const auto reply = co_await client_.send(std::move(request), deadline);
  // Gone already is as good.
  if (reply || reply.code() == Code::stale || reply.code() == Code::not_found) {
    metrics().counter(described::uploads_aborted_total).add();
    co_return ok();
  }
  log_warn("s3_upload_not_aborted", {{"object", client_.describe(key)}, {"error", reply.error().to_string()}});
  const std::lock_guard lock(leftovers_->mutex);
  leftovers_->uploads.push_back({.key = std::move(key), .upload_id = std::move(upload_id)});
  co_return reply.error();
}

Task<> S3Objects::abort_leftovers(Deadline deadline) {
  std::vector<OpenUpload> mine;
  {
    const std::lock_guard lock(leftovers_->mutex);
    mine.swap(leftovers_->uploads);
  }
  for (const OpenUpload& upload : mine) {
    const auto aborted = co_await abort(upload.key, upload.upload_id, deadline);
    static_cast<void>(aborted);  // it has gone back to the leftovers
  }
  co_return ok();
}

Task<std::uint64_t> S3Objects::sweep(std::string prefix, Duration older_than, Deadline deadline) {
  CO_CHECK_OK(co_await abort_leftovers(deadline));
  const std::int64_t before_ns = (client_.clock().wall_now() - older_than).time_since_epoch().count();
  std::uint64_t swept = 0;
  UploadPage page;
  page.truncated = true;
  while (page.truncated) {
    S3Request request;
    request.operation = "ListMultipartUploads";
    request.query = {{"uploads", ""}, {"encoding-type", "url"}, {"prefix", prefix}};
    if (!page.next_key_marker.empty()) {
      request.query.emplace_back("key-marker", page.next_key_marker);
      request.query.emplace_back("upload-id-marker", page.next_upload_id_marker);
    }
    CO_TRY(reply, co_await client_.send(std::move(request), deadline));
    CO_TRY(next, parse_upload_page(reply.body));
    if (next.truncated && next.next_key_marker == page.next_key_marker && next.next_upload_id_marker == page.next_upload_id_marker) {
      co_return Error(Code::corrupt, "the list of uploads names itself as its next page");
    }
    page = std::move(next);
    for (const OpenUpload& upload : page.uploads) {
      if (upload.initiated_ns >= before_ns || !upload.key.starts_with(prefix)) continue;
      CO_CHECK_OK(co_await abort(upload.key, upload.upload_id, deadline));
      ++swept;
    }
  }
  co_return swept;
}

Task<> S3Objects::copy(std::string from, std::string to, StoredObject source, Deadline deadline) {
  if (source.length_bytes > single_copy_limit_) {
    co_return co_await copy_parts(std::move(from), std::move(to), std::move(source), deadline);
  }
  S3Request request;
  request.operation = "CopyObject";
  request.method = "PUT";
  request.key = to;
  request.headers = {{.name = "x-amz-copy-source", .value = client_.copy_source(from)},
                     {.name = "x-amz-copy-source-if-match", .value = quoted_etag(source.etag)}};
  client_.add_encryption(request.headers);
  client_.add_customer_key(request.headers, S3Client::KeyUse::copy_source);
  CO_TRY(reply, co_await client_.send(std::move(request), deadline));
  const auto written = written_by("CopyObject " + client_.describe(to), reply);
  if (!written) co_return written.error();
  co_return ok();
}

Task<> S3Objects::copy_part(std::shared_ptr<Upload> upload, std::size_t index, std::string from, std::string etag, std::string range,
                            Deadline deadline) {
  UploadedPart& part = upload->parts[index];
  part.number = static_cast<int>(index + 1);
  S3Request request;
  request.operation = "UploadPartCopy";
  request.method = "PUT";
  request.key = upload->key;
  request.query = {{"partNumber", std::to_string(part.number)}, {"uploadId", upload->id}};
  request.headers = {{.name = "x-amz-copy-source", .value = client_.copy_source(from)},
                     {.name = "x-amz-copy-source-if-match", .value = quoted_etag(etag)},
                     {.name = "x-amz-copy-source-range", .value = range}};
  client_.add_customer_key(request.headers, S3Client::KeyUse::object);
  client_.add_customer_key(request.headers, S3Client::KeyUse::copy_source);
  CO_TRY(reply, co_await client_.send(std::move(request), deadline));
  CO_TRY(written, written_by("UploadPartCopy " + client_.describe(upload->key), reply));
  part.etag = std::move(written.etag);
  co_return ok();
}

Task<> S3Objects::copy_parts(std::string from, std::string to, StoredObject source, Deadline deadline) {
  CO_TRY(upload, co_await begin_upload(to, "", Checksum::none, deadline));
  const std::uint64_t part_bytes = std::max(part_of_copy_, (source.length_bytes + max_parts - 1) / max_parts);
  upload->parts.resize((source.length_bytes + part_bytes - 1) / part_bytes);
  std::vector<Task<>> tasks;
  for (std::size_t i = 0; i < upload->parts.size(); ++i) {
    const std::uint64_t first = i * part_bytes;
    const std::uint64_t last = std::min(first + part_bytes, source.length_bytes) - 1;
    std::string range = "bytes=" + std::to_string(first) + "-" + std::to_string(last);
    tasks.push_back(copy_part(upload, i, from, source.etag, std::move(range), deadline));
  }
  auto copied = co_await run_parallel(std::move(tasks), client_.options().parallel);
  if (copied) {
    const auto completed = co_await complete(upload, deadline);
    if (completed) co_return ok();
    copied = completed.error();
  }
  CO_CHECK_OK(co_await give_up(std::move(upload)));
  co_return copied;
}

Task<> S3Objects::erase(std::string key, Deadline deadline) {
  S3Request request;
  request.operation = "DeleteObject";
  request.method = "DELETE";
  request.key = std::move(key);
  const auto reply = co_await client_.send(std::move(request), deadline);
  if (!reply) co_return reply.error();
  co_return ok();
}

Task<> S3Objects::erase_many(std::vector<std::string> keys, Deadline deadline) {
  for (std::size_t at = 0; at < keys.size(); at += max_deleted_at_once) {
    const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(at);
    const std::vector<std::string> some(begin, begin + static_cast<std::ptrdiff_t>(std::min(max_deleted_at_once, keys.size() - at)));
    const std::string body = delete_objects_body(some);
    S3Request request;
    request.operation = "DeleteObjects";
    request.method = "POST";
    request.query = {{"delete", ""}};
    request.body = as_bytes_of(body);
    request.body_kind = S3Request::BodyKind::document;
    request.headers = {{.name = "content-md5", .value = base64(md5(body))}, {.name = "content-type", .value = "application/xml"}};
    CO_TRY(reply, co_await client_.send(std::move(request), deadline));
    CO_TRY(failures, parse_delete_result(reply.body));
    if (failures.empty()) continue;
    Refusal refusal{.status = 500, .operation = "DeleteObjects", .object = client_.describe(failures.front().key)};
    refusal.document.code = failures.front().code;
    refusal.document.message = failures.front().message;
    co_return error_of(refusal);
  }
  co_return ok();
}

}  // namespace hearth::s3

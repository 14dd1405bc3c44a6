// The double's multipart uploads and batch deletion.
#include "understore/s3/digest.h"
#include "understore/s3/double_call.h"

#include <algorithm>

namespace hearth::s3 {

using Kind = DoubleFault::Kind;
using namespace double_text;  // NOLINT: one vocabulary, a source file

TestReply S3Double::begin_upload(Call& call) {
  const std::string id = "upload+" + std::to_string(next_upload_++) + "/=";
  uploads_[id] = Upload{.key = call.key, .initiated = options_.clock->wall_now(), .parts = {}};
  return xml_reply("<InitiateMultipartUploadResult><UploadId>" + id + "</UploadId></InitiateMultipartUploadResult>");
}

TestReply S3Double::upload_part(Call& call) {
  const auto upload = uploads_.find(call.query["uploadId"]);
  if (upload == uploads_.end() || upload->second.key != call.key) return refusal(404, "NoSuchUpload", "The upload does not exist", call.request_id);
  const int number = std::stoi(call.query["partNumber"]);
  if (call.operation == "UploadPart") {
    if (auto wrong = check_checksum(call)) return *wrong;
    upload->second.parts[number] = make_object(call.body, call.request.headers);
    TestReply reply;
    reply.headers.push_back({.name = "ETag", .value = "\"" + upload->second.parts[number].etag + "\""});
    return reply;
  }
  TestReply refused;
  const auto content = source_of_copy(call, refused);
  if (!content) return refused;
  const std::string range = call.header("x-amz-copy-source-range");
  const std::uint64_t first = std::stoull(range.substr(6));
  const std::uint64_t last = std::stoull(range.substr(range.find('-') + 1));
  if (last >= content->size()) return refusal(416, "InvalidRange", "beyond the source", call.request_id);
  upload->second.parts[number] = make_object(content->substr(first, last - first + 1), {});
  return xml_reply("<CopyPartResult><ETag>&quot;" + upload->second.parts[number].etag + "&quot;</ETag></CopyPartResult>");
}

TestReply S3Double::complete_upload(Call& call) {
  const auto upload = uploads_.find(call.query["uploadId"]);
  if (upload == uploads_.end() || upload->second.key != call.key) return refusal(404, "NoSuchUpload", "The upload does not exist", call.request_id);
  if (call.fault.kind == Kind::replace_body) return xml_reply("");  // the 200 that carries an error
  const std::vector<std::string> numbers = elements(call.body, "PartNumber");
  const std::vector<std::string> etags = elements(call.body, "ETag");
  std::string content;
  std::string digests;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto part = upload->second.parts.find(std::stoi(numbers[i]));
    if (part == upload->second.parts.end() || etags[i] != "\"" + part->second.etag + "\"") return refusal(400, "InvalidPart", "a part is not as uploaded", call.request_id);
    for (const HttpHeader& checksum : part->second.checksums) {
      if (call.body.find(">" + checksum.value + "<") == std::string::npos) return refusal(400, "InvalidPart", "a part's checksum is missing", call.request_id);
    }
    const bool last = i + 1 == numbers.size();
    if (!last && part->second.content.size() < (5U << 20)) return refusal(400, "EntityTooSmall", "a part is smaller than 5 MiB", call.request_id);
    content += part->second.content;
    digests += part->second.etag;
  }
  if (numbers.empty()) return refusal(400, "MalformedXML", "no parts", call.request_id);
  if (auto refused = check_absent(call)) return *refused;
  Object object = make_object(std::move(content), {});
  if (const std::string whole = call.header("x-amz-checksum-crc64nvme"); !whole.empty() && whole != base64_of_number(crc64nvme(as_bytes_of(object.content)))) {
    return refusal(400, "BadDigest", "the CRC-64 of the whole object is another", call.request_id);
  }
  object.etag = hex(md5(digests)) + "-" + std::to_string(numbers.size());
  const std::string reply = "<CompleteMultipartUploadResult><ETag>&quot;" + object.etag + "&quot;</ETag></CompleteMultipartUploadResult>";
  objects_[call.key] = std::move(object);
  uploads_.erase(upload);
  return xml_reply(reply);
}

TestReply S3Double::abort_upload(Call& call) {
  if (uploads_.erase(call.query["uploadId"]) == 0) return refusal(404, "NoSuchUpload", "The upload does not exist", call.request_id);
  TestReply reply;
  reply.status = 204;
  return reply;
}

TestReply S3Double::list_uploads(Call& call) {
  std::string entries;
  for (const auto& [id, upload] : uploads_) {
    if (!upload.key.starts_with(call.query["prefix"])) continue;
    entries += "<Upload><Key>" + form_encode(upload.key) + "</Key><UploadId>" + id + "</UploadId><Initiated>" + iso_time(upload.initiated) + "</Initiated></Upload>";
  }
  return xml_reply("<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>" + entries + "</ListMultipartUploadsResult>");
}

TestReply S3Double::delete_objects(Call& call) {
  if (call.header("content-md5") != base64(md5(call.body))) return refusal(400, "BadDigest", "Content-MD5 is missing or wrong", call.request_id);
  std::string failures;
  for (const std::string& key : elements(call.body, "Key")) {
    const bool denied = std::any_of(denied_.begin(), denied_.end(), [&](const std::string& prefix) { return key.starts_with(prefix); });
    if (denied) failures += "<Error><Key>" + xml_text(key) + "</Key><Code>AccessDenied</Code></Error>";
    else objects_.erase(key);
  }
  return xml_reply("<DeleteResult>" + failures + "</DeleteResult>");
}

}  // namespace hearth::s3

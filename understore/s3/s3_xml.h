// The XML that S3 answers and asks for, as plain structs.
//
// Threads: pure functions.
// Fails:   corrupt (not the expected document, or beyond the limits below). Replies are hostile until parsed: no
//          document type, entity, comment or CDATA is accepted, and nothing recurses with the depth of the input.
#pragma once

#include <hearth/result.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::s3 {

inline constexpr std::size_t max_xml_bytes = 8U << 20;      // 1,000 keys of 1,024 bytes, each byte as %XX, and their tags
inline constexpr std::size_t max_xml_elements = 40'000;     // 1,000 entries of 10 elements come to 20,000 tags
inline constexpr std::size_t max_xml_depth = 16;

struct ListedObject {
  std::string key;
  std::string etag;  // without quotes
  std::uint64_t length_bytes = 0;
  std::int64_t mtime_ns = 0;  // whole seconds, as HEAD has them
};

struct ListPage {
  std::vector<ListedObject> objects;
  std::vector<std::string> prefixes;
  bool truncated = false;
  std::string next_token;
  std::int64_t at_ns = 0;  // the store's clock when it answered; 0: it did not say
};
// Names are decoded when the reply says EncodingType url, and only then. A truncated page without token is corrupt.
Result<ListPage> parse_list_page(std::string_view xml);

struct ErrorDocument {
  std::string code;
  std::string message;
  std::string request_id;
  std::string region;    // of AuthorizationHeaderMalformed and friends
  std::string endpoint;  // of PermanentRedirect: shown, never followed
};
// Nothing when it is not an Error document: a proxy may have answered.
std::optional<ErrorDocument> parse_error(std::string_view xml);

Result<std::string> parse_upload_id(std::string_view xml);  // InitiateMultipartUploadResult

// CompleteMultipartUpload, CopyObject and UploadPartCopy answer 200 and may still carry an Error.
struct WrittenObject {
  std::string etag;  // without quotes
};
struct WriteOutcome {
  std::optional<WrittenObject> written;
  std::optional<ErrorDocument> error;
};
Result<WriteOutcome> parse_write_outcome(std::string_view xml);

struct DeleteFailure {
  std::string key;
  std::string code;
  std::string message;
};
Result<std::vector<DeleteFailure>> parse_delete_result(std::string_view xml);

struct OpenUpload {
  std::string key;
  std::string upload_id;
  std::int64_t initiated_ns = 0;
};
struct UploadPage {
  std::vector<OpenUpload> uploads;
  bool truncated = false;
  std::string next_key_marker;
  std::string next_upload_id_marker;
};
Result<UploadPage> parse_upload_page(std::string_view xml);

struct StsCredentials {
  std::string access_key_id;
  std::string secret_access_key;  // wipe after use
  std::string session_token;
  std::int64_t expires_ns = 0;
};
Result<StsCredentials> parse_web_identity_reply(std::string_view xml);

struct UploadedPart {
  int number = 0;
  std::string etag;             // without quotes
  std::string checksum_element;  // "ChecksumCRC32C", or "" = none
  std::string checksum;
};
std::string complete_upload_body(const std::vector<UploadedPart>& parts);
std::string delete_objects_body(const std::vector<std::string>& keys);

// "2009-10-12T17:50:30.000Z", the fraction is dropped; "Wed, 28 Oct 2009 22:32:00 GMT". Nothing for another form.
std::optional<std::int64_t> parse_iso_time_ns(std::string_view text);
std::optional<std::int64_t> parse_http_time_ns(std::string_view text);

// "\"abc\"" is abc; a weak one keeps its W/"abc".
std::string unquote_etag(std::string_view etag);

}  // namespace hearth::s3

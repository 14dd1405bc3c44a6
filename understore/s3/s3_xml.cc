#include "understore/s3/s3_xml.h"

#include "understore/s3/uri_encode.h"

#include <pugixml.hpp>

#include <charconv>
#include <cstring>
#include <ctime>
#include <functional>
#include <limits>

namespace hearth::s3 {
namespace {

Error corrupt(std::string_view what) {
  return Error(Code::corrupt, "the store's XML reply " + std::string(what) + "; is the endpoint an S3 service?");
}

// Before any tree is built: pugixml needs some 60 bytes for an element of 4.
Status check_limits(std::string_view xml) {
  if (xml.size() > max_xml_bytes) return corrupt("is longer than 8 MiB");
  if (xml.find("<!") != std::string_view::npos) return corrupt("has a document type, comment or CDATA, which S3 never sends");
  std::size_t elements = 0;
  std::size_t depth = 0;
  for (std::size_t at = xml.find('<'); at != std::string_view::npos; at = xml.find('<', at + 1)) {
    if (++elements > max_xml_elements) return corrupt("has more than 40,000 tags");
    const char next = at + 1 < xml.size() ? xml[at + 1] : '\0';
    if (next == '?') continue;
    if (next == '/') {
      if (depth > 0) --depth;
      continue;
    }
    const std::size_t end = xml.find('>', at);
    if (end != std::string_view::npos && xml[end - 1] == '/') continue;
    if (++depth > max_xml_depth) return corrupt("nests deeper than 16 elements");
  }
  return ok();
}

std::string_view local_name(const pugi::xml_node& node) {
  const std::string_view name = node.name();
  const auto colon = name.rfind(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

pugi::xml_node child(const pugi::xml_node& parent, std::string_view name) {
  for (const pugi::xml_node& node : parent.children()) {
    if (local_name(node) == name) return node;
  }
  return {};
}

std::string text_of(const pugi::xml_node& parent, std::string_view name) { return child(parent, name).text().get(); }

// The document element, whatever its namespace.
Result<pugi::xml_node> load(pugi::xml_document& document, std::string_view xml) {
  CHECK_OK(check_limits(xml));
  // Names may have white space at their ends and carriage returns: nothing is normalised.
  constexpr unsigned options = pugi::parse_escapes | pugi::parse_ws_pcdata_single;
  const pugi::xml_parse_result parsed = document.load_buffer(xml.data(), xml.size(), options, pugi::encoding_utf8);
  if (!parsed) return corrupt(std::string("is not well formed (") + parsed.description() + ")");
  const pugi::xml_node root = document.document_element();
  if (!root) return corrupt("is empty");
  return root;
}

Result<pugi::xml_node> load(pugi::xml_document& document, std::string_view xml, std::string_view expected) {
  TRY(root, load(document, xml));
  if (local_name(root) != expected) {
    return corrupt("is a " + std::string(local_name(root).substr(0, 60)) + ", not a " + std::string(expected));
  }
  return root;
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// A name of a listing: decoded only when the reply said that it is encoded.
Result<std::string> listed_name(const pugi::xml_node& parent, std::string_view element, const bool& encoded) {
  std::string name = text_of(parent, element);
  if (encoded) {
    auto decoded = form_decode(name);
    if (!decoded) return corrupt("has a name that is not percent-encoded as it says");
    name = std::move(*decoded);
  }
  if (name.empty()) return corrupt("has an entry without a name");
  return name;
}

bool says_encoded(const pugi::xml_node& root) { return text_of(root, "EncodingType") == "url"; }

ErrorDocument error_of(const pugi::xml_node& node) {
  return {.code = text_of(node, "Code"),
          .message = text_of(node, "Message"),
          .request_id = text_of(node, "RequestId"),
          .region = text_of(node, "Region"),
          .endpoint = text_of(node, "Endpoint")};
}

// Times that 64 bits of nanoseconds can not hold (outside of 1678 to 2262) are not times.
std::int64_t nanoseconds_of(std::tm utc) {
  constexpr std::int64_t per_second = 1'000'000'000;
  constexpr std::int64_t most_seconds = std::numeric_limits<std::int64_t>::max() / per_second - 1;
  const std::int64_t seconds = ::timegm(&utc);
  return seconds > most_seconds || seconds < -most_seconds ? 0 : seconds * per_second;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default:
        // A bare control character would be lost or refused in XML.
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          out += "&#" + std::to_string(static_cast<int>(c)) + ";";
        } else {
          out.push_back(c);
        }
    }
  }
  return out;
}

Result<ListedObject> listed_object(const pugi::xml_node& node, const bool& encoded) {
  ListedObject object;
  TRY(key, listed_name(node, "Key", encoded));
  object.key = std::move(key);
  const auto length = number_of<std::uint64_t>(text_of(node, "Size"));
  if (!length) return corrupt("has an object without a size");
  object.length_bytes = *length;
  object.etag = unquote_etag(text_of(node, "ETag"));
  object.mtime_ns = parse_iso_time_ns(text_of(node, "LastModified")).value_or(0);
  return object;
}

}  // namespace

Result<ListPage> parse_list_page(std::string_view xml) {
  pugi::xml_document document;
  TRY(root, load(document, xml, "ListBucketResult"));
  const bool encoded = says_encoded(root);
  ListPage page;
  page.truncated = text_of(root, "IsTruncated") == "true";
  page.next_token = text_of(root, "NextContinuationToken");
  if (page.truncated && page.next_token.empty()) return corrupt("is truncated and does not say how to go on (ListObjectsV2)");
  for (const pugi::xml_node& node : root.children()) {
    const std::string_view name = local_name(node);
    if (name == "Contents") {
      TRY(object, listed_object(node, encoded));
      page.objects.push_back(std::move(object));
    } else if (name == "CommonPrefixes") {
      TRY(prefix, listed_name(node, "Prefix", encoded));
      page.prefixes.push_back(std::move(prefix));
    }
  }
  return page;
}

std::optional<ErrorDocument> parse_error(std::string_view xml) {
  pugi::xml_document document;
  const auto root = load(document, xml);
  if (!root) return std::nullopt;
  if (local_name(*root) == "Error") return error_of(*root);
  // STS wraps it.
  if (local_name(*root) == "ErrorResponse") {
    ErrorDocument error = error_of(child(*root, "Error"));
    if (error.request_id.empty()) error.request_id = text_of(*root, "RequestId");
    return error;
  }
  return std::nullopt;
}

Result<std::string> parse_upload_id(std::string_view xml) {
  pugi::xml_document document;
  TRY(root, load(document, xml, "InitiateMultipartUploadResult"));
  std::string id = text_of(root, "UploadId");
  if (id.empty()) return corrupt("starts an upload without naming it");
  return id;
}

Result<WriteOutcome> parse_write_outcome(std::string_view xml) {
  pugi::xml_document document;
  TRY(root, load(document, xml));
  WriteOutcome outcome;
  if (local_name(root) == "Error") {
    outcome.error = error_of(root);
    return outcome;
  }
  const std::string_view name = local_name(root);
  if (name != "CompleteMultipartUploadResult" && name != "CopyObjectResult" && name != "CopyPartResult") {
    return corrupt("is a " + std::string(name.substr(0, 60)) + ", not the result of a write");
  }
  outcome.written = WrittenObject{.etag = unquote_etag(text_of(root, "ETag"))};
  if (outcome.written->etag.empty()) return corrupt("confirms a write without an ETag");
  return outcome;
}

Result<std::vector<DeleteFailure>> parse_delete_result(std::string_view xml) {
  pugi::xml_document document;
  TRY(root, load(document, xml, "DeleteResult"));
  std::vector<DeleteFailure> failures;
  for (const pugi::xml_node& node : root.children()) {
    if (local_name(node) != "Error") continue;
    failures.push_back({.key = text_of(node, "Key"), .code = text_of(node, "Code"), .message = text_of(node, "Message")});
  }
  return failures;
}

Result<UploadPage> parse_upload_page(std::string_view xml) {
  pugi::xml_document document;
  TRY(root, load(document, xml, "ListMultipartUploadsResult"));
  const bool encoded = says_encoded(root);
  UploadPage page;
  page.truncated = text_of(root, "IsTruncated") == "true";
  page.next_upload_id_marker = text_of(root, "NextUploadIdMarker");
  if (page.truncated) {
    TRY(marker, listed_name(root, "NextKeyMarker", encoded));
    page.next_key_marker = std::move(marker);
  }
  for (const pugi::xml_node& node : root.children()) {
    if (local_name(node) != "Upload") continue;
    TRY(key, listed_name(node, "Key", encoded));
    page.uploads.push_back({.key = std::move(key),
                            .upload_id = text_of(node, "UploadId"),
                            .initiated_ns = parse_iso_time_ns(text_of(node, "Initiated")).value_or(INT64_MAX)});
  }
  return page;
}

Result<StsCredentials> parse_web_identity_reply(std::string_view xml) {
  pugi::xml_document document;
  TRY(root, load(document, xml, "AssumeRoleWithWebIdentityResponse"));
  const pugi::xml_node node = child(child(root, "AssumeRoleWithWebIdentityResult"), "Credentials");
  StsCredentials credentials{.access_key_id = text_of(node, "AccessKeyId"),
                             .secret_access_key = text_of(node, "SecretAccessKey"),
                             .session_token = text_of(node, "SessionToken"),
                             .expires_ns = parse_iso_time_ns(text_of(node, "Expiration")).value_or(0)};
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) return corrupt("has no credentials in it");
  return credentials;
}

std::string complete_upload_body(const std::vector<UploadedPart>& parts) {
  std::string body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (const UploadedPart& part : parts) {
    body += "<Part><PartNumber>" + std::to_string(part.number) + "</PartNumber><ETag>&quot;" + escaped(part.etag) + "&quot;</ETag>";
    if (!part.checksum_element.empty()) {
      body += "<" + part.checksum_element + ">" + escaped(part.checksum) + "</" + part.checksum_element + ">";
    }
    body += "</Part>";
  }
  return body + "</CompleteMultipartUpload>";
}

std::string delete_objects_body(const std::vector<std::string>& keys) {
  std::string body = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>";
  for (const std::string& key : keys) body += "<Object><Key>" + escaped(key) + "</Key></Object>";
  return body + "</Delete>";
}

std::optional<std::int64_t> parse_iso_time_ns(std::string_view text) {
  std::tm utc{};
  const std::string copy(text.substr(0, 40));
  const char* rest = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
  if (rest == nullptr) return std::nullopt;
  if (*rest == '.') rest += 1 + std::strspn(rest + 1, "0123456789");
  if (std::strcmp(rest, "Z") != 0 && std::strcmp(rest, "+00:00") != 0) return std::nullopt;
  return nanoseconds_of(utc);
}

std::optional<std::int64_t> parse_http_time_ns(std::string_view text) {
  std::tm utc{};
  const std::string copy(text.substr(0, 40));
  const char* rest = ::strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  if (rest == nullptr || *rest != '\0') return std::nullopt;
  return nanoseconds_of(utc);
}

std::string unquote_etag(std::string_view etag) {
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  return std::string(etag);
}

}  // namespace hearth::s3

#include "understore/s3/s3_version.h"

#include "understore/s3/s3_xml.h"
#include "understore/s3/uri_encode.h"

#include <array>
#include <charconv>

namespace hearth::s3 {
namespace {

constexpr std::string_view version_prefix = "s1-";

std::optional<std::uint64_t> number_of(std::string_view text, int base = 10) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t total = 0;
};

// "bytes 0-9/443" (RFC 9110, 14.4). An unknown total is of no use here.
std::optional<ContentRange> parse_content_range(std::string_view text) {
  if (!text.starts_with("bytes ")) return std::nullopt;
  text.remove_prefix(6);
  const auto dash = text.find('-');
  const auto slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return std::nullopt;
  const auto first = number_of(text.substr(0, dash));
  const auto last = number_of(text.substr(dash + 1, slash - dash - 1));
  const auto total = number_of(text.substr(slash + 1));
  if (!first || !last || !total) return std::nullopt;
  return ContentRange{.first = *first, .last = *last, .total = *total};
}

Error lies(std::string_view what) {
  return Error(Code::corrupt, "the store's reply " + std::string(what) + "; it was not used");
}

Error other_version(std::string_view what) {
  return Error(Code::stale, "the object changed underneath: " + std::string(what));
}

}  // namespace

std::string to_string(const ObjectVersion& version) {
  char length[17];
  const auto end = std::to_chars(length, length + sizeof length, version.length_bytes, 16).ptr;
  return std::string(version_prefix) + uri_encode(version.etag) + "-" + std::string(length, end);
}

std::optional<ObjectVersion> parse_object_version(std::string_view text) {
  if (!text.starts_with(version_prefix)) return std::nullopt;
  text.remove_prefix(version_prefix.size());
  const auto dash = text.rfind('-');
  if (dash == std::string_view::npos || dash == 0) return std::nullopt;
  auto etag = percent_decode(text.substr(0, dash));
  const auto length = number_of(text.substr(dash + 1), 16);
  if (!etag || !length) return std::nullopt;
  return ObjectVersion{.etag = std::move(*etag), .length_bytes = *length};
}

std::string quoted_etag(std::string_view etag) {
  if (etag.starts_with("W/")) return std::string(etag);
  return "\"" + std::string(etag) + "\"";
}

Status check_range_reply(const HttpHead& head, const ObjectVersion& version, ByteRange range) {
  const auto etag = head.header("etag");
  if (!etag) return lies("has no ETag");
  if (unquote_etag(*etag) != version.etag) return other_version("its ETag is " + std::string(etag->substr(0, 80)) + " now");
  const bool whole = range.offset == 0 && range.length_bytes == version.length_bytes;
  if (head.status == 200) {
    if (!whole) return lies("is the whole object where a range was asked (200 instead of 206)");
  } else if (head.status == 206) {
    const auto header = head.header("content-range");
    const auto told = header ? parse_content_range(*header) : std::nullopt;
    if (!told) return lies("is partial and does not say of what (Content-Range)");
    if (told->total != version.length_bytes) return other_version("it has " + std::to_string(told->total) + " bytes now");
    if (told->first != range.offset || told->last - told->first + 1 != range.length_bytes || told->last < told->first) {
      return lies("is another range than was asked (" + std::string(header->substr(0, 60)) + ")");
    }
  } else {
    return lies("has the status " + std::to_string(head.status) + " for a read");
  }
  if (head.content_length && *head.content_length != range.length_bytes) {
    if (whole) return other_version("it has " + std::to_string(*head.content_length) + " bytes now");
    return lies("announces " + std::to_string(*head.content_length) + " bytes where " + std::to_string(range.length_bytes) + " were asked");
  }
  return ok();
}

std::optional<WholeChecksum> whole_checksum(const HttpHead& head) {
  using Kind = WholeChecksum::Kind;
  struct Known {
    std::string_view header;
    Kind kind;
  };
  static constexpr std::array<Known, 3> known{Known{"x-amz-checksum-crc64nvme", Kind::crc64nvme}, Known{"x-amz-checksum-sha256", Kind::sha256},
                                              Known{"x-amz-checksum-crc32c", Kind::crc32c}};
  if (head.header("x-amz-checksum-type").value_or("FULL_OBJECT") != "FULL_OBJECT") return std::nullopt;
  for (const Known& each : known) {
    const auto value = head.header(each.header);
    // "...-3": the checksum of the checksums of three parts.
    if (value && value->find('-') == std::string_view::npos) return WholeChecksum{.kind = each.kind, .expected = std::string(*value)};
  }
  return std::nullopt;
}

}  // namespace hearth::s3

// The identity of an object's content, and whether a reply is of it.
//
// "s1-<etag>-<length, hex>": ETag percent-encoded, so that it is printable and the If-Match of every range can be made
// from the version alone. An object replaced by equal bytes may keep its version: the bytes are the same.
//
// Threads: pure functions.
#pragma once

#include "common/http/http.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hearth::s3 {

struct ObjectVersion {
  std::string etag;  // without quotes; a weak one with its W/
  std::uint64_t length_bytes = 0;
};

std::string to_string(const ObjectVersion& version);
std::optional<ObjectVersion> parse_object_version(std::string_view text);
// As If-Match wants it.
std::string quoted_etag(std::string_view etag);

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length_bytes = 0;
};

// Whether the head of a 2xx reply to "GET range, If-Match version" is of that version and range. A server may ignore both
// headers, so every part of the answer is compared:
// stale (another ETag or whole length), corrupt (another range, no ETag, a whole object where a part was asked).
Status check_range_reply(const HttpHead& head, const ObjectVersion& version, ByteRange range);

// A header of a reply that verifies the whole object: its name and what it must be, for the bytes that came.
struct WholeChecksum {
  enum class Kind : std::uint8_t { crc32c, crc64nvme, sha256 };
  Kind kind = Kind::crc32c;
  std::string expected;  // base64
};
// Nothing when there is none that covers the whole object (composite checksums of multipart uploads do not).
std::optional<WholeChecksum> whole_checksum(const HttpHead& head);

}  // namespace hearth::s3

// What a store answers: parsers of its XML, its times, its ETags and its ranges take or refuse, within their bounds.
#include "understore/s3/s3_listing.h"
#include "understore/s3/s3_version.h"
#include "understore/s3/s3_xml.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using namespace hearth;
using namespace hearth::s3;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_list(const std::string& text) {
  const auto page = parse_list_page(text);
  if (!page) return;
  require(page->objects.size() + page->prefixes.size() <= max_xml_elements);
  require(!page->truncated || !page->next_token.empty());
  std::deque<ObjectInfo> entries;
  ListedNames names("d/");
  if (!names.add(*page, entries)) return;
  for (const ObjectInfo& entry : entries) {
    require(!entry.name.empty() && entry.name.find('/') == std::string::npos && entry.name != "." && entry.name != "..");
    if (entry.type == FileType::directory) continue;
    const auto version = parse_object_version(entry.version);
    require(version && version->length_bytes == entry.length_bytes);
  }
}

void check_range(const std::string& text) {
  HttpHead head{.status = 206, .headers = {{"ETag", "\"e\""}, {"Content-Range", text}}, .content_length = 10};
  const bool believed = check_range_reply(head, {.etag = "e", .length_bytes = 100}, {.offset = 10, .length_bytes = 10}).has_value();
  require(!believed || text.find("10-") != std::string::npos || text.find("10") != std::string::npos);
  static_cast<void>(parse_object_version(text));
  static_cast<void>(parse_iso_time_ns(text));
  static_cast<void>(parse_http_time_ns(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 8) {
    case 0: static_cast<void>(parse_error(text)); break;
    case 1: static_cast<void>(parse_write_outcome(text)); break;
    case 2: static_cast<void>(parse_upload_page(text)); break;
    case 3: static_cast<void>(parse_delete_result(text)); break;
    case 4: static_cast<void>(parse_web_identity_reply(text)); break;
    case 5: static_cast<void>(parse_upload_id(text)); break;
    case 6: check_range(text); break;
    default: check_list(text);
  }
  return 0;
}

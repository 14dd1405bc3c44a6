// An S3 service with one prefix of many keys that exist in its listings only: what bench/s3 lists, where a real server
// would keep a file for each. It checks signatures as the double of the tests does.
//
//   hearth-s3-keys COUNT [MS]     serves bucket "bucket", keys "keys/00000000" and on, MS milliseconds for a page of 1,000;
//                                 says its address and keys; ends with its input
#include "understore/s3/double_call.h"
#include "understore/s3/double_signature.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

namespace hearth::s3 {
namespace {

constexpr std::string_view prefix = "keys/";
constexpr std::size_t page = 1000;  // as S3

std::string key_of(std::uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "keys/%08llu", static_cast<unsigned long long>(number));
  return text;
}

std::string parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    if (item.starts_with(name) && item.substr(name.size()).starts_with('=')) {
      return double_percent_decode(item.substr(name.size() + 1));
    }
    query.remove_prefix(std::min(item.size() + 1, query.size()));
  }
  return "";
}

TestReply list(std::string_view query, std::uint64_t count) {
  const std::string asked = parameter(query, "max-keys");
  const std::size_t limit = asked.empty() ? page : std::min<std::size_t>(page, std::strtoull(asked.c_str(), nullptr, 10));
  const bool here = parameter(query, "prefix") == prefix;
  const std::uint64_t begin = std::strtoull(parameter(query, "continuation-token").c_str(), nullptr, 10);
  const std::uint64_t end = here ? std::min<std::uint64_t>(count, begin + limit) : begin;
  std::string entries;
  entries.reserve((end - begin) * 192);
  for (std::uint64_t number = begin; number < end; ++number) {
    char etag[40];
    std::snprintf(etag, sizeof etag, "%032llx", static_cast<unsigned long long>(number * 0x9E3779B97F4A7C15ULL));
    entries += "<Contents><Key>" + key_of(number) + "</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;" + etag +
               "&quot;</ETag><Size>4096</Size><StorageClass>STANDARD</StorageClass></Contents>";
  }
  const bool more = here && end < count;
  return double_text::xml_reply(
      "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name><EncodingType>url</EncodingType><IsTruncated>" +
      std::string(more ? "true" : "false") + "</IsTruncated>" +
      (more ? "<NextContinuationToken>" + std::to_string(end) + "</NextContinuationToken>" : "") + entries + "</ListBucketResult>");
}

TestReply answer(const TestRequest& request, const DoubleIdentity& identity, std::uint64_t count, Duration page_takes) {
  const VerifiedBody verified = verify_request(request, identity, real_clock().wall_now());
  if (verified.refusal) return double_text::refusal(verified.refusal->status, verified.refusal->code, verified.refusal->message, "1");
  const bool bucket = request.path() == "/bucket" || request.path() == "/bucket/";
  if (bucket && request.method == "GET") {
    TestReply reply = list(request.query(), count);
    reply.delay_head = page_takes;
    return reply;
  }
  return double_text::refusal(404, "NoSuchKey", "The specified key does not exist.", "1");
}

int serve(std::uint64_t count, Duration page_takes) {
  const DoubleIdentity identity;
  TestServer server([&](const TestRequest& request) { return answer(request, identity, count, page_takes); });
  std::cout << server.origin() << " " << identity.access_key_id << " " << identity.secret << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {}
  return 0;
}

}  // namespace
}  // namespace hearth::s3

int main(int count, char** words) {
  if (count != 2 && count != 3) {
    std::cerr << "usage: hearth-s3-keys COUNT [MS]\n";
    return 2;
  }
  const std::chrono::milliseconds page_takes(count == 3 ? std::strtol(words[2], nullptr, 10) : 0);
  return hearth::s3::serve(std::strtoull(words[1], nullptr, 10), page_takes);
}

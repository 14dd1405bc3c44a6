// Whatever a namenode, or what stands in its place, answers: it is understood or refused, what is understood can be a
// file's status, and names can never leave their directory. The first byte chooses the kind of answer.
#include "understore/hdfs/hdfs_json.h"
#include "understore/hdfs/hdfs_options.h"
#include "understore/hdfs/remote_error.h"
#include "understore/hdfs/url_text.h"
#include "understore/store_path.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using namespace hearth::hdfs;

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const FileStatus& status) {
  require(status.mode <= 07777);
  require(status.suffix.empty() || hearth::check_store_path(status.suffix).has_value());
  require(status.suffix.find('/') == std::string::npos);
  const Version version = version_of(status);
  require(parse_version(to_string(version)) == version);
}

void refuse(std::string_view text) {
  hearth::HttpReply reply;
  reply.head.status = 404;
  reply.body = text;
  const Refusal refusal = refusal_of(reply, "x");
  require(refusal.error.message().size() < 2000);
  require(refusal.error.code() != hearth::Code::not_found || parse_remote_exception(text).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0: {
      const auto status = parse_file_status(text);
      if (status) check(*status);
      break;
    }
    case 1: {
      const auto page = parse_listing(text);
      if (!page) break;
      for (const FileStatus& each : page->entries) check(each);
      break;
    }
    case 2: refuse(text); break;
    case 3: {
      const auto version = parse_version(text);
      if (version) require(parse_version(to_string(*version)) == *version);
      break;
    }
    case 4: {
      const auto options = parse_hdfs_options(text, {});
      if (options) require(!options->namenodes.empty() && (options->root.empty() || options->root.front() == '/'));
      break;
    }
    default: {
      if (text.find('\0') == std::string_view::npos) require(decode(encode_value(text)) == text);
      static_cast<void>(parse_content_summary(text));
      static_cast<void>(parse_file_checksum(text));
      static_cast<void>(parse_boolean(text));
      break;
    }
  }
  return 0;
}

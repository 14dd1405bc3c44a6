// The JSON of WebHDFS. The one place that knows Boost.JSON.
//
// Threads: pure functions.
// Fails:   corrupt: not JSON, not of the documented shape, or a name that no file can have. Nesting is bounded by the
//          parser (32), size by HttpRequest::max_body_bytes.
#pragma once

#include "understore/hdfs/file_status.h"

#include <optional>
#include <string>
#include <string_view>

namespace hearth::hdfs {

struct RemoteException {
  std::string name;        // "FileNotFoundException"
  std::string class_name;  // "java.io.FileNotFoundException"
  std::string message;     // its first line, without control characters, at most 500 bytes
};

std::optional<RemoteException> parse_remote_exception(std::string_view json);
Result<FileStatus> parse_file_status(std::string_view json);
// Of LISTSTATUS_BATCH or LISTSTATUS. A file lists itself, with an empty suffix.
Result<ListingPage> parse_listing(std::string_view json);
Result<bool> parse_boolean(std::string_view json);
Result<ContentSummary> parse_content_summary(std::string_view json);
Result<FileChecksum> parse_file_checksum(std::string_view json);

}  // namespace hearth::hdfs

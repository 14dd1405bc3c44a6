#include "understore/hdfs/hdfs_json.h"

#include "understore/store_path.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <charconv>

namespace hearth::hdfs {
namespace {

namespace json = boost::json;

constexpr std::size_t max_message_bytes = 500;

Error not_webhdfs(std::string_view what) {
  return Error(Code::corrupt, "the store's answer is not WebHDFS: " + std::string(what));
}

Result<json::value> parse(std::string_view text) {
  json::error_code error;
  json::value value = json::parse({text.data(), text.size()}, error);
  if (error) return not_webhdfs("it is not JSON");
  return value;
}

// Null when there is no such member, or `value` is no object.
const json::value* member(const json::value& value, std::string_view name) {
  const json::object* object = value.if_object();
  return object == nullptr ? nullptr : object->if_contains({name.data(), name.size()});
}

std::string text_of(const json::value& value, std::string_view name) {
  const json::value* found = member(value, name);
  const json::string* text = found == nullptr ? nullptr : found->if_string();
  return text == nullptr ? std::string() : std::string(text->data(), text->size());
}

std::optional<std::uint64_t> number_of(const json::value& value, std::string_view name) {
  const json::value* found = member(value, name);
  if (found == nullptr) return std::nullopt;
  if (const std::int64_t* number = found->if_int64(); number != nullptr && *number >= 0) {
    return static_cast<std::uint64_t>(*number);
  }
  if (const std::uint64_t* number = found->if_uint64()) return *number;
  return std::nullopt;
}

std::string one_line(std::string text) {
  text = text.substr(0, std::min(text.find('\n'), max_message_bytes));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

FileType type_of(std::string_view name) {
  if (name == "FILE") return FileType::regular;
  if (name == "DIRECTORY") return FileType::directory;
  if (name == "SYMLINK") return FileType::symlink;
  return FileType::other;
}

Result<FileStatus> status_of(const json::value& value) {
  const auto length = number_of(value, "length");
  const auto modified = number_of(value, "modificationTime");
  const auto file_id = number_of(value, "fileId");
  if (!length || !modified || text_of(value, "type").empty()) return not_webhdfs("a FileStatus lacks what it always has");
  // HttpFS before 3.0 and other file systems behind it leave fileId out: without it no version could be told from another.
  if (!file_id) return not_webhdfs("its FileStatus has no fileId, so versions of a file can not be told apart");
  FileStatus status{.suffix = text_of(value, "pathSuffix"),
                    .type = type_of(text_of(value, "type")),
                    .length_bytes = *length,
                    .modified_ms = static_cast<std::int64_t>(*modified),
                    .file_id = *file_id,
                    .owner = text_of(value, "owner"),
                    .group = text_of(value, "group"),
                    .symlink_target = text_of(value, "symlink")};
  const std::string mode = text_of(value, "permission");
  const auto parsed = std::from_chars(mode.data(), mode.data() + mode.size(), status.mode, 8);
  if (parsed.ec != std::errc() || status.mode > 07777) return not_webhdfs("a permission is not an octal number");
  const bool bad_name = !status.suffix.empty() &&
                        (status.suffix.find('/') != std::string::npos || !check_store_path(status.suffix));
  if (bad_name) return not_webhdfs("it lists the impossible name " + printable_path(status.suffix));
  return status;
}

}  // namespace

std::optional<RemoteException> parse_remote_exception(std::string_view text) {
  const auto value = parse(text);
  if (!value) return std::nullopt;
  const json::value* exception = member(*value, "RemoteException");
  if (exception == nullptr) return std::nullopt;
  RemoteException remote{.name = one_line(text_of(*exception, "exception")),
                         .class_name = one_line(text_of(*exception, "javaClassName")),
                         .message = one_line(text_of(*exception, "message"))};
  if (remote.name.empty()) return std::nullopt;
  return remote;
}

Result<FileStatus> parse_file_status(std::string_view text) {
  TRY(value, parse(text));
  const json::value* status = member(value, "FileStatus");
  if (status == nullptr) return not_webhdfs("it has no FileStatus");
  return status_of(*status);
}

Result<ListingPage> parse_listing(std::string_view text) {
  TRY(value, parse(text));
  ListingPage page;
  const json::value* statuses = member(value, "FileStatuses");
  if (const json::value* batch = member(value, "DirectoryListing")) {
    const json::value* partial = member(*batch, "partialListing");
    if (partial != nullptr) statuses = member(*partial, "FileStatuses");
    const auto remaining = number_of(*batch, "remainingEntries");
    if (!remaining) return not_webhdfs("a listing does not say how much remains");
    page.remaining = *remaining;
  }
  const json::value* entries = statuses == nullptr ? nullptr : member(*statuses, "FileStatus");
  if (entries == nullptr || entries->if_array() == nullptr) return not_webhdfs("it has no listing");
  page.entries.reserve(entries->if_array()->size());
  for (const json::value& each : *entries->if_array()) {
    TRY(status, status_of(each));
    page.entries.push_back(std::move(status));
  }
  return page;
}

Result<bool> parse_boolean(std::string_view text) {
  TRY(value, parse(text));
  const json::value* found = member(value, "boolean");
  if (found == nullptr || found->if_bool() == nullptr) return not_webhdfs("it has no boolean");
  return *found->if_bool();
}

Result<ContentSummary> parse_content_summary(std::string_view text) {
  TRY(value, parse(text));
  const json::value* summary = member(value, "ContentSummary");
  if (summary == nullptr) return not_webhdfs("it has no ContentSummary");
  const auto length = number_of(*summary, "length");
  const auto files = number_of(*summary, "fileCount");
  const auto directories = number_of(*summary, "directoryCount");
  if (!length || !files || !directories) return not_webhdfs("a ContentSummary lacks what it always has");
  return ContentSummary{.length_bytes = *length, .file_count = *files, .directory_count = *directories};
}

Result<FileChecksum> parse_file_checksum(std::string_view text) {
  TRY(value, parse(text));
  const json::value* checksum = member(value, "FileChecksum");
  if (checksum == nullptr) return not_webhdfs("it has no FileChecksum");
  const auto length = number_of(*checksum, "length");
  FileChecksum parsed{.algorithm = one_line(text_of(*checksum, "algorithm")),
                      .bytes_hex = one_line(text_of(*checksum, "bytes")),
                      .length_bytes = length.value_or(0)};
  if (parsed.algorithm.empty() || parsed.bytes_hex.empty()) return not_webhdfs("a FileChecksum lacks what it always has");
  return parsed;
}

}  // namespace hearth::hdfs

// What a namenode says of a path, and the version that follows from it.
//
// Threads: pure functions.
#pragma once

#include "understore/under_store.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::hdfs {

struct FileStatus {
  std::string suffix;  // last component in a listing, "" otherwise
  FileType type = FileType::other;
  std::uint64_t length_bytes = 0;
  std::int64_t modified_ms = 0;
  std::uint64_t file_id = 0;  // unique in the namespace for all time
  std::uint32_t mode = 0;
  std::string owner;
  std::string group;
  std::string symlink_target;
};

struct ListingPage {
  std::vector<FileStatus> entries;
  std::uint64_t remaining = 0;
};

struct ContentSummary {
  std::uint64_t length_bytes = 0;
  std::uint64_t file_count = 0;
  std::uint64_t directory_count = 0;
};

struct FileChecksum {
  std::string algorithm;
  std::string bytes_hex;
  std::uint64_t length_bytes = 0;  // of the checksum
};

// "h1-<file id>-<mtime ms>-<length>", hex. A replaced file has another id; an appended one another length.
struct Version {
  std::uint64_t file_id = 0;
  std::int64_t modified_ms = 0;
  std::uint64_t length_bytes = 0;
  bool operator==(const Version&) const = default;
};
std::string to_string(const Version& version);
std::optional<Version> parse_version(std::string_view text);
Version version_of(const FileStatus& status);

}  // namespace hearth::hdfs

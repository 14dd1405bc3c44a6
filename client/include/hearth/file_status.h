// What a name of the namespace stands for, as stat, list and changes answer it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hearth {

enum class EntryType : std::uint8_t { regular, directory, symlink, other };

struct FileStatus {
  std::uint64_t inode = 0;
  EntryType type = EntryType::regular;
  std::uint64_t length_bytes = 0;
  std::uint32_t mode = 0;  // permission bits (07777)
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t link_count = 1;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  std::int64_t atime_ns = 0;   // 0: not known; then it is the mtime
  std::uint32_t special = 0;   // EntryType::other: its S_IFMT bits, 0 when not known
  std::uint64_t device = 0;    // of a character or block device
  std::optional<std::uint64_t> allocated_bytes;  // on the under-store's disk; nothing: not known
  std::string version;         // equal versions have equal content
  std::string symlink_target;
  std::uint32_t attachment = 0;
  bool writable = false;       // its attachment takes changes
  bool served_stale = false;   // the under-store could not be asked
  std::chrono::milliseconds ttl{0};  // how long this may be answered from a cache
};

struct DirectoryItem {
  std::string name;
  FileStatus status;
};

struct DirectoryPage {
  std::vector<DirectoryItem> items;  // in byte order of the names
  bool more = false;                 // continue with the last name
};

// What a change did.
struct Changed {
  std::optional<FileStatus> status;  // of the object afterwards (Rename: under its new name); nothing when it is gone
  std::string version_before;        // of the object; "" when it was made
};

}  // namespace hearth

// Changes of a tree of files as POSIX knows them, and in whose name they are made.
//
// Paths are raw bytes: absolute in the namespace for a Client ("/a/b"); for an under-store relative to the attachment's
// root, which is "".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace hearth {

// Who asks. The store grants exactly what it would grant this user: the process that asks it must be root for that, or
// this very user.
struct Caller {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;  // supplementary
  std::uint32_t umask = 0;            // of new files and directories, where no default ACL stands above it
};

struct MakeDirectory {
  std::string path;
  std::uint32_t mode = 0;
};
// A regular file (empty), FIFO, socket or device.
struct MakeNode {
  std::string path;
  std::uint32_t mode = 0;  // with its S_IFMT bits
  std::uint64_t device = 0;  // as makedev(3) makes it
};
struct MakeSymlink {
  std::string path;
  std::string target;
};
// Another name for an existing file.
struct MakeLink {
  std::string path;
  std::string existing;
};
struct RemoveFile {
  std::string path;
};
struct RemoveDirectory {
  std::string path;
};
struct Rename {
  enum class Target : std::uint8_t { replace, must_be_absent, exchange };
  std::string from;
  std::string to;
  Target target = Target::replace;
};
// Owner and group first, then the mode, then times; what fails stops those that come after it, not those before.
struct SetAttributes {
  // Nanoseconds since the epoch, or the store's present time.
  struct Time {
    bool now = false;
    std::int64_t ns = 0;
  };
  std::string path;  // a symlink is not followed
  std::optional<std::uint32_t> mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::optional<Time> atime;
  std::optional<Time> mtime;
};
struct SetXattr {
  enum class Presence : std::uint8_t { any, must_be_absent, must_be_present };
  std::string path;
  std::string name;   // with its namespace: "user.x"
  std::string value;
  Presence presence = Presence::any;
};
struct RemoveXattr {
  std::string path;
  std::string name;
};
// Puts the names of a directory on stable storage.
struct SyncDirectory {
  std::string path;
};

// Nothing changes: what is known of the file is to be looked at again.
struct LookAgain {
  std::string path;
  // The caller made or wrote the file by itself, through a descriptor: all others are told before the answer, also where the
  // master happens to know already.
  bool wrote = false;
};

using Change = std::variant<MakeDirectory, MakeNode, MakeSymlink, MakeLink, RemoveFile, RemoveDirectory, Rename,
                            SetAttributes, SetXattr, RemoveXattr, SyncDirectory, LookAgain>;

// How a file is to be opened for reading and writing in place.
struct OpenForWriting {
  std::string path;
  bool read_only = false;   // the descriptor may not write: for a file that changes while it is read
  bool create = false;
  bool exclusive = false;   // with create: already_exists when something is there
  bool truncate = false;
  std::uint32_t mode = 0;   // of a created file
  bool without_content = false;  // what is in it now will not be read: a store that is written whole does not fetch it
};

}  // namespace hearth

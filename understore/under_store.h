// Where the data really lives: one interface for local directories, S3 and HDFS.
//
// Threads: a store may be used from any thread; a call resumes on the caller's executor.
// Owns:    its connections and descriptors. Paths are relative to the attachment's root, without
//          leading slash ("" is the root itself), raw bytes, no "." or ".." components.
// Fails:   not_found only when the store said so (never when it could not be asked:
//          that is unavailable or deadline_exceeded); stale when the version is not the expected one;
//          permission_denied, not_directory, is_directory, io_error as the store says.
#pragma once

#include "common/async.h"
#include "common/clock.h"
#include "common/fd.h"

#include <hearth/changes.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hearth {

enum class FileType : std::uint8_t { regular, directory, symlink, other };

// One object of a store as it is now.
struct ObjectInfo {
  std::string name;  // last component; "" for the root
  FileType type = FileType::regular;
  std::uint64_t length_bytes = 0;
  std::uint32_t mode = 0;  // permission bits only (07777)
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t link_count = 1;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  std::int64_t atime_ns = 0;        // 0: the store has none; then it is the mtime
  std::uint32_t special = 0;        // FileType::other: its S_IFMT bits, 0 when not known
  std::uint64_t device = 0;         // of a character or block device, as makedev(3) makes it
  std::optional<std::uint64_t> allocated_bytes;  // on the store's disk; nothing: not known
  // Identity of the content, opaque and printable: local "l1-<inode>-<ctime ns>-<length>" (hex).
  // For a directory: changes when entries come or go, "" when the store can not tell.
  std::string version;
  std::string symlink_target;
};

struct StoreCapabilities {
  bool writable = false;
  bool has_directories = true;      // false: directories are implied by keys
  bool has_posix_attributes = true;
  bool keeps_set_attributes = true;  // false: SetAttributes changes nothing here, and nobody else's reader would see it
  bool directory_version_tracks_entries = false;  // an unchanged directory version proves an unchanged set of names
  // How files are changed. in_place: change(), open_for_writing() and xattrs, with POSIX's meaning. staged: change(), as far
  // as the store goes, and whole files by upload().
  enum class Writing : std::uint8_t { refused, in_place, staged };
  Writing writing = Writing::refused;
  bool listing_resumes = false;  // a Listing::next() that failed may be asked again, and goes on where it was
  std::uint64_t preferred_read_bytes = 0;  // one read of so many costs less than several smaller; 0: all the same
};

struct ReadOptions {
  // Tells that bytes [0, have) of `into` are there and are of the version that was asked for: whoever is told may use
  // them although the read may fail later. Called from any thread, with growing `have`, never after the task ended.
  std::function<void(std::uint64_t have)> progress;
};

// What a change did: the state of each path that it touched (the object, its old name, the directories above), in no
// order. A version here may be one that no later stat repeats, since nobody waited for it to settle.
struct Touched {
  std::string path;
  std::optional<ObjectInfo> now;  // nothing: there is nothing of that name
};
struct ChangeResult {
  std::string version_before;  // of the object (Rename: of the one that moved) just before; "" when it was made
  std::vector<Touched> touched;
};

// A file of a store that is a file of this machine's kernel, open in place.
struct StoreFile {
  UniqueFd fd;  // its reads and writes are the store's
  ObjectInfo info;
  bool created = false;
};

// The content of a file of this machine, which is to become an object.
struct StagedContent {
  int fd = -1;  // borrowed until the task ends; read with pread(2)
  std::uint64_t length_bytes = 0;
  enum class Replaces : std::uint8_t { anything, nothing };  // nothing: already_exists when something is there
  Replaces replaces = Replaces::anything;
};

// Room in a store, as statvfs(3) tells it of a file system.
struct StoreSpace {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t available_bytes = 0;  // of the free ones, to users other than root
  std::uint64_t files = 0;
  std::uint64_t free_files = 0;
  std::string place;  // stores of one place share its room
};

// A listing in progress. Entries come in the store's order, each once, without "." and "..".
class Listing {
 public:
  virtual ~Listing() = default;
  // At most `limit` more entries; an empty vector is the end. Not found children that vanish
  // while listing are left out.
  virtual Task<std::vector<ObjectInfo>> next(std::size_t limit, Deadline deadline) = 0;
};

class UnderStore {
 public:
  virtual ~UnderStore() = default;

  virtual std::string_view uri() const = 0;
  virtual StoreCapabilities capabilities() const = 0;

  // Does not follow a symlink in the last component. The version is settled: a later change
  // always gives another version (see the store's own note on timestamps).
  virtual Task<ObjectInfo> stat(std::string path, Deadline deadline) = 0;
  virtual Task<std::unique_ptr<Listing>> list(std::string path, Deadline deadline) = 0;

  // Fills `into` with exactly into.size() bytes from `offset`, all of version `version`, or fails:
  // stale when the object has another version before or after the bytes were taken.
  // `into` must live until the task ends, cancelled or not.
  virtual Task<> read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
                      Deadline deadline) = 0;
  // The same. A store that can not tell how far it is never calls `progress`: the end of the task says it all.
  virtual Task<> read_with(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
                           ReadOptions options, Deadline deadline) {
    static_cast<void>(options);
    return read(std::move(path), std::move(version), offset, into, deadline);
  }

  // Replaces the object with `content` atomically; returns its new state.
  virtual Task<ObjectInfo> write(std::string path, std::string content, Deadline deadline) = 0;
  // Removes a file, a symlink or an empty directory.
  virtual Task<> remove(std::string path, Deadline deadline) = 0;
  virtual Task<> rename(std::string from, std::string to, Deadline deadline) = 0;
  virtual Task<ObjectInfo> make_directory(std::string path, std::uint32_t mode, Deadline deadline) = 0;

  // The writing side of POSIX, in the name of `caller`. An error carries the errno that the
  // system call had (Error::error_number). A change is visible to all when the task ended; it is on stable storage as a
  // local file system promises it: after SyncDirectory, or fsync of the file.
  virtual Task<ChangeResult> change(Change change, Caller caller, Deadline deadline);
  virtual Task<StoreFile> open_for_writing(OpenForWriting open, Caller caller, Deadline deadline);
  // The object is exactly this content when the task ended well, and what it was before when it did not (`unavailable` and
  // `deadline_exceeded`: either). Other readers see one or the other, never a part (capabilities().writing is staged).
  virtual Task<ObjectInfo> upload(std::string path, StagedContent content, Deadline deadline);
  // An extended attribute; not_found with ENODATA when there is none of that name.
  virtual Task<std::string> xattr(std::string path, std::string name, Caller caller, Deadline deadline);
  virtual Task<std::vector<std::string>> xattr_names(std::string path, Caller caller, Deadline deadline);
  // Nothing: the store has no limit, or none that it tells.
  virtual Task<std::optional<StoreSpace>> space(Deadline deadline);
};

}  // namespace hearth

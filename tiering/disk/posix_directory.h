// The blocking calls of a disk directory: what the engine without io_uring runs on its threads, and the other for the
// few that a ring has no operation for.
//
// Threads: any; it is immutable after open().
// Owns:    the descriptor of the directory. Names are checked ones (disk_name.h), opened beneath it, following no symlink.
// Fails:   as disk.h says.
#pragma once

#include "tiering/disk/disk.h"

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::disk {

class PosixDirectory {
 public:
  // Fails: not_found, not_directory, permission_denied (also when it is not writable), read_only.
  static Result<PosixDirectory> open(std::string path);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  // The flags of an open: O_DIRECT when the caller says so.
  static int flags_of(DiskOpen how, DiskCaching caching);

  // Where a name is, for calls that have no flag against symlinks on the way (unlinkat, renameat).
  struct Place {
    UniqueFd holder;    // of the subdirectory; none for the top one
    int directory = -1;
    std::string leaf;
  };
  Result<Place> place_of(const std::string& name) const;

  Result<UniqueFd> open_file(const std::string& name, DiskOpen how, DiskCaching caching) const;
  Status make_directory_of(const std::string& name) const;  // already there is ok
  Status remove(const std::string& name) const;
  Status rename(const std::string& from, const std::string& to) const;
  Status sync(const std::set<std::string>& directories) const;  // "" = the top one
  Result<std::vector<DiskEntry>> list(const std::string& after, std::size_t limit) const;
  Result<DiskSpace> space() const;
  // As Disk::check_place(); a look at the path only, which answers also when the device behind the descriptor hangs.
  Status check_place() const;
  // "" when a file can be opened with O_DIRECT here, else why not. Leaves nothing behind.
  std::string probe_direct() const;

  // What errno `error_number` of `verb` on `name` means: a directory that is gone is not a file that was never there.
  Error error(int error_number, std::string_view verb, std::string_view name) const;

 private:
  // What tells a directory from another one in its place.
  struct Location {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    bool mount_point = false;  // a file system begins there
  };
  PosixDirectory(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  static Result<Location> location_of(const std::string& path);

  std::string path_;
  UniqueFd fd_;
  Location location_;
};

// Of open files. Reads and writes continue after a short transfer and an interruption.
struct PosixFile {
  const PosixDirectory* directory;
  int fd;
  std::string_view name;  // for messages

  Status read(std::uint64_t offset, std::span<std::byte> into) const;
  Status write(std::uint64_t offset, std::span<const std::byte> bytes) const;
  Status sync() const;
  Status allocate(std::uint64_t length_bytes) const;
  Status truncate(std::uint64_t length_bytes) const;
  Status punch(std::uint64_t offset, std::uint64_t length_bytes) const;
  // Fails `invalid_argument` when it is no regular file: a foreign pipe would block a reader for ever.
  Result<std::uint64_t> length_bytes() const;
  Result<UniqueFd> share() const;
};

}  // namespace hearth::disk

// A file that is open for writing. In a local under-store it is open in place: what is written is in the store when the call
// returns. In a store whose objects are replaced whole (S3, HDFS) it is a staged copy on this host, which becomes the object
// at sync(), publish() and close(), all or nothing; until then nobody else sees any of it.
//
// Readers of the cache see it after close(), or within the attachment's metadata_ttl.
// Threads: any number may read and write at once; close() when they are done.
// Owns:    a descriptor of the file itself, or of the staged copy. The destructor closes it without a word to the master, and
//          drops what was staged and not published.
// Fails:   as the system call did, with its errno (Error::error_number): no_space, io_error, ...
#pragma once

#include <hearth/file_status.h>
#include <hearth/result.h>
#include <hearth/version.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace hearth {

class ClientImpl;

// What a close() promises besides that everybody who opens the file from now on sees what was written.
enum class Durability : std::uint8_t {
  // What the under-store has acknowledged. Of an object (S3, HDFS): the store keeps it. Of a file in place: it is in the file
  // and outlives every process, but a loss of power of the store's host may take what its kernel had not yet written.
  acknowledged,
  // In place too: bytes and name are on the store's disk (fsync of the file and of its directory).
  stable,
};

class HEARTH_API WritableFile {
 public:
  WritableFile() = default;
  // ok, or why every call on it fails: it was never opened, is closed, or this is a forked child.
  Status usable() const;
  int fd() const;         // borrowed
  bool is_new() const;    // the open made it
  bool is_staged() const;
  const std::string& version() const;  // when it was opened

  // Up to into.size() bytes; short only at the end of the file.
  Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t offset) const;
  // All of `bytes`.
  Status pwrite(std::span<const std::byte> bytes, std::uint64_t offset) const;
  // All of `bytes` behind what is there, whoever else appends.
  Status append(std::span<const std::byte> bytes) const;
  Status truncate(std::uint64_t length_bytes) const;
  // On stable storage when it returns; a staged copy that was changed is published.
  Status sync() const;
  // A staged copy becomes the object, with its mode, owner and mtime, under `as` ("": the path it was opened with). The last to
  // publish wins, but a file that was opened exclusively fails with already_exists when somebody was faster. The descriptor
  // may be a duplicate of fd(): what it refers to counts. Answers what the file is now.
  Result<FileStatus> publish(std::string_view as = {}) const;
  // Publishes what was changed through this object since it was published last (not what was written to fd() alone); tells
  // the master, so that whoever opens the file from now on sees what was written; answers what the file is now. When it
  // fails the file is still open: try again, or abort(). not_found: it was removed meanwhile.
  Result<FileStatus> close();  // Durability::acknowledged
  Result<FileStatus> close(Durability durability);
  // Gives up: of a staged copy nothing appears but what sync() or publish() made appear before. What was written in place is
  // in the file and stays, as does a file that the open made; the master is told to look at it. Closed in any case; fails as
  // telling the master did.
  Status abort();

 private:
  friend class Client;
  struct Impl;
  explicit WritableFile(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;  // shared: copies of the handle are the same open file
};

}  // namespace hearth

// A file of a local under-store, open in place: what is written is in the store when the call returns.
//
// Readers of the cache see it after close(), or within the attachment's metadata_ttl.
// Threads: any number may read and write at once; close() when they are done.
// Owns:    a descriptor of the file itself. The destructor closes it without a word to the master.
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

namespace hearth {

class ClientImpl;

class HEARTH_API WritableFile {
 public:
  WritableFile() = default;
  // ok, or why every call on it fails: it was never opened, is closed, or this is a forked child.
  Status usable() const;
  int fd() const;         // borrowed
  bool is_new() const;    // the open made it
  const std::string& version() const;  // when it was opened

  // Up to into.size() bytes; short only at the end of the file.
  Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t offset) const;
  // All of `bytes`.
  Status pwrite(std::span<const std::byte> bytes, std::uint64_t offset) const;
  // All of `bytes` behind what is there, whoever else appends.
  Status append(std::span<const std::byte> bytes) const;
  Status truncate(std::uint64_t length_bytes) const;
  // On stable storage when it returns.
  Status sync() const;
  // Tells the master, so that whoever opens the file from now on sees what was written; answers what the file is now.
  Result<FileStatus> close();
  // The descriptor, which is the caller's to close from here; this is as never opened.
  int release();

 private:
  friend class Client;
  struct Impl;
  explicit WritableFile(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;  // shared: copies of the handle are the same open file
};

}  // namespace hearth

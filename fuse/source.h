// Where the mount gets its files: the narrow part of the client that it uses.
//
// Threads: every method may be called by any number of threads at once, and may block until the
//          client's own deadlines.
// Fails:   as hearth/client.h. Changes are refused (read_only) by a source that has none.
// It is the seam for fault tests: fuse/testing/fake_source.h is a Source in memory.
#pragma once

#include "common/fd.h"

#include <hearth/client.h>
#include <hearth/result.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

// One version of a file, open.
class SourceFile {
 public:
  virtual ~SourceFile() = default;
  virtual const FileStatus& status() const = 0;
  virtual Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t offset) = 0;
  // As File::read_view.
  virtual Result<ReadView> view(std::uint64_t offset, std::size_t length) = 0;
  virtual Result<MappedBlock> map() = 0;
  virtual Result<std::uint64_t> load(std::uint64_t offset, std::uint64_t length) = 0;
};

// What statfs answers.
struct Capacity {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t available_bytes = 0;  // of the free ones, to users other than root
  std::uint64_t files = 0;
  std::uint64_t free_files = 0;
};

// A file of the under-store itself, or a staged copy of what its store takes whole.
struct OpenedInPlace {
  UniqueFd fd;
  std::string version;
  bool is_new = false;
  // Of a staged copy alone: makes it the object of this path, with the copy's mode, owner and mtime; any number of times.
  std::function<Result<FileStatus>(const std::string& path)> publish;
};

class Source {
 public:
  virtual ~Source() = default;
  virtual Result<FileStatus> stat(const std::string& path) = 0;
  virtual Result<DirectoryPage> list(const std::string& path, const std::string& after, std::size_t limit) = 0;
  // Shared: a read in flight and a prefetch outlive the handle.
  virtual Result<std::shared_ptr<SourceFile>> open(const std::string& path) = 0;
  // Forgets cached metadata of `path`, so that the next call asks anew.
  virtual void forget(const std::string& path) = 0;
  // Blocks and replicas as text, one line each, for user.hearth.locations.
  virtual Result<std::string> locations(const std::string& path) = 0;
  // Of the under-stores at and below `path`.
  virtual Result<Capacity> capacity(const std::string& path) = 0;
  // URIs of the attachments.
  virtual Result<std::vector<std::string>> store_uris() = 0;

  // Calls `hook` with what changed elsewhere from now on; null: none any more, when this returns.
  virtual void on_changes(ChangeHook) {}
  // Changes of this mount that were not answered yet.
  virtual std::size_t changes_under_way() const { return 0; }

  // The writing side.
  virtual Result<Changed> change(const Change&, const Caller&) { return no_changes(); }
  virtual Result<OpenedInPlace> open_in_place(const OpenForWriting&, const Caller&) { return no_changes(); }
  virtual Result<std::string> xattr(const std::string& path, const std::string& name, const Caller&) {
    return Error(Code::not_found, path + " has no " + name).with_error_number(ENODATA);
  }
  virtual Result<std::vector<std::string>> xattr_names(const std::string&, const Caller&) {
    return std::vector<std::string>();
  }
  // Locks that hold between all mounts; null: there are none.
  virtual std::shared_ptr<LockSession> locks() { return nullptr; }

 private:
  static Error no_changes() { return Error(Code::read_only, "files can not be changed here"); }
};

}  // namespace hearth

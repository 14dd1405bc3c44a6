// Where the mount gets its files: the narrow part of the client that it uses.
//
// Threads: every method may be called by any number of threads at once, and may block until the
//          client's own deadlines.
// Fails:   as hearth/client.h.
// It is the seam for fault tests: fuse/testing/fake_source.h is a Source in memory.
#pragma once

#include <hearth/client.h>
#include <hearth/result.h>

#include <cstddef>
#include <cstdint>
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
  std::uint64_t total_bytes = 0;  // of the caches of all live workers
  std::uint64_t used_bytes = 0;
  std::uint64_t files = 0;        // inodes the master knows
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
  virtual Result<Capacity> capacity() = 0;
  // URIs of the attachments.
  virtual Result<std::vector<std::string>> store_uris() = 0;
};

}  // namespace hearth

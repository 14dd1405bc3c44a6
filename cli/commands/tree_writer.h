// Makes files and trees in the namespace, for put and cp: each file is written under a name beside its place and moved there when
// it is complete; in a store that takes objects whole it appears there when it is complete.
//
// Threads: file() and link() by any number at once; directory() and finish() by one.
// Fails:   as the library does, with the name of the place and not of what is beside it.
#pragma once

#include "cli/commands/context.h"
#include "cli/output/progress.h"

#include <hearth/client.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace hearth::cli {

class TreeWriter {
 public:
  enum class Preserve : std::uint8_t { no, yes };  // mode and modification time; no: the mode less the umask
  TreeWriter(Client client, Preserve preserve, Progress& progress);

  // Up to into.size() bytes of what is copied, at `offset`; 0 at its end.
  using Read = std::function<Result<std::size_t>(std::span<std::byte> into, std::uint64_t offset)>;
  // Replaces what is at `path`, unless it is a directory.
  Status file(const std::string& path, const FileStatus& from, const Read& read);
  Status link(const std::string& path, const std::string& target);
  // Makes it, unless it is there.
  Status directory(const std::string& path, const FileStatus& from);
  // Directories get their mode and time last: writing into them needs the one and changes the other.
  void finish(Output& out);

 private:
  std::string name_beside(const std::string& path);
  Status fill(WritableFile& file, const FileStatus& from, const Read& read, const std::string& path);
  Status place(const std::string& beside, const std::string& path);

  // Set once
  const Client client_;
  const Preserve preserve_;
  const Caller caller_ = caller_of_this_process();
  Progress& progress_;
  const std::string mark_;  // of this run, in names beside
  std::atomic<std::uint64_t> counter_{0};
  std::vector<std::pair<std::string, FileStatus>> directories_;
};

}  // namespace hearth::cli

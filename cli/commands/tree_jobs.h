// Does one thing to every file of some trees, several at once.
//
// Threads: one walks, `jobs` work; on_file runs on the workers, on_directory on the walker, before
//          anything below that directory is touched.
// Bounds:  at most 4,096 files wait between the walker and the workers; the first 1,000 failures are kept.
#pragma once

#include "cli/output/progress.h"
#include "cli/output/output.h"

#include <hearth/client.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace hearth::cli {

struct TreeEntry {
  std::string path;
  std::string below;  // relative to its root; "" for the root itself
  FileStatus status;
};

struct TreeFailure {
  std::string path;
  Error error;
};

struct TreeResult {
  std::uint64_t files = 0;  // done
  std::uint64_t failed = 0;
  std::uint64_t skipped = 0;  // neither regular nor wanted
  std::vector<TreeFailure> failures;
};

struct TreeJob {
  std::vector<std::string> roots;
  std::size_t jobs = 8;
  bool want_symlinks = false;
  std::function<Status(const TreeEntry&)> on_file;
  std::function<Status(const TreeEntry&)> on_directory;  // may be empty
};

// What is walked. Threads: the walker's.
class Tree {
 public:
  virtual ~Tree() = default;
  virtual Result<FileStatus> stat(const std::string& path) const = 0;
  virtual Status list(const std::string& path, const std::function<void(DirectoryItem)>& take) const = 0;
};

class ClientTree final : public Tree {
 public:
  explicit ClientTree(const Client& client) : client_(client) {}
  Result<FileStatus> stat(const std::string& path) const override { return client_.stat(path); }
  Status list(const std::string& path, const std::function<void(DirectoryItem)>& take) const override;

 private:
  const Client& client_;
};

TreeResult run_tree_job(const Tree& tree, const TreeJob& job, Progress& progress);
inline TreeResult run_tree_job(const Client& client, const TreeJob& job, Progress& progress) {
  return run_tree_job(ClientTree(client), job, progress);
}

// The style for a command: none when quiet or --no-progress, a bar on a terminal, else lines.
class Context;
enum class Exit : int;
ProgressStyle progress_style(const Context& context);
// "failures": [{"path", "error"}], or one sentence each on standard error.
void report_failures(Output& out, const TreeResult& result);
// What a command that copied ends with, after it said what was copied.
struct Copied {
  std::string source;
  std::string destination;
  EntryType root = EntryType::regular;
};
Result<Exit> report_copy(Context& context, const TreeResult& result, const ProgressFigures& figures, const Copied& copied);

}  // namespace hearth::cli

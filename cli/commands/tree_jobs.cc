#include "cli/commands/tree_jobs.h"

#include "cli/commands/context.h"
#include "common/units.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

namespace hearth::cli {
namespace {

constexpr std::size_t max_waiting = 4096;
constexpr std::size_t max_kept_failures = 1000;
constexpr std::size_t list_page = 1000;

// Files on their way from the walker to the workers.
class Queue {
 public:
  void push(TreeEntry entry) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_.size() < max_waiting; });
    waiting_.push_back(std::move(entry));
    changed_.notify_all();
  }
  std::optional<TreeEntry> pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !waiting_.empty() || closed_; });
    if (waiting_.empty()) return std::nullopt;
    TreeEntry entry = std::move(waiting_.front());
    waiting_.pop_front();
    changed_.notify_all();
    return entry;
  }
  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<TreeEntry> waiting_;  // Guarded by mutex_
  bool closed_ = false;            // Guarded by mutex_
};

class TreeRun {
 public:
  TreeRun(const Tree& tree, const TreeJob& job, Progress& progress) : tree_(tree), job_(job), progress_(progress) {}

  TreeResult run() {
    std::vector<std::thread> workers;
    const std::size_t count = std::clamp<std::size_t>(job_.jobs, 1, 256);
    for (std::size_t i = 0; i < count; ++i) workers.emplace_back([this] { work(); });
    for (const std::string& root : job_.roots) walk(root);
    progress_.total_is_known();
    queue_.close();
    for (std::thread& worker : workers) worker.join();
    return std::move(result_);
  }

 private:
  void work() {
    while (auto entry = queue_.pop()) {
      auto done = job_.on_file(*entry);
      if (!done) {
        fail(entry->path, std::move(done).error());
        continue;
      }
      progress_.add_file();
      std::lock_guard lock(mutex_);
      ++result_.files;
    }
  }

  void walk(const std::string& root) {
    auto status = tree_.stat(root);
    if (!status) {
      fail(root, std::move(status).error());
      return;
    }
    std::vector<TreeEntry> waiting;
    take({root, "", std::move(*status)}, waiting);
    while (!waiting.empty()) {
      const TreeEntry directory = std::move(waiting.back());
      waiting.pop_back();
      auto listed = list(directory, waiting);
      if (!listed) fail(directory.path, std::move(listed).error());
    }
  }

  void take(TreeEntry entry, std::vector<TreeEntry>& waiting) {
    const EntryType type = entry.status.type;
    if (type == EntryType::directory) {
      if (job_.on_directory) {
        auto made = job_.on_directory(entry);
        if (!made) {
          fail(entry.path, std::move(made).error());
          return;
        }
      }
      waiting.push_back(std::move(entry));
    } else if (type == EntryType::regular || (type == EntryType::symlink && job_.want_symlinks)) {
      progress_.expect(1, type == EntryType::regular ? entry.status.length_bytes : 0);
      queue_.push(std::move(entry));
    } else {
      std::lock_guard lock(mutex_);
      ++result_.skipped;
    }
  }

  Status list(const TreeEntry& directory, std::vector<TreeEntry>& waiting) {
    return tree_.list(directory.path, [&](DirectoryItem item) {
      std::string below = directory.below.empty() ? item.name : join_path(directory.below, item.name);
      take({join_path(directory.path, item.name), std::move(below), std::move(item.status)}, waiting);
    });
  }

  void fail(const std::string& path, Error error) {
    progress_.add_failure();
    std::lock_guard lock(mutex_);
    ++result_.failed;
    if (result_.failures.size() < max_kept_failures) result_.failures.push_back({path, std::move(error)});
  }

  // Set once
  const Tree& tree_;
  const TreeJob& job_;
  Progress& progress_;
  Queue queue_;
  std::mutex mutex_;
  TreeResult result_;  // Guarded by mutex_
};

}  // namespace

Status ClientTree::list(const std::string& path, const std::function<void(DirectoryItem)>& take) const {
  std::string after;
  while (true) {
    TRY(page, client_.list(path, after, list_page));
    for (DirectoryItem& item : page.items) {
      after = item.name;
      take(std::move(item));
    }
    if (!page.more || page.items.empty()) return ok();
  }
}

TreeResult run_tree_job(const Tree& tree, const TreeJob& job, Progress& progress) { return TreeRun(tree, job, progress).run(); }

ProgressStyle progress_style(const Context& context) {
  if (context.out().is_quiet() || context.words().has("no-progress")) return ProgressStyle::none;
  return stderr_is_terminal() ? ProgressStyle::bar : ProgressStyle::lines;
}

void report_failures(Output& out, const TreeResult& result) {
  if (out.is_json()) {
    out.json().number("failed_files", result.failed);
    out.json().begin_array("failures");
    for (const TreeFailure& failure : result.failures) {
      out.json().begin_object();
      out.json().bytes("path", failure.path);
      write_error(out.json(), "error", failure.error);
      out.json().end();
    }
    out.json().end();
    return;
  }
  for (const TreeFailure& failure : result.failures) {
    out.complaint(Error(failure.error.code(), failure.path + ": " + failure.error.message()));
  }
  if (result.failed > result.failures.size()) {
    out.complaint(Error(Code::internal, "and " + std::to_string(result.failed - result.failures.size()) + " more failures"));
  }
}

Result<Exit> report_copy(Context& context, const TreeResult& result, const ProgressFigures& figures, const Copied& copied) {
  Output& out = context.out();
  if (out.is_json()) {
    out.json().bytes("source", copied.source);
    out.json().bytes("destination", copied.destination);
    out.json().number("files", result.files);
    out.json().number("bytes", figures.done_bytes);
    out.json().number("skipped_files", result.skipped);
    out.json().number("duration_seconds", std::chrono::duration<double>(figures.elapsed).count());
    report_failures(out, result);
  }
  if (copied.root != EntryType::directory && result.failed > 0) return result.failures.front().error;
  if (!out.is_json()) report_failures(out, result);
  out.remark("copied " + std::to_string(result.files) + " files, " + human_size(figures.done_bytes) + " in " +
             human_duration(figures.elapsed) + " (" + human_rate(figures.done_bytes, figures.elapsed) + ")" +
             (result.skipped > 0 ? "; skipped " + std::to_string(result.skipped) + " special files" : ""));
  return result.failed == 0 ? Exit::done : Exit::partly;
}

}  // namespace hearth::cli

// load, free.
#include "cli/commands/commands.h"
#include "cli/commands/tree_jobs.h"
#include "common/units.h"

#include <algorithm>
#include <atomic>

namespace hearth::cli {
namespace {

// One call to the workers covers at most this much, so that progress moves and a lost worker costs little.
constexpr std::uint64_t load_piece_bytes = 64ULL << 20;

Status load_file(const Client& client, const TreeEntry& entry, Progress& progress) {
  TRY(file, client.open(entry.path));
  const std::uint64_t length = file.status().length_bytes;
  for (std::uint64_t offset = 0; offset < length; offset += load_piece_bytes) {
    const std::uint64_t piece = std::min(load_piece_bytes, length - offset);
    TRY(cached, file.load(offset, piece));
    if (cached < piece) {
      return Error(Code::no_space, "only " + human_size(cached) + " of " + human_size(piece) + " at " + human_size(offset) +
                   " are cached now; the memory tier is full of what is in use: make it larger");
    }
    progress.add_bytes(piece);
  }
  return ok();
}

// What the workers hold of these trees now. Later files may have pushed earlier ones out.
std::uint64_t resident_bytes(const Client& client, TreeJob job, ProgressStyle style) {
  std::atomic<std::uint64_t> resident{0};
  Progress progress("checking", style);
  job.on_file = [&](const TreeEntry& entry) -> Status {
    TRY(file, client.open(entry.path));
    TRY(bytes, file.resident_bytes());
    resident += bytes;
    progress.add_bytes(file.status().length_bytes);
    return ok();
  };
  (void)run_tree_job(client, job, progress);  // a file that cannot be asked about holds nothing
  progress.stop();
  return resident;
}

std::string capacity_now(const Client& client) {
  std::uint64_t capacity = 0;
  const auto workers = client.workers();
  if (!workers) return "the workers";
  for (const WorkerStatus& worker : *workers) {
    if (worker.state != "lost") capacity += worker.capacity_bytes;
  }
  return "the workers (" + human_size(capacity) + " in all)";
}

// All of it failed: then the command failed, with the first reason.
Result<Exit> exit_of(const TreeResult& result) {
  if (result.failed == 0) return Exit::done;
  if (result.files > 0 || result.failed > 1) return Exit::partly;
  return result.failures.front().error;
}

}  // namespace

Result<Exit> run_load(Context& context) {
  TRY(client, context.connect());
  Output& out = context.out();
  TreeJob job;
  for (const std::string& path : context.arguments()) job.roots.push_back(tidy_path(path));
  job.jobs = context.words().count("jobs").value_or(16);
  Progress progress("loading", progress_style(context));
  job.on_file = [&](const TreeEntry& entry) { return load_file(client, entry, progress); };
  const TreeResult result = run_tree_job(client, job, progress);
  progress.stop();
  const ProgressFigures figures = progress.figures();
  const std::uint64_t resident =
      figures.done_bytes == 0 ? 0 : std::min(resident_bytes(client, job, progress_style(context)), figures.done_bytes);
  const std::uint64_t pushed_out = figures.done_bytes - resident;
  const double seconds = std::chrono::duration<double>(figures.elapsed).count();
  if (out.is_json()) {
    out.json().number("files", result.files);
    out.json().number("bytes", figures.done_bytes);
    out.json().number("resident_bytes", resident);
    out.json().number("skipped_files", result.skipped);
    out.json().number("duration_seconds", seconds);
  } else if (result.files > 0 || result.failed == 0) {
    out.line("loaded " + std::to_string(result.files) + " files, " + human_size(figures.done_bytes) + " in " +
             human_duration(figures.elapsed) + " (" + human_rate(figures.done_bytes, figures.elapsed) + ")" +
             (result.skipped > 0 ? "; skipped " + std::to_string(result.skipped) + " links and special files" : "") +
             (result.failed > 0 ? "; " + std::to_string(result.failed) + " failed" : ""));
  }
  if (pushed_out > 0 && !out.is_json()) {
    out.complaint(Error(Code::no_space, "of these " + human_size(figures.done_bytes) + " only " + human_size(resident) +
                                            " are cached now: what came later pushed out what came first, because " + capacity_now(client) +
                                            " hold no more; make worker.memory.capacity larger, or load less"));
  }
  auto ended = exit_of(result);
  if (ended || out.is_json()) report_failures(out, result);
  if (ended && *ended == Exit::done && pushed_out > 0) return Exit::partly;
  return ended;
}

Result<Exit> run_free(Context& context) {
  TRY(client, context.connect());
  const std::string path = tidy_path(context.arguments()[0]);
  const bool recursive = context.words().has("recursive");
  TRY(status, client.stat(path));
  if (status.type == EntryType::directory && !recursive) {
    return Error(Code::is_directory, path + " is a directory; use hearth free -R to free all below it");
  }
  TRY(freed, client.free(path, recursive));
  if (context.out().is_json()) {
    context.out().json().bytes("path", path);
    context.out().json().number("freed_blocks", freed.blocks);
    context.out().json().number("freed_bytes", freed.bytes);
  }
  context.out().line("freed " + std::to_string(freed.blocks) + " blocks, " + human_size(freed.bytes));
  return Exit::done;
}

}  // namespace hearth::cli

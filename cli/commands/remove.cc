// rm.
#include "cli/commands/commands.h"
#include "cli/commands/tree_jobs.h"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

namespace hearth::cli {
namespace {

Caller this_user() {
  Caller caller{.uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .umask = 022};
  if (caller.uid != 0) return caller;
  const int count = ::getgroups(0, nullptr);
  std::vector<gid_t> groups(count > 0 ? static_cast<std::size_t>(count) : 0);
  const int got = ::getgroups(static_cast<int>(groups.size()), groups.data());
  groups.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  caller.groups.assign(groups.begin(), groups.end());
  return caller;
}

Status remove_file(const Client& client, const std::string& path, TreeResult& total) {
  TRY(done, client.change(RemoveFile{.path = path}, this_user()));
  static_cast<void>(done);
  ++total.files;
  return ok();
}

Status remove_tree(const Client& client, const std::string& path, Progress& progress, TreeResult& total) {
  RemoveTreeOptions options;
  std::uint64_t shown = 0;
  options.progress = [&](const TreeRemoval& so_far) {
    for (; shown < so_far.removed; ++shown) progress.add_file();
    return RemoveTreeOptions::Go::on;
  };
  TRY(removed, client.remove_tree(path, this_user(), options));
  total.files += removed.removed;
  total.failed += removed.failed;
  for (TreeRemoval::Failure& one : removed.failures) total.failures.push_back({std::move(one.path), std::move(one.error)});
  return ok();
}

Status remove_path(const Client& client, const std::string& path, const Invocation& words, Progress& progress, TreeResult& total) {
  const auto status = client.stat(path);
  if (!status && status.code() == Code::not_found && words.has("force")) return ok();
  if (!status) return status.error();
  if (status->type != EntryType::directory) return remove_file(client, path, total);
  if (!words.has("recursive")) return Error(Code::is_directory, path + " is a directory; hearth rm -r removes it with all below");
  return remove_tree(client, path, progress, total);
}

}  // namespace

Result<Exit> run_rm(Context& context) {
  TRY(client, context.connect());
  Progress progress("removing", progress_style(context));
  TreeResult total;
  const auto began = std::chrono::steady_clock::now();
  for (const std::string& word : context.arguments()) {
    const std::string path = tidy_path(word);
    const Status done = remove_path(client, path, context.words(), progress, total);
    if (done) continue;
    ++total.failed;
    total.failures.push_back({path, done.error()});
  }
  progress.stop();
  Output& out = context.out();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (out.is_json()) {
    out.json().number("removed", total.files);
    out.json().number("duration_seconds", seconds);
  } else if (total.files > 0 && context.words().has("recursive")) {
    out.line("removed " + std::to_string(total.files));
  }
  const bool failed_whole = total.failed == 1 && total.files == 0;
  if (failed_whole && !out.is_json()) return total.failures.front().error;
  report_failures(out, total);
  if (failed_whole) return total.failures.front().error;
  return total.failed == 0 ? Exit::done : Exit::partly;
}

}  // namespace hearth::cli

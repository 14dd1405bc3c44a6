// mv, mkdir, touch, ln, chmod, chown: changes of names and attributes, made in the under-store as the user who asks.
#include "cli/commands/commands.h"
#include "cli/commands/mode_words.h"
#include "cli/commands/tree_jobs.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include <atomic>
#include <charconv>
#include <optional>
#include <vector>

namespace hearth::cli {
namespace {

Status change(const Client& client, const Change& wanted) {
  CHECK_OK(client.change(wanted, caller_of_this_process()));
  return ok();
}

// The members of what was changed, and nothing as text: what worked is silent, as of other tools.
Status change_and_show(Context& context, const Client& client, const Change& wanted, const Caller& caller) {
  TRY(changed, client.change(wanted, caller));
  if (context.out().is_json() && changed.status) write_status(context.out().json(), *changed.status);
  return ok();
}

// ---- mkdir

enum class Parents : std::uint8_t { must_be_there, are_made };

Status make_parents(const Client& client, const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    const Result<FileStatus> there = client.stat(part);
    if (there && there->type == EntryType::directory) continue;
    if (there) return Error(Code::not_directory, part + " is not a directory");
    if (there.code() != Code::not_found) return there.error();
    const Status made = change(client, MakeDirectory{.path = part, .mode = 0777});
    if (!made && made.code() != Code::already_exists) return made;  // somebody else may have been faster
  }
  return ok();
}

// ---- chmod, chown

struct Wanted {
  std::optional<ModeWords> mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
};

Status set_attributes(const Client& client, const std::string& path, const FileStatus& now, const Wanted& wanted, std::uint32_t umask) {
  SetAttributes set;
  set.path = path;
  set.uid = wanted.uid;
  set.gid = wanted.gid;
  const auto kind = now.type == EntryType::directory ? ModeWords::Kind::directory : ModeWords::Kind::file;
  if (wanted.mode) set.mode = wanted.mode->applied_to(now.mode, kind, umask);
  return change(client, set);
}

Result<Exit> set_everywhere(Context& context, const std::vector<std::string>& paths, const Wanted& wanted) {
  TRY(client, context.connect_to_change());
  Output& out = context.out();
  const std::uint32_t umask = caller_of_this_process().umask;
  if (!context.words().has("recursive")) {
    return for_each_path(context, paths, "paths", [&](const std::string& given) -> Status {
      const std::string path = tidy_path(given);
      TRY(now, client.stat(path));
      if (wanted.mode && now.type == EntryType::symlink) {
        return Error(Code::unsupported, path + " is a symlink, which has no mode; name what it leads to (" + now.symlink_target + ")");
      }
      CHECK_OK(set_attributes(client, path, now, wanted, umask));
      if (!out.is_json()) return ok();
      TRY(after, client.stat(path));
      write_status(out.json(), after);
      return ok();
    });
  }
  Progress progress("changing", progress_style(context));
  std::atomic<std::uint64_t> directories{0};
  TreeJob job;
  for (const std::string& path : paths) job.roots.push_back(tidy_path(path));
  job.want_symlinks = !wanted.mode;
  job.on_file = [&](const TreeEntry& entry) { return set_attributes(client, entry.path, entry.status, wanted, umask); };
  job.on_directory = [&](const TreeEntry& entry) -> Status {
    CHECK_OK(set_attributes(client, entry.path, entry.status, wanted, umask));
    ++directories;
    return ok();
  };
  const TreeResult result = run_tree_job(client, job, progress);
  progress.stop();
  const std::uint64_t done = result.files + directories;
  if (out.is_json()) {
    out.json().number("changed", done);
    out.json().number("skipped_files", result.skipped);
  }
  if (result.failed > 0 && done == 0 && !out.is_json()) return result.failures.front().error;
  report_failures(out, result);
  out.remark("changed " + std::to_string(done) + " files and directories");
  return result.failed == 0 ? Exit::done : Exit::partly;
}

std::optional<std::uint32_t> number_of(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = wrong == std::errc() && end == text.data() + text.size();
  return whole && number != UINT32_MAX ? std::optional(number) : std::nullopt;
}

Result<std::uint32_t> user_id(const std::string& name) {
  if (const auto number = number_of(name)) return *number;
  if (const passwd* known = ::getpwnam(name.c_str())) return known->pw_uid;
  return Error(Code::invalid_argument, "there is no user \"" + name + "\" on this host; give its number");
}

Result<std::uint32_t> group_id(const std::string& name) {
  if (const auto number = number_of(name)) return *number;
  if (const group* known = ::getgrnam(name.c_str())) return known->gr_gid;
  return Error(Code::invalid_argument, "there is no group \"" + name + "\" on this host; give its number");
}

// OWNER, OWNER:GROUP or :GROUP.
Result<Wanted> parse_owner(const std::string& text) {
  const std::size_t colon = text.find(':');
  const std::string user = text.substr(0, colon);
  const std::string group = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (user.empty() && group.empty()) {
    return Error(Code::invalid_argument, "\"" + text + "\" names no owner; give OWNER, OWNER:GROUP or :GROUP, as names or numbers");
  }
  Wanted wanted;
  if (!user.empty()) {
    TRY(id, user_id(user));
    wanted.uid = id;
  }
  if (!group.empty()) {
    TRY(id, group_id(group));
    wanted.gid = id;
  }
  return wanted;
}

std::vector<std::string> after_the_first(const std::vector<std::string>& arguments) { return {arguments.begin() + 1, arguments.end()}; }

}  // namespace

Result<Exit> run_mv(Context& context) {
  TRY(client, context.connect_to_change());
  const std::string from = tidy_path(context.arguments()[0]);
  std::string to = tidy_path(context.arguments()[1]);
  const Result<FileStatus> there = client.stat(to);
  if (there && there->type == EntryType::directory) to = join_path(to, base_name(from));
  const bool keep = context.words().has("no-clobber");
  const Rename rename{.from = from, .to = to, .target = keep ? Rename::Target::must_be_absent : Rename::Target::replace};
  TRY(moved, client.change(rename, caller_of_this_process()));
  if (context.out().is_json()) {
    context.out().json().bytes("source", from);
    context.out().json().bytes("destination", to);
    if (moved.status) write_status(context.out().json(), *moved.status);
  }
  return Exit::done;
}

Result<Exit> run_mkdir(Context& context) {
  const Caller caller = caller_of_this_process();
  SetAttributes exactly;
  if (context.words().has("mode")) {
    TRY(words, ModeWords::parse(context.words().text("mode")));
    exactly.mode = words.applied_to(0777, ModeWords::Kind::directory, caller.umask);
  }
  TRY(client, context.connect_to_change());
  const Parents parents = context.words().has("parents") ? Parents::are_made : Parents::must_be_there;
  return for_each_path(context, context.arguments(), "paths", [&](const std::string& given) -> Status {
    const std::string path = tidy_path(given);
    if (parents == Parents::are_made) {
      CHECK_OK(make_parents(client, path));
      const Result<FileStatus> there = client.stat(path);
      if (there && there->type == EntryType::directory) {
        if (context.out().is_json()) write_status(context.out().json(), *there);
        return ok();
      }
    }
    const MakeDirectory make{.path = path, .mode = exactly.mode.value_or(0777) & 0777U};
    if (!exactly.mode) return change_and_show(context, client, make, caller);
    CHECK_OK(change(client, make));
    exactly.path = path;  // mkdir(2) takes no set-group-id
    return change_and_show(context, client, exactly, caller);
  });
}

Result<Exit> run_touch(Context& context) {
  TRY(client, context.connect_to_change());
  const Caller caller = caller_of_this_process();
  return for_each_path(context, context.arguments(), "paths", [&](const std::string& given) -> Status {
    SetAttributes now;
    now.path = tidy_path(given);
    now.atime = SetAttributes::Time{.now = true, .ns = 0};
    now.mtime = now.atime;
    const Status touched = change_and_show(context, client, now, caller);
    if (touched || touched.code() != Code::not_found) return touched;
    if (context.words().has("no-create")) return ok();
    const MakeNode make{.path = now.path, .mode = S_IFREG | 0666, .device = 0};
    const Status made = change_and_show(context, client, make, caller);
    if (!made && made.code() == Code::already_exists) return ok();  // somebody made it meanwhile
    return made;
  });
}

Result<Exit> run_ln(Context& context) {
  TRY(client, context.connect_to_change());
  const std::string& target = context.arguments()[0];
  std::string path = tidy_path(context.arguments()[1]);
  const Result<FileStatus> there = client.stat(path);
  if (there && there->type == EntryType::directory) path = join_path(path, base_name(tidy_path(target)));
  Change link = MakeSymlink{.path = path, .target = target};
  if (!context.words().has("symbolic")) {
    if (!target.starts_with('/')) return Error(Code::invalid_argument, "\"" + target + "\" is no path of the namespace; it starts with /, or use -s for a symlink");
    link = MakeLink{.path = path, .existing = tidy_path(target)};
  }
  if (context.out().is_json()) context.out().json().bytes("path", path);
  CHECK_OK(change_and_show(context, client, link, caller_of_this_process()));
  return Exit::done;
}

Result<Exit> run_chmod(Context& context) {
  TRY(words, ModeWords::parse(context.arguments()[0]));
  Wanted wanted;
  wanted.mode = std::move(words);
  return set_everywhere(context, after_the_first(context.arguments()), wanted);
}

Result<Exit> run_chown(Context& context) {
  TRY(wanted, parse_owner(context.arguments()[0]));
  return set_everywhere(context, after_the_first(context.arguments()), wanted);
}

}  // namespace hearth::cli

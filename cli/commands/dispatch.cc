#include "cli/commands/commands.h"
#include "cli/commands/mount_helper.h"
#include "cli/parser/help.h"
#include "cli/table.h"
#include "common/log.h"

#include <signal.h>

#include <algorithm>
#include <cassert>

namespace hearth::cli {
namespace {

struct Row {
  std::string_view command;
  CommandFunction run;
};

constexpr Row rows[] = {
    {"up", run_up}, {"mount", run_mount}, {"umount", run_umount}, {"attach", run_attach}, {"detach", run_detach},
    {"attachments", run_attachments}, {"ls", run_ls}, {"stat", run_stat}, {"cat", run_cat}, {"get", run_get},
    {"put", run_put}, {"cp", run_cp}, {"mv", run_mv}, {"mkdir", run_mkdir}, {"touch", run_touch}, {"ln", run_ln},
    {"chmod", run_chmod}, {"chown", run_chown}, {"rm", run_rm}, {"load", run_load}, {"free", run_free}, {"locate", run_locate}, {"explain", run_explain}, {"policy", run_policy}, {"report", run_report},
    {"workers", run_workers}, {"doctor", run_doctor}, {"config", run_config}, {"version", run_version},
    {"completion", run_completion}, {"help", run_help}};

Chatter chatter_of(const Invocation& words) {
  if (words.has("quiet")) return Chatter::quiet;
  return words.has("verbose") ? Chatter::verbose : Chatter::normal;
}

int run_words(const std::vector<std::string>& words) {
  auto parsed = parse(hearth_program, words);
  if (!parsed) {
    const bool json = std::find(words.begin(), words.end(), "--json") != words.end();
    Output out(json ? Style::json : Style::text, Chatter::normal);
    out.failure(parsed.error());
    if (json) (void)out.finish();
    return info(parsed.error().code()).exit_code;
  }
  const Invocation& invocation = *parsed;
  if (invocation.has("help") || invocation.command == nullptr) {
    write_stdout(invocation.command == nullptr ? program_help(hearth_program) : command_help(hearth_program, *invocation.command));
    return 0;
  }
  // Commands say what went wrong themselves; the library's records are for -v and for daemons.
  set_log_level(invocation.all("verbose").size() > 1 ? LogLevel::debug
                : invocation.has("verbose")          ? LogLevel::info
                                                     : LogLevel::off);
  Output out(invocation.has("json") ? Style::json : Style::text, chatter_of(invocation));
  Context context(hearth_program, invocation, out);
  const CommandFunction run = function_of(invocation.command->name);
  assert(run != nullptr && "the table names a command that rows[] does not");
  auto ended = run(context);
  if (!ended) out.failure(ended.error());
  auto finished = out.finish();
  if (!finished) out.complaint(finished.error());
  if (!ended) return info(ended.error().code()).exit_code;
  return finished ? static_cast<int>(*ended) : info(finished.error().code()).exit_code;
}

}  // namespace

CommandFunction function_of(std::string_view command) {
  for (const Row& row : rows) if (row.command == command) return row.run;
  return nullptr;
}

int run_hearth(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  if (base_name(argc > 0 ? argv[0] : "") == "mount.hearth") {
    auto translated = mount_helper_words(words);
    if (!translated) {
      Output(Style::text, Chatter::normal).failure(translated.error());
      return info(translated.error().code()).exit_code;
    }
    if (translated->empty()) return 0;
    words = std::move(*translated);
  }
  if (words.empty()) words.push_back("help");
  if (words.size() == 1 && words[0] == "--version") words[0] = "version";
  return run_words(words);
}

}  // namespace hearth::cli

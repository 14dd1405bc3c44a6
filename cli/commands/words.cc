// version, completion, help.
#include "cli/commands/commands.h"
#include "cli/daemon/version.h"
#include "cli/parser/completion.h"
#include "cli/parser/help.h"

namespace hearth::cli {

Result<Exit> run_version(Context& context) {
  Output& out = context.out();
  const std::string version(build_version());
  if (out.is_json()) out.json().text("version", version);
  out.line("hearth " + version);
  // The master is asked only when it is likely to be there: `hearth version` works on a machine without one.
  ClientOptions options = context.client_options();
  if (!context.words().has("timeout")) options.metadata_deadline = std::chrono::milliseconds(1000);
  auto client = Client::connect(options);
  if (!client) {
    if (out.is_json()) out.json().null("master_version");
    if (out.is_verbose()) out.remark("no master at " + options.master + ": " + client.error().message());
    return Exit::done;
  }
  auto master = client->master_status();
  if (!master) return std::move(master).error();
  if (out.is_json()) out.json().text("master_version", master->version);
  out.line("master " + master->version + " at " + options.master);
  return Exit::done;
}

Result<Exit> run_completion(Context& context) {
  const std::string& shell = context.arguments()[0];
  std::string script = bash_completion(context.program());
  if (shell == "zsh") script = zsh_completion(context.program());
  if (shell == "fish") script = fish_completion(context.program());
  if (context.out().is_json()) context.out().json().text("script", script);
  else write_stdout(script);
  return Exit::done;
}

Result<Exit> run_help(Context& context) {
  std::string text = program_help(context.program());
  if (!context.arguments().empty()) {
    TRY(command, find_command(context.program(), context.arguments()[0]));
    text = command_help(context.program(), *command);
  }
  if (context.words().has("markdown")) text = reference_markdown(context.program());
  if (context.out().is_json()) context.out().json().text("help", text);
  else write_stdout(text);
  return Exit::done;
}

}  // namespace hearth::cli

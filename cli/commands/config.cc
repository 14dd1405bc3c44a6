// config: check, show, reference, example.
#include "cli/commands/commands.h"
#include "cli/daemon/config.h"

namespace hearth::cli {
namespace {

Result<Process> process_of(const std::vector<std::string>& arguments) {
  if (arguments.size() < 2) return Error(Code::invalid_argument, "name the process: hearth config " + arguments[0] + " master, worker or mount");
  for (Process process : {Process::master, Process::worker, Process::mount}) {
    if (process_name(process) == arguments[1]) return process;
  }
  return Error(Code::invalid_argument, arguments[1] + " is no process of Hearth");
}

void write_fields(JsonWriter& json, const Config& config) {
  json.begin_array("fields");
  for (const ConfigField& field : config.fields()) {
    json.begin_object();
    json.text("key", field.key);
    json.text("value", field.shown());
    json.text("origin", field.origin.to_string());
    json.text("default", field.secrecy == Secrecy::secret ? "(secret)" : field.default_text);
    json.end();
  }
  json.end();
}

Result<Exit> print_text(Context& context, const std::string& text) {
  if (context.out().is_json()) context.out().json().text("text", text);
  else write_stdout(text);
  return Exit::done;
}

}  // namespace

Result<Exit> run_config(Context& context) {
  const std::string& action = context.arguments()[0];
  ProcessConfig values;
  Config config;
  if (action == "reference") {
    bind_all(config, values);
    return print_text(context, config_reference_markdown(config));
  }
  TRY(process, process_of(context.arguments()));
  bind_process(config, process, values);
  if (action == "example") return print_text(context, config_example_toml(config));
  CHECK_OK(load_process_config(config, process, context.words().text("config"), context.words().all("set")));
  if (context.out().is_json()) write_fields(context.out().json(), config);
  if (action == "check") {
    context.out().line("the configuration of the " + std::string(process_name(process)) + " is right");
    return Exit::done;
  }
  TextTable table({"KEY", "VALUE", context.words().has("origin") ? "ORIGIN" : ""}, "lll");
  for (const ConfigField& field : config.fields()) {
    table.add({field.key, field.shown(), context.words().has("origin") ? field.origin.to_string() : ""});
  }
  table.print(context.out());
  return Exit::done;
}

}  // namespace hearth::cli

#include "cli/parser/help.h"

#include "cli/parser/parse.h"

#include <hearth/code.h>

#include <algorithm>
#include <map>
#include <vector>

namespace hearth::cli {
namespace {

constexpr std::size_t help_width = 100;
constexpr std::size_t option_column = 30;

std::string synopsis(const Option& option) {
  std::string text = option.letter != 0 ? "-" + std::string(1, option.letter) + ", " : "    ";
  text += "--" + std::string(option.name);
  if (option.value != Value::none) text += "=" + std::string(option.placeholder);
  return text;
}

std::string explanation(const Option& option) {
  std::string text(option.help);
  if (!option.choices.empty()) text += " (" + choices_in_words(option.choices) + ")";
  if (!option.fallback.empty()) text += " [" + std::string(option.fallback) + "]";
  if (!option.environment.empty()) text += " [environment: " + std::string(option.environment) + "]";
  if (option.repeat == Repeat::many) text += " (may be repeated)";
  return text;
}

// Breaks `text` into lines of help_width, each after `indent` spaces but the first.
std::string wrapped(std::string_view text, std::size_t indent) {
  std::string out;
  std::size_t column = indent;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    if (column > indent && column + word.size() > help_width) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += " ";
      ++column;
    }
    out += word;
    column += word.size();
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string row(const std::string& left, std::string_view right) {
  std::string text = "  " + left;
  if (text.size() + 2 > option_column) text += "\n" + std::string(option_column, ' ');
  else text.resize(option_column, ' ');
  return text + wrapped(right, option_column) + "\n";
}

std::string argument_shape(const Argument& argument) {
  const std::string name(argument.name);
  switch (argument.arity) {
    case Arity::one: return name;
    case Arity::optional: return "[" + name + "]";
    case Arity::many: return name + "...";
    case Arity::any: return "[" + name + "...]";
  }
  return name;
}

std::vector<std::string_view> groups_of(const Program& program) {
  std::vector<std::string_view> groups;
  for (const Command& command : program.commands) {
    if (std::find(groups.begin(), groups.end(), command.group) == groups.end()) groups.push_back(command.group);
  }
  return groups;
}

// "|" would end a cell of a Markdown table.
std::string cell(std::string_view text) {
  std::string out;
  for (char c : text) out += c == '|' ? "\\|" : std::string(1, c);
  return out;
}

void markdown_options(std::string& out, std::span<const Option> options) {
  if (options.empty()) return;
  out += "| option | meaning |\n|---|---|\n";
  for (const Option& option : options) {
    std::string left = option.letter != 0 ? "`-" + std::string(1, option.letter) + "`, " : "";
    left += "`--" + std::string(option.name);
    if (option.value != Value::none) left += "=" + std::string(option.placeholder);
    out += "| " + cell(left) + "` | " + cell(explanation(option)) + " |\n";
  }
  out += "\n";
}

std::string exit_code_table() {
  static constexpr std::string_view meanings[] = {
      "done", "failed", "the command line or the configuration is wrong", "partly done: what failed is listed",
      "the master, a worker or the under-store is unreachable, overloaded or too slow", "not found",
      "permission denied", "`doctor` found problems"};
  std::map<int, std::string> names;
  for (const CodeInfo& row : code_table) {
    if (row.code != Code::ok) names[row.exit_code] += (names[row.exit_code].empty() ? "`" : ", `") + std::string(row.name) + "`";
  }
  std::string out = "| exit code | meaning | error codes |\n|---|---|---|\n";
  for (int code = 0; code < 8; ++code) {
    out += "| " + std::to_string(code) + " | " + std::string(meanings[code]) + " | " + names[code] + " |\n";
  }
  return out;
}

}  // namespace

std::string usage_line(const Program& program, const Command& command) {
  std::string text(program.name);
  if (!command.name.empty()) text += " " + std::string(command.name);
  text += " [options]";
  for (const Argument& argument : command.arguments) text += " " + argument_shape(argument);
  return text;
}

std::string program_help(const Program& program) {
  if (is_single(program)) return command_help(program, program.commands[0]);
  std::string out = std::string(program.name) + ": " + std::string(program.summary) + "\n\n";
  out += "usage: " + std::string(program.name) + " COMMAND [options] [arguments]\n";
  for (std::string_view group : groups_of(program)) {
    out += "\n" + std::string(group) + "\n";
    for (const Command& command : program.commands) {
      if (command.group == group) out += row(std::string(command.name), command.summary);
    }
  }
  out += "\nfor every command\n";
  for (const Option& option : program.globals) out += row(synopsis(option), explanation(option));
  return out + "\n" + std::string(program.name) + " help COMMAND says more.\n";
}

std::string command_help(const Program& program, const Command& command) {
  std::string out = "usage: " + usage_line(program, command) + "\n\n" + std::string(command.summary) + "\n";
  if (!command.description.empty()) out += "\n" + wrapped(command.description, 0) + "\n";
  if (!command.arguments.empty()) out += "\n";
  for (const Argument& argument : command.arguments) out += row(std::string(argument.name), argument.help);
  if (!command.options.empty()) out += "\noptions\n";
  for (const Option& option : command.options) out += row(synopsis(option), explanation(option));
  out += "\nfor every command\n";
  for (const Option& option : program.globals) out += row(synopsis(option), explanation(option));
  if (!command.examples.empty()) out += "\nexamples\n";
  for (std::string_view example : command.examples) out += "  " + std::string(example) + "\n";
  return out;
}

std::string reference_markdown(const Program& program) {
  std::string out = "# The `" + std::string(program.name) + "` command\n\n"
      "Generated from the command table by `hearth help --markdown`; a test fails when this page differs.\n\n"
      "Results go to standard output, errors to standard error as one sentence. With `--json` a command writes one JSON document\n"
      "to standard output, an error too: `{\"error\":{\"code\":\"not_found\",\"message\":\"...\"}}`. Field names are stable and carry\n"
      "their unit; 64-bit ids are strings. A path or name that is not UTF-8 is written with U+FFFD for each bad byte, and a second\n"
      "field `<name>_base64` holds its exact bytes.\n\n"
      "The master is `--master`, else `HEARTH_MASTER`, else the one that `hearth up` of the same user started on this host, else\n"
      "`127.0.0.1:19800`.\n\n";
  out += exit_code_table() + "\n## For every command\n\n";
  markdown_options(out, program.globals);
  for (std::string_view group : groups_of(program)) {
    out += "## " + std::string(group) + "\n\n";
    for (const Command& command : program.commands) {
      if (command.group != group) continue;
      out += "### " + std::string(command.name) + "\n\n`" + usage_line(program, command) + "`\n\n" + std::string(command.summary) + ".";
      if (!command.description.empty()) out += " " + std::string(command.description);
      out += "\n\n";
      for (const Argument& argument : command.arguments) {
        out += "* `" + std::string(argument.name) + "`: " + std::string(argument.help) + "\n";
      }
      if (!command.arguments.empty()) out += "\n";
      markdown_options(out, command.options);
      if (command.examples.empty()) continue;
      out += "```sh\n";
      for (std::string_view example : command.examples) out += std::string(example) + "\n";
      out += "```\n\n";
    }
  }
  out += "## Names from elsewhere\n\n| typed | here |\n|---|---|\n";
  for (const Hint& hint : program.hints) out += "| `" + std::string(hint.word) + "` | `" + cell(hint.advice) + "` |\n";
  return out;
}

}  // namespace hearth::cli

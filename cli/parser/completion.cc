#include "cli/parser/completion.h"

#include "cli/parser/parse.h"

#include <algorithm>

namespace hearth::cli {
namespace {

std::string words_of(std::span<const Option> options) {
  std::string out;
  for (const Option& option : options) {
    out += " --" + std::string(option.name);
    if (option.value != Value::none) out += "=";
  }
  return out;
}

std::string spaced(std::string_view choices) {
  std::string out(choices);
  std::replace(out.begin(), out.end(), '|', ' ');
  return out;
}

// For a single-quoted shell word.
std::string single_quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

// For the bracketed part of a zsh _arguments specification.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(Value value, std::string_view choices) {
  if (!choices.empty()) return "(" + spaced(choices) + ")";
  if (value == Value::local_path) return "_files";
  if (value == Value::cluster_path) return "_hearth_paths";
  return " ";
}

std::string zsh_option(const Option& option) {
  std::string text = "--" + std::string(option.name);
  if (option.value != Value::none) text += "=";
  text += "[" + zsh_text(option.help) + "]";
  if (option.value != Value::none) {
    text += ":" + zsh_text(option.placeholder) + ":" + zsh_action(option.value, option.choices);
  }
  std::string out = single_quoted((option.repeat == Repeat::many ? "*" : "") + text);
  if (option.letter != 0) out += " " + single_quoted("-" + std::string(1, option.letter) + "[" + zsh_text(option.help) + "]");
  return out;
}

std::string fish_option(const Option& option, const std::string& condition) {
  std::string out = "complete -c hearth" + condition + " -l " + std::string(option.name);
  if (option.letter != 0) out += " -s " + std::string(1, option.letter);
  if (option.value != Value::none) out += " -r";
  if (!option.choices.empty()) out += " -f -a " + single_quoted(spaced(option.choices));
  if (option.value == Value::local_path) out += " -F";
  return out + " -d " + single_quoted(option.help) + "\n";
}

}  // namespace

std::string bash_completion(const Program& program) {
  std::string out = R"sh(# Completion of hearth for bash; made by `hearth completion bash`.
_hearth_paths() {
  local dir=${1%/*}
  hearth ls --timeout=2s "${dir:-/}" 2>/dev/null | while IFS= read -r name; do printf '%s\n' "${dir%/}/$name"; done
}
_hearth() {
  local cur=${COMP_WORDS[COMP_CWORD]} command= word
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) ;; *) command=$word; break ;; esac
  done
  local options= kind= values=
  case $command in
)sh";
  std::string names;
  for (const Command& command : program.commands) {
    names += " " + std::string(command.name);
    std::string kind;
    std::string values;
    for (const Argument& argument : command.arguments) {
      if (argument.value == Value::local_path) kind += "local ";
      if (argument.value == Value::cluster_path) kind += "cluster ";
      if (!argument.choices.empty()) values += " " + spaced(argument.choices);
    }
    out += "    " + std::string(command.name) + ") options=\"" + words_of(command.options) + "\" kind=\"" + kind + "\" values=\"" + values + "\" ;;\n";
  }
  out += "    *) values=\"" + names + "\" ;;\n  esac\n";
  out += "  options+=\"" + words_of(program.globals) + "\"\n";
  out += R"sh(  case $cur in
    -*) COMPREPLY=($(compgen -W "$options" -- "$cur")); [[ ${COMPREPLY-} == *= ]] && compopt -o nospace; return ;;
  esac
  COMPREPLY=($(compgen -W "$values" -- "$cur"))
  local IFS=$'\n'
  case $kind in *cluster*) COMPREPLY+=($(compgen -W "$(_hearth_paths "$cur")" -- "$cur")) ;; esac
  case $kind in *local*) COMPREPLY+=($(compgen -f -- "$cur")) ;; esac
}
complete -F _hearth hearth
)sh";
  return out;
}

std::string zsh_completion(const Program& program) {
  std::string out = R"sh(#compdef hearth
# Completion of hearth for zsh; made by `hearth completion zsh`.
_hearth_paths() {
  local dir=${PREFIX%/*}
  local -a found
  found=(${(f)"$(hearth ls --timeout=2s "${dir:-/}" 2>/dev/null)"})
  compadd -p "${dir%/}/" -- $found
}
_hearth() {
  local -a commands globals
  commands=(
)sh";
  for (const Command& command : program.commands) {
    out += "    " + single_quoted(std::string(command.name) + ":" + std::string(command.summary)) + "\n";
  }
  out += "  )\n  globals=(";
  for (const Option& option : program.globals) out += " " + zsh_option(option);
  out += " )\n  if (( CURRENT == 2 )); then _describe command commands; return; fi\n  local command=$words[2]\n  shift words; (( CURRENT-- ))\n  case $command in\n";
  for (const Command& command : program.commands) {
    out += "    " + std::string(command.name) + ") _arguments $globals";
    for (const Option& option : command.options) out += " " + zsh_option(option);
    for (const Argument& argument : command.arguments) {
      const bool more = argument.arity == Arity::many || argument.arity == Arity::any;
      out += " " + single_quoted((more ? "*:" : ":") + zsh_text(argument.name) + ":" + zsh_action(argument.value, argument.choices));
    }
    out += " ;;\n";
  }
  return out + "  esac\n}\n_hearth \"$@\"\n";
}

std::string fish_completion(const Program& program) {
  std::string out = R"sh(# Completion of hearth for fish; made by `hearth completion fish`.
function __hearth_paths
    set -l dir (string replace -r '[^/]*$' '' -- (commandline -ct))
    test -n "$dir"; or set dir /
    hearth ls --timeout=2s $dir 2>/dev/null | while read -l name; echo $dir$name; end
end
complete -c hearth -f
)sh";
  for (const Option& option : program.globals) out += fish_option(option, "");
  for (const Command& command : program.commands) {
    const std::string name(command.name);
    out += "complete -c hearth -n __fish_use_subcommand -a " + name + " -d " + single_quoted(command.summary) + "\n";
    const std::string condition = " -n '__fish_seen_subcommand_from " + name + "'";
    for (const Option& option : command.options) out += fish_option(option, condition);
    for (const Argument& argument : command.arguments) {
      if (argument.value == Value::local_path) out += "complete -c hearth" + condition + " -F\n";
      if (argument.value == Value::cluster_path) out += "complete -c hearth" + condition + " -a '(__hearth_paths)'\n";
      if (!argument.choices.empty()) out += "complete -c hearth" + condition + " -a " + single_quoted(spaced(argument.choices)) + "\n";
    }
  }
  return out;
}

}  // namespace hearth::cli

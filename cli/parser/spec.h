// The shape of a command line as data: one table yields parsing, help, completion and docs.
//
// Everything here is constant data with static lifetime; no code runs to make it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace hearth::cli {

// What an option or argument holds; checked while parsing and used by completion.
enum class Value : std::uint8_t {
  none,          // a switch: present or not
  text,
  size,          // 64MiB; a bare number is refused
  duration,      // 10s
  count,         // a plain number
  choice,        // one of Option::choices
  local_path,    // a file or directory of this host
  cluster_path,  // an absolute path in the namespace
  address,       // host:port or unix:/path
};

enum class Repeat : std::uint8_t { once, many };

struct Option {
  std::string_view name;   // without dashes
  char letter = 0;
  Value value = Value::none;
  std::string_view placeholder;    // "DURATION"
  std::string_view help;
  std::string_view fallback;       // shown as the default; "" has none
  std::string_view choices;        // "local_first|hash"
  std::string_view environment;    // variable that sets it when the flag is absent
  Repeat repeat = Repeat::once;
};

enum class Arity : std::uint8_t { one, optional, many /* one or more */, any /* zero or more */ };

struct Argument {
  std::string_view name;  // "PATH"
  Arity arity = Arity::one;
  Value value = Value::text;
  std::string_view help;
  std::string_view choices;
};

class Context;

struct Command {
  std::string_view name;
  std::string_view group;
  std::string_view summary;      // one line, no full stop
  std::string_view description;  // prose for help and docs; may be empty
  std::span<const Argument> arguments;
  std::span<const Option> options;
  std::span<const std::string_view> examples;
};

// Words of other systems, or of this one used wrongly, and what they are called here.
struct Hint {
  std::string_view word;  // "fs mount"
  std::string_view advice;  // "hearth attach PATH URI"
};

struct Program {
  std::string_view name;
  std::string_view summary;
  std::span<const Command> commands;  // a program with exactly one unnamed command has no subcommands
  std::span<const Option> globals;
  std::span<const Hint> hints;
};

// Whether the program is one command without a name (the daemons).
constexpr bool is_single(const Program& program) {
  return program.commands.size() == 1 && program.commands[0].name.empty();
}

}  // namespace hearth::cli

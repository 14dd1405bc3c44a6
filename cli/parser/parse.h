// From words to an Invocation: which command, which options, which arguments.
//
// Options may stand anywhere (also after arguments), as --name=value, --name value, -n value or -nvalue;
// switches of one letter combine (-lR); `--` ends options. Nothing is abbreviated silently.
// Fails: invalid_argument, with what is known nearby.
#pragma once

#include "cli/parser/spec.h"

#include <hearth/result.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::cli {

class Invocation {
 public:
  const Command* command = nullptr;
  std::vector<std::string> arguments;

  bool has(std::string_view option) const;
  // The given value, else the environment's, else the table's default, else "".
  std::string text(std::string_view option) const;
  std::vector<std::string> all(std::string_view option) const;
  // Values were checked while parsing; an option without any value gives nothing.
  std::optional<std::uint64_t> size_bytes(std::string_view option) const;
  std::optional<std::chrono::nanoseconds> duration(std::string_view option) const;
  std::optional<std::uint64_t> count(std::string_view option) const;

 private:
  friend class Parser;
  struct Given {
    const Option* option = nullptr;
    std::vector<std::string> values;
  };
  std::map<std::string, Given, std::less<>> given_;
};

// `words` are the command line without the program's name. A missing command is an error; --help and
// --version are ordinary switches of the program's globals: when --help is present, arguments are not checked.
Result<Invocation> parse(const Program& program, const std::vector<std::string>& words);

// The command of that name, or an error with the nearest one.
Result<const Command*> find_command(const Program& program, std::string_view name);

// Whether `text` is a value of that kind; the error says what is expected.
Status check_value(Value kind, std::string_view choices, std::string_view text);

// "a, b or c" from "a|b|c".
std::string choices_in_words(std::string_view choices);
std::vector<std::string_view> split_choices(std::string_view choices);

}  // namespace hearth::cli

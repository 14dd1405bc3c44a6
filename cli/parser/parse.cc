#include "cli/parser/parse.h"

#include "common/nearest_name.h"

#include <cstdlib>

namespace hearth::cli {
namespace {

Error usage(std::string message) { return Error(Code::invalid_argument, std::move(message)); }

std::string where(const Program& program, const Command* command) {
  std::string text(program.name);
  if (command != nullptr && !command->name.empty()) text += " " + std::string(command->name);
  return "`" + text + "`";
}

std::string shown(const Option& option) { return "--" + std::string(option.name); }

// The hint for words of another system, when they were typed ("fs mount" or "warmup").
std::optional<std::string> hint_for(const Program& program, std::string_view first, std::string_view second) {
  for (const Hint& hint : program.hints) {
    const bool one_word = hint.word == first;
    const bool two_words = hint.word == std::string(first) + " " + std::string(second);
    if (one_word || two_words) return "`" + std::string(hint.word) + "` is `" + std::string(hint.advice) + "` here";
  }
  return std::nullopt;
}

bool allows_another(const Command& command, std::size_t have) {
  if (have < command.arguments.size()) return true;
  if (command.arguments.empty()) return false;
  const Arity last = command.arguments.back().arity;
  return last == Arity::many || last == Arity::any;
}

}  // namespace

// Walks the words once.
class Parser {
 public:
  Parser(const Program& program, const std::vector<std::string>& words) : program_(program), words_(words) {}

  Result<Invocation> run() {
    if (is_single(program_)) invocation_.command = &program_.commands[0];
    while (next_ < words_.size()) {
      const std::string& word = words_[next_++];
      Status taken = ok();
      if (options_ended_ || word.size() < 2 || word[0] != '-') {
        taken = take_argument(word);
      } else if (word == "--") {
        options_ended_ = true;
      } else if (word[1] == '-') {
        taken = take_long(word.substr(2));
      } else {
        taken = take_letters(word.substr(1));
      }
      CHECK_OK(std::move(taken));
    }
    CHECK_OK(take_environment());
    const bool asked_for_help = invocation_.has("help") || invocation_.has("version");
    if (!asked_for_help) CHECK_OK(check_arguments());
    return std::move(invocation_);
  }

 private:
  const Option* by_name(std::string_view name) const {
    for (const Option& option : program_.globals) if (option.name == name) return &option;
    if (invocation_.command == nullptr) return nullptr;
    for (const Option& option : invocation_.command->options) if (option.name == name) return &option;
    return nullptr;
  }

  const Option* by_letter(char letter) const {
    if (invocation_.command != nullptr) {
      for (const Option& option : invocation_.command->options) if (option.letter == letter) return &option;
    }
    for (const Option& option : program_.globals) if (option.letter == letter) return &option;
    return nullptr;
  }

  Error unknown_option(std::string_view name) const {
    std::vector<std::string_view> known;
    for (const Option& option : program_.globals) known.push_back(option.name);
    if (invocation_.command != nullptr) {
      for (const Option& option : invocation_.command->options) known.push_back(option.name);
    }
    std::string message = where(program_, invocation_.command) + " has no option --" + std::string(name);
    const auto near = nearest_name(name, known);
    if (near) message += "; did you mean --" + std::string(*near) + "?";
    else message += "; see " + std::string(program_.name) + " " +
                    (invocation_.command != nullptr ? std::string(invocation_.command->name) + " " : "") + "--help";
    return usage(std::move(message));
  }

  Status set(const Option& option, std::string value) {
    auto& given = invocation_.given_[std::string(option.name)];
    if (!given.values.empty() && option.repeat == Repeat::once && option.value != Value::none) {
      return usage(shown(option) + " is given twice; give it once");
    }
    auto checked = check_value(option.value, option.choices, value);
    if (!checked) return std::move(checked).error().with_context(shown(option));
    given.option = &option;
    given.values.push_back(std::move(value));
    return ok();
  }

  Status take_long(const std::string& text) {
    const auto equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const Option* option = by_name(name);
    if (option == nullptr) return unknown_option(name);
    if (option->value == Value::none) {
      if (equals != std::string::npos) return usage(shown(*option) + " takes no value");
      return set(*option, "");
    }
    if (equals != std::string::npos) return set(*option, text.substr(equals + 1));
    return take_value(*option);
  }

  Status take_value(const Option& option) {
    if (next_ >= words_.size()) {
      return usage(shown(option) + " needs a value: " + shown(option) + "=" + std::string(option.placeholder));
    }
    return set(option, words_[next_++]);
  }

  Status take_letters(const std::string& letters) {
    for (std::size_t i = 0; i < letters.size(); ++i) {
      const Option* option = by_letter(letters[i]);
      if (option == nullptr) {
        return usage(where(program_, invocation_.command) + " has no option -" + std::string(1, letters[i]) +
                     "; see " + std::string(program_.name) + " help");
      }
      if (option->value != Value::none) {
        if (i + 1 < letters.size()) return set(*option, letters.substr(i + 1));
        return take_value(*option);
      }
      CHECK_OK(set(*option, ""));
    }
    return ok();
  }

  Status take_argument(const std::string& word) {
    if (invocation_.command == nullptr) {
      const std::string_view second = next_ < words_.size() ? std::string_view(words_[next_]) : std::string_view();
      const auto hint = hint_for(program_, word, second);
      if (hint) return usage(*hint);
      TRY(found, find_command(program_, word));
      invocation_.command = found;
      return ok();
    }
    const Command& command = *invocation_.command;
    if (!allows_another(command, invocation_.arguments.size())) {
      return usage(where(program_, &command) + " does not take \"" + word + "\"" +
                   (command.arguments.empty() ? "; it takes no arguments" : " as one more argument"));
    }
    const std::size_t index = std::min(invocation_.arguments.size(), command.arguments.size() - 1);
    const Argument& argument = command.arguments[index];
    auto checked = check_value(argument.value, argument.choices, word);
    if (!checked) return std::move(checked).error().with_context(argument.name);
    invocation_.arguments.push_back(word);
    return ok();
  }

  Status take_environment() {
    for (const Option& option : program_.globals) {
      if (option.environment.empty() || invocation_.has(option.name)) continue;
      const char* value = std::getenv(std::string(option.environment).c_str());
      if (value == nullptr || *value == '\0') continue;
      auto set_result = set(option, value);
      if (!set_result) return std::move(set_result).error().with_context("environment " + std::string(option.environment));
    }
    // Table defaults become values last, so that has() still means "given".
    return ok();
  }

  Status check_arguments() const {
    if (invocation_.command == nullptr) {
      return usage("`" + std::string(program_.name) + "` needs a command; see `" + std::string(program_.name) + " help`");
    }
    const Command& command = *invocation_.command;
    std::size_t needed = 0;
    for (const Argument& argument : command.arguments) {
      if (argument.arity == Arity::one || argument.arity == Arity::many) ++needed;
    }
    if (invocation_.arguments.size() >= needed) return ok();
    const Argument& missing = command.arguments[invocation_.arguments.size()];
    return usage(where(program_, &command) + " needs " + std::string(missing.name) + ": " + std::string(missing.help));
  }

  const Program& program_;
  const std::vector<std::string>& words_;
  std::size_t next_ = 0;
  bool options_ended_ = false;
  Invocation invocation_;
};

Result<Invocation> parse(const Program& program, const std::vector<std::string>& words) {
  return Parser(program, words).run();
}

Result<const Command*> find_command(const Program& program, std::string_view name) {
  std::vector<std::string_view> known;
  for (const Command& command : program.commands) {
    if (command.name == name) return &command;
    known.push_back(command.name);
  }
  const auto hint = hint_for(program, name, "");
  if (hint) return usage(*hint);
  std::string message = "`" + std::string(program.name) + "` has no command \"" + std::string(name) + "\"";
  const auto near = nearest_name(name, known);
  if (near) message += "; did you mean `" + std::string(program.name) + " " + std::string(*near) + "`?";
  else message += "; see `" + std::string(program.name) + " help`";
  return usage(std::move(message));
}

bool Invocation::has(std::string_view option) const { return given_.find(option) != given_.end(); }

std::string Invocation::text(std::string_view option) const {
  const auto found = given_.find(option);
  if (found != given_.end()) return found->second.values.back();
  if (command == nullptr) return "";
  for (const Option& known : command->options) if (known.name == option) return std::string(known.fallback);
  return "";
}

std::vector<std::string> Invocation::all(std::string_view option) const {
  const auto found = given_.find(option);
  return found == given_.end() ? std::vector<std::string>() : found->second.values;
}

}  // namespace hearth::cli

#include "common/config.h"

#include "common/config_toml.h"
#include "common/nearest_name.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace hearth {
namespace {

constexpr std::size_t max_file_bytes = 1U << 20;
constexpr std::string_view environment_prefix = "HEARTH_";

std::string_view top_of(std::string_view key) { return key.substr(0, key.find('.')); }

// "WORKER__MEMORY__CAPACITY" -> "worker.memory.capacity".
std::string key_of_environment(std::string_view name) {
  std::string key;
  while (!name.empty()) {
    if (name.starts_with("__")) {
      key += '.';
      name.remove_prefix(2);
      continue;
    }
    const char c = name.front();
    key += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    name.remove_prefix(1);
  }
  return key;
}

Status assign(ConfigField& field, const ConfigInput& input, const std::string& where, ConfigOrigin origin) {
  const Status status = field.set(input);
  if (!status) {
    // What the setter says may quote the value.
    const std::string why = field.secrecy == Secrecy::secret ? "wants a " + field.type : status.error().message();
    return Error(Code::invalid_argument, where + ": " + field.key + " " + why);
  }
  field.origin = std::move(origin);
  return ok();
}

ConfigInput text_input(std::string_view text) {
  ConfigInput input;
  input.text = text;
  return input;
}

}  // namespace

const ConfigField* Config::find(std::string_view key) const {
  for (const ConfigField& field : fields_) {
    if (field.key == key) return &field;
  }
  return nullptr;
}

ConfigField* Config::find_mutable(std::string_view key) {
  return const_cast<ConfigField*>(std::as_const(*this).find(key));
}

bool Config::is_skipped(std::string_view key) const {
  for (const std::string& section : skipped_) {
    if (top_of(key) == section) return true;
  }
  return false;
}

// A section, or what stands above one: "worker" when "worker.memory" is bound.
bool Config::is_section(std::string_view key) const {
  for (const ConfigSection& section : sections_) {
    if (section.key == key || section.key.starts_with(std::string(key) + ".")) return true;
  }
  return false;
}

Error Config::unknown(const std::string& where, std::string_view key) const {
  std::vector<std::string_view> names;
  for (const ConfigField& field : fields_) names.push_back(field.key);
  for (const ConfigSection& section : sections_) names.push_back(section.key);
  const auto nearest = nearest_name(key, names);
  const std::string hint = nearest ? "did you mean '" + std::string(*nearest) + "'?"
                                   : "no key is named like it; --help lists them";
  return Error(Code::invalid_argument, where + ": unknown key '" + std::string(key) + "'; " + hint);
}

Status Config::load_file(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text;
  char buffer[4096];
  while (file && text.size() <= max_file_bytes) {
    file.read(buffer, sizeof buffer);
    text.append(buffer, static_cast<std::size_t>(file.gcount()));
  }
  if (!file.eof() && text.size() <= max_file_bytes) {
    const int why = errno != 0 ? errno : EIO;
    return Error(code_from_errno(why), "configuration file " + path + " can not be read: " + std::strerror(why));
  }
  if (text.size() > max_file_bytes) {
    return Error(Code::invalid_argument, "configuration file " + path + " is larger than 1 MiB; is it the right file?");
  }
  return load_toml(text, path);
}

Status Config::load_toml(std::string_view text, const std::string& name) {
  TRY(entries, read_toml(text, name));
  for (const TomlEntry& entry : entries) {
    if (is_skipped(entry.key)) continue;
    const std::string line = name + ":" + std::to_string(entry.line);
    const std::string where = line + ":" + std::to_string(entry.column);
    ConfigField* const field = find_mutable(entry.key);
    if (field != nullptr) {
      CHECK_OK(assign(*field, entry.value, where, ConfigOrigin{ConfigOrigin::Kind::file, line}));
    } else if (!is_section(entry.key)) {
      return unknown(where, entry.key);
    } else if (entry.value.kind != ConfigInput::Kind::table) {
      return Error(Code::invalid_argument, where + ": '" + entry.key + "' is a section: write [" + entry.key + "]");
    }
  }
  return ok();
}

Status Config::load_environment(const std::vector<std::string>& variables) {
  for (const std::string& variable : variables) {
    if (!variable.starts_with(environment_prefix)) continue;
    const std::size_t equals = variable.find('=');
    const std::string name = variable.substr(0, equals);
    if (equals == std::string::npos || name.find("__") == std::string::npos) continue;
    const std::string key = key_of_environment(std::string_view(name).substr(environment_prefix.size()));
    if (is_skipped(key) || !is_section(top_of(key))) continue;  // another process's
    ConfigField* const field = find_mutable(key);
    if (field == nullptr) return unknown("environment variable " + name, key);
    CHECK_OK(assign(*field, text_input(std::string_view(variable).substr(equals + 1)), "environment variable " + name,
                    ConfigOrigin{ConfigOrigin::Kind::environment, name}));
  }
  return ok();
}

Status Config::set(std::string_view assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string_view::npos) {
    return Error(Code::invalid_argument, "--set " + std::string(assignment) + ": write --set section.key=value");
  }
  const std::string_view key = assignment.substr(0, equals);
  ConfigField* const field = find_mutable(key);
  if (field == nullptr) return unknown("--set", key);
  return assign(*field, text_input(assignment.substr(equals + 1)), "--set", ConfigOrigin{ConfigOrigin::Kind::flag, "--set"});
}

Result<std::vector<std::string>> Config::load_flags(const std::vector<std::string>& arguments) {
  std::vector<std::string> rest;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--") {
      rest.insert(rest.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i), arguments.end());
      break;
    }
    const std::size_t equals = arguments[i].find('=');
    const std::string flag = arguments[i].substr(0, equals);
    ConfigField* field = nullptr;
    for (ConfigField& each : fields_) {
      if (!each.flag.empty() && each.flag == flag) field = &each;
    }
    if (field == nullptr && flag != "--set") {
      rest.push_back(arguments[i]);
      continue;
    }
    std::string value;
    if (equals != std::string::npos) {
      value = arguments[i].substr(equals + 1);
    } else if (field != nullptr && field->type == "boolean") {
      value = "true";
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      return Error(Code::invalid_argument, flag + " needs a value after it");
    }
    if (field == nullptr) {
      CHECK_OK(set(value));
    } else {
      CHECK_OK(assign(*field, text_input(value), flag, ConfigOrigin{ConfigOrigin::Kind::flag, flag}));
    }
  }
  return rest;
}

Status Config::check() const {
  for (const ConfigValidator& validator : validators_) {
    auto status = validator.validate();
    if (!status) return std::move(status).error().with_context("[" + validator.section + "]");
  }
  return ok();
}

std::vector<std::string> read_environment() {
  std::vector<std::string> variables;
  for (char** variable = ::environ; variable != nullptr && *variable != nullptr; ++variable) variables.emplace_back(*variable);
  return variables;
}

std::string environment_name(std::string_view key) {
  std::string name(environment_prefix);
  for (const char c : key) {
    if (c == '.') {
      name += "__";
    } else {
      name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
  }
  return name;
}

}  // namespace hearth

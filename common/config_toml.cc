#include "common/config_toml.h"

#include <toml++/toml.h>

#include <algorithm>
#include <tuple>

namespace hearth {
namespace {

std::string place(const std::string& name, const toml::source_position& at) {
  return name + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": ";
}

ConfigInput list_of(const toml::array& array) {
  ConfigInput input;
  input.kind = ConfigInput::Kind::list;
  for (const toml::node& item : array) {
    if (!item.is_string()) {
      input.kind = ConfigInput::Kind::other;
      return input;
    }
    input.items.push_back(item.as_string()->get());
  }
  return input;
}

ConfigInput input_of(const toml::node& node) {
  using Kind = ConfigInput::Kind;
  ConfigInput input;
  if (const auto* text = node.as_string()) {
    input.kind = Kind::string;
    input.text = text->get();
  } else if (const auto* boolean = node.as_boolean()) {
    input.kind = Kind::boolean;
    input.text = boolean->get() ? "true" : "false";
  } else if (const auto* integer = node.as_integer()) {
    input.kind = Kind::integer;
    input.text = std::to_string(integer->get());
  } else if (const auto* real = node.as_floating_point()) {
    input.kind = Kind::real;
    input.text = std::to_string(real->get());
  } else if (const auto* array = node.as_array()) {
    input = list_of(*array);
  } else {
    input.kind = node.is_table() ? Kind::table : Kind::other;
  }
  return input;
}

// The parser bounds the depth of tables (TOML_MAX_NESTED_VALUES), so this recursion is bounded, too.
void flatten(const toml::table& table, const std::string& prefix, std::vector<TomlEntry>& entries) {
  for (const auto& [key, node] : table) {
    TomlEntry entry;
    entry.key = prefix + std::string(key.str());
    entry.value = input_of(node);
    const toml::source_position at = key.source().begin;
    entry.line = at.line;
    entry.column = at.column;
    const std::string inner = entry.key + ".";
    entries.push_back(std::move(entry));
    if (const toml::table* nested = node.as_table()) flatten(*nested, inner, entries);
  }
}

}  // namespace

Result<std::vector<TomlEntry>> read_toml(std::string_view text, const std::string& name) {
  std::vector<TomlEntry> entries;
  try {  // Debian's library is built with exceptions
    flatten(toml::parse(text), "", entries);
  } catch (const toml::parse_error& error) {
    return Error(Code::invalid_argument,
                 place(name, error.source().begin) + "not valid TOML: " + std::string(error.description()));
  }
  std::stable_sort(entries.begin(), entries.end(), [](const TomlEntry& a, const TomlEntry& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
  return entries;
}

}  // namespace hearth

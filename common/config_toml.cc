#include "common/config_toml.h"

#include <toml++/toml.h>

#include <algorithm>
#include <tuple>

namespace hearth {
namespace {

TomlPlace place_of(const toml::source_position& at) { return {.line = at.line, .column = at.column}; }

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

enum class Arrays : std::uint8_t { whole, opened };
void flatten_tables(const toml::array& array, const std::string& key, std::vector<TomlEntry>& entries);

// The parser bounds the depth of tables (TOML_MAX_NESTED_VALUES), so this recursion is bounded, too.
void flatten(const toml::table& table, const std::string& prefix, Arrays arrays, std::vector<TomlEntry>& entries) {
  for (const auto& [key, node] : table) {
    TomlEntry entry;
    entry.key = prefix + std::string(key.str());
    entry.value = input_of(node);
    const toml::source_position at = key.source().begin;
    entry.line = at.line;
    entry.column = at.column;
    const toml::array* const array = node.as_array();
    if (array != nullptr && entry.value.kind == ConfigInput::Kind::list) {
      for (const toml::node& item : *array) entry.items_at.push_back(place_of(item.source().begin));
    }
    const std::string own = entry.key;
    entries.push_back(std::move(entry));
    if (const toml::table* nested = node.as_table()) flatten(*nested, own + ".", arrays, entries);
    if (array != nullptr && arrays == Arrays::opened) flatten_tables(*array, own, entries);
  }
}

void flatten_tables(const toml::array& array, const std::string& key, std::vector<TomlEntry>& entries) {
  for (std::size_t i = 0; i < array.size(); ++i) {
    const toml::table* const table = array[i].as_table();
    if (table == nullptr) continue;
    TomlEntry entry;
    entry.key = key + "[" + std::to_string(i) + "]";
    entry.value.kind = ConfigInput::Kind::table;
    const toml::source_position at = table->source().begin;
    entry.line = at.line;
    entry.column = at.column;
    const std::string inner = entry.key + ".";
    entries.push_back(std::move(entry));
    flatten(*table, inner, Arrays::opened, entries);
  }
}

std::optional<TomlFault> read(std::string_view text, Arrays arrays, std::vector<TomlEntry>& entries) {
  try {  // Debian's library is built with exceptions
    flatten(toml::parse(text), "", arrays, entries);
  } catch (const toml::parse_error& error) {
    return TomlFault{.at = place_of(error.source().begin), .reason = "not valid TOML: " + std::string(error.description())};
  }
  std::stable_sort(entries.begin(), entries.end(), [](const TomlEntry& a, const TomlEntry& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
  return std::nullopt;
}

}  // namespace

std::optional<TomlFault> read_toml_tables(std::string_view text, std::vector<TomlEntry>& entries) {
  return read(text, Arrays::opened, entries);
}

Result<std::vector<TomlEntry>> read_toml(std::string_view text, const std::string& name) {
  std::vector<TomlEntry> entries;
  if (const auto fault = read(text, Arrays::whole, entries)) {
    return Error(Code::invalid_argument, name + ":" + std::to_string(fault->at.line) + ":" +
                                             std::to_string(fault->at.column) + ": " + fault->reason);
  }
  return entries;
}

}  // namespace hearth

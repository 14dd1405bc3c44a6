// A TOML document as a flat list of keys; the only door to toml++.
#pragma once

#include "common/config_field.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

struct TomlPlace {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

struct TomlEntry {
  std::string key;  // "worker.memory.capacity"; for a table its own name, Kind::table
  ConfigInput value;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::vector<TomlPlace> items_at;  // of a list of strings: where each stands
};

// Why a text is not TOML.
struct TomlFault {
  TomlPlace at;
  std::string reason;
};

// In the order of the document. Fails with invalid_argument: "name:3:7: what is wrong".
Result<std::vector<TomlEntry>> read_toml(std::string_view text, const std::string& name);

// With what is in arrays of tables: the n-th table of `rule` is "rule[n]", counted from 0, Kind::table, and its keys
// are "rule[n].name"; the array itself is Kind::other. Answers nothing, or why the text is not TOML.
std::optional<TomlFault> read_toml_tables(std::string_view text, std::vector<TomlEntry>& entries);

}  // namespace hearth

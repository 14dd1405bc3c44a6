// A TOML document as a flat list of keys; the only door to toml++.
#pragma once

#include "common/config_field.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

struct TomlEntry {
  std::string key;  // "worker.memory.capacity"; for a table its own name, Kind::table
  ConfigInput value;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

// In the order of the document. Fails with invalid_argument: "name:3:7: what is wrong".
Result<std::vector<TomlEntry>> read_toml(std::string_view text, const std::string& name);

}  // namespace hearth

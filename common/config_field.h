// One configurable value with its type erased, as the loaders and the documentation see it.
#pragma once

#include <hearth/result.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

// A value on its way in. Text is what the environment and flags give; the other kinds come from TOML.
struct ConfigInput {
  enum class Kind : std::uint8_t { text, string, boolean, integer, real, list, table, other };
  Kind kind = Kind::text;
  std::string text;                // for every kind but list and table
  std::vector<std::string> items;  // list
};

struct ConfigOrigin {
  enum class Kind : std::uint8_t { default_value, file, environment, flag };
  Kind kind = Kind::default_value;
  std::string where;  // "hearth.toml:3", "HEARTH_WORKER__PORT", "--set"

  std::string to_string() const { return kind == Kind::default_value ? "default" : where; }
};

enum class Secrecy : std::uint8_t { open, secret };  // a secret is never printed

struct ConfigField {
  std::string key;           // "worker.memory.capacity"
  std::string help;
  std::string type;          // "size", "integer", "one of"
  std::string allowed;       // "1MiB to 1TiB", "always, never"; "" when the type says it all
  std::string default_text;  // as in TOML
  std::string flag;          // "--port", or ""
  Secrecy secrecy = Secrecy::open;
  ConfigOrigin origin;

  // Fails with a sentence that does not name the field or the place; the loader adds them.
  std::function<Status(const ConfigInput&)> set;
  // The value as in TOML, also of a secret: use shown() for people.
  std::function<std::string()> get;

  std::string shown() const { return secrecy == Secrecy::secret ? "(secret)" : get(); }
};

struct ConfigSection {
  std::string key;
  std::string help;
};

struct ConfigValidator {
  std::string section;
  std::function<Status()> validate;
};

}  // namespace hearth

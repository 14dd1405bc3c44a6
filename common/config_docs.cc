// What people read: the --help listing, docs/reference/config.md, the packaged example.
#include "common/config.h"

namespace hearth {
namespace {

// Fields that stand directly in `section`.
std::vector<const ConfigField*> fields_of(const Config& config, const ConfigSection& section) {
  std::vector<const ConfigField*> fields;
  for (const ConfigField& field : config.fields()) {
    if (field.key.substr(0, field.key.rfind('.')) == section.key) fields.push_back(&field);
  }
  return fields;
}

std::string short_name(const ConfigField& field) { return field.key.substr(field.key.rfind('.') + 1); }

std::string type_text(const ConfigField& field) {
  if (field.allowed.empty()) return field.type;
  return field.type == "one of" ? "one of " + field.allowed : field.type + ", " + field.allowed;
}

// Defaults of secrets are not shown either: a packaged one would be a hole.
std::string default_shown(const ConfigField& field) { return field.secrecy == Secrecy::secret ? "\"\"" : field.default_text; }

std::string table_cell(std::string_view text) {
  std::string cell;
  for (const char c : text) {
    if (c == '|') cell += '\\';
    cell += c == '\n' ? ' ' : c;
  }
  return cell;
}

}  // namespace

std::string config_listing(const Config& config) {
  std::string out;
  for (const ConfigField& field : config.fields()) {
    out += "  " + field.key + " = " + field.shown();
    out += "  (" + type_text(field) + "; from " + field.origin.to_string() + ")\n";
    out += "      " + field.help;
    if (!field.flag.empty()) out += " [" + field.flag + "]";
    out += "\n";
  }
  return out;
}

std::string config_reference_markdown(const Config& config) {
  std::string out =
      "# Configuration\n\n"
      "Generated from the source; do not edit. A later source wins over an earlier one: default, file, environment,\n"
      "command line (`--set section.key=value`, or the flag of the key). Sizes and durations always carry a unit.\n";
  for (const ConfigSection& section : config.sections()) {
    const auto fields = fields_of(config, section);
    if (fields.empty()) continue;
    out += "\n## `[" + section.key + "]`\n\n";
    if (!section.help.empty()) out += section.help + "\n\n";
    out += "| Key | Default | Type | Meaning | Environment |\n|---|---|---|---|---|\n";
    for (const ConfigField* field : fields) {
      std::string meaning = field->help;
      if (!field->flag.empty()) meaning += " Flag: `" + field->flag + "`.";
      if (field->secrecy == Secrecy::secret) meaning += " Secret: never printed.";
      out += "| `" + short_name(*field) + "` | `" + table_cell(default_shown(*field)) + "` | " +
             table_cell(type_text(*field)) + " | " + table_cell(meaning) + " | `" + environment_name(field->key) + "` |\n";
    }
  }
  return out;
}

std::string config_example_toml(const Config& config) {
  std::string out = "# Every key at its default. Remove the # in front of a line to change it.\n";
  for (const ConfigSection& section : config.sections()) {
    const auto fields = fields_of(config, section);
    if (fields.empty()) continue;
    out += "\n";
    if (!section.help.empty()) out += "# " + section.help + "\n";
    out += "[" + section.key + "]\n";
    for (const ConfigField* field : fields) {
      out += "# " + field->help + " (" + type_text(*field) + ")\n";
      out += "#" + short_name(*field) + " = " + default_shown(*field) + "\n";
    }
  }
  return out;
}

}  // namespace hearth

// Configuration: a struct with defaults and one describe(), visited by everything that reads or documents it.
//
//   struct MemoryConfig {
//     ByteSize capacity = 1_GiB;
//     template <class V> void describe(V& v) {
//       v.field("capacity", capacity, {.help = "Bytes of the memory tier.", .min = 1_MiB, .max = 1_TiB});
//     }
//   };
//   Config config;
//   config.bind("worker.memory", memory, "The memory tier.");   // [worker.memory] capacity = "4GiB"
//   CHECK_OK(config.load_file(path));                           // later loads win over earlier ones
//   CHECK_OK(config.load_environment(read_environment()));      // HEARTH_WORKER__MEMORY__CAPACITY=4GiB
//   CHECK_OK(config.set("worker.memory.capacity=4GiB"));        // --set
//   CHECK_OK(config.check());
//
// Threads: confined to one; meant for start-up.
// Owns:    nothing: the bound structs must outlive it.
// Fails:   invalid_argument with where (file:line:column, variable, flag), what is wrong and what is allowed.
//          A failed load may have set some values: do not start with them.
#pragma once

#include "common/config_binder.h"
#include "common/config_field.h"

#include <string>
#include <string_view>
#include <vector>

namespace hearth {

class Config {
 public:
  // Makes the fields of `target` known as `section`.<name>. A struct with `Status validate() const` is
  // asked by check().
  template <class T>
  void bind(std::string_view section, T& target, std::string_view help = "") {
    ConfigBinder binder(fields_, sections_, validators_);
    binder.section(section, target, help);
  }
  // A top section that the same file holds for another process ("master" in a worker): skipped.
  void skip_section(std::string section) { skipped_.push_back(std::move(section)); }

  Status load_file(const std::string& path);
  Status load_toml(std::string_view text, const std::string& name);  // `name` stands for the file in messages
  // NAME=value pairs. HEARTH_<SECTION>__... of a section that is bound here must be a field.
  Status load_environment(const std::vector<std::string>& variables);
  // "section.key=value".
  Status set(std::string_view assignment);
  // Takes --set k=v and the fields' own flags out of `arguments`; answers the rest, in order. "--" ends it.
  Result<std::vector<std::string>> load_flags(const std::vector<std::string>& arguments);
  // What only the values together can tell.
  Status check() const;

  const std::vector<ConfigField>& fields() const { return fields_; }
  // In the order of the fields: name of the section -> its help.
  const std::vector<ConfigSection>& sections() const { return sections_; }
  const ConfigField* find(std::string_view key) const;

 private:
  ConfigField* find_mutable(std::string_view key);
  bool is_skipped(std::string_view key) const;
  bool is_section(std::string_view key) const;
  Error unknown(const std::string& where, std::string_view key) const;

  std::vector<ConfigField> fields_;
  std::vector<ConfigSection> sections_;
  std::vector<ConfigValidator> validators_;
  std::vector<std::string> skipped_;
};

// The environment of this process as NAME=value.
std::vector<std::string> read_environment();
// "worker.memory.capacity" -> "HEARTH_WORKER__MEMORY__CAPACITY".
std::string environment_name(std::string_view key);

// For --help: every field with its value, origin, range and meaning. Secrets are not shown.
std::string config_listing(const Config& config);
// docs/reference/config.md.
std::string config_reference_markdown(const Config& config);
// A file that says what already holds: every field commented out at its default.
std::string config_example_toml(const Config& config);

}  // namespace hearth

// The visitor that describe() members meet: turns typed members into ConfigField rows.
//
// Owns: nothing; the rows point into the described structs.
#pragma once

#include "common/clock.h"
#include "common/config_field.h"
#include "common/units.h"

#include <concepts>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

namespace hearth {

// What describe() says of a field without a range.
struct FieldNotes {
  std::string_view help;
  std::string_view flag{};  // a command line flag of its own, such as "--port"
  Secrecy secrecy = Secrecy::open;
};

// The same for a field with a range, both ends included.
template <class T>
struct RangeNotes {
  std::string_view help;
  std::optional<T> min{};
  std::optional<T> max{};
  std::string_view flag{};
};

template <class T>
concept Validated = requires(const T& t) {
  { t.validate() } -> std::same_as<Status>;
};

class ConfigBinder {
 public:
  ConfigBinder(std::vector<ConfigField>& fields, std::vector<ConfigSection>& sections,
               std::vector<ConfigValidator>& validators)
      : fields_(fields), sections_(sections), validators_(validators) {}

  template <class T>
  void section(std::string_view name, T& target, std::string_view help = "") {
    const std::string outer = enter(name, help);
    target.describe(*this);
    if constexpr (Validated<T>) {
      validators_.push_back(ConfigValidator{prefix_, [&target] { return target.validate(); }});
    }
    prefix_ = outer;
  }

  void field(std::string_view name, std::string& value, FieldNotes notes);
  void field(std::string_view name, bool& value, FieldNotes notes);
  void field(std::string_view name, std::vector<std::string>& value, FieldNotes notes);
  void field(std::string_view name, ByteSize& value, RangeNotes<ByteSize> notes);
  void field(std::string_view name, Duration& value, RangeNotes<Duration> notes);

  // A value with a text form of its own. `parse` fails with a sentence that says what is wanted.
  template <class T>
  struct TextForm {
    std::string_view type;     // "percentage"
    std::string_view allowed;  // "0% to 100%"; "" when the type says it all
    Result<T> (*parse)(std::string_view);
    std::string (*write)(const T&);
  };
  template <class T>
  void text(std::string_view name, T& value, TextForm<T> form, FieldNotes notes) {
    add_text(name, {form.type, form.allowed},
             [&value, form](std::string_view given) -> Status {
               TRY(parsed, form.parse(given));
               value = parsed;
               return ok();
             },
             [&value, form] { return form.write(value); }, notes);
  }

  template <std::integral I>
    requires(!std::same_as<I, bool>)
  void field(std::string_view name, I& value, RangeNotes<std::type_identity_t<I>> notes) {
    RangeNotes<std::int64_t> wide;
    wide.help = notes.help;
    wide.flag = notes.flag;
    wide.min = to_wide(notes.min.value_or(std::numeric_limits<I>::min()));
    wide.max = to_wide(notes.max.value_or(std::numeric_limits<I>::max()));
    add_integer(name, [&value](std::int64_t number) { value = static_cast<I>(number); },
                [&value] { return to_wide(value); }, wide);
  }

  template <class E>
    requires std::is_enum_v<E>
  void choice(std::string_view name, E& value, std::initializer_list<std::pair<std::string_view, E>> names,
              FieldNotes notes) {
    std::vector<std::string> texts;
    std::vector<E> values;
    for (const auto& [text, each] : names) {
      texts.emplace_back(text);
      values.push_back(each);
    }
    auto get = [&value, values] {
      std::size_t index = 0;
      while (index < values.size() && values[index] != value) ++index;
      return index;
    };
    auto set = [&value, values](std::size_t index) { value = values[index]; };
    add_choice(name, std::move(texts), std::move(set), std::move(get), notes);
  }

 private:
  // TOML has 64-bit signed integers, so nothing larger can be written.
  template <class I>
  static std::int64_t to_wide(I number) {
    return std::in_range<std::int64_t>(number) ? static_cast<std::int64_t>(number)
                                               : std::numeric_limits<std::int64_t>::max();
  }

  std::string enter(std::string_view name, std::string_view help);  // answers the prefix to return to
  void add_integer(std::string_view name, std::function<void(std::int64_t)> set, std::function<std::int64_t()> get,
                   RangeNotes<std::int64_t> notes);
  void add_choice(std::string_view name, std::vector<std::string> texts, std::function<void(std::size_t)> set,
                  std::function<std::size_t()> get, FieldNotes notes);
  void add_text(std::string_view name, std::pair<std::string_view, std::string_view> type_and_allowed,
                std::function<Status(std::string_view)> set, std::function<std::string()> get, FieldNotes notes);
  void add(std::string_view name, ConfigField field);

  std::vector<ConfigField>& fields_;
  std::vector<ConfigSection>& sections_;
  std::vector<ConfigValidator>& validators_;
  std::string prefix_;  // "worker.memory"
};

// "abc\n" -> "\"abc\\n\"", as a TOML basic string.
std::string toml_string(std::string_view text);

}  // namespace hearth

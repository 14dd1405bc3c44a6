#include "common/config_binder.h"

#include <cassert>
#include <charconv>

namespace hearth {
namespace {

using Kind = ConfigInput::Kind;

Error mismatch(std::string_view wanted, const ConfigInput& input) {
  std::string got;
  switch (input.kind) {
    case Kind::text:
    case Kind::string: got = "the text '" + input.text + "'"; break;
    case Kind::boolean:
    case Kind::integer:
    case Kind::real: got = input.text; break;
    case Kind::list: got = "a list"; break;
    case Kind::table: got = "a section"; break;
    case Kind::other: got = "a date or time"; break;
  }
  return Error(Code::invalid_argument, "wants " + std::string(wanted) + ", not " + got);
}

std::string range_text(const std::optional<std::string>& min, const std::optional<std::string>& max) {
  if (min && max) return *min + " to " + *max;
  if (min) return "at least " + *min;
  if (max) return "at most " + *max;
  return "";
}

// Shared by sizes, durations and integers: a range check with the same sentence.
template <class T>
Status check_range(const T& value, const RangeNotes<T>& notes, const std::string& shown, const std::string& allowed) {
  if ((!notes.min || value >= *notes.min) && (!notes.max || value <= *notes.max)) return ok();
  return Error(Code::invalid_argument, "is " + shown + "; allowed is " + allowed);
}

// Sizes and durations are text in a file, too: a bare number reaches the parser, which says what is missing.
bool is_scalar_text(const ConfigInput& input) {
  return input.kind == Kind::text || input.kind == Kind::string || input.kind == Kind::integer || input.kind == Kind::real;
}

template <class T>
ConfigField quantity_field(T& value, const RangeNotes<T>& notes, std::string_view type, Result<T> (*parse)(std::string_view),
                           std::string (*write)(T)) {
  const auto bound = [&](const std::optional<T>& at) { return at ? std::optional(write(*at)) : std::nullopt; };
  ConfigField field;
  field.type = type;
  field.help = notes.help;
  field.flag = notes.flag;
  field.allowed = range_text(bound(notes.min), bound(notes.max));
  field.get = [&value, write] { return toml_string(write(value)); };
  field.set = [&value, notes, parse, write, wanted = "a " + std::string(type), allowed = field.allowed](const ConfigInput& input) -> Status {
    if (!is_scalar_text(input)) return mismatch(wanted, input);
    TRY(parsed, parse(input.text));
    CHECK_OK(check_range(parsed, notes, write(parsed), allowed));
    value = parsed;
    return ok();
  };
  return field;
}

std::vector<std::string> split_commas(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    items.emplace_back(item);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return items;
}

std::string join(const std::vector<std::string>& items, std::string_view separator) {
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text.append(separator);
    text += items[i];
  }
  return text;
}

ConfigField described(std::string_view type, const FieldNotes& notes) {
  ConfigField field;
  field.type = type;
  field.help = notes.help;
  field.flag = notes.flag;
  field.secrecy = notes.secrecy;
  return field;
}

}  // namespace

std::string ConfigBinder::enter(std::string_view name, std::string_view help) {
  std::string outer = prefix_;
  if (!prefix_.empty()) prefix_ += '.';
  prefix_.append(name);
  sections_.push_back(ConfigSection{prefix_, std::string(help)});
  return outer;
}

void ConfigBinder::add(std::string_view name, ConfigField field) {
  field.key = prefix_ + "." + std::string(name);
  field.default_text = field.get();
  fields_.push_back(std::move(field));
}

void ConfigBinder::field(std::string_view name, std::string& value, FieldNotes notes) {
  ConfigField field = described("string", notes);
  field.get = [&value] { return toml_string(value); };
  field.set = [&value](const ConfigInput& input) -> Status {
    if (input.kind != Kind::text && input.kind != Kind::string) return mismatch("a string (in quotes)", input);
    value = input.text;
    return ok();
  };
  add(name, std::move(field));
}

void ConfigBinder::field(std::string_view name, bool& value, FieldNotes notes) {
  ConfigField field = described("boolean", notes);
  field.allowed = "true, false";
  field.get = [&value] { return std::string(value ? "true" : "false"); };
  field.set = [&value](const ConfigInput& input) -> Status {
    const bool is_word = input.text == "true" || input.text == "false";
    if ((input.kind != Kind::text && input.kind != Kind::boolean) || !is_word) return mismatch("true or false", input);
    value = input.text == "true";
    return ok();
  };
  add(name, std::move(field));
}

void ConfigBinder::field(std::string_view name, std::vector<std::string>& value, FieldNotes notes) {
  ConfigField field = described("list of strings", notes);
  field.get = [&value] {
    std::vector<std::string> quoted;
    for (const std::string& item : value) quoted.push_back(toml_string(item));
    return "[" + join(quoted, ", ") + "]";
  };
  field.set = [&value](const ConfigInput& input) -> Status {
    if (input.kind != Kind::text && input.kind != Kind::list) return mismatch("a list of strings", input);
    value = input.kind == Kind::list ? input.items : split_commas(input.text);
    return ok();
  };
  add(name, std::move(field));
}

void ConfigBinder::field(std::string_view name, ByteSize& value, RangeNotes<ByteSize> notes) {
  add(name, quantity_field<ByteSize>(value, notes, "size", parse_size, exact_size));
}

void ConfigBinder::field(std::string_view name, Duration& value, RangeNotes<Duration> notes) {
  add(name, quantity_field<Duration>(value, notes, "duration", parse_duration, exact_duration));
}

void ConfigBinder::add_integer(std::string_view name, std::function<void(std::int64_t)> set,
                               std::function<std::int64_t()> get, RangeNotes<std::int64_t> notes) {
  ConfigField field;
  field.type = "integer";
  field.help = notes.help;
  field.flag = notes.flag;
  field.allowed = range_text(std::to_string(*notes.min), std::to_string(*notes.max));
  field.get = [get = std::move(get)] { return std::to_string(get()); };
  field.set = [set = std::move(set), notes, allowed = field.allowed](const ConfigInput& input) -> Status {
    const std::string wanted = "an integer from " + allowed;
    if (input.kind != Kind::text && input.kind != Kind::integer) return mismatch(wanted, input);
    std::int64_t number = 0;
    const char* const end = input.text.data() + input.text.size();
    const auto [stop, error] = std::from_chars(input.text.data(), end, number);
    if (error != std::errc() || stop != end) return mismatch(wanted, input);
    CHECK_OK(check_range(number, notes, input.text, allowed));
    set(number);
    return ok();
  };
  add(name, std::move(field));
}

void ConfigBinder::add_text(std::string_view name, std::pair<std::string_view, std::string_view> type_and_allowed,
                            std::function<Status(std::string_view)> set, std::function<std::string()> get,
                            FieldNotes notes) {
  ConfigField field = described(type_and_allowed.first, notes);
  field.allowed = type_and_allowed.second;
  field.get = [get = std::move(get)] { return toml_string(get()); };
  field.set = [set = std::move(set), wanted = "a " + field.type](const ConfigInput& input) -> Status {
    if (!is_scalar_text(input)) return mismatch(wanted, input);
    return set(input.text);
  };
  add(name, std::move(field));
}

void ConfigBinder::add_choice(std::string_view name, std::vector<std::string> texts, std::function<void(std::size_t)> set,
                              std::function<std::size_t()> get, FieldNotes notes) {
  assert(get() < texts.size() && "the default is one of the names");
  ConfigField field = described("one of", notes);
  field.allowed = join(texts, ", ");
  field.get = [get = std::move(get), texts] { return toml_string(texts.at(get())); };
  field.set = [set = std::move(set), texts, allowed = field.allowed](const ConfigInput& input) -> Status {
    if (input.kind == Kind::text || input.kind == Kind::string) {
      for (std::size_t i = 0; i < texts.size(); ++i) {
        if (texts[i] != input.text) continue;
        set(i);
        return ok();
      }
    }
    return mismatch("one of " + allowed, input);
  };
  add(name, std::move(field));
}

std::string toml_string(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\u00";
      out += digits[byte >> 4];
      out += digits[byte & 0xF];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace hearth

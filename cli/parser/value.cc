// What values of each kind look like.
#include "cli/parser/parse.h"

#include "common/nearest_name.h"
#include "common/units.h"

#include <charconv>

namespace hearth::cli {
namespace {

Error bad(std::string message) { return Error(Code::invalid_argument, std::move(message)); }

Result<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size()) {
    return bad("\"" + std::string(text) + "\" is not a whole number");
  }
  return number;
}

Status check_choice(std::string_view choices, std::string_view text) {
  const auto known = split_choices(choices);
  for (std::string_view choice : known) if (choice == text) return ok();
  std::string message = "\"" + std::string(text) + "\" is not one of " + choices_in_words(choices);
  const auto near = nearest_name(text, known);
  if (near) message += "; did you mean " + std::string(*near) + "?";
  return bad(std::move(message));
}

// The rules of paths in the namespace: absolute, no "." or "..", no empty component, at most 4 KiB.
Status check_cluster_path(std::string_view text) {
  const std::string shown = "\"" + std::string(text) + "\"";
  if (text.empty() || text[0] != '/') return bad(shown + " is not a path in the namespace; it starts with / (see hearth attachments)");
  if (text.size() > 4096) return Error(Code::name_too_long, "a path has at most 4096 bytes; this one has " + std::to_string(text.size()));
  return ok();
}

}  // namespace

std::vector<std::string_view> split_choices(std::string_view choices) {
  std::vector<std::string_view> out;
  while (!choices.empty()) {
    const auto bar = std::min(choices.find('|'), choices.size());
    out.push_back(choices.substr(0, bar));
    choices.remove_prefix(std::min(bar + 1, choices.size()));
  }
  return out;
}

std::string choices_in_words(std::string_view choices) {
  const auto all = split_choices(choices);
  std::string out;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i > 0) out += i + 1 == all.size() ? " or " : ", ";
    out += all[i];
  }
  return out;
}

Status check_value(Value kind, std::string_view choices, std::string_view text) {
  switch (kind) {
    case Value::size: {
      auto size = parse_size(text);
      return size ? ok() : Status(std::move(size).error());
    }
    case Value::duration: {
      auto duration = parse_duration(text);
      return duration ? ok() : Status(std::move(duration).error());
    }
    case Value::count: {
      auto count = parse_count(text);
      return count ? ok() : Status(std::move(count).error());
    }
    case Value::choice: return check_choice(choices, text);
    case Value::cluster_path: return check_cluster_path(text);
    case Value::local_path:
    case Value::address:
      return text.empty() ? Status(bad("the value is empty")) : ok();
    case Value::none:
    case Value::text: return ok();
  }
  return ok();
}

std::optional<std::uint64_t> Invocation::size_bytes(std::string_view option) const {
  auto size = parse_size(text(option));
  if (!size) return std::nullopt;
  return size->bytes;
}

std::optional<std::chrono::nanoseconds> Invocation::duration(std::string_view option) const {
  auto parsed = parse_duration(text(option));
  if (!parsed) return std::nullopt;
  return *parsed;
}

std::optional<std::uint64_t> Invocation::count(std::string_view option) const {
  auto parsed = parse_count(text(option));
  if (!parsed) return std::nullopt;
  return *parsed;
}

}  // namespace hearth::cli

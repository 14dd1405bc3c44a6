#include "cli/commands/mode_words.h"

#include <algorithm>
#include <cstddef>
#include <string>

namespace hearth::cli {
namespace {

constexpr std::uint32_t set_user = 04000;
constexpr std::uint32_t set_group = 02000;
constexpr std::uint32_t sticky = 01000;
constexpr std::uint32_t all_classes = 0777;

Error no_mode(std::string_view text) {
  return Error(Code::invalid_argument, "\"" + std::string(text) + "\" is no mode; give an octal number such as 0644, or words such as u+x or go-w");
}

// rwx in the lowest three bits, for all three classes.
constexpr std::uint32_t thrice(std::uint32_t bits) { return bits << 6 | bits << 3 | bits; }

}  // namespace

Result<ModeWords> ModeWords::parse(std::string_view text) {
  constexpr std::size_t most_digits = 4;
  ModeWords out;
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '7'; });
  if (digits && text.size() <= most_digits) {
    out.is_octal_ = true;
    for (const char c : text) out.octal_ = out.octal_ << 3 | static_cast<std::uint32_t>(c - '0');
    return out;
  }
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    const std::string_view clause = text.substr(begin, comma - begin);
    const std::size_t who_ends = clause.find_first_of("+-=");
    if (who_ends == std::string_view::npos) return no_mode(text);
    for (std::size_t at = who_ends; at < clause.size();) {  // u+r-x has two steps
      const std::size_t next = std::min(clause.find_first_of("+-=", at + 1), clause.size());
      TRY(step, parse_step(clause.substr(0, who_ends), clause.substr(at, next - at), text));
      out.steps_.push_back(step);
      at = next;
    }
    begin = comma + 1;
  }
  return out;
}

Result<ModeWords::Step> ModeWords::parse_step(std::string_view who, std::string_view rest, std::string_view text) {
  Step step;
  step.by_umask = who.empty();
  for (const char c : who) {
    if (c == 'u') step.who |= 0700;
    else if (c == 'g') step.who |= 0070;
    else if (c == 'o') step.who |= 0007;
    else if (c == 'a') step.who |= all_classes;
    else return no_mode(text);
  }
  if (who.empty()) step.who = all_classes;
  step.operation = rest.front();
  rest.remove_prefix(1);
  if (rest == "u" || rest == "g" || rest == "o") {
    step.copied_from = rest.front();
    return step;
  }
  for (const char c : rest) {
    if (c == 'r') step.bits |= thrice(4);
    else if (c == 'w') step.bits |= thrice(2);
    else if (c == 'x') step.bits |= thrice(1);
    else if (c == 'X') step.search = true;
    else if (c == 's') step.special |= ((step.who & 0700) != 0 ? set_user : 0U) | ((step.who & 0070) != 0 ? set_group : 0U);
    else if (c == 't') step.special |= sticky;
    else return no_mode(text);
  }
  return step;
}

std::uint32_t ModeWords::wanted(const Step& step, std::uint32_t mode, Kind kind) {
  std::uint32_t bits = step.bits;
  if (step.copied_from == 'u') bits = thrice(mode >> 6 & 7U);
  if (step.copied_from == 'g') bits = thrice(mode >> 3 & 7U);
  if (step.copied_from == 'o') bits = thrice(mode & 7U);
  if (step.search && (kind == Kind::directory || (mode & thrice(1)) != 0)) bits |= thrice(1);
  return bits;
}

std::uint32_t ModeWords::applied_to(std::uint32_t mode, Kind kind, std::uint32_t umask) const {
  // As chmod(1) has it: an octal mode does not take set-user-id and set-group-id from a directory unless it has five digits.
  if (is_octal_) return kind == Kind::directory ? octal_ | (mode & (set_user | set_group)) : octal_;
  for (const Step& step : steps_) {
    const std::uint32_t held_back = step.by_umask ? umask & all_classes : 0U;
    const std::uint32_t bits = wanted(step, mode, kind) & step.who & ~held_back;
    if (step.operation == '+') mode |= bits | step.special;
    if (step.operation == '-') mode &= ~(bits | step.special);
    if (step.operation != '=') continue;
    std::uint32_t replaced = step.who;
    if (kind == Kind::file) replaced |= ((step.who & 0700) != 0 ? set_user : 0U) | ((step.who & 0070) != 0 ? set_group : 0U);
    mode = (mode & ~replaced) | bits | step.special;
  }
  return mode;
}

}  // namespace hearth::cli

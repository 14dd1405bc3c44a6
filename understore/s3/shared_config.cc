#include "understore/s3/shared_config.h"

namespace hearth::s3 {
namespace {

std::string_view trim(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

}  // namespace

Result<ConfigSection> read_config_section(std::string_view text, std::string_view profile) {
  ConfigSection section;
  bool found = false;
  bool inside = profile == "default";
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view whole = text.substr(0, end);
    const std::string_view line = trim(whole);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      if (line.back() != ']') return Error(Code::invalid_argument, "line " + std::to_string(number) + " opens a section and does not close it");
      std::string_view name = trim(line.substr(1, line.size() - 2));
      if (name.starts_with("profile ")) name = trim(name.substr(8));
      inside = name == profile;
      found = found || inside;
      continue;
    }
    const auto equals = line.find('=');
    // A nested block of a config file ("s3 =" and indented lines): of no interest here.
    if (whole.front() == ' ' || whole.front() == '\t') continue;
    if (equals == std::string_view::npos) return Error(Code::invalid_argument, "line " + std::to_string(number) + " is not \"name = value\"");
    if (!inside) continue;
    found = true;
    section[std::string(trim(line.substr(0, equals)))] = std::string(trim(line.substr(equals + 1)));
  }
  if (!found) return Error(Code::not_found, "there is no profile " + std::string(profile));
  return section;
}

}  // namespace hearth::s3

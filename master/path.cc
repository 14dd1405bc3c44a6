#include "master/path.h"

#include <algorithm>

namespace hearth::master {

namespace {

Status check_component(std::string_view text, std::string_view component, std::size_t number) {
  const std::string where = "component " + std::to_string(number) + " of path " + printable(text.substr(0, 512));
  if (component.empty()) {
    return Error(Code::invalid_argument, where + " is empty; use single slashes and no slash at the end");
  }
  if (component == "." || component == "..") {
    return Error(Code::invalid_argument,
                 where + " is \"" + std::string(component) + "\"; give the path without . and ..");
  }
  if (component.size() > max_name_bytes) {
    return Error(Code::name_too_long, where + " has " + std::to_string(component.size()) +
                                          " bytes; a name has at most " + std::to_string(max_name_bytes));
  }
  return ok();
}

}  // namespace

Result<NamespacePath> NamespacePath::parse(std::string_view text) {
  if (text.empty() || text.front() != '/') {
    return Error(Code::invalid_argument,
                 "path \"" + printable(text.substr(0, 512)) + "\" is not absolute; it must begin with /");
  }
  if (text.size() > max_path_bytes) {
    return Error(Code::name_too_long, "a path of " + std::to_string(text.size()) + " bytes was given; at most " +
                                          std::to_string(max_path_bytes) + " are allowed");
  }
  if (text.find('\0') != std::string_view::npos) {
    return Error(Code::invalid_argument, "path " + printable(text.substr(0, 512)) + " contains a zero byte");
  }
  NamespacePath path;
  if (text == "/") return path;
  path.text_ = std::string(text);
  std::size_t begin = 1;
  while (begin <= text.size()) {
    std::size_t end = text.find('/', begin);
    if (end == std::string_view::npos) end = text.size();
    const std::string_view component = text.substr(begin, end - begin);
    CHECK_OK(check_component(text, component, path.components_.size() + 1));
    path.components_.emplace_back(component);
    begin = end + 1;
  }
  return path;
}

NamespacePath NamespacePath::ancestor(std::size_t count) const {
  NamespacePath out;
  count = std::min(count, components_.size());
  if (count == 0) return out;
  out.components_.assign(components_.begin(), components_.begin() + static_cast<std::ptrdiff_t>(count));
  out.text_.clear();
  for (const std::string& component : out.components_) out.text_.append("/").append(component);
  return out;
}

NamespacePath NamespacePath::child(std::string_view name) const {
  NamespacePath out = *this;
  if (out.text_ != "/") out.text_.push_back('/');
  out.text_.append(name);
  out.components_.emplace_back(name);
  return out;
}

std::string NamespacePath::relative_to(std::size_t count) const {
  std::string out;
  for (std::size_t i = count; i < components_.size(); ++i) {
    if (i > count) out.push_back('/');
    out.append(components_[i]);
  }
  return out;
}

bool NamespacePath::contains(const NamespacePath& other) const {
  return components_.size() <= other.components_.size() &&
         std::equal(components_.begin(), components_.end(), other.components_.begin());
}

std::string printable(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f && byte < 0x80) {
      out.push_back(c);
    } else {
      out.append("\\x");
      out.push_back(digits[byte >> 4]);
      out.push_back(digits[byte & 15]);
    }
  }
  return out;
}

}  // namespace hearth::master

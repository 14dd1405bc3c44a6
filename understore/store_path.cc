#include "understore/store_path.h"

#include <algorithm>
#include <cctype>
#include <optional>

namespace hearth {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

std::optional<unsigned> hex_value(char c) {
  const auto digit = hex_digits.find(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  if (digit == std::string_view::npos) return std::nullopt;
  return static_cast<unsigned>(digit);
}

Error bad_uri(std::string_view uri, std::string_view why) {
  return Error(Code::invalid_argument, "under-store URI " + printable_path(uri) + " " + std::string(why));
}

Result<std::string> percent_decode(std::string_view uri, std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    const auto high = i + 1 < text.size() ? hex_value(text[i + 1]) : std::nullopt;
    const auto low = i + 2 < text.size() ? hex_value(text[i + 2]) : std::nullopt;
    if (!high || !low) return bad_uri(uri, "has a % without two hex digits behind it; write a literal % as %25");
    if (*high == 0 && *low == 0) return bad_uri(uri, "contains %00, which no path can");
    decoded.push_back(static_cast<char>(*high * 16 + *low));
    i += 2;
  }
  return decoded;
}

}  // namespace

std::string printable_path(std::string_view path) {
  constexpr std::size_t max_shown = 256;
  std::string shown = "\"";
  for (const char c : path.substr(0, max_shown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      shown.push_back('\\');
      shown.push_back(c);
    } else if (byte >= 0x20 && byte < 0x7f) {
      shown.push_back(c);
    } else {
      shown += "\\x";
      shown.push_back(hex_digits[byte / 16]);
      shown.push_back(hex_digits[byte % 16]);
    }
  }
  shown += path.size() > max_shown ? "...\"" : "\"";
  return shown;
}

Status check_store_path(std::string_view path) {
  if (path.empty()) return ok();
  std::size_t begin = 0;
  while (begin <= path.size()) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view component = path.substr(begin, end - begin);
    if (component.empty() || component == "." || component == ".." ||
        component.find('\0') != std::string_view::npos) {
      return Error(Code::invalid_argument, "path " + printable_path(path) +
                                               " is not relative and normal: no leading, trailing or double slash, no "
                                               "\".\", \"..\" or NUL");
    }
    begin = end + 1;
  }
  return ok();
}

SplitPath split_store_path(std::string_view path) {
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return {.parent = "", .name = std::string(path)};
  return {.parent = std::string(path.substr(0, slash)), .name = std::string(path.substr(slash + 1))};
}

Result<StoreUri> parse_store_uri(std::string_view uri) {
  const auto colon = uri.find("://");
  if (colon == std::string_view::npos || colon == 0) {
    return bad_uri(uri, "has no scheme; expected for example file:///abs/dir");
  }
  StoreUri parsed{.scheme = std::string(uri.substr(0, colon)), .rest = std::string(uri.substr(colon + 3))};
  for (char& c : parsed.scheme) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return parsed;
}

Result<std::string> directory_of_file_uri(std::string_view uri) {
  TRY(parsed, parse_store_uri(uri));
  if (parsed.scheme != "file") return bad_uri(uri, "is not a file URI; expected file:///abs/dir");
  if (parsed.rest.empty() || parsed.rest.front() != '/') {
    return bad_uri(uri, "names a host or a relative path; expected file:///abs/dir (three slashes)");
  }
  if (parsed.rest.find_first_of("?#") != std::string::npos) {
    return bad_uri(uri, "contains ? or #; write them as %3F and %23; expected file:///abs/dir");
  }
  TRY(directory, percent_decode(uri, parsed.rest));
  while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
  return directory;
}

std::string file_uri_of_directory(std::string_view directory) {
  std::string uri = "file://";
  for (const char c : directory) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("/-._~+,=@:").find(c) != std::string_view::npos) {
      uri.push_back(c);
    } else {
      uri += {'%', hex_digits[byte / 16], hex_digits[byte % 16]};
    }
  }
  return uri;
}

}  // namespace hearth

// Paths and URIs of stores: checked once, shown safely.
//
// Threads: pure functions.
// Fails:   invalid_argument, with the form that was expected.
#pragma once

#include <hearth/result.h>

#include <string>
#include <string_view>

namespace hearth {

// For messages and logs: quotes around it, bytes outside printable ASCII as \xNN, at most about 300 characters.
std::string printable_path(std::string_view path);

// ok for "" and for raw components joined by single slashes: no leading or trailing slash, no "", ".", "..", NUL.
Status check_store_path(std::string_view path);

struct SplitPath {
  std::string parent;  // "" is the root
  std::string name;
};
SplitPath split_store_path(std::string_view path);

struct StoreUri {
  std::string scheme;  // lower case
  std::string rest;    // behind "scheme://", still percent-encoded
};
Result<StoreUri> parse_store_uri(std::string_view uri);

// The absolute directory of "file:///abs/dir", decoded, without trailing slash ("/" for the root).
Result<std::string> directory_of_file_uri(std::string_view uri);
// The one spelling of that URI.
std::string file_uri_of_directory(std::string_view directory);

}  // namespace hearth

// Percent-encoding as WebHDFS reads it.
//
// Threads: pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hearth::hdfs {

// Everything but unreserved characters and "/".
std::string encode_path(std::string_view path);
// Everything but unreserved characters.
std::string encode_value(std::string_view value);
// Nothing for a broken escape or a NUL.
std::optional<std::string> decode(std::string_view text);
// HDFS names are UTF-16 inside: what is not UTF-8 would come back as another name.
bool is_utf8(std::string_view text);

}  // namespace hearth::hdfs

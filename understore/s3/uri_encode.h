// Percent-encoding as SigV4 fixes it (UriEncode): what is signed is what is sent, byte for byte.
//
// Threads: pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hearth::s3 {

// Everything but A-Z a-z 0-9 - . _ ~ becomes %XX, upper case.
std::string uri_encode(std::string_view text);
// The same, with "/" as it is: for object keys.
std::string uri_encode_path(std::string_view path);

// The opposite, as listings with encoding-type=url are written: "+" is a space. Nothing for a % without two hex digits.
std::optional<std::string> form_decode(std::string_view text);
// "+" stays.
std::optional<std::string> percent_decode(std::string_view text);

// Whether the bytes are UTF-8 as RFC 3629 has it (no surrogates, nothing longer than needed).
bool is_utf8(std::string_view text);

}  // namespace hearth::s3

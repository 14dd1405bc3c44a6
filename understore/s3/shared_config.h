// The ini files that the tools of AWS share (~/.aws/credentials, ~/.aws/config), read strictly.
//
// Threads: pure functions.
// Fails:   invalid_argument with the line's number, never its text.
#pragma once

#include <hearth/result.h>

#include <map>
#include <string>
#include <string_view>

namespace hearth::s3 {

using ConfigSection = std::map<std::string, std::string>;

// The keys of one section. In a config file ("[profile x]") and a credentials file ("[x]") alike; lines before any
// section belong to "default". not_found: no such section.
Result<ConfigSection> read_config_section(std::string_view text, std::string_view profile);

}  // namespace hearth::s3

// Lines that differ between two texts, as `diff -u` shows them.
#pragma once

#include <string>
#include <string_view>

namespace hearth::cli {

// "" when no line differs. A missing newline at the end is no difference.
std::string unified_diff(std::string_view before, std::string_view after, const std::string& before_name, const std::string& after_name);

}  // namespace hearth::cli

// "Did you mean ...?": the known name that a mistyped one most likely stands for.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace hearth {

// By edit distance, where exchanged neighbours count once; nothing when more than a third of `typed` would have to change.
std::optional<std::string_view> nearest_name(std::string_view typed, std::span<const std::string_view> names);

}  // namespace hearth

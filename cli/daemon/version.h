// The version of this build, as every process reports it.
#pragma once

#include <string_view>

namespace hearth::cli {

std::string_view build_version();

}  // namespace hearth::cli

// The command line of `hearth`, whole, as data.
#pragma once

#include "cli/parser/spec.h"

namespace hearth::cli {

extern const Program hearth_program;

}  // namespace hearth::cli

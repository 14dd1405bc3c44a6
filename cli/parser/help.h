// Help and reference, made from the command table.
#pragma once

#include "cli/parser/spec.h"

#include <string>

namespace hearth::cli {

// `hearth help`: the commands by group.
std::string program_help(const Program& program);
// `hearth help ls`, `hearth ls --help`.
std::string command_help(const Program& program, const Command& command);
// "hearth ls [options] [PATH...]".
std::string usage_line(const Program& program, const Command& command);
// docs/reference/cli.md.
std::string reference_markdown(const Program& program);

}  // namespace hearth::cli

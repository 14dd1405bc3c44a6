// Shell completion scripts, made from the command table.
//
// Paths in the namespace are completed by asking `hearth ls`, briefly; a master that does not answer
// completes nothing.
#pragma once

#include "cli/parser/spec.h"

#include <string>

namespace hearth::cli {

std::string bash_completion(const Program& program);
std::string zsh_completion(const Program& program);
std::string fish_completion(const Program& program);

}  // namespace hearth::cli

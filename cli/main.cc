// hearth: see cli/commands/dispatch.cc.
#include "cli/commands/commands.h"

int main(int argc, char** argv) { return hearth::cli::run_hearth(argc, argv); }

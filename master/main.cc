// hearth-master: see cli/daemon/daemon.h.
#include "cli/daemon/daemon.h"

int main(int argc, char** argv) { return hearth::cli::run_master_daemon(argc, argv); }

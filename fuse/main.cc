// hearth-fuse: see cli/daemon/daemon.h.
#include "cli/daemon/daemon.h"

int main(int argc, char** argv) { return hearth::cli::run_mount_daemon(argc, argv); }

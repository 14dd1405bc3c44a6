// The life of one daemon: words, configuration, start, signals, stop.
//
// Exit codes: those of the code table (docs/reference/cli.md); errors are one sentence on standard error.
#pragma once

#include "cli/daemon/config.h"
#include "cli/daemon/services.h"

#include <functional>
#include <memory>
#include <string>

namespace hearth::cli {

// What differs between the daemons. `start` may keep `loop` to end the process.
using StartService = std::function<Result<std::unique_ptr<Service>>(const ProcessConfig&, const SignalLoop& loop)>;

// Runs until SIGTERM or SIGINT, or until the service asks to end. `reload` gives the configuration anew on
// SIGHUP, of which the log level is taken over. Fails when it could not start; `readiness` was told then.
Status serve(const ProcessConfig& config, Readiness& readiness, const StartService& start,
          const std::function<Result<LogConfig>()>& reload);

// main() of hearth-master, hearth-worker and hearth-fuse.
int run_master_daemon(int argc, char** argv);
int run_worker_daemon(int argc, char** argv);
int run_mount_daemon(int argc, char** argv);

// For the two daemons in cluster_daemons.cc.
struct DaemonKind {
  Process process;
  std::string_view program;
  std::string_view summary;
};
int run_daemon(const DaemonKind& kind, int argc, char** argv,
               const std::function<Result<std::unique_ptr<Service>>(const ProcessConfig&, const SignalLoop&,
                                                                    const std::vector<std::string>& arguments)>& start);

}  // namespace hearth::cli

// hearth-master and hearth-worker. Apart from daemon.cc, so that a mount need not link them.
#include "cli/daemon/daemon.h"

namespace hearth::cli {

int run_master_daemon(int argc, char** argv) {
  const DaemonKind kind{Process::master, "hearth-master", "know the namespace and where blocks are"};
  return run_daemon(kind, argc, argv, [](const ProcessConfig& config, const SignalLoop&, const std::vector<std::string>&) {
    return start_master(config.master);
  });
}

int run_worker_daemon(int argc, char** argv) {
  const DaemonKind kind{Process::worker, "hearth-worker", "cache blocks and serve them"};
  return run_daemon(kind, argc, argv, [](const ProcessConfig& config, const SignalLoop&, const std::vector<std::string>&) {
    return start_worker(config.worker, config.metrics.listen);
  });
}

}  // namespace hearth::cli

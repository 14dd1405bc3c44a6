// The three services of Hearth behind one shape, and the one place where configuration becomes their options.
//
// Threads: every method from the main thread.
// Fails:   with what the library says: one sentence.
#pragma once

#include "cli/daemon/config.h"
#include "cli/daemon/process.h"
#include "common/metrics_server.h"
#include "fuse/mount.h"
#include "worker/worker_options.h"

#include <hearth/client.h>

#include <functional>
#include <memory>
#include <string>

namespace hearth::cli {

class Service {
 public:
  virtual ~Service() = default;
  virtual std::string address() const = 0;  // where it is reached: "127.0.0.1:19800", a mount point
  // deadline_exceeded: something hangs outside of Hearth; leave the process without waiting (std::quick_exit).
  virtual Status stop() = 0;
};

Result<std::unique_ptr<Service>> start_master(const MasterConfig& config);
Result<std::unique_ptr<Service>> start_worker(const WorkerConfig& config, const std::string& metrics_address);
// `on_end` runs on another thread when the mount ended from outside (umount, fusermount3 -u).
Result<std::unique_ptr<Service>> start_mount(const MountOptions& options, const ClientOptions& client,
                                             std::function<void()> on_end);

WorkerOptions worker_options(const WorkerConfig& config, const std::string& metrics_address);
// `options` of the configuration, then those of the command line, which win.
Result<MountOptions> mount_options(const MountConfig& config, const std::string& more, const std::string& mountpoint);
ClientOptions mount_client_options(const MountConfig& config);

// Serves the registry of this process; null when no address is configured.
Result<std::unique_ptr<MetricsServer>> start_metrics(const MetricsConfig& config);

}  // namespace hearth::cli

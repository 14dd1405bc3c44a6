// `hearth up`: master, worker and mount in one process, with defaults for everything.
//
// Owns: its data directory (locked for the life of the process), its sockets in the runtime directory, the state
//       files that other commands find it by.
#pragma once

#include "cli/daemon/config.h"
#include "cli/daemon/process.h"
#include "cli/up/discovery.h"

#include <hearth/client.h>

#include <functional>

#include <string>
#include <utility>
#include <vector>

namespace hearth::cli {

struct UpPlan {
  std::string data_dir;
  std::string log_file;    // "" = standard error
  std::string mountpoint;  // absolute; "" = no mount
  bool writable = false;   // the mount takes changes
  std::string metrics;
  std::uint16_t port = 19800;
  ByteSize memory{1ULL << 30};
  std::vector<std::string> nvme;  // directories of NVMe tiers
  ByteSize nvme_capacity{};       // of each; 0 = 90 % of its file system
  std::chrono::milliseconds metadata_ttl{1000};
  LogLevel log_level = LogLevel::warn;
  std::vector<std::pair<std::string, std::string>> attachments;  // path, URI
  std::string policy_file;  // "" = whatever was in force
  std::string policy_text;
};

// The directories of `plan` made, its lock taken. Fails: busy (another one runs there), permission_denied.
Result<UniqueFd> prepare_up(const UpPlan& plan);
// Runs until it is told to stop. `announce` gets the state once all of it runs. Fails when it could not start;
// `readiness` was told then, and nothing is left running.
Status serve_up(const UpPlan& plan, Readiness& readiness, const std::function<void(const RunningUp&)>& announce);

// Ends the one that runs from `data_dir` and removes what a killed one left: mount, state.
// Fails: deadline_exceeded when it does not end within 30 s. False when nothing ran.
Result<bool> stop_up(const std::string& data_dir);

}  // namespace hearth::cli

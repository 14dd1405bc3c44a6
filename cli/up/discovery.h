// How commands find the `hearth up` of this user: a small state file in the runtime directory.
//
// The runtime directory is $HEARTH_RUNTIME_DIR, else /run/hearth/up for root, else $XDG_RUNTIME_DIR/hearth,
// else /tmp/hearth-UID. The same state lies in the data directory, where `hearth up --stop` looks first.
#pragma once

#include <hearth/result.h>

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hearth::cli {

// What one `hearth up` runs, as text for other processes.
struct RunningUp {
  pid_t pid = 0;
  std::uint64_t pid_start = 0;  // clock ticks after boot: tells this process from a later one with its number
  std::string data_dir;
  std::string master;
  std::string worker;
  std::string local_socket;
  std::string master_socket;    // unix:/path, where changes are taken
  std::string memory;
  std::string mountpoint;       // "" = not mounted
  std::string mount_problem;    // why not, when it was asked for
  std::string metrics;
  std::string log_file;
  std::vector<std::pair<std::string, std::string>> attachments;  // path, URI
};

std::string up_runtime_dir();
std::string default_data_dir();

std::string encode_state(const RunningUp& state);
std::optional<RunningUp> decode_state(const std::string& text);

// Also writes the master's address alone, for scripts, to `directory`/master.address.
Status write_state(const std::string& directory, const RunningUp& state);
std::optional<RunningUp> read_state(const std::string& directory);
// Removes both files when it is that process's own.
void remove_state(const std::string& directory, pid_t pid);

// 0 when there is no such process.
std::uint64_t process_start(pid_t pid);
bool is_running(const RunningUp& state);

// The running one that started last; nothing when none runs.
std::optional<RunningUp> find_running_up();

// Makes a directory and those above it, with this mode for the last.
Status make_directories(const std::string& path, mode_t mode);

}  // namespace hearth::cli

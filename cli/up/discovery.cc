#include "cli/up/discovery.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace hearth::cli {
namespace {

constexpr const char* state_name = "/up.state";
constexpr const char* address_name = "/master.address";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// One value on one line: a newline or backslash of a path is written as two characters.
std::string one_line(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '\\') out += "\\\\";
    else if (c == '\n') out += "\\n";
    else out += c;
  }
  return out;
}

std::string from_line(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 1 < text.size();
    if (escape) ++i;
    out += escape && text[i] == 'n' ? '\n' : text[i];
  }
  return out;
}

std::string whole_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Whole or not at all.
Status write_file(const std::string& target, pid_t pid, const std::string& text) {
  const std::string beside = target + "." + std::to_string(pid);
  std::ofstream file(beside, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) return Error(Code::io_error, beside + " cannot be written; is the file system full?");
  if (::rename(beside.c_str(), target.c_str()) == 0) return ok();
  const int number = errno;
  return Error(code_from_errno(number), target + " cannot be written: " + std::strerror(number));
}

}  // namespace

std::string up_runtime_dir() {
  const std::string chosen = environment("HEARTH_RUNTIME_DIR");
  if (!chosen.empty()) return chosen;
  if (::geteuid() == 0) return "/run/hearth/up";
  const std::string session = environment("XDG_RUNTIME_DIR");
  return session.empty() ? "/tmp/hearth-" + std::to_string(::geteuid()) : session + "/hearth";
}

std::string default_data_dir() {
  if (::geteuid() == 0) return "/var/lib/hearth/up";
  const std::string state = environment("XDG_STATE_HOME");
  return (state.empty() ? environment("HOME") + "/.local/state" : state) + "/hearth";
}

std::string encode_state(const RunningUp& state) {
  std::string out = "pid=" + std::to_string(state.pid) + "\npid_start=" + std::to_string(state.pid_start) + "\n";
  const std::pair<const char*, const std::string*> texts[] = {
      {"data_dir", &state.data_dir}, {"master", &state.master}, {"worker", &state.worker},
      {"local_socket", &state.local_socket}, {"master_socket", &state.master_socket}, {"memory", &state.memory}, {"mountpoint", &state.mountpoint},
      {"mount_problem", &state.mount_problem}, {"metrics", &state.metrics}, {"log_file", &state.log_file}};
  for (const auto& [key, value] : texts) out += std::string(key) + "=" + one_line(*value) + "\n";
  for (const auto& [path, uri] : state.attachments) out += "attachment=" + one_line(path) + "\nuri=" + one_line(uri) + "\n";
  return out;
}

std::optional<RunningUp> decode_state(const std::string& text) {
  RunningUp state;
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) {
    const auto equals = line.find('=');
    if (equals == std::string::npos) return std::nullopt;
    const std::string key = line.substr(0, equals);
    const std::string value = from_line(line.substr(equals + 1));
    if (key == "pid") state.pid = static_cast<pid_t>(std::strtol(value.c_str(), nullptr, 10));
    else if (key == "pid_start") state.pid_start = std::strtoull(value.c_str(), nullptr, 10);
    else if (key == "data_dir") state.data_dir = value;
    else if (key == "master") state.master = value;
    else if (key == "worker") state.worker = value;
    else if (key == "local_socket") state.local_socket = value;
    else if (key == "master_socket") state.master_socket = value;
    else if (key == "memory") state.memory = value;
    else if (key == "mountpoint") state.mountpoint = value;
    else if (key == "mount_problem") state.mount_problem = value;
    else if (key == "metrics") state.metrics = value;
    else if (key == "log_file") state.log_file = value;
    else if (key == "attachment") state.attachments.emplace_back(value, "");
    else if (key == "uri" && !state.attachments.empty()) state.attachments.back().second = value;
  }
  if (state.pid <= 0 || state.master.empty()) return std::nullopt;
  return state;
}

Status make_directories(const std::string& path, mode_t mode) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (::mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) {
      const int number = errno;
      return Error(code_from_errno(number), part + " cannot be created: " + std::strerror(number) + "; choose another with --data-dir");
    }
  }
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    const int number = errno;
    return Error(code_from_errno(number), path + " cannot be created: " + std::strerror(number) + "; choose another with --data-dir");
  }
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return Error(Code::not_directory, path + " is not a directory; choose another with --data-dir");
  }
  // /tmp/hearth-UID could have been made by somebody else before us.
  if (status.st_uid != ::geteuid() && ::geteuid() != 0) return Error(Code::permission_denied, path + " belongs to another user; choose another with --data-dir");
  return ok();
}

Status write_state(const std::string& directory, const RunningUp& state) {
  CHECK_OK(write_file(directory + address_name, state.pid, state.master + "\n"));
  return write_file(directory + state_name, state.pid, encode_state(state));
}

std::optional<RunningUp> read_state(const std::string& directory) { return decode_state(whole_file(directory + state_name)); }

void remove_state(const std::string& directory, pid_t pid) {
  const auto state = read_state(directory);
  if (!state || state->pid != pid) return;
  ::unlink((directory + state_name).c_str());
  ::unlink((directory + address_name).c_str());
}

std::uint64_t process_start(pid_t pid) {
  const std::string text = whole_file("/proc/" + std::to_string(pid) + "/stat");
  // proc(5): field 22, counted after the name, which is in parentheses and may hold anything.
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  for (int number = 3; number <= 22; ++number) {
    fields >> field;
    if (number == 3 && (field == "Z" || field == "X")) return 0;  // ended; nobody has asked how yet
  }
  return std::strtoull(field.c_str(), nullptr, 10);
}

bool is_running(const RunningUp& state) {
  const std::uint64_t start = process_start(state.pid);
  return start != 0 && start == state.pid_start;
}

std::optional<RunningUp> find_running_up() {
  auto state = read_state(up_runtime_dir());
  if (!state || !is_running(*state)) return std::nullopt;
  return state;
}

}  // namespace hearth::cli

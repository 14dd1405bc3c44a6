#include "cli/daemon/config.h"

#include <unistd.h>

#include <cstdlib>

namespace hearth::cli {
namespace {

constexpr Process all_processes[] = {Process::master, Process::worker, Process::mount};

void bind_section(Config& config, Process process, ProcessConfig& values) {
  switch (process) {
    case Process::master: config.bind("master", values.master, "The process that knows the namespace and where blocks are."); return;
    case Process::worker: config.bind("worker", values.worker, "A process that caches blocks."); return;
    case Process::mount: config.bind("mount", values.mount, "The POSIX mount."); return;
  }
}

void bind_common(Config& config, ProcessConfig& values) {
  config.bind("log", values.log, "Of every process.");
  config.bind("metrics", values.metrics, "Of every process.");
  config.bind("process", values.process, "Of every process.");
}

}  // namespace

std::string_view process_name(Process process) {
  switch (process) {
    case Process::master: return "master";
    case Process::worker: return "worker";
    case Process::mount: return "mount";
  }
  return "master";
}

std::string default_config_file(Process process) { return "/etc/hearth/" + std::string(process_name(process)) + ".toml"; }

void bind_process(Config& config, Process process, ProcessConfig& values) {
  bind_section(config, process, values);
  bind_common(config, values);
  for (Process other : all_processes) {
    if (other != process) config.skip_section(std::string(process_name(other)));
  }
}

void bind_all(Config& config, ProcessConfig& values) {
  for (Process process : all_processes) bind_section(config, process, values);
  bind_common(config, values);
}

Status load_process_config(Config& config, Process process, const std::string& file, const std::vector<std::string>& assignments) {
  const std::string path = file.empty() ? default_config_file(process) : file;
  if (!file.empty() || ::access(path.c_str(), F_OK) == 0) CHECK_OK(config.load_file(path));
  CHECK_OK(config.load_environment(read_environment()));
  for (const std::string& assignment : assignments) CHECK_OK(config.set(assignment));
  return config.check();
}

LogOptions log_options(const LogConfig& config) {
  LogOptions options{.level = config.level, .format = LogFormat::text, .file = config.file};
  const bool to_journal = config.format == LogTarget::journal ||
      (config.format == LogTarget::automatic && std::getenv("JOURNAL_STREAM") != nullptr);
  if (to_journal) options.format = LogFormat::journal;
  if (config.format == LogTarget::json) options.format = LogFormat::json;
  return options;
}

}  // namespace hearth::cli

// up: words to a plan, background, console.
#include "cli/commands/commands.h"
#include "cli/commands/host_checks.h"
#include "cli/commands/local_uri.h"
#include "cli/commands/policy.h"
#include "cli/daemon/version.h"
#include "cli/up/up.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

namespace hearth::cli {
namespace {

Result<std::string> absolute_directory(const std::string& path, std::string_view what) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr) {
    const int number = errno;
    return Error(code_from_errno(number), std::string(what) + " " + path + ": " + std::strerror(number) + "; create it first");
  }
  struct stat status {};
  if (::stat(resolved, &status) != 0 || !S_ISDIR(status.st_mode)) {
    return Error(Code::not_directory, std::string(what) + " " + path + " is not a directory");
  }
  return std::string(resolved);
}

// The data directory may not be there yet: only made absolute.
std::string data_dir_of(const Invocation& words) {
  if (!words.has("data-dir")) {
    // Stopping or asking without a name means the one that runs.
    const auto running = words.has("stop") || words.has("status") ? find_running_up() : std::nullopt;
    return running ? running->data_dir : default_data_dir();
  }
  const std::string given = words.text("data-dir");
  char here[PATH_MAX];
  if (given[0] == '/' || ::getcwd(here, sizeof here) == nullptr) return tidy_path(given);
  return tidy_path(join_path(here, given));
}

// DIR n is attached at the n-th --at, else at /<its name>.
Result<std::vector<std::pair<std::string, std::string>>> attachments_of(Context& context) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto at = context.words().all("at");
  if (at.size() > context.arguments().size()) {
    return Error(Code::invalid_argument, "--at=" + at.back() + " has no DIR; give one directory for each --at");
  }
  for (std::size_t i = 0; i < context.arguments().size(); ++i) {
    const std::string& given = context.arguments()[i];
    if (given.find("://") == std::string::npos) {
      auto checked = absolute_directory(given, "the directory to attach");
      if (!checked) return std::move(checked).error();
    }
    TRY(uri, uri_of(given));
    const std::string path = i < at.size() ? tidy_path(at[i]) : "/" + std::string(base_name(tidy_path(uri)));
    for (const auto& [other, other_uri] : out) {
      if (other == path) return Error(Code::invalid_argument, other_uri + " and " + uri + " would both be " + path + "; choose with --at");
    }
    out.emplace_back(path, std::move(uri));
  }
  return out;
}

Result<UpPlan> plan_of(Context& context) {
  const Invocation& words = context.words();
  UpPlan plan{.data_dir = data_dir_of(words), .metrics = words.text("metrics"), .memory = {*words.size_bytes("memory")}};
  plan.metadata_ttl = std::chrono::duration_cast<std::chrono::milliseconds>(*words.duration("metadata-ttl"));
  const std::uint64_t port = *words.count("port");
  if (port > 65534) return Error(Code::invalid_argument, "--port: " + std::to_string(port) + " is no port that another can follow; at most 65534");
  plan.port = static_cast<std::uint16_t>(port);
  if (words.has("background")) {
    plan.log_file = plan.data_dir + "/up.log";
    plan.log_level = LogLevel::info;
  }
  if (words.has("verbose")) plan.log_level = words.all("verbose").size() > 1 ? LogLevel::debug : LogLevel::info;
  if (words.has("mount")) {
    TRY(mountpoint, absolute_directory(words.text("mount"), "the mount point"));
    plan.mountpoint = std::move(mountpoint);
    plan.writable = words.has("writable");
  }
  for (const std::string& given : words.all("nvme")) {
    TRY(directory, absolute_directory(given, "the directory of the NVMe tier"));
    plan.nvme.push_back(std::move(directory));
  }
  if (words.has("nvme-capacity")) plan.nvme_capacity = {*words.size_bytes("nvme-capacity")};
  if (words.has("policy")) {
    plan.policy_file = words.text("policy");
    TRY(text, read_policy_text(plan.policy_file));
    const auto parsed = policy::parse_policy(text, plan.policy_file);
    if (!parsed) return parsed.error();
    plan.policy_text = std::move(text);
  }
  TRY(attachments, attachments_of(context));
  plan.attachments = std::move(attachments);
  return plan;
}

void write_running(JsonWriter& json, const RunningUp& state) {
  json.boolean("running", true);
  json.number("pid", static_cast<std::int64_t>(state.pid));
  json.text("version", build_version());
  json.bytes("data_dir", state.data_dir);
  json.text("master", state.master);
  json.text("worker", state.worker);
  json.bytes("local_socket", state.local_socket);
  json.text("memory", state.memory);
  if (state.mountpoint.empty()) json.null("mountpoint");
  else json.bytes("mountpoint", state.mountpoint);
  if (!state.mount_problem.empty()) json.text("mount_problem", state.mount_problem);
  if (!state.metrics.empty()) json.text("metrics", state.metrics);
  if (!state.log_file.empty()) json.bytes("log_file", state.log_file);
  json.begin_array("attachments");
  for (const auto& [path, uri] : state.attachments) {
    json.begin_object();
    json.bytes("path", path);
    json.bytes("uri", uri);
    json.end();
  }
  json.end();
}

// What runs where, and what to do next.
void print_running(Output& out, const RunningUp& state) {
  if (out.is_json()) {
    write_running(out.json(), state);
    return;
  }
  out.line("hearth " + std::string(build_version()) + " runs, process " + std::to_string(state.pid));
  out.line("  master    " + state.master + "  state in " + printable(state.data_dir));
  out.line("  worker    " + state.worker + "  memory tier " + state.memory + ", local socket " + printable(state.local_socket));
  if (!state.mountpoint.empty()) out.line("  mount     " + printable(state.mountpoint));
  if (!state.mount_problem.empty()) out.line("  mount     none: " + state.mount_problem);
  for (const auto& [path, uri] : state.attachments) out.line("  attached  " + printable(path) + " <- " + printable(uri));
  if (!state.metrics.empty()) out.line("  metrics   http://" + state.metrics + "/metrics");
  if (!state.log_file.empty()) out.line("  log       " + printable(state.log_file));
  const std::string first = state.attachments.empty() ? "/" : state.attachments.front().first;
  out.line("try   hearth ls -l " + printable(first) + "    hearth report    hearth doctor");
  out.line(state.log_file.empty() ? "stop  Ctrl-C" : "stop  hearth up --stop");
}

Result<Exit> stop_running(Context& context) {
  TRY(ran, stop_up(data_dir_of(context.words())));
  if (context.out().is_json()) context.out().json().boolean("stopped", ran);
  context.out().line(ran ? "stopped" : "nothing was running");
  return Exit::done;
}

Result<Exit> show_running(Context& context) {
  const auto state = read_state(data_dir_of(context.words()));
  if (state && is_running(*state)) {
    print_running(context.out(), *state);
    return Exit::done;
  }
  if (context.out().is_json()) context.out().json().boolean("running", false);
  context.out().line("nothing runs from " + data_dir_of(context.words()));
  return Exit::done;
}

}  // namespace

Result<Exit> run_up(Context& context) {
  if (context.words().has("stop")) return stop_running(context);
  if (context.words().has("status")) return show_running(context);
  TRY(plan, plan_of(context));
  TRY(lock, prepare_up(plan));
  if (!context.words().has("background")) {
    Readiness readiness;
    set_log_level(plan.log_level);
    CHECK_OK(serve_up(plan, readiness, [&](const RunningUp& state) { print_running(context.out(), state); }));
    return Exit::done;
  }
  CHECK_OK(run_in_background(plan.log_file, [&plan](Readiness& readiness) {
    auto served = serve_up(plan, readiness, [](const RunningUp&) {});
    return info(served.code()).exit_code;
  }));
  const auto state = read_state(plan.data_dir);
  if (!state) return Error(Code::internal, "hearth up started but left no state in " + plan.data_dir + "; see " + plan.log_file);
  print_running(context.out(), *state);
  return Exit::done;
}

}  // namespace hearth::cli

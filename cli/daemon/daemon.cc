#include "cli/daemon/daemon.h"

#include "cli/daemon/version.h"
#include "cli/parser/help.h"
#include "cli/parser/parse.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace hearth::cli {
namespace {

constexpr Option daemon_options[] = {
    {.name = "config", .value = Value::local_path, .placeholder = "FILE", .help = "configuration; /etc/hearth/<process>.toml when it is there"},
    {.name = "set", .value = Value::text, .placeholder = "KEY=VALUE", .help = "one key of the configuration", .repeat = Repeat::many},
    {.name = "check", .help = "check the configuration and end"},
};
constexpr Option daemon_globals[] = {
    {.name = "help", .letter = 'h', .help = "this help, with every key of the configuration"},
    {.name = "version", .help = "the version"},
};
constexpr Argument mountpoint_argument[] = {{"MOUNTPOINT", Arity::one, Value::local_path, "an existing, empty directory"}};

int complain(std::string_view program, const Error& error) {
  std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(program.size()), program.data(), error.message().c_str());
  return info(error.code()).exit_code;
}

// Config keeps pointers into `values`: the two live together.
struct Loaded {
  ProcessConfig values;
  Config config;
};

std::unique_ptr<Loaded> bound(Process process) {
  auto loaded = std::make_unique<Loaded>();
  bind_process(loaded->config, process, loaded->values);
  return loaded;
}

Result<std::unique_ptr<Loaded>> load(Process process, const Invocation& words) {
  auto loaded = bound(process);
  CHECK_OK(load_process_config(loaded->config, process, words.text("config"), words.all("set")));
  return loaded;
}

void stop_service(Service& service) {
  auto stopped = service.stop();
  if (stopped) return;
  log_warn("stopped_with_error", {{"reason", stopped.error().message()}});
  if (stopped.code() != Code::deadline_exceeded) return;
  stop_logging();
  std::quick_exit(info(Code::deadline_exceeded).exit_code);
}

void take_log_level(const Result<LogConfig>& fresh) {
  if (!fresh) {
    log_error("reload_refused", {{"reason", fresh.error().message()}});
    return;
  }
  set_log_level(fresh->level);
  log_info("reloaded", {{"taken_over", "log.level"}});
}

}  // namespace

Status serve(const ProcessConfig& config, Readiness& readiness, const StartService& start,
             const std::function<Result<LogConfig>()>& reload) {
  prepare_process(config.process.core_dumps);
  const LogOptions log = log_options(config.log);
  const auto fail = [&](Error error) {
    // Standard error gets the plain sentence from the caller; a log elsewhere must have it too.
    if (!log.file.empty() || log.format == LogFormat::json) log_error("not_started", {{"reason", error.message()}});
    readiness.failed(error);
    stop_logging();
    return error;
  };
  auto loop = SignalLoop::create();
  if (!loop) return fail(std::move(loop).error());
  start_logging(log);
  auto endpoint = start_metrics(config.metrics);
  if (!endpoint) return fail(std::move(endpoint).error());
  auto service = start(config, *loop);
  if (!service) return fail(std::move(service).error());
  log_info("started", {{"address", (*service)->address()}, {"pid", ::getpid()}, {"version", build_version()}});
  readiness.ready((*service)->address());
  while (loop->wait() == SignalLoop::Event::reload) take_log_level(reload());
  log_info("stopping");
  readiness.stopping();
  stop_service(**service);
  service->reset();
  log_info("stopped");
  stop_logging();
  return ok();
}

int run_daemon(const DaemonKind& kind, int argc, char** argv,
               const std::function<Result<std::unique_ptr<Service>>(const ProcessConfig&, const SignalLoop&,
                                                                    const std::vector<std::string>&)>& start) {
  const std::vector<std::string> given(argv + std::min(argc, 1), argv + argc);
  const bool is_mount = kind.process == Process::mount;
  const Command command{.summary = kind.summary, .arguments = is_mount ? std::span<const Argument>(mountpoint_argument) : std::span<const Argument>(),
                        .options = daemon_options};
  const Program program{.name = kind.program, .summary = kind.summary, .commands = {&command, 1}, .globals = daemon_globals};
  auto words = parse(program, given);
  if (!words) return complain(kind.program, words.error());
  if (words->has("version")) {
    std::printf("%.*s %.*s\n", static_cast<int>(kind.program.size()), kind.program.data(), static_cast<int>(build_version().size()), build_version().data());
    return 0;
  }
  if (words->has("help")) {
    std::printf("%s\nconfiguration\n%s", program_help(program).c_str(), config_listing(bound(kind.process)->config).c_str());
    return 0;
  }
  auto loaded = load(kind.process, *words);
  if (!loaded) return complain(kind.program, loaded.error());
  if (words->has("check")) {
    std::puts("the configuration is right");
    return 0;
  }
  Readiness readiness;
  const auto reload = [&]() -> Result<LogConfig> {
    TRY(fresh, load(kind.process, *words));
    return fresh->values.log;
  };
  const auto start_this = [&](const ProcessConfig& config, const SignalLoop& loop) { return start(config, loop, words->arguments); };
  auto served = serve((*loaded)->values, readiness, start_this, reload);
  return served ? 0 : complain(kind.program, served.error());
}

int run_mount_daemon(int argc, char** argv) {
  const DaemonKind kind{Process::mount, "hearth-fuse", "mount the namespace as a file system"};
  return run_daemon(kind, argc, argv, [](const ProcessConfig& config, const SignalLoop& loop, const std::vector<std::string>& arguments) -> Result<std::unique_ptr<Service>> {
    TRY(options, mount_options(config.mount, "", arguments[0]));
    ClientOptions client = mount_client_options(config.mount);
    client.master = options.master;
    return start_mount(options, client, [&loop] { loop.request_stop(); });
  });
}

}  // namespace hearth::cli

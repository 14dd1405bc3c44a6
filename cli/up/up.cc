#include "cli/up/up.h"

#include "cli/commands/host_checks.h"
#include "cli/daemon/services.h"
#include "cli/daemon/version.h"
#include "fuse/mount_point.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace hearth::cli {
namespace {

constexpr int stop_patience_ms = 30'000;
constexpr auto worker_patience = std::chrono::seconds(10);

// Everything that runs, in the order of its start.
class Up {
 public:
  explicit Up(const UpPlan& plan) : plan_(plan) {}

  Status start() {
    CHECK_OK(start_cluster());
    ClientOptions options;
    options.master = state_.master;
    TRY(client, Client::connect(options));
    CHECK_OK(wait_for_worker(client));
    CHECK_OK(apply_policy(client));
    CHECK_OK(attach_all(client));
    CHECK_OK(start_mount_if_possible());
    state_.pid = ::getpid();
    state_.pid_start = process_start(state_.pid);
    CHECK_OK(write_state(plan_.data_dir, state_));
    return write_state(up_runtime_dir(), state_);
  }

  // The reverse of start(). The first error that mattered.
  Status stop() {
    Status outcome = ok();
    for (auto* service : {&mount_, &worker_, &master_}) {
      if (!*service) continue;
      auto stopped = (*service)->stop();
      if (!stopped && outcome) outcome = std::move(stopped);
    }
    remove_state(plan_.data_dir, ::getpid());
    remove_state(up_runtime_dir(), ::getpid());
    if (!state_.local_socket.empty()) ::unlink(state_.local_socket.c_str());
    return outcome;
  }

  const RunningUp& state() const { return state_; }

 private:
  Status start_cluster() {
    state_.data_dir = plan_.data_dir;
    state_.log_file = plan_.log_file;
    state_.memory = exact_size(plan_.memory);
    const auto at = [](unsigned port) { return "127.0.0.1:" + std::to_string(port); };
    TRY(metrics_server, start_metrics({.listen = plan_.metrics}));
    metrics_ = std::move(metrics_server);
    if (metrics_) state_.metrics = plan_.metrics.substr(0, plan_.metrics.rfind(':') + 1) + std::to_string(metrics_->port());
    MasterConfig master;
    // The mount comes in by the Unix socket: who asks for changes there is known.
    master_socket_ = "unix:" + up_runtime_dir() + "/master-" + std::to_string(::getpid()) + ".sock";
    master.listen = {at(plan_.port), master_socket_};
    master.data_dir = plan_.data_dir + "/master";
    TRY(started_master, start_master(master));
    master_ = std::move(started_master);
    state_.master = master_->address();
    state_.master_socket = master_socket_;
    WorkerConfig worker;
    worker.master = state_.master;
    worker.listen = at(plan_.port == 0 ? 0 : plan_.port + 1U);
    worker.local_socket = up_runtime_dir() + "/worker-" + std::to_string(::getpid()) + ".sock";
    worker.memory.capacity = plan_.memory;
    worker.nvme.directories = plan_.nvme;
    worker.nvme.capacity = plan_.nvme_capacity;
    worker.drain_grace = std::chrono::seconds(5);
    TRY(started_worker, start_worker(worker, state_.metrics));
    worker_ = std::move(started_worker);
    state_.worker = worker_->address();
    state_.local_socket = worker.local_socket;
    return ok();
  }

  // The worker looks for the master by itself; nobody tells us when it found it.
  Status wait_for_worker(const Client& client) {
    const auto give_up = std::chrono::steady_clock::now() + worker_patience;
    while (true) {
      TRY(status, client.master_status());
      if (status.live_workers > 0) return ok();
      if (std::chrono::steady_clock::now() > give_up) {
        return Error(Code::deadline_exceeded, "the worker at " + state_.worker + " did not register with the master within 10 s; the log says why");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  Status apply_policy(const Client& client) {
    if (plan_.policy_file.empty()) return ok();
    auto applied = client.apply_policy(plan_.policy_text, {.by = "hearth up", .comment = "--policy=" + plan_.policy_file});
    return applied ? ok() : Status(std::move(applied).error().with_context("--policy=" + plan_.policy_file));
  }

  Status attach_all(const Client& client) {
    TRY(existing, client.attachments());
    for (const auto& [path, uri] : plan_.attachments) {
      bool is_there = false;
      for (const AttachmentStatus& attachment : existing) is_there = is_there || (attachment.path == path && attachment.uri == uri);
      if (is_there) continue;
      const AttachmentOptions options{.metadata_ttl = plan_.metadata_ttl};
      auto attached = client.attach(path, uri, options);
      if (!attached) return std::move(attached).error().with_context("attaching " + uri + " at " + path);
    }
    TRY(all, client.attachments());
    for (const AttachmentStatus& attachment : all) state_.attachments.emplace_back(attachment.path, attachment.uri);
    return ok();
  }

  // A host that cannot mount is told so and still gets its cluster; a wrong mount point is an error.
  Status start_mount_if_possible() {
    if (plan_.mountpoint.empty()) return ok();
    const Check fuse = check_fuse();
    if (fuse.verdict == Verdict::problem) {
      state_.mount_problem = fuse.what + " " + fuse.finding + "; " + fuse.remedy;
      return ok();
    }
    MountConfig config;
    config.master = state_.master;
    TRY(options, mount_options(config, plan_.writable ? "writable" : "", plan_.mountpoint));
    ClientOptions client = mount_client_options(config);
    if (plan_.writable) client.master = master_socket_;
    auto mounted = start_mount(options, client, [] {});
    if (mounted) {
      mount_ = std::move(*mounted);
      state_.mountpoint = mount_->address();
      return ok();
    }
    const Code code = mounted.code();
    if (code != Code::unsupported && code != Code::permission_denied) return std::move(mounted).error();
    state_.mount_problem = mounted.error().message();
    return ok();
  }

  const UpPlan& plan_;
  std::string master_socket_;
  RunningUp state_;
  std::unique_ptr<MetricsServer> metrics_;
  std::unique_ptr<Service> master_;
  std::unique_ptr<Service> worker_;
  std::unique_ptr<Service> mount_;
};

void stop(Up& up) {
  auto stopped = up.stop();
  if (stopped) return;
  log_warn("stopped_with_error", {{"reason", stopped.error().message()}});
  if (stopped.code() != Code::deadline_exceeded) return;
  stop_logging();
  std::quick_exit(info(stopped.code()).exit_code);
}

}  // namespace

Result<UniqueFd> prepare_up(const UpPlan& plan) {
  CHECK_OK(make_directories(plan.data_dir, 0700));
  CHECK_OK(make_directories(up_runtime_dir(), 0750));
  const std::string path = plan.data_dir + "/up.lock";
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const int open_error = errno;
  if (!lock) return Error(code_from_errno(open_error), path + " cannot be opened: " + std::strerror(open_error) + "; choose another with --data-dir");
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  const auto running = read_state(plan.data_dir);
  const std::string who = running ? " (process " + std::to_string(running->pid) + ", master " + running->master + ")" : "";
  return Error(Code::busy, "another hearth up runs from " + plan.data_dir + who + "; stop it with `hearth up --stop --data-dir=" + plan.data_dir +
               "`, or choose another --data-dir");
}

Status serve_up(const UpPlan& plan, Readiness& readiness, const std::function<void(const RunningUp&)>& announce) {
  prepare_process(CoreDumps::off);
  auto loop = SignalLoop::create();
  if (!loop) {
    readiness.failed(loop.error());
    return std::move(loop).error();
  }
  start_logging({.level = plan.log_level, .format = LogFormat::text, .file = plan.log_file});
  Up up(plan);
  auto started = up.start();
  if (!started) {
    if (!plan.log_file.empty()) log_error("not_started", {{"reason", started.error().message()}});
    stop(up);
    readiness.failed(started.error());
    stop_logging();
    return started;
  }
  announce(up.state());
  readiness.ready(up.state().master);
  while (loop->wait() == SignalLoop::Event::reload) log_info("reload_ignored", {{"reason", "hearth up has no configuration file"}});
  readiness.stopping();
  stop(up);
  stop_logging();
  return ok();
}

Result<bool> stop_up(const std::string& data_dir) {
  const auto state = read_state(data_dir);
  if (!state) return false;
  bool ran = false;
  // The descriptor names this very process: its number cannot be given to another one meanwhile.
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, state->pid, 0)));
  if (process && is_running(*state)) {
    ran = true;
    if (::syscall(SYS_pidfd_send_signal, process.get(), SIGTERM, nullptr, 0) != 0) {
      const int number = errno;
      return Error(code_from_errno(number), "process " + std::to_string(state->pid) + " cannot be stopped: " + std::strerror(number) + "; it belongs to another user?");
    }
    pollfd watched{process.get(), POLLIN, 0};
    if (::poll(&watched, 1, stop_patience_ms) <= 0) {
      return Error(Code::deadline_exceeded, "process " + std::to_string(state->pid) + " did not end within 30 s; its log is " + state->log_file);
    }
  }
  for (const HearthMount& mount : hearth_mounts_here()) {
    if (mount.mountpoint == state->mountpoint) CHECK_OK(unmount_fuse(mount.mountpoint, UnmountMode::detach));
  }
  ::unlink(state->local_socket.c_str());
  remove_state(data_dir, state->pid);
  remove_state(up_runtime_dir(), state->pid);
  return ran;
}

}  // namespace hearth::cli

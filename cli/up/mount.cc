// mount, umount.
#include "cli/commands/commands.h"
#include "cli/commands/host_checks.h"
#include "cli/daemon/daemon.h"
#include "fuse/mount_point.h"

#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

namespace hearth::cli {
namespace {

// An absolute path, also of a mount whose daemon is dead (realpath of the mount point itself would fail).
std::string absolute(const std::string& path) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) != nullptr) return resolved;
  std::string whole = path;
  if (path.empty() || path[0] != '/') {
    if (::getcwd(resolved, sizeof resolved) != nullptr) whole = join_path(resolved, path);
  }
  return tidy_path(whole);
}

struct Plan {
  ProcessConfig config;
  MountOptions mount;
  ClientOptions client;
};

// File, environment, flags, then -o; the mount point made absolute, because a daemon lives in "/".
Result<Plan> plan_mount(Context& context) {
  ProcessConfig values;
  Config config;
  bind_process(config, Process::mount, values);
  std::string file = context.words().text("config");
  CHECK_OK(load_process_config(config, Process::mount, file, context.words().all("set")));
  if (config.find("mount.master")->origin.kind == ConfigOrigin::Kind::default_value || context.words().has("master")) {
    values.mount.master = context.master().address;
  }
  if (context.words().has("subtree")) values.mount.subtree = tidy_path(context.words().text("subtree"));
  if (!context.words().has("foreground") && values.log.file.empty() && values.log.format == LogTarget::automatic) {
    values.log.format = LogTarget::journal;
  }
  std::string words = context.words().text("options");
  if (context.words().has("writable")) words += words.empty() ? "writable" : ",writable";
  TRY(mount, mount_options(values.mount, words, absolute(context.arguments()[0])));
  ClientOptions client = mount_client_options(values.mount);
  client.master = mount.master;
  return Plan{values, std::move(mount), std::move(client)};
}

Status serve_mount(const Plan& plan, Readiness& readiness) {
  const StartService start = [&plan](const ProcessConfig&, const SignalLoop& loop) {
    return start_mount(plan.mount, plan.client, [&loop] { loop.request_stop(); });
  };
  return serve(plan.config, readiness, start, [&plan]() -> Result<LogConfig> { return plan.config.log; });
}

Status check_answers(const std::string& mountpoint) {
  struct statfs status {};
  if (::statfs(mountpoint.c_str(), &status) == 0) return ok();
  const int number = errno;
  return Error(code_from_errno(number), mountpoint + " was mounted but does not answer: " + std::strerror(number));
}

}  // namespace

Result<Exit> run_mount(Context& context) {
  TRY(plan, plan_mount(context));
  // What can be seen before anything is started is said by this process, plainly.
  TRY(mountpoint, prepare_mount_point(plan.mount));
  plan.mount.mountpoint = mountpoint;
  const Check fuse = check_fuse();
  if (fuse.verdict == Verdict::problem) return Error(Code::unsupported, fuse.what + " " + fuse.finding + ": " + fuse.remedy);
  if (context.words().has("foreground")) {
    Readiness readiness;
    CHECK_OK(serve_mount(plan, readiness));
    return Exit::done;
  }
  CHECK_OK(run_in_background("", [&plan](Readiness& readiness) {
    auto served = serve_mount(plan, readiness);
    return info(served.code()).exit_code;
  }));
  CHECK_OK(check_answers(mountpoint));
  if (context.out().is_json()) {
    context.out().json().bytes("mountpoint", mountpoint);
    context.out().json().text("master", plan.client.master);
    context.out().json().bytes("subtree", plan.mount.subtree);
  }
  context.out().remark("mounted " + plan.mount.fsname + " on " + mountpoint);
  return Exit::done;
}

Result<Exit> run_umount(Context& context) {
  const std::string mountpoint = absolute(context.arguments()[0]);
  bool is_ours = false;
  for (const HearthMount& mount : hearth_mounts_here()) is_ours = is_ours || mount.mountpoint == mountpoint;
  if (!is_ours) return Error(Code::not_found, mountpoint + " is not a mount of Hearth; findmnt -t fuse.hearth lists them");
  const bool lazy = context.words().has("lazy");
  auto done = unmount_fuse(mountpoint, lazy ? UnmountMode::detach : UnmountMode::only_if_idle);
  if (!done && done.code() == Code::busy) {
    return Error(Code::busy, mountpoint + " is in use; end what uses it (fuser -vm " + mountpoint + ") or take it away with --lazy");
  }
  if (!done) return std::move(done).error();
  if (context.out().is_json()) context.out().json().bytes("mountpoint", mountpoint);
  context.out().remark("unmounted " + mountpoint);
  return Exit::done;
}

}  // namespace hearth::cli

// doctor: one line per check, with what to do about it.
#include "cli/commands/commands.h"
#include "cli/commands/host_checks.h"
#include "cli/daemon/version.h"
#include "common/units.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace hearth::cli {
namespace {

void check_version(const std::string& what, const std::string& version, std::vector<Check>& checks) {
  if (version == build_version()) {
    checks.push_back({what, Verdict::good, "version " + version, ""});
    return;
  }
  checks.push_back({what, Verdict::warning, "version " + version + ", this program is " + std::string(build_version()),
                    "install the same version everywhere, the master last"});
}

void check_local_socket(const WorkerStatus& worker, std::vector<Check>& checks) {
  if (worker.local_socket.empty()) return;
  struct stat status {};
  const std::string what = "local socket of worker " + worker.address;
  if (::stat(worker.local_socket.c_str(), &status) != 0) {
    const bool denied = errno == EACCES;
    if (denied) {
      checks.push_back({what, Verdict::problem, worker.local_socket + " is not accessible for this user",
                        "join the group that owns the directory; reads go over TCP until then"});
    } else {
      checks.push_back({what, Verdict::good, "on another host: reads from it go over the network", ""});
    }
    return;
  }
  if (::access(worker.local_socket.c_str(), R_OK | W_OK) != 0) {
    checks.push_back({what, Verdict::problem, worker.local_socket + " cannot be opened by this user",
                      "join the group that owns it; reads go over TCP until then"});
    return;
  }
  checks.push_back({what, Verdict::good, "reachable: short-circuit reads are possible", ""});
}

// A device in trouble costs speed, not reads; it is told all the same.
void check_tier(const WorkerStatus& worker, const TierStatus& tier, std::vector<Check>& checks) {
  if (tier.directory.empty()) return;
  const std::string name = tier.name + " of " + worker.address;
  if (tier.state != "healthy") {
    checks.push_back({name, Verdict::problem, tier.state + ": " + tier.reason,
                      "look at the device and at " + printable(tier.directory) + " on " + worker.host + "; it comes back by itself"});
    return;
  }
  if (!tier.fallback_reason.empty()) {
    checks.push_back({name, Verdict::warning, tier.engine + ": " + tier.fallback_reason,
                      "allow it to the worker, or live with more CPU per read"});
    return;
  }
  checks.push_back({name, Verdict::good, human_size(tier.used_bytes) + " of " + human_size(tier.capacity_bytes) + " in " +
                                             printable(tier.directory) + " (" + tier.engine + ")", ""});
}

void check_workers(const std::vector<WorkerStatus>& workers, std::vector<Check>& checks) {
  std::size_t live = 0;
  for (const WorkerStatus& worker : workers) {
    if (worker.state == "live") ++live;
    if (worker.state == "lost") {
      checks.push_back({"worker " + worker.address, Verdict::problem,
                        "lost; last heard of " + human_duration(worker.since_heartbeat) + " ago",
                        "look at its log on " + worker.host + " (journalctl -u hearth-worker)"});
      continue;
    }
    check_version("worker " + worker.address, worker.version, checks);
    check_local_socket(worker, checks);
    for (const TierStatus& tier : worker.tiers) check_tier(worker, tier, checks);
    const std::uint64_t available = available_memory_bytes();
    const bool is_here = ::access(worker.local_socket.c_str(), F_OK) == 0;
    const std::uint64_t capacity = worker.tiers.empty() ? worker.capacity_bytes : worker.tiers.front().capacity_bytes;
    const std::uint64_t used = worker.tiers.empty() ? worker.used_bytes : worker.tiers.front().used_bytes;
    if (is_here && available > 0 && capacity > available + used) {
      checks.push_back({"memory tier of " + worker.address, Verdict::problem,
                        human_size(capacity) + " configured, " + human_size(available + used) + " available on this host",
                        "lower memory.capacity of the worker (or hearth up --memory)"});
    }
  }
  if (live > 0) checks.push_back({"workers", Verdict::good, std::to_string(live) + " live", ""});
  else checks.push_back({"workers", Verdict::problem, "none is live: every read goes to the under-store", "start hearth-worker, or hearth up"});
}

void check_cluster(Context& context, std::vector<Check>& checks) {
  auto client = context.connect();
  if (!client) {
    checks.push_back({"master", Verdict::problem, client.error().message(), "start it with `hearth up`, or name it with --master or HEARTH_MASTER"});
    return;
  }
  auto status = client->master_status();
  if (!status) {
    checks.push_back({"master", Verdict::problem, status.error().message(), "look at the log of the master"});
    return;
  }
  check_version("master " + context.master().address, status->version, checks);
  auto workers = client->workers();
  if (workers) check_workers(*workers, checks);
  else checks.push_back({"workers", Verdict::problem, workers.error().message(), "look at the log of the master"});
  auto attachments = client->attachments();
  if (!attachments) return;
  if (attachments->empty()) checks.push_back({"attachments", Verdict::warning, "nothing is attached", "hearth attach /data DIR"});
  for (const AttachmentStatus& attachment : *attachments) {
    auto root = client->stat(attachment.path);
    if (!root) {
      checks.push_back({"attachment " + attachment.path, Verdict::problem, root.error().message(), "see whether " + attachment.uri + " is there"});
    } else if (root->served_stale) {
      checks.push_back({"attachment " + attachment.path, Verdict::problem, attachment.uri + " does not answer; old data is served",
                        "bring the under-store back"});
    } else {
      checks.push_back({"attachment " + attachment.path, Verdict::good, attachment.uri, ""});
    }
  }
}

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::good: return "ok";
    case Verdict::warning: return "warning";
    case Verdict::problem: return "problem";
  }
  return "problem";
}

}  // namespace

Result<Exit> run_doctor(Context& context) {
  std::vector<Check> checks;
  check_cluster(context, checks);
  check_host(context.words().text("mount"), checks);
  std::size_t problems = 0;
  std::size_t warnings = 0;
  Output& out = context.out();
  if (out.is_json()) out.json().begin_array("checks");
  for (const Check& check : checks) {
    if (check.verdict == Verdict::problem) ++problems;
    if (check.verdict == Verdict::warning) ++warnings;
    if (out.is_json()) {
      out.json().begin_object();
      out.json().text("check", check.what);
      out.json().text("verdict", verdict_name(check.verdict));
      out.json().text("finding", check.finding);
      if (!check.remedy.empty()) out.json().text("remedy", check.remedy);
      out.json().end();
      continue;
    }
    if (check.verdict == Verdict::good && out.is_quiet()) continue;
    std::string line(verdict_name(check.verdict));
    line.resize(9, ' ');
    out.line(line + check.what + ": " + check.finding + (check.remedy.empty() ? "" : "\n         -> " + check.remedy));
  }
  if (out.is_json()) {
    out.json().end();
    out.json().number("problems", static_cast<std::uint64_t>(problems));
    out.json().number("warnings", static_cast<std::uint64_t>(warnings));
  }
  out.line(problems == 0 ? "no problems" : std::to_string(problems) + (problems == 1 ? " problem" : " problems"));
  return problems == 0 ? Exit::done : Exit::problems;
}

}  // namespace hearth::cli

// policy: check, show, diff, apply, history, rollback.
#include "cli/commands/policy.h"

#include "cli/commands/commands.h"
#include "cli/output/text_diff.h"
#include "common/users.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>

namespace hearth::cli {
namespace {

struct Action {
  std::string_view name;
  CommandFunction run;
  std::size_t min_arguments;  // after the action
  std::size_t max_arguments;
  std::string_view usage;
};

constexpr Action actions[] = {
    {"check", policy_check, 1, 1, "hearth policy check FILE"},
    {"show", policy_show, 0, 0, "hearth policy show [--version=N]"},
    {"diff", policy_diff, 0, 2, "hearth policy diff [FILE | A B]"},
    {"apply", policy_apply, 1, 1, "hearth policy apply FILE [--comment=TEXT] [--dry-run]"},
    {"history", policy_history, 0, 0, "hearth policy history"},
    {"rollback", policy_rollback, 1, 1, "hearth policy rollback N"},
    {"explain", policy_explain, 1, 1, "hearth policy explain PATH [--file=FILE]"},
    {"test", policy_test, 0, 0, "hearth policy test --trace=FILE [--memory=SIZE] [--nvme=SIZE] [--policy=FILE]"},
    {"whatif", policy_whatif, 0, 0, "hearth policy whatif [--memory-step=SIZE] [--nvme-step=SIZE]"},
    {"record", policy_record, 1, 1, "hearth policy record FILE [--for=DURATION] [--one-in=N] [--paths=HOW]"},
    {"reference", policy_reference, 0, 0, "hearth policy reference"},
};

Result<std::uint64_t> version_number(const std::string& text) {
  std::uint64_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || stop != text.data() + text.size() || number == 0) {
    return Error(Code::invalid_argument, "'" + printable(text) + "' is not a policy version; `hearth policy history` lists them");
  }
  return number;
}

bool is_number(const std::string& text) { return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos; }

// Who changes the policy, for the history: nothing more is known without authentication.
std::string whoami() {
  std::array<char, 256> host{};
  (void)::gethostname(host.data(), host.size() - 1);
  const std::string user = user_name(::geteuid());
  return (user.empty() ? std::to_string(::geteuid()) : user) + "@" + host.data();
}

PolicyChange change_of(Context& context, std::uint64_t in_force) {
  PolicyChange change{.by = whoami(), .comment = context.words().text("comment"), .expected_version = in_force};
  if (const auto expected = context.words().count("expect")) change.expected_version = *expected;
  return change;
}

void write_version(JsonWriter& json, const PolicyVersion& version) {
  json.number("version", version.version);
  if (version.version == 0) return;
  json.text("applied_at", time_json(version.applied_at_ns));
  json.bytes("by", version.by);
  json.bytes("comment", version.comment);
  if (version.restored_from != 0) json.number("restored_from", version.restored_from);
}

void write_diagnostics(JsonWriter& json, const policy::Checked& checked) {
  json.begin_array("diagnostics");
  for (const policy::Diagnostic& one : checked.diagnostics) {
    json.begin_object();
    json.text("severity", one.severity == policy::Diagnostic::Severity::error ? "error" : "warning");
    json.number("line", std::uint64_t{one.line});
    json.number("column", std::uint64_t{one.column});
    json.bytes("reason", one.reason);
    json.end();
  }
  json.end();
}

// The file, good enough to be sent; its warnings are remarks.
Result<std::string> checked_text(Context& context, const std::string& path) {
  TRY(text, read_policy_text(path));
  const policy::Checked checked = policy::check_policy(text);
  if (!checked.policy) {
    const Result<policy::Policy> parsed = policy::parse_policy(text, path);
    return parsed.error();
  }
  for (const policy::Diagnostic& one : checked.diagnostics) context.out().remark(to_string(one, path));
  return text;
}

std::string version_name(const PolicyVersion& version) {
  return version.version == 0 ? "no policy" : "version " + std::to_string(version.version);
}

// "what runs it", so that a worker which could not read it is seen.
void print_workers(Output& out, const std::vector<WorkerStatus>& workers, std::uint64_t in_force) {
  for (const WorkerStatus& worker : workers) {
    if (worker.state == "lost") continue;
    std::string text = "# worker " + worker.address + " runs version " + std::to_string(worker.policy_version);
    if (!worker.policy_problem.empty()) text += ", because it cannot read the newer one: " + worker.policy_problem.substr(0, worker.policy_problem.find('\n'));
    else if (worker.policy_version != in_force) text += ", and has not heard of the newer one yet";
    out.line(text);
  }
}

void write_workers(JsonWriter& json, const std::vector<WorkerStatus>& workers) {
  json.begin_array("workers");
  for (const WorkerStatus& worker : workers) {
    json.begin_object();
    json.text("address", worker.address);
    json.text("state", worker.state);
    json.number("policy_version", worker.policy_version);
    if (!worker.policy_problem.empty()) json.bytes("policy_problem", worker.policy_problem);
    json.end();
  }
  json.end();
}

// What `hearth policy diff` compares.
struct Side {
  std::string name;
  std::string text;
};

Result<Side> side_of(const Client& client, const std::string& word) {
  if (!is_number(word)) {
    TRY(text, read_policy_text(word));
    return Side{word, std::move(text)};
  }
  TRY(number, version_number(word));
  TRY(version, client.policy(number));
  return Side{version_name(version), std::move(version.text)};
}

Result<std::pair<Side, Side>> sides_of(const Client& client, const std::vector<std::string>& words) {
  if (words.size() == 3) {
    TRY(before, side_of(client, words[1]));
    TRY(after, side_of(client, words[2]));
    return std::pair{std::move(before), std::move(after)};
  }
  TRY(current, client.policy());
  Side live{version_name(current), current.text};
  if (words.size() == 2) {
    TRY(other, side_of(client, words[1]));
    // A file is what may come, a version what was.
    if (is_number(words[1])) return std::pair{std::move(other), std::move(live)};
    return std::pair{std::move(live), std::move(other)};
  }
  TRY(kept, client.policies());
  if (kept.size() < 2) return std::pair{Side{"no policy", ""}, std::move(live)};
  TRY(before, client.policy(kept[1].version));
  return std::pair{Side{version_name(before), before.text}, std::move(live)};
}

}  // namespace

Result<std::string> read_policy_text(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text(policy::max_policy_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (!file.eof() && text.size() <= policy::max_policy_bytes) {
    const int why = errno != 0 ? errno : EIO;
    return Error(code_from_errno(why), "the policy file " + printable(path) + " can not be read: " + std::strerror(why));
  }
  return text;
}

std::string describe_version(const PolicyVersion& version) {
  if (version.version == 0) return "none was applied: the built-in defaults decide";
  std::string text = "version " + std::to_string(version.version) + ", applied " + time_text(version.applied_at_ns) + " by " + printable(version.by);
  if (version.restored_from != 0) text += ", restored from version " + std::to_string(version.restored_from);
  if (!version.comment.empty()) text += ": " + printable(version.comment);
  return text;
}

Result<policy::Policy> parse_version(const PolicyVersion& version) {
  TRY(parsed, policy::parse_policy(version.text, "version " + std::to_string(version.version)));
  std::vector<policy::UserId> users;
  for (const PolicyVersion::User& user : version.users) users.push_back({.name = user.name, .uid = user.uid});
  return parsed.with_users(users);
}

Result<Exit> run_policy(Context& context) {
  const std::string& name = context.arguments()[0];
  for (const Action& action : actions) {
    if (action.name != name) continue;
    const std::size_t given = context.arguments().size() - 1;
    if (given < action.min_arguments || given > action.max_arguments) {
      return Error(Code::invalid_argument, "policy " + name + " takes other arguments: " + std::string(action.usage));
    }
    return action.run(context);
  }
  return Error(Code::internal, "the table of commands names the action " + name + ", which policy.cc does not know");
}

Result<Exit> policy_reference(Context& context) {
  const std::string text = policy::policy_reference_markdown();
  if (context.out().is_json()) context.out().json().text("reference", text);
  else write_stdout(text);
  return Exit::done;
}

Result<Exit> policy_check(Context& context) {
  const std::string& path = context.arguments()[1];
  TRY(text, read_policy_text(path));
  const policy::Checked checked = policy::check_policy(text);
  Output& out = context.out();
  if (out.is_json()) {
    out.json().boolean("valid", checked.policy.has_value());
    write_diagnostics(out.json(), checked);
  }
  for (const policy::Diagnostic& one : checked.diagnostics) out.line(to_string(one, path));
  if (!checked.policy) return Exit::problems;
  out.line(path + ": " + std::to_string(checked.policy->rules().size()) + " rules, " + std::to_string(checked.policy->quotas().size()) +
           " quotas; valid" + (checked.diagnostics.empty() ? "" : ", with warnings"));
  return Exit::done;
}

Result<Exit> policy_show(Context& context) {
  TRY(client, context.connect());
  std::uint64_t wanted = 0;
  if (const auto given = context.words().count("version")) wanted = *given;
  TRY(version, client.policy(wanted));
  TRY(current, client.policy());
  TRY(workers, client.workers());
  Output& out = context.out();
  if (out.is_json()) {
    write_version(out.json(), version);
    out.json().boolean("in_force", version.version == current.version);
    out.json().bytes("text", version.text);
    write_workers(out.json(), workers);
    return Exit::done;
  }
  out.line("# policy " + describe_version(version));
  if (version.version == current.version) print_workers(out, workers, current.version);
  write_stdout(version.text);
  if (!version.text.empty() && version.text.back() != '\n') write_stdout("\n");
  return Exit::done;
}

Result<Exit> policy_diff(Context& context) {
  TRY(client, context.connect());
  TRY(sides, sides_of(client, context.arguments()));
  const std::string diff = unified_diff(sides.first.text, sides.second.text, sides.first.name, sides.second.name);
  Output& out = context.out();
  if (out.is_json()) {
    out.json().bytes("before", sides.first.name);
    out.json().bytes("after", sides.second.name);
    out.json().boolean("differs", !diff.empty());
    out.json().bytes("diff", diff);
    return Exit::done;
  }
  if (diff.empty()) out.line(sides.first.name + " and " + sides.second.name + " are the same");
  else write_stdout(diff);
  return Exit::done;
}

Result<Exit> policy_apply(Context& context) {
  const std::string& path = context.arguments()[1];
  TRY(text, checked_text(context, path));
  TRY(client, context.connect());
  TRY(before, client.policy());
  Output& out = context.out();
  if (context.words().has("dry-run")) {
    TRY(would, client.check_policy(text));
    const std::string diff = unified_diff(before.text, text, version_name(before), path);
    if (out.is_json()) {
      out.json().boolean("applied", false);
      out.json().boolean("differs", !diff.empty());
      out.json().bytes("diff", diff);
    } else {
      write_stdout(diff);
    }
    out.line(diff.empty() ? path + " is what is in force" : path + " is valid; nothing was changed (--dry-run)");
    return Exit::done;
  }
  TRY(applied, client.apply_policy(text, change_of(context, before.version)));
  const bool changed = applied.policy.version != before.version;
  if (out.is_json()) {
    out.json().boolean("applied", changed);
    write_version(out.json(), applied.policy);
  }
  out.line(changed ? "policy version " + std::to_string(applied.policy.version) + " is in force; it was " + version_name(before)
                   : "policy version " + std::to_string(before.version) + " has this text already; nothing was changed");
  return Exit::done;
}

Result<Exit> policy_history(Context& context) {
  TRY(client, context.connect());
  TRY(versions, client.policies());
  Output& out = context.out();
  if (out.is_json()) {
    out.json().begin_array("versions");
    for (const PolicyVersion& version : versions) {
      out.json().begin_object();
      write_version(out.json(), version);
      out.json().end();
    }
    out.json().end();
    return Exit::done;
  }
  if (versions.empty()) {
    out.remark("no policy was ever applied; begin with `hearth policy apply FILE`");
    return Exit::done;
  }
  TextTable table({"VERSION", "APPLIED", "BY", "COMMENT"}, "rlll");
  for (const PolicyVersion& version : versions) {
    std::string comment = printable(version.comment);
    if (version.restored_from != 0) comment = "rollback to " + std::to_string(version.restored_from) + (comment.empty() ? "" : ": " + comment);
    table.add({std::to_string(version.version), time_text(version.applied_at_ns), printable(version.by), comment});
  }
  table.print(out);
  return Exit::done;
}

Result<Exit> policy_rollback(Context& context) {
  TRY(number, version_number(context.arguments()[1]));
  TRY(client, context.connect());
  TRY(before, client.policy());
  TRY(after, client.roll_policy_back(number, change_of(context, before.version)));
  Output& out = context.out();
  if (out.is_json()) write_version(out.json(), after);
  out.line(after.version == before.version
               ? "version " + std::to_string(before.version) + " has the text of version " + std::to_string(number) + " already; nothing was changed"
               : "policy version " + std::to_string(after.version) + " is in force, with the text of version " + std::to_string(number));
  return Exit::done;
}

}  // namespace hearth::cli

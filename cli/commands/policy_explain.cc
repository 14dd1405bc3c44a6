// policy explain: which rule and line decide each attribute of a file.
#include "cli/commands/commands.h"
#include "cli/commands/policy.h"
#include "common/units.h"
#include "common/users.h"

#include <algorithm>

namespace hearth::cli {
namespace {

policy::Pattern pattern_of(const std::string& word) {
  if (word == "sequential") return policy::Pattern::sequential;
  if (word == "random") return policy::Pattern::random;
  if (word == "whole-file") return policy::Pattern::whole_file;
  return policy::Pattern::any;
}

// Which policy answers, and its name for people.
struct Answering {
  policy::Policy policy;
  std::uint64_t version = 0;
  std::string name;
};

Result<Answering> answering(Context& context, const Client& client) {
  if (context.words().has("file")) {
    const std::string path = context.words().text("file");
    TRY(text, read_policy_text(path));
    TRY(policy, policy::parse_policy(text, path));
    return Answering{.policy = policy.with_users(users_here(policy)), .name = path};
  }
  TRY(version, client.policy());
  TRY(policy, parse_version(version));
  return Answering{.policy = std::move(policy), .version = version.version,
                   .name = version.version == 0 ? "no policy" : "policy version " + std::to_string(version.version)};
}

// The page that holds this byte of a file: what a worker asks about.
Result<policy::Subject::Range> page_at(const Client& client, const FileStatus& status, std::uint64_t at) {
  TRY(attachments, client.attachments());
  std::uint64_t page_bytes = AttachmentOptions().page_size_bytes;
  for (const AttachmentStatus& attachment : attachments) {
    if (attachment.id == status.attachment) page_bytes = attachment.options.page_size_bytes;
  }
  const std::uint64_t begin = at - at % page_bytes;
  return policy::Subject::Range{.offset_bytes = begin, .length_bytes = std::min(page_bytes, status.length_bytes - begin)};
}

std::string quota_names(const policy::Policy& policy, policy::QuotaSet set) {
  std::string names;
  for (std::size_t i = 0; i < policy.quotas().size(); ++i) {
    if (set.has(i)) names += (names.empty() ? "" : ", ") + policy.quotas()[i].name;
  }
  return names;
}

}  // namespace

std::vector<policy::UserId> users_here(const policy::Policy& policy) {
  std::vector<policy::UserId> users;
  for (const std::string& name : policy.user_names()) {
    if (const auto uid = user_id(name)) users.push_back({.name = name, .uid = *uid});
  }
  return users;
}

std::string decided_by(const policy::Source& source) {
  using Kind = policy::Source::Kind;
  if (source.kind == Kind::built_in) return "built-in";
  const std::string line = ", line " + std::to_string(source.line);
  return source.kind == Kind::defaults ? "[defaults]" + line : "rule '" + printable(source.rule) + "'" + line;
}

void write_decision(JsonWriter& json, std::uint64_t version, const policy::Decision& decision) {
  json.number("policy_version", version);
  json.begin_array("attributes");
  for (const policy::ExplainedAttribute& one : policy::explain(decision)) {
    json.begin_object();
    json.text("attribute", one.attribute);
    json.text("value", one.value);
    json.bytes("rule", one.source.rule);
    json.number("line", std::uint64_t{one.source.line});
    json.end();
  }
  json.end();
}

Result<FileDecision> decide_for(const Client& client, const std::string& path, const FileStatus& status, std::string_view tenant) {
  TRY(version, client.policy());
  TRY(parsed, parse_version(version));
  FileDecision out{.version = version.version, .policy = std::move(parsed), .decision = {}};
  out.decision = out.policy.decide({.path = path, .length_bytes = status.length_bytes, .uid = status.uid, .tenant = tenant});
  return out;
}

Result<Exit> policy_explain(Context& context) {
  const std::string path = tidy_path(context.arguments()[1]);
  TRY(client, context.connect());
  TRY(status, client.stat(path));
  TRY(answer, answering(context, client));
  const std::string owner = user_name(status.uid);
  const std::string tenant = context.words().text("tenant");
  policy::Subject subject{.path = path, .length_bytes = status.length_bytes, .uid = status.uid,
                          .tenant = tenant, .pattern = pattern_of(context.words().text("pattern"))};
  if (const auto at = context.words().size_bytes("at")) {
    if (*at >= status.length_bytes) {
      return Error(Code::invalid_argument, "--at=" + exact_size({*at}) + " is beyond the end of " + printable(path) + ", which has " +
                                               exact_size({status.length_bytes}));
    }
    TRY(page, page_at(client, status, *at));
    subject.range = page;
  }
  const policy::Decision decision = answer.policy.decide(subject);
  Output& out = context.out();
  if (out.is_json()) {
    out.json().bytes("path", path);
    out.json().number("length_bytes", status.length_bytes);
    out.json().number("uid", std::uint64_t{status.uid});
    write_decision(out.json(), answer.version, decision);
    out.json().begin_array("quotas");
    for (std::size_t i = 0; i < answer.policy.quotas().size(); ++i) {
      if (decision.quotas.has(i)) out.json().text({}, answer.policy.quotas()[i].name);
    }
    out.json().end();
    return Exit::done;
  }
  out.line(printable(path) + ", " + human_size(status.length_bytes) + ", owner " + std::to_string(status.uid) +
           (owner.empty() ? "" : " (" + owner + ")") + ", by " + answer.name);
  TextTable table({"ATTRIBUTE", "VALUE", "DECIDED BY"}, "lll");
  for (const policy::ExplainedAttribute& one : policy::explain(decision)) {
    table.add({std::string(one.attribute), one.value, decided_by(one.source)});
  }
  table.print(out);
  const std::string quotas = quota_names(answer.policy, decision.quotas);
  out.line("counts for quotas: " + (quotas.empty() ? "none" : quotas));
  return Exit::done;
}

}  // namespace hearth::cli

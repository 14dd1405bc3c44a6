// What the `policy` commands share.
#pragma once

#include "cli/commands/context.h"
#include "tiering/policy/policy.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::cli {

// A whole file of at most policy::max_policy_bytes.
Result<std::string> read_policy_text(const std::string& path);
// "3: 2026-03-01 12:34:56, by root@host: why"; "none: the built-in defaults".
std::string describe_version(const PolicyVersion& version);
// Whom the names of owners in a policy file mean on this host: nobody else can say.
std::vector<policy::UserId> users_here(const policy::Policy& policy);
// "by rule 'hot', line 12", "by [defaults], line 2", "built-in".
std::string decided_by(const policy::Source& source);
// The members of an explanation, into the object that is open: "policy_version" and "attributes".
void write_decision(JsonWriter& json, std::uint64_t version, const policy::Decision& decision);
// What the cluster's policy says about a file as the master knows it.
struct FileDecision {
  std::uint64_t version = 0;
  policy::Policy policy;  // the decision points into it
  policy::Decision decision;
};
Result<FileDecision> decide_for(const Client& client, const std::string& path, const FileStatus& status, std::string_view tenant);
// A version of the cluster's policy, in which names of users mean whom the master says.
Result<policy::Policy> parse_version(const PolicyVersion& version);

// The actions of `hearth policy`; arguments()[0] is the action.
Result<Exit> policy_check(Context& context);
Result<Exit> policy_show(Context& context);
Result<Exit> policy_diff(Context& context);
Result<Exit> policy_apply(Context& context);
Result<Exit> policy_history(Context& context);
Result<Exit> policy_rollback(Context& context);
Result<Exit> policy_explain(Context& context);
Result<Exit> policy_test(Context& context);
Result<Exit> policy_whatif(Context& context);
Result<Exit> policy_record(Context& context);
Result<Exit> policy_reference(Context& context);

}  // namespace hearth::cli

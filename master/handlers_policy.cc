// MasterService: policies.
#include "master/master_service.h"
#include "master/run_on.h"
#include "master/wire.h"

#include "tiering/policy/policy.h"

namespace hearth::master {

namespace {

void to_wire(const PolicyRow& row, proto::PolicyVersion& out) {
  out.set_version(row.version);
  out.set_applied_at_ns(row.applied_at_ns);
  out.set_by(row.by);
  out.set_comment(row.comment);
  out.set_restored_from(row.restored_from);
}

template <class Request>
PolicyChange change_from_wire(const Request& request) {
  PolicyChange change;
  change.by = request.by();
  change.comment = request.comment();
  if (request.has_expected_version()) change.expected_version = request.expected_version();
  return change;
}

// Nothing besides the warnings: errors are the apply's own answer.
void add_warnings(const policy::Checked& checked, proto::PolicyApplyReply& reply) {
  for (const policy::Diagnostic& diagnostic : checked.diagnostics) {
    if (diagnostic.severity != policy::Diagnostic::Severity::warning) continue;
    proto::PolicyDiagnostic& out = *reply.add_warnings();
    out.set_warning(true);
    out.set_line(diagnostic.line);
    out.set_column(diagnostic.column);
    out.set_reason(diagnostic.reason);
  }
}

}  // namespace

MasterService::Answer MasterService::policy_get(Call call) {
  CO_TRY(request, parse_body<proto::PolicyGetRequest>(*call));
  CO_TRY(row, co_await run_on(parts_.names, parts_.metadata.policy(request.version())));
  std::string text = row.text;
  CO_TRY(users, co_await run_on(parts_.names, parts_.metadata.policy_users(std::move(text))));
  proto::PolicyGetReply reply;
  to_wire(row, *reply.mutable_policy());
  for (const policy::UserId& user : users) {
    proto::PolicyUser& out = *reply.add_users();
    out.set_name(user.name);
    out.set_uid(user.uid);
  }
  reply.mutable_policy()->set_text(row.text);
  reply.set_current_version(policy_version_);
  co_return reply_with(reply);
}

MasterService::Answer MasterService::policy_list(Call call) {
  CO_TRY(request, parse_body<proto::PolicyListRequest>(*call));
  CO_TRY(rows, co_await run_on(parts_.names, parts_.metadata.policy_versions()));
  proto::PolicyListReply reply;
  for (const PolicyRow& row : rows) to_wire(row, *reply.add_versions());
  co_return reply_with(reply);
}

MasterService::Answer MasterService::policy_apply(Call call) {
  CO_TRY(request, parse_body<proto::PolicyApplyRequest>(*call));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  PolicyChange change = change_from_wire(request);
  proto::PolicyApplyReply reply;
  if (request.dry_run()) {
    const Result<policy::Policy> parsed = policy::parse_policy(request.text(), "policy.toml");
    if (!parsed) co_return parsed.error();
  } else {
    std::string text = request.text();
    CO_TRY(row, co_await run_on(parts_.names, parts_.metadata.apply_policy(std::move(text), std::move(change), deadline)));
    to_wire(row, *reply.mutable_policy());
  }
  add_warnings(policy::check_policy(request.text()), reply);
  co_return reply_with(reply);
}

MasterService::Answer MasterService::policy_rollback(Call call) {
  CO_TRY(request, parse_body<proto::PolicyRollbackRequest>(*call));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  PolicyChange change = change_from_wire(request);
  const std::uint64_t version = request.version();
  CO_TRY(row, co_await run_on(parts_.names, parts_.metadata.roll_policy_back(version, std::move(change), deadline)));
  proto::PolicyRollbackReply reply;
  to_wire(row, *reply.mutable_policy());
  co_return reply_with(reply);
}

}  // namespace hearth::master

// The calls about policies: encode, ask, decode. What a policy says is the business of who calls.
#include "client/src/client_impl.h"

#include "proto/hearth.pb.h"

namespace hearth {

using client::MasterRetry;

namespace {

PolicyVersion to_version(const proto::PolicyVersion& message) {
  PolicyVersion out;
  out.version = message.version();
  out.text = message.text();
  out.applied_at_ns = message.applied_at_ns();
  out.by = message.by();
  out.comment = message.comment();
  out.restored_from = message.restored_from();
  return out;
}

template <class Request>
void set_change(const PolicyChange& change, Request& request) {
  request.set_by(change.by);
  request.set_comment(change.comment);
  if (change.expected_version) request.set_expected_version(*change.expected_version);
}

}  // namespace

Task<PolicyVersion> ClientImpl::policy(std::uint64_t version) {
  proto::PolicyGetRequest request;
  request.set_version(version);
  proto::PolicyGetReply reply;
  std::string body = request.SerializeAsString();
  CO_CHECK_OK(co_await parts_->master->call(Method::policy_get, std::move(body), &reply, MasterRetry::until_deadline, metadata_deadline()));
  PolicyVersion got = to_version(reply.policy());
  for (const auto& user : reply.users()) {
    PolicyVersion::User named;
    named.name = user.name();
    named.uid = user.uid();
    got.users.push_back(std::move(named));
  }
  co_return got;
}

Task<std::vector<PolicyVersion>> ClientImpl::policies() {
  proto::PolicyListReply reply;
  CO_CHECK_OK(co_await parts_->master->call(Method::policy_list, std::string(), &reply, MasterRetry::until_deadline, metadata_deadline()));
  std::vector<PolicyVersion> out;
  for (const auto& version : reply.versions()) out.push_back(to_version(version));
  co_return out;
}

Task<PolicyApplied> ClientImpl::apply_policy(std::string text, PolicyChange change, PolicyApply mode) {
  proto::PolicyApplyRequest request;
  request.set_text(text);
  request.set_dry_run(mode == PolicyApply::dry_run);
  set_change(change, request);
  proto::PolicyApplyReply reply;
  std::string body = request.SerializeAsString();
  CO_CHECK_OK(co_await parts_->master->call(Method::policy_apply, std::move(body), &reply, MasterRetry::once, metadata_deadline()));
  PolicyApplied out;
  out.policy = to_version(reply.policy());
  for (const auto& one : reply.warnings()) {
    out.warnings.push_back(std::to_string(one.line()) + ":" + std::to_string(one.column()) + ": warning: " + one.reason());
  }
  co_return out;
}

Task<PolicyVersion> ClientImpl::roll_policy_back(std::uint64_t version, PolicyChange change) {
  proto::PolicyRollbackRequest request;
  request.set_version(version);
  set_change(change, request);
  proto::PolicyRollbackReply reply;
  std::string body = request.SerializeAsString();
  CO_CHECK_OK(co_await parts_->master->call(Method::policy_rollback, std::move(body), &reply, MasterRetry::once, metadata_deadline()));
  co_return to_version(reply.policy());
}

}  // namespace hearth

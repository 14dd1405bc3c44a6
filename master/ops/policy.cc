// Policies: durable before they are acknowledged or told to anyone.
#include "master/metadata_service.h"

#include "common/log.h"
#include "common/users.h"
#include "tiering/policy/policy.h"

namespace hearth::master {

void MetadataService::on_policy_changed(std::function<void(std::uint64_t)> handler) {
  policy_changed_ = std::move(handler);
  published_policy_ = policies_->current().version;
  policy_changed_(published_policy_);
}

Task<PolicyRow> MetadataService::policy(std::uint64_t version) {
  if (version == 0) co_return policies_->current();
  co_return policies_->version(version);
}

Task<std::vector<PolicyRow>> MetadataService::policy_versions() {
  std::vector<PolicyRow> out;
  for (auto row = policies_->all().rbegin(); row != policies_->all().rend(); ++row) out.push_back(row->second);
  co_return out;
}

Task<std::vector<policy::UserId>> MetadataService::policy_users(std::string text) {
  const policy::Checked checked = policy::check_policy(text);
  std::vector<std::string> names;
  if (checked.policy) names = checked.policy->user_names();
  if (names.empty()) co_return std::vector<policy::UserId>();
  // The user database may be a network service that hangs.
  std::function<Result<std::vector<policy::UserId>>()> look_up = [names]() -> Result<std::vector<policy::UserId>> {
    std::vector<policy::UserId> users;
    for (const std::string& name : names) {
      const std::optional<std::uint32_t> uid = user_id(name);
      if (uid) users.push_back({.name = name, .uid = *uid});
      if (!uid) log_warn("policy_names_unknown_user", {{"owner", name}, {"action", "rules match nobody by this name"}});
    }
    return users;
  };
  Result<std::vector<policy::UserId>> users = co_await parts_.store_pool.run<std::vector<policy::UserId>>(look_up);
  co_return users;
}

Task<PolicyRow> MetadataService::apply_policy(std::string text, PolicyChange change, Deadline deadline) {
  change.at_ns = parts_.clock.wall_now().time_since_epoch().count();
  CO_TRY(row, policies_->apply(std::move(text), change));
  CO_CHECK_OK(co_await sync_.commit(deadline));
  publish_policy(row);
  co_return row;
}

Task<PolicyRow> MetadataService::roll_policy_back(std::uint64_t version, PolicyChange change, Deadline deadline) {
  change.at_ns = parts_.clock.wall_now().time_since_epoch().count();
  CO_TRY(row, policies_->rollback(version, change));
  CO_CHECK_OK(co_await sync_.commit(deadline));
  publish_policy(row);
  co_return row;
}

Result<PolicyRow> MetadataService::begin_with_policy(std::string text) {
  if (policies_->current().version != 0) return policies_->current();
  PolicyChange change;
  change.by = "master.policy_file";
  change.at_ns = parts_.clock.wall_now().time_since_epoch().count();
  TRY(row, policies_->apply(std::move(text), change));
  CHECK_OK(parts_.store.sync());
  return row;
}

// A later version may have been synced first.
void MetadataService::publish_policy(const PolicyRow& row) {
  if (row.version <= published_policy_) return;
  published_policy_ = row.version;
  log_info("policy_applied", {{"version", row.version}, {"by", printable(row.by)}, {"comment", printable(row.comment)},
                              {"restored_from", row.restored_from}});
  if (policy_changed_) policy_changed_(row.version);
}

}  // namespace hearth::master

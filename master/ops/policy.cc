// Policies: durable before they are acknowledged or told to anyone.
#include "master/metadata_service.h"

#include "common/log.h"

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

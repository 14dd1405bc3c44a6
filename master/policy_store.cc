#include "master/policy_store.h"

#include "common/log.h"
#include "master/meta_keys.h"
#include "master/path.h"
#include "tiering/policy/policy.h"

namespace hearth::master {

namespace {

constexpr std::size_t max_by_bytes = 256;
constexpr std::size_t max_comment_bytes = 1024;

std::string key_of(std::uint64_t version) { return std::string(meta_keys::policy_prefix) + number_key(version); }

std::string in_force(std::uint64_t version) {
  return version == 0 ? "no policy is in force" : "policy version " + std::to_string(version) + " is in force";
}

}  // namespace

Result<std::unique_ptr<PolicyStore>> PolicyStore::open(MetaStore& store) {
  std::unique_ptr<PolicyStore> self(new PolicyStore(store));
  TRY(rows, store.scan(Family::meta, meta_keys::policy_prefix, "", 10 * kept));
  for (const Row& row : rows) {
    TRY(version, number_from_key(std::string_view(row.first).substr(meta_keys::policy_prefix.size())));
    TRY(policy, decode_policy(version, row.second));
    self->rows_.emplace(version, std::move(policy));
  }
  // Written by another version of this program, perhaps; workers keep what they have, and the next apply repairs it.
  const Result<policy::Policy> parsed = policy::parse_policy(self->current().text, "policy");
  if (!parsed) log_warn("policy_not_readable", {{"version", self->current().version}, {"why", parsed.error().message()}});
  return self;
}

Result<PolicyRow> PolicyStore::version(std::uint64_t version) const {
  if (const auto found = rows_.find(version); found != rows_.end()) return found->second;
  const std::string known = rows_.empty() ? "none was applied yet"
                                          : "versions " + std::to_string(rows_.begin()->first) + " to " +
                                                std::to_string(rows_.rbegin()->first) + " are";
  return Error(Code::not_found, "policy version " + std::to_string(version) + " is not kept; " + known);
}

Status PolicyStore::check(const PolicyChange& change) const {
  if (change.by.size() > max_by_bytes || change.comment.size() > max_comment_bytes) {
    return Error(Code::invalid_argument, "who applies a policy has at most 256 bytes, the comment at most 1024");
  }
  const std::uint64_t now = current().version;
  if (change.expected_version && *change.expected_version != now) {
    return Error(Code::stale, "the policy was changed meanwhile: " + in_force(now) + ", and version " +
                                  std::to_string(*change.expected_version) + " was expected; look at it, then apply again");
  }
  return ok();
}

Result<PolicyRow> PolicyStore::apply(std::string text, const PolicyChange& change) {
  CHECK_OK(check(change));
  const Result<policy::Policy> parsed = policy::parse_policy(text, "policy.toml");
  if (!parsed) return parsed.error();
  if (!rows_.empty() && current().text == text) return current();
  PolicyRow row;
  row.text = std::move(text);
  return add(std::move(row), change);
}

Result<PolicyRow> PolicyStore::rollback(std::uint64_t to, const PolicyChange& change) {
  CHECK_OK(check(change));
  TRY(old, version(to));
  // It was good for the program that kept it, which may have been another one.
  const Result<policy::Policy> parsed = policy::parse_policy(old.text, "policy version " + std::to_string(to));
  if (!parsed) return parsed.error();
  if (current().text == old.text) return current();
  PolicyRow row;
  row.text = std::move(old.text);
  row.restored_from = to;
  return add(std::move(row), change);
}

Result<PolicyRow> PolicyStore::add(PolicyRow row, const PolicyChange& change) {
  row.version = current().version + 1;
  row.applied_at_ns = change.at_ns;
  row.by = change.by;
  row.comment = change.comment;
  WriteBatch batch;
  batch.put(Family::meta, key_of(row.version), encode(row));
  const std::uint64_t oldest = row.version > kept ? row.version - kept + 1 : 1;
  for (auto old = rows_.begin(); old != rows_.end() && old->first < oldest; ++old) batch.erase(Family::meta, key_of(old->first));
  CHECK_OK(store_.write(batch));
  rows_.erase(rows_.begin(), rows_.lower_bound(oldest));
  rows_.emplace(row.version, row);
  return row;
}

}  // namespace hearth::master

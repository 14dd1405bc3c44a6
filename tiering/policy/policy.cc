#include "tiering/policy/policy.h"

#include "tiering/policy/body.h"

#include <algorithm>
#include <bit>

namespace hearth::policy {
namespace {

bool one_matches(const std::vector<Glob>& globs, std::string_view path) {
  return std::any_of(globs.begin(), globs.end(), [path](const Glob& glob) { return glob.matches(path); });
}

bool has(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool touches(const Conditions& when, const Subject& subject) {
  if (when.first_bytes == 0 && when.last_bytes == 0) return true;
  const std::uint64_t length = subject.length_bytes;
  if (!subject.range) return length <= std::max(when.first_bytes, when.last_bytes);
  const std::uint64_t begin = subject.range->offset_bytes;
  if (when.first_bytes > 0 && begin < when.first_bytes) return true;
  const std::uint64_t tail = length > when.last_bytes ? length - when.last_bytes : 0;
  // The end of the range without overflow: it reaches the tail when it is longer than the way there.
  return when.last_bytes > 0 && (begin >= tail || subject.range->length_bytes > tail - begin);
}

bool owned(const Conditions& when, const Subject& subject) {
  if (when.any_owner) return true;
  if (std::find(when.uids.begin(), when.uids.end(), subject.uid) != when.uids.end()) return true;
  return !subject.user.empty() && has(when.users, subject.user);
}

Policy::Body empty_body() {
  Policy::Body body;
  for (Source& source : body.base.sources) source.rule = "built-in";
  return body;
}

}  // namespace

void assign(Attributes& to, const Attributes& from, Attribute attribute) {
  switch (attribute) {
    case Attribute::tier: to.tier = from.tier; return;
    case Attribute::admission: to.admission = from.admission; return;
    case Attribute::promote_after: to.promote_after = from.promote_after; return;
    case Attribute::demote_after_idle: to.demote_after_idle = from.demote_after_idle; return;
    case Attribute::unit: to.unit = from.unit; return;
    case Attribute::pin: to.pin = from.pin; return;
    case Attribute::ttl: to.ttl = from.ttl; return;
    case Attribute::ttl_action: to.ttl_action = from.ttl_action; return;
    case Attribute::replicas: to.replicas = from.replicas; return;
    case Attribute::prefetch: to.prefetch = from.prefetch; return;
    case Attribute::write_mode: to.write_mode = from.write_mode; return;
    case Attribute::qos_class: to.qos_class = from.qos_class; return;
  }
}

// The cheap questions first.
bool Conditions::match(const Subject& subject) const {
  if (subject.length_bytes < min_size_bytes || subject.length_bytes > max_size_bytes) return false;
  if (pattern != Pattern::any && pattern != subject.pattern) return false;
  if (!touches(*this, subject) || !owned(*this, subject)) return false;
  if (!tenants.empty() && !has(tenants, subject.tenant)) return false;
  if (!suffixes.empty() && std::none_of(suffixes.begin(), suffixes.end(), [&](const std::string& suffix) {
        return subject.path.ends_with(suffix);
      })) {
    return false;
  }
  if (!paths.empty() && !one_matches(paths, subject.path)) return false;
  return !one_matches(not_paths, subject.path);
}

Policy::Policy() {
  static const auto body = std::make_shared<const Body>(empty_body());
  body_ = body;
}

Decision Policy::decide(const Subject& subject) const {
  const Body& body = *body_;
  Decision decision = body.base;
  AttributeMask open = all_attributes;
  for (std::uint32_t i = 0; i < body.rules.size(); ++i) {
    const Rule& rule = body.rules[i];
    if ((rule.sets & open) == 0 && decision.first_rule != no_rule) continue;
    if (!rule.when.match(subject)) continue;
    if (decision.first_rule == no_rule) decision.first_rule = i;
    for (AttributeMask rest = rule.sets & open; rest != 0; rest &= static_cast<AttributeMask>(rest - 1)) {
      const auto index = static_cast<std::size_t>(std::countr_zero(rest));
      assign(decision.values, rule.values, static_cast<Attribute>(index));
      decision.sources[index] = {.kind = Source::Kind::rule, .line = rule.lines[index], .rule = body.names[i].name};
    }
    open &= static_cast<AttributeMask>(~rule.sets);
    if (open == 0) break;
  }
  for (std::size_t i = 0; i < body.quota_conditions.size(); ++i) {
    const QuotaConditions& when = body.quota_conditions[i];
    if (!when.tenants.empty() && !has(when.tenants, subject.tenant)) continue;
    if (!when.paths.empty() && !one_matches(when.paths, subject.path)) continue;
    decision.quotas.add(i);
  }
  return decision;
}

std::vector<std::string> Policy::user_names() const {
  std::vector<std::string> names;
  for (const Rule& rule : body_->rules) names.insert(names.end(), rule.when.users.begin(), rule.when.users.end());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Policy Policy::with_users(std::span<const UserId> users) const {
  if (users.empty()) return *this;
  auto body = std::make_shared<Body>(*body_);
  for (Rule& rule : body->rules) {
    for (const UserId& user : users) {
      if (has(rule.when.users, user.name)) rule.when.uids.push_back(user.uid);
    }
  }
  return Policy(std::move(body));
}

std::span<const RuleName> Policy::rules() const { return body_->names; }
std::span<const Quota> Policy::quotas() const { return body_->quotas; }
const TierSettings& Policy::memory() const { return body_->memory; }
const TierSettings& Policy::nvme() const { return body_->nvme; }

}  // namespace hearth::policy

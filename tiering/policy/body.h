// The compiled form of a policy. Private to this folder.
#pragma once

#include "tiering/policy/glob.h"
#include "tiering/policy/policy.h"

#include <limits>

namespace hearth::policy {

struct Conditions {
  std::uint64_t min_size_bytes = 0;
  std::uint64_t max_size_bytes = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t first_bytes = 0;
  std::uint64_t last_bytes = 0;
  Pattern pattern = Pattern::any;
  bool any_owner = true;
  std::vector<std::uint32_t> uids;
  std::vector<std::string> users;
  std::vector<std::string> tenants;
  std::vector<std::string> suffixes;
  std::vector<Glob> paths;
  std::vector<Glob> not_paths;

  bool match(const Subject& subject) const;
};

struct Rule {
  Conditions when;
  AttributeMask sets = 0;
  Attributes values;
  std::array<std::uint32_t, attribute_count> lines{};
};

struct QuotaConditions {
  std::vector<std::string> tenants;
  std::vector<Glob> paths;
};

struct Policy::Body {
  std::vector<RuleName> names;  // one per rule
  std::vector<Rule> rules;
  Decision base;  // [defaults] over the built-in ones
  std::vector<Quota> quotas;
  std::vector<QuotaConditions> quota_conditions;  // one per quota
  TierSettings memory;
  TierSettings nvme;
};

// Takes one attribute over.
void assign(Attributes& to, const Attributes& from, Attribute attribute);

}  // namespace hearth::policy

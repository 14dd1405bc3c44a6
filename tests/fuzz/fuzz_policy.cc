// Whatever a policy file holds: it parses or is refused with places that lie in it, and what is accepted decides every
// attribute of any file. The input up to the first zero byte is the policy, the rest is a path and at once a pattern.
#include "tiering/policy/glob.h"
#include "tiering/policy/policy.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace {

using namespace hearth::policy;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz_policy: %s\n", what);
  std::abort();
}

void check_decision(const Policy& policy, const Subject& subject) {
  const Decision decision = policy.decide(subject);
  const auto rows = explain(decision);
  require(rows.size() == attribute_count, "an attribute is not explained");
  for (const ExplainedAttribute& row : rows) require(!row.value.empty(), "an attribute has no value");
  require(decision.first_rule == no_rule || decision.first_rule < policy.rules().size(), "the first rule is none of the policy");
  for (std::size_t i = policy.quotas().size(); i < max_quotas; ++i) require(!decision.quotas.has(i), "a quota that is none");
}

void check_glob(std::string_view text) {
  const auto glob = Glob::compile(text);
  if (!glob) return;
  require(glob->alternatives() >= 1 && glob->alternatives() <= max_glob_alternatives, "too many alternatives");
  require(glob->covers(*glob), "a pattern does not cover itself");
  const bool plain = text.find_first_of("*?[{\\}") == std::string_view::npos;
  if (plain) require(glob->matches(text), "a plain path does not match itself");
  const auto all = Glob::compile("/**");
  if (plain) require(all->covers(*glob), "/** does not cover a path");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view text = input.substr(0, input.find('\0'));
  const std::string_view path = text.size() == size ? std::string_view("/data/a.parquet") : input.substr(text.size() + 1);
  const Checked checked = check_policy(text);
  const auto lines = static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  bool failed = false;
  for (const Diagnostic& one : checked.diagnostics) {
    require(one.line >= 1 && one.line <= lines + 1 && one.column >= 1 && !one.reason.empty(), "a diagnostic has no place");
    failed = failed || one.severity == Diagnostic::Severity::error;
  }
  require(failed != checked.policy.has_value(), "errors and a policy, or neither");
  if (checked.policy) {
    check_decision(*checked.policy, {.path = path, .length_bytes = size});
    check_decision(*checked.policy, {.path = path, .length_bytes = ~0ULL, .uid = 1000, .user = "alice", .tenant = "ml",
                                     .pattern = Pattern::sequential, .range = Subject::Range{~0ULL - 1, ~0ULL}});
  }
  check_glob(path);
  return 0;
}

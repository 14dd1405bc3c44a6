// A policy file, compiled: what is to be done with the data of a file, and which line said so.
//
//   TRY(rules, policy::parse_policy(text, "policy.toml"));
//   const policy::Decision decision = rules.decide({.path = "/data/a", .length_bytes = 4096});
//   decision.values.tier;                        // what
//   decision.source(Attribute::tier).rule;       // who said so
//
// How it decides: rules are asked in the order of the file. For each attribute, the first rule that matches the subject
// *and sets that attribute* wins; what no matching rule sets comes from [defaults], and what that does not set is the
// built-in default. A rule that sets only `ttl` thus leaves all else to the rules after it. promote_after and pin are one
// attribute each.
//
// Threads: immutable; any. Copies share one body.
// Owns:    its rules. A Decision points into it (names), so it is valid while any copy of the policy lives.
// Fails:   decide() does not; parse_policy() with invalid_argument that lists every fault with line and column.
#pragma once

#include "tiering/policy/attributes.h"
#include "tiering/policy/schema.h"

#include <hearth/result.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::policy {

inline constexpr std::size_t max_policy_bytes = 256U << 10;
inline constexpr std::size_t max_rules = 1000;
inline constexpr std::size_t max_quotas = 64;

// What is asked about. Views need to live only during the call.
struct Subject {
  std::string_view path;  // absolute, in the namespace
  std::uint64_t length_bytes = 0;
  std::uint32_t uid = 0;
  std::string_view user{};    // name of the owner, where nobody resolved the names of the policy (Policy::with_users)
  std::string_view tenant{};  // of the reader, where it is known
  Pattern pattern = Pattern::any;  // any: not known yet
  struct Range {
    std::uint64_t offset_bytes = 0;
    std::uint64_t length_bytes = 0;
  };
  // The page in question. Without it the question is about the file: a rule for the first or last bytes then matches
  // only a file that is no longer than these.
  std::optional<Range> range{};
};

// Quotas by index in the file, to be handed to the ledger (quota.h).
struct QuotaSet {
  std::uint64_t bits = 0;
  constexpr bool has(std::size_t index) const { return (bits >> index & 1) != 0; }
  constexpr void add(std::size_t index) { bits |= std::uint64_t{1} << index; }
  constexpr bool empty() const { return bits == 0; }
  bool operator==(const QuotaSet&) const = default;
};

struct Source {
  enum class Kind : std::uint8_t { built_in, defaults, rule };
  Kind kind = Kind::built_in;
  std::uint32_t line = 0;   // of the key in the file; 0 for built-in
  std::string_view rule{};  // the rule's name; "[defaults]", "built-in"
};

inline constexpr std::uint32_t no_rule = 0xFFFFFFFF;

struct Decision {
  Attributes values;
  std::array<Source, attribute_count> sources;
  QuotaSet quotas;                     // every quota that the file counts for
  std::uint32_t first_rule = no_rule;  // index of the first rule that matched: whom reports count the read for
  const Source& source(Attribute attribute) const { return sources[static_cast<std::size_t>(attribute)]; }
};

struct RuleName {
  std::string name;
  std::uint32_t line = 0;
};

// Whom a name in `owner` means.
struct UserId {
  std::string name;
  std::uint32_t uid = 0;
};

class Policy {
 public:
  struct Body;
  Policy();  // no rules: the built-in defaults
  explicit Policy(std::shared_ptr<const Body> body) : body_(std::move(body)) {}

  // About a microsecond for 50 rules; allocates nothing.
  Decision decide(const Subject& subject) const;

  // The names of owners in the rules, each once: to be resolved in one place, so that every process decides alike.
  std::vector<std::string> user_names() const;
  // The same policy, in which these names mean these users. A name that nobody resolved matches Subject::user only.
  Policy with_users(std::span<const UserId> users) const;

  std::span<const RuleName> rules() const;
  std::span<const Quota> quotas() const;
  const TierSettings& memory() const;
  const TierSettings& nvme() const;

 private:
  std::shared_ptr<const Body> body_;  // shared: copies of a policy, and decisions under way, outlive its replacement
};

struct Diagnostic {
  enum class Severity : std::uint8_t { error, warning };
  Severity severity = Severity::error;
  std::uint32_t line = 0;  // from 1
  std::uint32_t column = 0;
  std::string reason;
};
// "policy.toml:3:7: error: ...".
std::string to_string(const Diagnostic& diagnostic, std::string_view name);

struct Checked {
  std::optional<Policy> policy;          // when there are no errors
  std::vector<Diagnostic> diagnostics;   // in the order of the file
};
// Everything that is wrong with a text, and what is suspicious: contradictions, and rules that can never decide.
Checked check_policy(std::string_view text);
// Warnings do not fail. `name` stands for the file in messages.
Result<Policy> parse_policy(std::string_view text, std::string_view name);

// ---- for people

struct ExplainedAttribute {
  std::string_view attribute;
  std::string value;  // as in a file, without quotes: "auto", "{ reads = 2, within = 10m }"
  Source source;
};
// In the order of Attribute.
std::vector<ExplainedAttribute> explain(const Decision& decision);
// docs/reference/policy.md.
std::string policy_reference_markdown();

}  // namespace hearth::policy

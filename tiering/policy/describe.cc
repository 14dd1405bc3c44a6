// What people read of a policy: explanations of decisions, and the reference.
#include "tiering/policy/policy.h"
#include "tiering/policy/rows.h"

namespace hearth::policy {
namespace {

std::string without_quotes(const std::string& toml) {
  const bool quoted = toml.size() >= 2 && toml.front() == '"' && toml.back() == '"';
  return quoted ? toml.substr(1, toml.size() - 2) : toml;
}

std::string_view outer(std::string_view key) { return key.substr(0, key.find('.')); }

std::string type_of(const ConfigField& row) {
  if (row.allowed.empty()) return row.type;
  return row.type == "one of" ? "one of `" + row.allowed + "`" : row.type + ": " + row.allowed;
}

std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

enum class Defaults : std::uint8_t { shown, hidden };

template <class T>
std::string table(T target, Defaults defaults) {
  std::string out = defaults == Defaults::shown ? "| Key | Default | Type | Meaning |\n|---|---|---|---|\n"
                                                : "| Key | Type | Meaning |\n|---|---|---|\n";
  for (const ConfigField& row : rows_of(target)) {
    out += "| `" + row.key + "` | ";
    if (defaults == Defaults::shown) out += "`" + row.default_text + "` | ";
    out += cell(type_of(row)) + " | " + cell(row.help) + " |\n";
  }
  return out;
}

struct RuleOnly {
  std::string name;
  Match match;
  template <class V>
  void describe(V& v) {
    v.field("name", name, {.help = "What `explain` and reports call it; unique."});
    match.describe(v);
  }
};

constexpr std::string_view reference_head = R"(# The policy file

Generated from the source; do not edit. What tiers and policies are: [tiers and policy](../concepts/tiers-and-policy.md).

```toml
[defaults]                       # attributes of what no rule decides
admission = "always"

[[rule]]                         # any number, asked in this order
name = "footers"
path = "/lake/**"                # what it matches
suffix = [".parquet", ".orc"]
last_bytes = "64KiB"
tier = "memory"                  # what it sets
admission = "always"

[[quota]]
name = "scratch"
path = "/scratch/**"
nvme_max = "20%"

[tier.memory]
eviction = "s3-fifo"
```

**The decision.** Rules are asked in the order of the file. For each attribute, the first rule that matches *and sets that
attribute* wins. What no matching rule sets comes from `[defaults]`; what that does not set is the built-in default. A rule
that sets only `ttl` leaves everything else to the rules after it. `promote_after` and `pin` are one attribute each: who sets one
part sets the whole.

**Units.** Sizes and durations always carry a unit (`64MiB`, `10m`); shares are percentages of a tier's capacity on each worker
or sizes. A key that is not listed here is an error.

**Limits.** 256 KiB of text, 1000 rules, 64 quotas, patterns of 1024 bytes whose braces stand for at most 256 patterns each.
)";

constexpr std::string_view glob_help = R"(
## Patterns

| Pattern | Matches |
|---|---|
| `*` | any bytes within one component, also none, also a leading dot |
| `?` | one byte other than `/` |
| `[a-c_]`, `[!0-9]` | one of these bytes; one that is none of these |
| `{a,b/c}` | one of these patterns; may be nested |
| `**` | alone between slashes: any number of components, also none; at the end: everything below |
| `\x` | the byte `x` itself |

Patterns match whole paths of the namespace, byte by byte, and begin with `/` or `**`: `/data/**` is everything below `/data`,
`**/*.parquet` every name that ends so.
)";

}  // namespace

std::vector<ExplainedAttribute> explain(const Decision& decision) {
  std::vector<ExplainedAttribute> out;
  Attributes values = decision.values;
  for (const ConfigField& row : rows_of(values)) {
    const std::string_view name = outer(row.key);
    if (out.empty() || out.back().attribute != name) {
      // The row's key dies with the rows; the table of names does not.
      out.push_back({.attribute = attribute_names[out.size()], .value = {}, .source = decision.sources[out.size()]});
    }
    std::string& text = out.back().value;
    const std::string value = without_quotes(row.get());
    if (name.size() == row.key.size()) {
      text = value;
    } else {
      if (!text.empty()) text.resize(text.size() - 2);
      text += (text.empty() ? "{ " : ", ") + row.key.substr(name.size() + 1) + " = " + value + " }";
    }
  }
  return out;
}

std::string policy_reference_markdown() {
  std::string out(reference_head);
  out += "\n## `[defaults]`, and what a `[[rule]]` sets\n\n" + table(Attributes{}, Defaults::shown);
  out += "\n## What a `[[rule]]` matches\n\nAll that are given must match; a rule without any matches every file.\n\n" +
         table(RuleOnly{}, Defaults::hidden);
  out += glob_help;
  out += "\n## `[[quota]]`\n\nA file counts for every quota that it matches, and none of them may be exceeded.\n\n" +
         table(Quota{}, Defaults::shown);
  out += "\n## `[tier.memory]` and `[tier.nvme]`\n\n" + table(TierSettings{}, Defaults::shown);
  return out;
}

}  // namespace hearth::policy

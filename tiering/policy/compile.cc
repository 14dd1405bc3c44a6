// From tables to what decide() runs: patterns, owners, and what a table may not say.
#include "tiering/policy/body.h"
#include "tiering/policy/draft.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace hearth::policy {
namespace {

constexpr std::size_t max_name_bytes = 64;
constexpr std::size_t max_alternatives = 20'000;  // of all patterns together; about 10 MiB

TomlPlace item_place(const Table& table, std::string_view key, std::size_t index) {
  const auto found = table.given.find(key);
  if (found == table.given.end() || index >= found->second.items_at.size()) return table.place(key);
  return found->second.items_at[index];
}

class Compiler {
 public:
  Compiler(const Draft& draft, Diagnostics& out) : draft_(draft), out_(out) {}

  std::shared_ptr<const Policy::Body> compile() {
    auto body = std::make_shared<Policy::Body>();
    add_defaults(*body);
    for (const RuleDraft& rule : draft_.rules) add_rule(rule, *body);
    for (const QuotaDraft& quota : draft_.quotas) add_quota(quota, *body);
    check_minima();
    check_tier(draft_.memory);
    check_tier(draft_.nvme);
    body->memory = draft_.memory.settings;
    body->nvme = draft_.nvme.settings;
    return body;
  }

 private:
  void add_defaults(Policy::Body& body) {
    check_attributes(draft_.defaults);
    for (Source& source : body.base.sources) source.rule = "built-in";
    const AttributeMask sets = draft_.defaults.sets();
    for (std::size_t i = 0; i < attribute_count; ++i) {
      const auto attribute = static_cast<Attribute>(i);
      if ((sets & mask_of(attribute)) == 0) continue;
      assign(body.base.values, draft_.defaults.values, attribute);
      body.base.sources[i] = {.kind = Source::Kind::defaults, .line = draft_.defaults.place_of(attribute).line, .rule = "[defaults]"};
    }
  }

  void add_rule(const RuleDraft& draft, Policy::Body& body) {
    check_name(draft, draft.name, "rule", rule_names_);
    check_attributes(draft);
    Rule rule;
    rule.sets = draft.sets();
    rule.values = draft.values;
    for (std::size_t i = 0; i < attribute_count; ++i) rule.lines[i] = draft.place_of(static_cast<Attribute>(i)).line;
    conditions(draft, rule.when);
    check_byte_range(draft);
    body.rules.push_back(std::move(rule));
    body.names.push_back({.name = draft.name, .line = draft.at.line});
  }

  void conditions(const RuleDraft& draft, Conditions& when) {
    const Match& match = draft.match;
    when.min_size_bytes = match.min_size.bytes;
    if (draft.has("max_size")) when.max_size_bytes = match.max_size.bytes;
    if (when.min_size_bytes > when.max_size_bytes) {
      report(out_, draft.place("max_size"), "max_size is below min_size, so the rule matches no file");
    }
    when.first_bytes = match.first_bytes.bytes;
    when.last_bytes = match.last_bytes.bytes;
    when.pattern = match.pattern;
    globs(draft, "path", match.path, when.paths);
    globs(draft, "not_path", match.not_path, when.not_paths);
    check_texts(draft, "suffix", match.suffix);
    check_texts(draft, "tenant", match.tenant);
    when.suffixes = match.suffix;
    when.tenants = match.tenant;
    owners(draft, when);
  }

  // Else it would quietly do nothing but for files that lie in the range whole.
  void check_byte_range(const RuleDraft& draft) {
    if (!draft.has("first_bytes") && !draft.has("last_bytes")) return;
    const std::string range = draft.has("last_bytes") ? "last_bytes" : "first_bytes";
    const AttributeMask sets = draft.sets() & decided_per_file;
    for (std::size_t i = 0; i < attribute_count; ++i) {
      const auto attribute = static_cast<Attribute>(i);
      if ((sets & mask_of(attribute)) == 0) continue;
      const std::string name(attribute_names[i]);
      report(out_, draft.place_of(attribute), name + " is decided for whole files, and a rule with " + range +
             " is about pages; set it in a rule without " + range + " (max_size takes small files)");
    }
  }

  void globs(const Table& table, std::string_view key, const std::vector<std::string>& texts, std::vector<Glob>& out) {
    check_texts(table, key, texts);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      Result<Glob> glob = Glob::compile(texts[i]);
      if (!glob) {
        report(out_, item_place(table, key, i), std::string(key) + ": " + glob.error().message());
        continue;
      }
      alternatives_ += glob->alternatives();
      if (alternatives_ > max_alternatives) {
        if (alternatives_ - glob->alternatives() <= max_alternatives) {
          report(out_, item_place(table, key, i), "the braces of all patterns together stand for more than 20000; write fewer");
        }
        continue;
      }
      out.push_back(std::move(*glob));
    }
  }

  // An empty list would match nothing, an empty name everything or nothing: neither is meant.
  void check_texts(const Table& table, std::string_view key, const std::vector<std::string>& texts) {
    if (table.has(key) && texts.empty()) {
      report(out_, table.place(key), std::string(key) + " is an empty list, so nothing matches; leave it out to match everything");
    }
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (texts[i].empty()) report(out_, item_place(table, key, i), std::string(key) + " has an empty text");
    }
  }

  void owners(const RuleDraft& draft, Conditions& when) {
    const std::vector<std::string>& texts = draft.match.owner;
    when.any_owner = texts.empty();
    check_texts(draft, "owner", texts);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::string& text = texts[i];
      if (text.find_first_not_of("0123456789") != std::string::npos) {
        when.users.push_back(text);
        continue;
      }
      std::uint32_t uid = 0;
      const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), uid);
      if (error != std::errc()) report(out_, item_place(draft, "owner", i), "owner '" + text + "' is no user id; they are below 4294967296");
      when.uids.push_back(uid);
    }
  }

  void check_name(const Table& table, const std::string& name, const std::string& what, std::set<std::string>& taken) {
    if (!table.has("name")) {
      report(out_, table.at, "this " + what + " has no name; give it one, such as name = \"footers\"");
      return;
    }
    const bool printable = std::all_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
    if (name.empty() || name.size() > max_name_bytes || !printable) {
      report(out_, table.place("name"), "a name has 1 to 64 bytes, and no control characters");
    } else if (!taken.insert(name).second) {
      report(out_, table.place("name"), "another " + what + " is named '" + name + "' already");
    }
  }

  void check_attributes(const AttributesDraft& draft) {
    if (draft.has("promote_after.reads") != draft.has("promote_after.within")) {
      report(out_, draft.place_of(Attribute::promote_after), "promote_after needs both reads and within, such as { reads = 2, within = \"10m\" }");
    }
    if (draft.has("pin.budget") && !draft.has("pin.tier")) {
      report(out_, draft.place_of(Attribute::pin), "pin needs a tier, such as { tier = \"nvme\", budget = \"10GiB\" }");
    }
    const bool empty_promotion = draft.has("promote_after") && !draft.has("promote_after.reads") && !draft.has("promote_after.within");
    const bool empty_pin = draft.has("pin") && !draft.has("pin.tier") && !draft.has("pin.budget");
    if (empty_promotion) report(out_, draft.place("promote_after"), "promote_after says nothing; write { reads = 2, within = \"10m\" }");
    if (empty_pin) report(out_, draft.place("pin"), "pin says nothing; write { tier = \"nvme\" }, or { tier = \"none\" }");
  }

  void add_quota(const QuotaDraft& draft, Policy::Body& body) {
    check_name(draft, draft.quota.name, "quota", quota_names_);
    const Quota& quota = draft.quota;
    if (!draft.has("path") && !draft.has("tenant")) {
      report(out_, draft.at, "a quota needs a path or a tenant; to bound everything, set the capacity of the tier");
    }
    QuotaConditions when;
    globs(draft, "path", quota.path, when.paths);
    check_texts(draft, "tenant", quota.tenant);
    when.tenants = quota.tenant;
    check_range(draft, "memory", quota.memory_min, quota.memory_max);
    check_range(draft, "nvme", quota.nvme_min, quota.nvme_max);
    body.quotas.push_back(quota);
    body.quota_conditions.push_back(std::move(when));
  }

  // A percentage and a size can only be compared where the capacity is known; the ledger takes the smaller one then.
  void check_range(const QuotaDraft& draft, const std::string& tier, const Share& min, const Share& max) {
    if (min.kind != max.kind) return;
    const bool backwards = min.kind == Share::Kind::percent ? min.percent > max.percent : min.bytes > max.bytes;
    if (backwards) report(out_, draft.place(tier + "_min"), tier + "_min is above " + tier + "_max");
  }

  void check_minima() {
    for (const bool memory : {true, false}) {
      std::uint64_t promised = 0;
      for (const QuotaDraft& draft : draft_.quotas) {
        const Share& min = memory ? draft.quota.memory_min : draft.quota.nvme_min;
        if (min.kind == Share::Kind::percent) promised += min.percent.hundredths;
        if (promised <= 10'000) continue;
        const std::string key = memory ? "memory_min" : "nvme_min";
        report(out_, draft.place(key), "the quotas up to this one promise more than 100% in " + key);
        break;
      }
    }
  }

  void check_tier(const TierDraft& draft) {
    if (draft.settings.low_watermark < draft.settings.high_watermark) return;
    report(out_, draft.place(draft.has("low_watermark") ? "low_watermark" : "high_watermark"),
           "low_watermark must be below high_watermark, or eviction would never end");
  }

  const Draft& draft_;
  Diagnostics& out_;
  std::set<std::string> rule_names_;
  std::set<std::string> quota_names_;
  std::size_t alternatives_ = 0;
};

}  // namespace

std::shared_ptr<const Policy::Body> compile(const Draft& draft, Diagnostics& out) { return Compiler(draft, out).compile(); }

}  // namespace hearth::policy

// From TOML to tables: which key belongs where, and whether it is one.
#include "tiering/policy/draft.h"

#include "common/nearest_name.h"
#include "tiering/policy/rows.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace hearth::policy {
namespace {

constexpr std::size_t max_diagnostics = 100;
constexpr std::array<std::string_view, 4> top_keys{"rule", "defaults", "quota", "tier"};
constexpr std::array<std::string_view, 2> tier_keys{"memory", "nvme"};

// "rule[12].path" -> 12 and "path". Nothing when `key` is not one of `array`'s tables or in one.
struct Place {
  std::size_t index = 0;
  std::string_view key;  // "" for the table itself
};
std::optional<Place> place_in(std::string_view key, std::string_view array) {
  if (!key.starts_with(array) || key.size() <= array.size() || key[array.size()] != '[') return std::nullopt;
  key.remove_prefix(array.size() + 1);
  Place place;
  const auto [stop, error] = std::from_chars(key.data(), key.data() + key.size(), place.index);
  if (error != std::errc() || stop == key.data() + key.size() || *stop != ']') return std::nullopt;
  key.remove_prefix(static_cast<std::size_t>(stop - key.data()) + 1);
  if (!key.empty() && key.front() != '.') return std::nullopt;
  place.key = key.empty() ? key : key.substr(1);
  return place;
}

std::string unknown_key(std::string_view key, const std::vector<std::string_view>& names) {
  const auto nearest = nearest_name(key, names);
  return "unknown key '" + std::string(key) + "'; " +
         (nearest ? "did you mean '" + std::string(*nearest) + "'?" : "no key is named like it; the policy reference lists them");
}

class Reader {
 public:
  explicit Reader(Diagnostics& out) : out_(out) {}

  Draft read(const std::vector<TomlEntry>& entries) {
    Draft draft;
    for (const TomlEntry& entry : entries) make_tables(draft, entry);
    defaults_ = rows_of(draft.defaults.values);
    memory_ = rows_of(draft.memory.settings);
    nvme_ = rows_of(draft.nvme.settings);
    for (const TomlEntry& entry : entries) take(draft, entry);
    return draft;
  }

 private:
  static TomlPlace at(const TomlEntry& entry) { return {.line = entry.line, .column = entry.column}; }

  void make_tables(Draft& draft, const TomlEntry& entry) {
    const auto rule = place_in(entry.key, "rule");
    if (rule && rule->key.empty() && rule->index == draft.rules.size()) {
      if (rule->index == max_rules) report(out_, at(entry), "a policy has at most 1000 rules");
      if (rule->index >= max_rules) return;
      RuleDraft& made = draft.rules.emplace_back();
      made.at = at(entry);
      RuleKeys keys{made.name, made.match, made.values};
      rules_.push_back(rows_of(keys));
    }
    const auto quota = place_in(entry.key, "quota");
    if (quota && quota->key.empty() && quota->index == draft.quotas.size()) {
      if (quota->index == max_quotas) report(out_, at(entry), "a policy has at most 64 quotas");
      if (quota->index >= max_quotas) return;
      QuotaDraft& made = draft.quotas.emplace_back();
      made.at = at(entry);
      quotas_.push_back(rows_of(made.quota));
    }
  }

  void take(Draft& draft, const TomlEntry& entry) {
    const std::string_view key = entry.key;
    const bool is_table = entry.value.kind == ConfigInput::Kind::table;
    const bool is_array = entry.value.kind == ConfigInput::Kind::other;
    if (const auto place = place_in(key, "rule"); place && place->index < max_rules) {
      take_in(entry, place->key, rules_[place->index], draft.rules[place->index]);
    } else if (const auto quota = place_in(key, "quota"); quota && quota->index < max_quotas) {
      take_in(entry, quota->key, quotas_[quota->index], draft.quotas[quota->index]);
    } else if (place || quota) {
      return;  // beyond the limit, which was reported
    } else if (key == "rule" || key == "quota") {
      if (!is_array) report(out_, at(entry), "'" + entry.key + "' is a list of tables: write [[" + entry.key + "]]");
    } else if (key == "defaults" || key == "tier" || key == "tier.memory" || key == "tier.nvme") {
      if (!is_table) report(out_, at(entry), "'" + entry.key + "' is a table: write [" + (key == "tier" ? "tier.memory" : entry.key) + "]");
      if (key == "defaults") draft.defaults.at = at(entry);
      if (key == "tier.memory") draft.memory.at = at(entry);
      if (key == "tier.nvme") draft.nvme.at = at(entry);
    } else if (key.starts_with("defaults.")) {
      take_in(entry, key.substr(9), defaults_, draft.defaults);
    } else if (key.starts_with("tier.memory.")) {
      take_in(entry, key.substr(12), memory_, draft.memory);
    } else if (key.starts_with("tier.nvme.")) {
      take_in(entry, key.substr(10), nvme_, draft.nvme);
    } else {
      unknown_above(entry);
    }
  }

  void unknown_above(const TomlEntry& entry) {
    const std::string_view key = entry.key;
    if (key.starts_with("tier.") && key.find('.', 5) == std::string_view::npos) {
      report(out_, at(entry), unknown_key(key.substr(5), {tier_keys.begin(), tier_keys.end()}) + " Tiers are memory and nvme");
    } else if (key.find('.') == std::string_view::npos && key.find('[') == std::string_view::npos) {
      report(out_, at(entry), unknown_key(key, {top_keys.begin(), top_keys.end()}));
    }  // else: in a table that was reported
  }

  void take_in(const TomlEntry& entry, std::string_view key, Rows& rows, Table& table) {
    if (key.empty()) return;
    const std::string_view outer = key.substr(0, key.find('['));
    if (outer.size() != key.size() && table.given.contains(outer)) return;  // in a list that was reported
    table.given.emplace(key, entry);
    const auto row = std::find_if(rows.begin(), rows.end(), [key](const ConfigField& each) { return each.key == key; });
    if (row != rows.end()) {
      set(*row, entry);
      return;
    }
    const std::string inner = std::string(key) + ".";
    const auto part = std::find_if(rows.begin(), rows.end(), [&](const ConfigField& each) { return each.key.starts_with(inner); });
    if (part != rows.end()) {
      if (entry.value.kind == ConfigInput::Kind::table) return;
      report(out_, at(entry), std::string(key) + " has parts: write " + std::string(key) + " = { " +
                                  part->key.substr(inner.size()) + " = " + part->default_text + ", ... }");
      return;
    }
    unknown_in(entry, key, rows, table);
  }

  void unknown_in(const TomlEntry& entry, std::string_view key, const Rows& rows, const Table& table) {
    const std::size_t dot = key.find('.');
    if (dot != std::string_view::npos && table.given.contains(key.substr(0, dot))) {
      const bool known_outer = std::any_of(rows.begin(), rows.end(), [&](const ConfigField& each) {
        return each.key.starts_with(key.substr(0, dot + 1));
      });
      if (!known_outer) return;  // in a table that was reported
    }
    std::vector<std::string_view> names;
    for (const ConfigField& row : rows) names.push_back(row.key);
    report(out_, at(entry), unknown_key(key, names));
  }

  void set(ConfigField& row, const TomlEntry& entry) {
    using Kind = ConfigInput::Kind;
    ConfigInput input = entry.value;
    const bool is_list = row.type == "list of strings";
    if (is_list && input.kind == Kind::string) {
      input.kind = Kind::list;
      input.items = {input.text};
    }
    if (is_list && input.kind != Kind::list) {
      report(out_, at(entry), row.key + " wants a string or a list of strings; write each between quotes");
      return;
    }
    const Status status = row.set(input);
    if (!status) report(out_, at(entry), row.key + " " + status.error().message());
  }

  Diagnostics& out_;
  std::deque<Rows> rules_;
  std::deque<Rows> quotas_;
  Rows defaults_;
  Rows memory_;
  Rows nvme_;
};

}  // namespace

TomlPlace Table::place(std::string_view key) const {
  const auto found = given.find(key);
  return found == given.end() ? at : TomlPlace{.line = found->second.line, .column = found->second.column};
}

AttributeMask AttributesDraft::sets() const {
  AttributeMask mask = 0;
  for (const auto& [key, entry] : given) {
    const auto name = std::find(attribute_names.begin(), attribute_names.end(), std::string_view(key).substr(0, key.find('.')));
    if (name != attribute_names.end()) mask |= mask_of(static_cast<Attribute>(name - attribute_names.begin()));
  }
  return mask;
}

TomlPlace AttributesDraft::place_of(Attribute attribute) const {
  const std::string_view name = attribute_names[static_cast<std::size_t>(attribute)];
  for (const auto& [key, entry] : given) {  // the attribute itself, or its first part
    if (key == name || key.starts_with(std::string(name) + ".")) return {.line = entry.line, .column = entry.column};
  }
  return at;
}

void report(Diagnostics& out, TomlPlace at, std::string reason, Diagnostic::Severity severity) {
  if (out.size() >= max_diagnostics) return;
  out.push_back({.severity = severity, .line = std::max(at.line, 1U), .column = std::max(at.column, 1U), .reason = std::move(reason)});
}

Draft read_draft(std::string_view text, Diagnostics& out) {
  std::vector<TomlEntry> entries;
  if (text.size() > max_policy_bytes) {
    report(out, {}, "a policy has at most 256 KiB; is this the right file?");
  } else if (auto fault = read_toml_tables(text, entries)) {
    report(out, fault->at, std::move(fault->reason));
    entries.clear();
  }
  return Reader(out).read(entries);
}

}  // namespace hearth::policy

// A policy file as read, before it is compiled: tables with the places of their keys. Private to this folder.
//
// Threads: one text, one thread.
#pragma once

#include "common/config_field.h"
#include "common/config_toml.h"
#include "tiering/policy/policy.h"

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::policy {

// What a table's describe() says, as rows that read and write it; see rows.h. It must not move while they are used.
using Rows = std::vector<ConfigField>;  // keys are those of the table: "tier", "promote_after.reads"

struct Table {
  TomlPlace at;
  std::map<std::string, TomlEntry, std::less<>> given;  // keys that the file has

  bool has(std::string_view key) const { return given.contains(key); }
  TomlPlace place(std::string_view key) const;  // of the key; of the table when it is absent
};

struct AttributesDraft : Table {
  Attributes values;
  AttributeMask sets() const;
  TomlPlace place_of(Attribute attribute) const;
};

struct RuleDraft : AttributesDraft {
  std::string name;
  Match match;
};

struct QuotaDraft : Table {
  Quota quota;
};

struct TierDraft : Table {
  TierSettings settings;
};

struct Draft {
  std::deque<RuleDraft> rules;  // deques: rows point into the elements
  std::deque<QuotaDraft> quotas;
  AttributesDraft defaults;
  TierDraft memory;
  TierDraft nvme;
};

using Diagnostics = std::vector<Diagnostic>;
void report(Diagnostics& out, TomlPlace at, std::string reason, Diagnostic::Severity severity = Diagnostic::Severity::error);

Draft read_draft(std::string_view text, Diagnostics& out);
// What a compiled policy could not hold. Reports errors only.
std::shared_ptr<const Policy::Body> compile(const Draft& draft, Diagnostics& out);
// Contradictions and rules that never decide, as warnings.
void find_doubtful(const Draft& draft, const Policy::Body& compiled, Diagnostics& out);

}  // namespace hearth::policy

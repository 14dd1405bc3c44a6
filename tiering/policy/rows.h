// describe() of a table as rows. Private to this folder.
#pragma once

#include "common/config_binder.h"
#include "tiering/policy/draft.h"

namespace hearth::policy {

// All keys of a [[rule]]: what it is called, what it matches, what it sets.
struct RuleKeys {
  std::string& name;
  Match& match;
  Attributes& values;
  template <class V>
  void describe(V& v) {
    v.field("name", name, {.help = "What `explain` and reports call it; unique."});
    match.describe(v);
    values.describe(v);
  }
};

template <class T>
Rows rows_of(T& target) {
  constexpr std::string_view prefix = "table.";
  Rows rows;
  std::vector<ConfigSection> sections;
  std::vector<ConfigValidator> validators;
  ConfigBinder(rows, sections, validators).section("table", target);
  for (ConfigField& row : rows) row.key.erase(0, prefix.size());
  return rows;
}

}  // namespace hearth::policy

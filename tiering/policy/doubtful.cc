// What a policy says that its author probably did not mean. Warnings only; each is certain, and not all are found.
#include "tiering/policy/body.h"
#include "tiering/policy/draft.h"

#include <algorithm>
#include <bit>

namespace hearth::policy {
namespace {

bool all_in(const std::vector<std::string>& some, const std::vector<std::string>& all) {
  return std::all_of(some.begin(), some.end(), [&](const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  });
}

bool paths_cover(const std::vector<Glob>& wide, const std::vector<Glob>& narrow) {
  if (wide.empty()) return true;
  return !narrow.empty() && std::all_of(narrow.begin(), narrow.end(), [&](const Glob& one) {
    return std::any_of(wide.begin(), wide.end(), [&](const Glob& other) { return other.covers(one); });
  });
}

// Whether `narrow` matches only what `wide` matches. "No" may be wrong.
bool covers(const Conditions& wide, const Conditions& narrow) {
  if (wide.min_size_bytes > narrow.min_size_bytes || wide.max_size_bytes < narrow.max_size_bytes) return false;
  if (wide.pattern != Pattern::any && wide.pattern != narrow.pattern) return false;
  const bool whole = wide.first_bytes == 0 && wide.last_bytes == 0;
  if (!whole && (wide.first_bytes != narrow.first_bytes || wide.last_bytes != narrow.last_bytes)) return false;
  if (!wide.any_owner) {
    const bool uids = std::all_of(narrow.uids.begin(), narrow.uids.end(), [&](std::uint32_t uid) {
      return std::find(wide.uids.begin(), wide.uids.end(), uid) != wide.uids.end();
    });
    if (narrow.any_owner || !uids || !all_in(narrow.users, wide.users)) return false;
  }
  if (!wide.tenants.empty() && (narrow.tenants.empty() || !all_in(narrow.tenants, wide.tenants))) return false;
  const auto ends_alike = [&](const std::string& suffix) {
    return std::any_of(wide.suffixes.begin(), wide.suffixes.end(), [&](const std::string& end) { return suffix.ends_with(end); });
  };
  if (!wide.suffixes.empty() &&
      (narrow.suffixes.empty() || !std::all_of(narrow.suffixes.begin(), narrow.suffixes.end(), ends_alike))) {
    return false;
  }
  const bool excludes_alike = std::all_of(wide.not_paths.begin(), wide.not_paths.end(), [&](const Glob& out) {
    return std::any_of(narrow.not_paths.begin(), narrow.not_paths.end(), [&](const Glob& other) { return other.covers(out); });
  });
  return excludes_alike && paths_cover(wide.paths, narrow.paths);
}

std::string quoted(const std::string& name) { return "'" + name + "'"; }

std::string list_of(AttributeMask mask) {
  std::string out;
  for (; mask != 0; mask &= static_cast<AttributeMask>(mask - 1)) {
    const auto index = static_cast<std::size_t>(std::countr_zero(mask));
    out += (out.empty() ? "" : ", ") + std::string(attribute_names[index]);
  }
  return out;
}

class Doubts {
 public:
  Doubts(const Draft& draft, const Policy::Body& body, Diagnostics& out) : draft_(draft), body_(body), out_(out) {}

  void find() {
    contradictions(draft_.defaults, "[defaults]");
    if (draft_.defaults.values.pin.tier != Pin::Where::none) {
      warn(draft_.defaults.place_of(Attribute::pin), "[defaults] pins every file, so nothing can make room; pin in a rule");
    }
    for (std::size_t i = 0; i < body_.rules.size(); ++i) {
      const RuleDraft& draft = draft_.rules[i];
      contradictions(draft, "rule " + quoted(draft.name));
      if (body_.rules[i].sets == 0) warn(draft.at, "rule " + quoted(draft.name) + " sets no attribute, so it changes nothing");
      if (!body_.rules[i].when.not_paths.empty() && excludes_itself(body_.rules[i].when)) {
        warn(draft.place("not_path"), "not_path excludes all that path names, so the rule matches no file");
      }
      shadows(i);
    }
  }

 private:
  void warn(TomlPlace at, std::string reason) { report(out_, at, std::move(reason), Diagnostic::Severity::warning); }

  static bool excludes_itself(const Conditions& when) { return !when.paths.empty() && paths_cover(when.not_paths, when.paths); }

  // Each attribute that earlier rules decide for everything this one matches.
  void shadows(std::size_t index) {
    const Rule& rule = body_.rules[index];
    AttributeMask open = rule.sets;
    std::string deciders;
    for (std::size_t i = 0; i < index && open != 0; ++i) {
      const Rule& earlier = body_.rules[i];
      const auto taken = static_cast<AttributeMask>(earlier.sets & open);
      if (taken == 0 || !covers(earlier.when, rule.when)) continue;
      open &= static_cast<AttributeMask>(~taken);
      deciders += (deciders.empty() ? "" : " and ") + std::string("rule ") + quoted(body_.names[i].name) + " (line " +
                  std::to_string(body_.names[i].line) + ")";
    }
    if (open == rule.sets) return;
    const RuleDraft& draft = draft_.rules[index];
    const std::string name = "rule " + quoted(draft.name);
    if (open == 0) {
      warn(draft.at, name + " never decides anything: " + deciders + " matches all it matches and sets " + list_of(rule.sets) + " first; move it up");
      return;
    }
    const auto taken = static_cast<AttributeMask>(rule.sets & ~open);
    const auto first = static_cast<Attribute>(std::countr_zero(taken));
    warn(draft.place_of(first), list_of(taken) + " of " + name + " is never used: " + deciders + " matches all it matches and sets it first");
  }

  void contradictions(const AttributesDraft& draft, const std::string& who) {
    const Attributes& values = draft.values;
    const AttributeMask sets = draft.sets();
    const auto both = [sets](Attribute a, Attribute b) { return (sets & mask_of(a)) != 0 && (sets & mask_of(b)) != 0; };
    const bool never = values.admission == AdmissionRule::never;
    const bool pins = values.pin.tier != Pin::Where::none;
    const auto say = [&](Attribute at, const std::string& what) { warn(draft.place_of(at), who + " " + what); };
    if (both(Attribute::admission, Attribute::pin) && never && pins) {
      say(Attribute::pin, "pins data that admission = \"never\" keeps out");
    }
    if (both(Attribute::admission, Attribute::prefetch) && never && values.prefetch.what != Prefetch::What::none) {
      say(Attribute::prefetch, "fetches ahead what admission = \"never\" does not keep");
    }
    if (both(Attribute::tier, Attribute::pin) && ((values.tier == TierChoice::memory && values.pin.tier == Pin::Where::nvme) ||
                                                  (values.tier == TierChoice::nvme && values.pin.tier == Pin::Where::memory))) {
      say(Attribute::pin, "pins to a tier that its `tier` excludes");
    }
    if (both(Attribute::tier, Attribute::promote_after) && values.tier != TierChoice::automatic && values.promote_after.reads != 0) {
      say(Attribute::promote_after, "promotes, but its `tier` leaves nothing to move; only tier = \"auto\" moves");
    }
    if (both(Attribute::tier, Attribute::demote_after_idle) && values.tier != TierChoice::automatic && values.demote_after_idle.count() != 0) {
      say(Attribute::demote_after_idle, "demotes, but its `tier` leaves nothing to move; only tier = \"auto\" moves");
    }
    if (both(Attribute::pin, Attribute::demote_after_idle) && values.pin.tier == Pin::Where::memory && values.demote_after_idle.count() != 0) {
      say(Attribute::demote_after_idle, "demotes what it pins to memory");
    }
    if (both(Attribute::pin, Attribute::ttl) && pins && values.ttl.count() != 0 && values.ttl_action == TtlAction::free) {
      say(Attribute::ttl, "pins data and frees it at the end of its ttl; the ttl wins");
    }
    if ((sets & mask_of(Attribute::ttl_action)) != 0 && (sets & mask_of(Attribute::ttl)) == 0 && who != "[defaults]") {
      say(Attribute::ttl_action, "sets ttl_action without ttl; the ttl then comes from a later rule");
    }
    if (both(Attribute::write_mode, Attribute::replicas) && values.write_mode == WriteMode::scratch && values.replicas > 1) {
      say(Attribute::replicas, "asks for replicas of scratch data, which is kept once, in memory");
    }
  }

  const Draft& draft_;
  const Policy::Body& body_;
  Diagnostics& out_;
};

}  // namespace

void find_doubtful(const Draft& draft, const Policy::Body& compiled, Diagnostics& out) { Doubts(draft, compiled, out).find(); }

}  // namespace hearth::policy

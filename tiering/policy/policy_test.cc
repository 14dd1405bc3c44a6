// What policy files say: faults with their places, precedence, conditions, doubts.
#include "tiering/policy/policy.h"

#include <gtest/gtest.h>

namespace hearth::policy {
namespace {

using namespace std::chrono_literals;

Policy parsed(const std::string& text) {
  Result<Policy> policy = parse_policy(text, "p.toml");
  EXPECT_TRUE(policy) << policy.error().message();
  return policy ? *policy : Policy();
}

// "line:column severity reason" of each.
std::vector<std::string> diagnostics(const std::string& text) {
  std::vector<std::string> out;
  for (const Diagnostic& one : check_policy(text).diagnostics) out.push_back(to_string(one, "p"));
  return out;
}

std::string shown(const Decision& decision, Attribute attribute) {
  const ExplainedAttribute row = explain(decision)[static_cast<std::size_t>(attribute)];
  return row.value + " by " + std::string(row.source.rule) + ":" + std::to_string(row.source.line);
}

// ---- decisions

TEST(Policy, WithoutRulesDecidesTheBuiltInDefaults) {
  const Policy empty;
  const Decision decision = empty.decide({.path = "/a"});
  EXPECT_EQ(shown(decision, Attribute::tier), "auto by built-in:0");
  EXPECT_EQ(shown(decision, Attribute::promote_after), "{ reads = 2, within = 10m } by built-in:0");
  EXPECT_EQ(shown(decision, Attribute::prefetch), "window 16MiB by built-in:0");
  EXPECT_EQ(decision.first_rule, no_rule);
  EXPECT_TRUE(decision.quotas.empty());
  EXPECT_EQ(shown(parsed("").decide({.path = "/a"}), Attribute::qos_class), "batch by built-in:0");
}

constexpr const char* layered = R"([defaults]
admission = "second-read"
ttl = "7d"

[[rule]]
name = "hot"
path = "/data/hot/**"
ttl = "1h"

[[rule]]
name = "data"
path = "/data/**"
ttl = "2d"
tier = "nvme"
pin = { tier = "nvme", budget = "10GiB" }
)";

TEST(Policy, TheFirstMatchingRuleThatSetsAnAttributeDecidesIt) {
  const Policy policy = parsed(layered);
  const Decision hot = policy.decide({.path = "/data/hot/a"});
  EXPECT_EQ(shown(hot, Attribute::ttl), "1h by hot:8");
  EXPECT_EQ(shown(hot, Attribute::tier), "nvme by data:14") << "what the first leaves open, a later one decides";
  EXPECT_EQ(shown(hot, Attribute::pin), "{ tier = nvme, budget = 10GiB } by data:15");
  EXPECT_EQ(shown(hot, Attribute::admission), "second-read by [defaults]:2");
  EXPECT_EQ(shown(hot, Attribute::replicas), "1 by built-in:0");
  EXPECT_EQ(policy.rules()[hot.first_rule].name, "hot");
  const Decision cold = policy.decide({.path = "/data/b"});
  EXPECT_EQ(shown(cold, Attribute::ttl), "2d by data:13");
  EXPECT_EQ(policy.rules()[cold.first_rule].line, 10u);
  EXPECT_EQ(shown(policy.decide({.path = "/other"}), Attribute::ttl), "7d by [defaults]:3");
}

TEST(Policy, EveryAttributeCanBeSetAndIsExplainedAsWritten) {
  const Policy policy = parsed(R"([[rule]]
name = "all"
tier = "memory"
admission = "never"
promote_after = { reads = 3, within = "90s" }
demote_after_idle = "1h"
unit = "file"
pin = { tier = "memory" }
ttl = "1d"
ttl_action = "expire"
replicas = 2
prefetch = "footer 64KiB"
write_mode = "around"
class = "interactive"
)");
  const Decision decision = policy.decide({.path = "/x"});
  const std::vector<std::string> values{"memory", "never", "{ reads = 3, within = 90s }", "1h", "file",
                                        "{ tier = memory, budget = 0B }", "1d", "expire", "2", "footer 64KiB", "around", "interactive"};
  const std::vector<ExplainedAttribute> rows = explain(decision);
  ASSERT_EQ(rows.size(), attribute_count);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].attribute, attribute_names[i]);
    EXPECT_EQ(rows[i].value, values[i]) << rows[i].attribute;
    EXPECT_EQ(rows[i].source.line, i + 3) << rows[i].attribute;
  }
  EXPECT_EQ(decision.values.promote_after.within, 90s);
  EXPECT_EQ(decision.values.qos_class.view(), "interactive");
}

std::string rule_with(const std::string& conditions) { return "[[rule]]\nname = \"r\"\n" + conditions + "\nclass = \"taken\"\n"; }

bool takes(const Policy& policy, const Subject& subject) { return policy.decide(subject).values.qos_class.view() == "taken"; }

TEST(Policy, SizesIncludeTheirEnds) {
  const Policy policy = parsed(rule_with("min_size = \"10B\"\nmax_size = \"20B\""));
  for (const auto& [length, expected] : std::vector<std::pair<std::uint64_t, bool>>{{9, false}, {10, true}, {20, true}, {21, false}}) {
    EXPECT_EQ(takes(policy, {.path = "/a", .length_bytes = length}), expected) << length;
  }
  EXPECT_TRUE(takes(parsed(rule_with("min_size = \"1B\"")), {.path = "/a", .length_bytes = UINT64_MAX}));
  const Policy empty_files = parsed(rule_with("max_size = \"0B\""));
  EXPECT_TRUE(takes(empty_files, {.path = "/a"}));
  EXPECT_FALSE(takes(empty_files, {.path = "/a", .length_bytes = 1}));
}

TEST(Policy, PathSuffixOwnerTenantAndPatternMustAllMatch) {
  const Policy policy = parsed(rule_with(R"(path = ["/a/**", "/b/*"]
not_path = "/a/no/**"
suffix = ".x"
owner = ["7", "alice"]
tenant = "ml"
pattern = "sequential")"));
  const Subject good{.path = "/a/q/f.x", .uid = 7, .tenant = "ml", .pattern = Pattern::sequential};
  EXPECT_TRUE(takes(policy, good));
  const auto with = [&](auto change) {
    Subject other = good;
    change(other);
    return takes(policy, other);
  };
  EXPECT_TRUE(with([](Subject& s) { s.path = "/b/f.x"; }));
  EXPECT_FALSE(with([](Subject& s) { s.path = "/b/c/f.x"; }));
  EXPECT_FALSE(with([](Subject& s) { s.path = "/a/no/f.x"; }));
  EXPECT_FALSE(with([](Subject& s) { s.path = "/a/f.y"; }));
  EXPECT_FALSE(with([](Subject& s) { s.uid = 8; }));
  EXPECT_TRUE(with([](Subject& s) { s.uid = 8, s.user = "alice"; }));
  EXPECT_FALSE(with([](Subject& s) { s.tenant = "bi"; }));
  EXPECT_FALSE(with([](Subject& s) { s.pattern = Pattern::any; })) << "not known yet is not sequential";
}

TEST(Policy, NamesOfOwnersMeanWhomTheyAreSaidToMean) {
  const Policy policy = parsed(rule_with(R"(owner = ["alice", "7", "bob"])") + "[[rule]]\nname = \"s\"\nowner = \"alice\"\nttl = \"1d\"\n");
  EXPECT_EQ(policy.user_names(), (std::vector<std::string>{"alice", "bob"}));
  EXPECT_FALSE(takes(policy, {.path = "/a", .uid = 1001})) << "nobody said who alice is";
  const std::vector<UserId> users{{.name = "alice", .uid = 1001}, {.name = "carol", .uid = 1003}};
  const Policy known = policy.with_users(users);
  EXPECT_TRUE(takes(known, {.path = "/a", .uid = 1001}));
  EXPECT_TRUE(takes(known, {.path = "/a", .uid = 7}));
  EXPECT_FALSE(takes(known, {.path = "/a", .uid = 1003}));
  EXPECT_TRUE(takes(known, {.path = "/a", .uid = 5, .user = "bob"})) << "nobody said who bob is, and somebody knows the name";
  EXPECT_EQ(known.decide({.path = "/a", .uid = 1001}).source(Attribute::ttl).rule, "s");
  EXPECT_FALSE(takes(policy, {.path = "/a", .uid = 1001})) << "the other copy is as it was";
}

TEST(Policy, ByteRangesTakeThePagesThatTouchThem) {
  const Policy policy = parsed(rule_with("first_bytes = \"10B\"\nlast_bytes = \"100B\""));
  const auto page = [&](std::uint64_t offset, std::uint64_t length) {
    return takes(policy, {.path = "/a", .length_bytes = 1000, .range = Subject::Range{offset, length}});
  };
  EXPECT_TRUE(page(0, 1));
  EXPECT_TRUE(page(9, 1));
  EXPECT_FALSE(page(10, 890));
  EXPECT_TRUE(page(10, 891));
  EXPECT_TRUE(page(999, 1));
  EXPECT_TRUE(page(10, UINT64_MAX)) << "no overflow";
  EXPECT_FALSE(takes(policy, {.path = "/a", .length_bytes = 1000})) << "the file as a whole is not its ends";
  EXPECT_TRUE(takes(policy, {.path = "/a", .length_bytes = 100})) << "a file that is no longer than the range lies in it";
}

TEST(Policy, AFileCountsForEveryQuotaItMatches) {
  const Policy policy = parsed(R"([[quota]]
name = "scratch"
path = "/scratch/**"
nvme_max = "20%"
[[quota]]
name = "ml"
tenant = ["ml"]
memory_min = "10GiB"
[[quota]]
name = "both"
path = "/scratch/**"
tenant = "bi"
)");
  EXPECT_EQ(policy.decide({.path = "/scratch/a", .tenant = "ml"}).quotas.bits, 0b011u);
  EXPECT_EQ(policy.decide({.path = "/scratch/a", .tenant = "bi"}).quotas.bits, 0b101u);
  EXPECT_EQ(policy.decide({.path = "/a", .tenant = "ml"}).quotas.bits, 0b010u);
  EXPECT_EQ(policy.quotas()[1].memory_min.of(1), 10ULL << 30);
  EXPECT_EQ(policy.quotas()[0].nvme_max.of(1000), 200u);
}

TEST(Policy, TiersHaveTheirSettings) {
  const Policy policy = parsed("[tier.memory]\neviction = \"w-tinylfu\"\nhigh_watermark = \"97.5%\"\n[tier.nvme]\neviction = \"lru\"\n");
  EXPECT_EQ(policy.memory().eviction, Eviction::w_tinylfu);
  EXPECT_EQ(policy.memory().high_watermark.of(1000), 975u);
  EXPECT_EQ(policy.memory().low_watermark.hundredths, 9000u);
  EXPECT_EQ(policy.nvme().eviction, Eviction::lru);
}

// ---- faults

TEST(PolicyFaults, SayLineColumnAndReason) {
  struct Case {
    std::string text;
    std::string says;
  };
  const std::vector<Case> cases{
      {"[[rule]\n", "p:1:8: error: not valid TOML"},
      {"[[rule]]\nname = \"a\"\ntire = \"memory\"\n", "p:3:1: error: unknown key 'tire'; did you mean 'tier'?"},
      {"[[rule]]\nname = \"a\"\npin = { teir = \"memory\" }\n", "p:3:9: error: unknown key 'pin.teir'; did you mean 'pin.tier'?"},
      {"[[rules]]\nname = \"a\"\n", "p:1:3: error: unknown key 'rules'; did you mean 'rule'?"},
      {"[rule]\nname = \"a\"\n", "p:1:2: error: 'rule' is a list of tables: write [[rule]]"},
      {"[tier.mem]\n", "p:1:7: error: unknown key 'mem'"},
      {"[defaults]\nttl = 60\n", "p:2:1: error: ttl '60' is not a duration: it needs a unit; did you mean '60s'?"},
      {"[defaults]\nreplicas = 17\n", "p:2:1: error: replicas is 17; allowed is 1 to 16"},
      {"[defaults]\ntier = \"disk\"\n", "p:2:1: error: tier wants one of auto, memory, nvme, not the text 'disk'"},
      {"[defaults]\nprefetch = \"window\"\n", "p:2:1: error: prefetch wants none, whole-file"},
      {"[defaults]\nclass = \"Very Fast\"\n", "p:2:1: error: class wants a name"},
      {"[defaults]\npin = \"memory\"\n", "p:2:1: error: pin has parts: write pin = { tier = \"none\", ... }"},
      {"[defaults]\npin = { budget = \"1GiB\" }\n", "p:2:1: error: pin needs a tier"},
      {"[defaults]\npromote_after = { reads = 3 }\n", "p:2:1: error: promote_after needs both"},
      {"[defaults]\npath = \"/a\"\n", "p:2:1: error: unknown key 'path'"},
      {"[[rule]]\ntier = \"nvme\"\n", "p:1:1: error: this rule has no name"},
      {"[[rule]]\nname = \"a\"\nreplicas = 2\n[[rule]]\nname = \"a\"\nreplicas = 3\n", "p:5:1: error: another rule is named 'a'"},
      {"[[rule]]\nname = \"a\"\npath = [\"/ok\", \"no\"]\n", "p:3:16: error: path: the pattern 'no' is wrong at byte 1"},
      {"[[rule]]\nname = \"a\"\npath = []\n", "p:3:1: error: path is an empty list"},
      {"[[rule]]\nname = \"a\"\npath = [1]\n", "p:3:1: error: path wants a string or a list of strings"},
      {"[[rule]]\nname = \"a\"\nsuffix = \"\"\n", "p:3:1: error: suffix has an empty text"},
      {"[[rule]]\nname = \"a\"\nowner = [\"99999999999\"]\n", "p:3:10: error: owner '99999999999' is no user id"},
      {"[[rule]]\nname = \"a\"\nmin_size = \"2B\"\nmax_size = \"1B\"\n", "p:4:1: error: max_size is below min_size"},
      {"[[quota]]\nname = \"q\"\nmemory_max = \"10%\"\n", "p:1:1: error: a quota needs a path or a tenant"},
      {"[[quota]]\nname = \"q\"\ntenant = \"t\"\nmemory_max = \"10\"\n", "p:4:1: error: memory_max '10' is not a size: it needs a unit"},
      {"[[quota]]\nname = \"q\"\ntenant = \"t\"\nmemory_max = \"101%\"\n", "p:4:1: error: memory_max wants a percentage"},
      {"[[quota]]\nname = \"q\"\ntenant = \"t\"\nmemory_min = \"20%\"\nmemory_max = \"10%\"\n", "p:4:1: error: memory_min is above memory_max"},
      {"[tier.nvme]\nlow_watermark = \"95%\"\n", "p:2:1: error: low_watermark must be below high_watermark"},
  };
  for (const Case& one : cases) {
    const std::vector<std::string> found = diagnostics(one.text);
    ASSERT_FALSE(found.empty()) << one.text;
    EXPECT_TRUE(found.front().starts_with(one.says)) << one.text << "\n" << found.front();
    EXPECT_EQ(found.size(), 1u) << found.back();
    const Result<Policy> policy = parse_policy(one.text, "p");
    EXPECT_EQ(policy.code(), Code::invalid_argument);
    EXPECT_EQ(policy.error().message(), found.front());
  }
}

// What is decided for a whole file was once taken of such a rule for small files only, without a word.
TEST(PolicyFaults, ARuleAboutBytesOfAFileSetsNothingThatIsDecidedForWholeFiles) {
  const std::vector<std::string> per_file{"demote_after_idle = \"1h\"", "pin = { tier = \"memory\" }", "pin.tier = \"none\"", "ttl = \"1h\"",
                                          "replicas = 2", "prefetch = \"none\"", "write_mode = \"back\""};
  for (const std::string& set : per_file) {
    const std::string name = set.substr(0, set.find_first_of(" ."));
    for (const std::string range : {"first_bytes", "last_bytes"}) {
      const std::vector<std::string> found = diagnostics("[[rule]]\nname = \"r\"\n" + range + " = \"1MiB\"\nadmission = \"always\"\n" + set + "\n");
      ASSERT_EQ(found.size(), 1u) << set;
      EXPECT_EQ(found[0].find("p:5:"), 0u) << found[0];
      EXPECT_NE(found[0].find("error: " + name + " is decided for whole files, and a rule with " + range + " is about pages"), std::string::npos) << found[0];
      EXPECT_TRUE(diagnostics("[[rule]]\nname = \"r\"\nmax_size = \"1MiB\"\nadmission = \"always\"\n" + set + "\n").empty()) << set;
    }
  }
  const std::vector<std::string> both = diagnostics("[[rule]]\nname = \"r\"\nlast_bytes = \"1MiB\"\nttl = \"1h\"\nttl_action = \"expire\"\n");
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[1], "p:5:1: error: ttl_action is decided for whole files, and a rule with last_bytes is about pages; "
                     "set it in a rule without last_bytes (max_size takes small files)");
  for (const std::string set : {"tier = \"memory\"", "admission = \"never\"", "promote_after = { reads = 1, within = \"1h\" }", "unit = \"file\"", "class = \"x\""}) {
    EXPECT_TRUE(diagnostics("[[rule]]\nname = \"r\"\nlast_bytes = \"1MiB\"\n" + set + "\n").empty()) << set;
  }
}

TEST(PolicyFaults, AllAreReportedInTheirOrder) {
  const std::vector<std::string> found = diagnostics(R"([[rule]]
name = "a"
ttl = "1x"
foo = 1
[[rule]]
path = "bad"
replicas = 0
)");
  ASSERT_EQ(found.size(), 5u);
  const std::vector<std::string> places{"p:3:1:", "p:4:1:", "p:5:1:", "p:6:1:", "p:7:1:"};
  for (std::size_t i = 0; i < places.size(); ++i) EXPECT_TRUE(found[i].starts_with(places[i])) << found[i];
}

TEST(PolicyFaults, PromisesBeyondTheWholeTierAreRefused) {
  std::string text;
  for (const char* name : {"a", "b", "c"}) {
    text += "[[quota]]\nname = \"" + std::string(name) + "\"\ntenant = \"" + name + "\"\nnvme_min = \"40%\"\n";
  }
  const std::vector<std::string> found = diagnostics(text);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].starts_with("p:12:1: error: the quotas up to this one promise more than 100%")) << found[0];
}

TEST(PolicyFaults, LimitsHold) {
  EXPECT_NE(diagnostics(std::string(max_policy_bytes + 1, '#')).at(0).find("256 KiB"), std::string::npos);
  std::string rules;
  for (std::size_t i = 0; i <= max_rules; ++i) rules += "[[rule]]\nname = \"" + std::to_string(i) + "\"\npath = \"/" + std::to_string(i) + "\"\nreplicas = 2\n";
  const std::vector<std::string> found = diagnostics(rules);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NE(found[0].find("at most 1000 rules"), std::string::npos);
}

// ---- doubts

std::vector<std::string> warnings(const std::string& text) {
  const Checked checked = check_policy(text);
  EXPECT_TRUE(checked.policy) << diagnostics(text).at(0);
  return diagnostics(text);
}

TEST(PolicyDoubts, ARuleThatNeverDecidesIsNamedWithTheOneInFrontOfIt) {
  const std::vector<std::string> found = warnings(R"([[rule]]
name = "wide"
path = "/data/**"
tier = "nvme"
ttl = "1d"
[[rule]]
name = "narrow"
path = "/data/hot/**"
suffix = ".bin"
tier = "memory"
[[rule]]
name = "half"
path = "/data/cold/**"
tier = "memory"
replicas = 3
)");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0], "p:6:1: warning: rule 'narrow' never decides anything: rule 'wide' (line 1) matches all it matches and sets tier first; move it up");
  EXPECT_EQ(found[1], "p:14:1: warning: tier of rule 'half' is never used: rule 'wide' (line 1) matches all it matches and sets it first");
}

TEST(PolicyDoubts, NarrowerConditionsInFrontAreNoReasonForDoubt) {
  for (const std::string condition : {"min_size = \"1B\"", "max_size = \"1GiB\"", "suffix = \".x\"", "owner = \"1\"", "tenant = \"t\"",
                                      "pattern = \"random\"", "last_bytes = \"1KiB\"", "not_path = \"/a/b\"", "path = \"/a/*\""}) {
    const std::string text = "[[rule]]\nname = \"first\"\n" + condition + "\ntier = \"nvme\"\n[[rule]]\nname = \"all\"\npath = \"/**\"\ntier = \"memory\"\n";
    EXPECT_TRUE(warnings(text).empty()) << text << warnings(text)[0];
  }
}

TEST(PolicyDoubts, ContradictionsWithinARuleAreNamed) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"admission = \"never\"\npin = { tier = \"nvme\" }", "p:4:1: warning: rule 'r' pins data that admission"},
      {"tier = \"memory\"\npin = { tier = \"nvme\" }", "p:4:1: warning: rule 'r' pins to a tier"},
      {"tier = \"nvme\"\npromote_after = { reads = 2, within = \"1m\" }", "p:4:1: warning: rule 'r' promotes"},
      {"admission = \"never\"\nprefetch = \"whole-file\"", "p:4:1: warning: rule 'r' fetches ahead"},
      {"path = \"/a/b\"\nnot_path = \"/a/**\"\nttl = \"1s\"", "p:4:1: warning: not_path excludes all"},
      {"path = \"/a/b\"", "p:1:1: warning: rule 'r' sets no attribute"},
  };
  for (const auto& [body, says] : cases) {
    const std::vector<std::string> found = warnings("[[rule]]\nname = \"r\"\n" + body + "\n");
    ASSERT_EQ(found.size(), 1u) << body;
    EXPECT_TRUE(found[0].starts_with(says)) << found[0];
  }
}

}  // namespace
}  // namespace hearth::policy

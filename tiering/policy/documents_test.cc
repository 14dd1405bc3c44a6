// Every policy that the documentation shows is one: it parses, and nothing about it is doubtful.
// (That its `explain` says what the page says is tests/integration/policy.py's.)
#include "tiering/policy/policy.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace hearth::policy {
namespace {

std::filesystem::path root() { return HEARTH_SOURCE_DIR; }

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> toml_blocks(const std::string& page) {
  constexpr std::string_view open = "```toml\n";
  std::vector<std::string> blocks;
  for (std::size_t at = page.find(open); at != std::string::npos; at = page.find(open, at)) {
    at += open.size();
    blocks.push_back(page.substr(at, page.find("```", at) - at));
  }
  return blocks;
}

void expect_good(const std::string& text, const std::string& where) {
  const Checked checked = check_policy(text);
  for (const Diagnostic& one : checked.diagnostics) ADD_FAILURE() << to_string(one, where);
  ASSERT_TRUE(checked.policy) << where;
}

TEST(Documents, ShowOnlyPoliciesThatAreGood) {
  std::vector<std::filesystem::path> pages{root() / "docs/concepts/tiers-and-policy.md", root() / "docs/reference/policy.md"};
  for (const auto& entry : std::filesystem::directory_iterator(root() / "docs/guides")) {
    if (entry.path().filename().string().starts_with("policy-")) pages.push_back(entry.path());
  }
  EXPECT_GE(pages.size(), 5u);
  for (const std::filesystem::path& page : pages) {
    const std::vector<std::string> blocks = toml_blocks(content(page));
    EXPECT_FALSE(blocks.empty()) << page;
    for (std::size_t i = 0; i < blocks.size(); ++i) expect_good(blocks[i], page.string() + " block " + std::to_string(i + 1));
  }
}

// Prose begins with "# ", what may be uncommented with "#".
TEST(Documents, ThePackagedExampleIsGoodAsItIsAndWithEverythingUncommented) {
  const std::string example = content(root() / "packaging/conf/policy.toml");
  expect_good(example, "policy.toml");
  EXPECT_TRUE(check_policy(example).policy->rules().empty()) << "a packaged example changes nothing by itself";
  std::istringstream lines(example);
  std::string uncommented;
  for (std::string line; std::getline(lines, line);) {
    const bool is_code = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    uncommented += (is_code ? line.substr(1) : line) + "\n";
  }
  expect_good(uncommented, "policy.toml, uncommented");
  const Policy policy = *check_policy(uncommented).policy;
  EXPECT_GE(policy.rules().size(), 3u);
  EXPECT_GE(policy.quotas().size(), 1u);
}

TEST(Documents, TheReferenceNamesEveryAttribute) {
  const std::string reference = policy_reference_markdown();
  for (const std::string_view name : attribute_names) {
    EXPECT_NE(reference.find("| `" + std::string(name)), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace hearth::policy

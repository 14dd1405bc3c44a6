// Path patterns, against a reference that is too slow to be wrong.
#include "tiering/policy/glob.h"

#include <gtest/gtest.h>

#include <random>

namespace hearth::policy {
namespace {

bool matches(const std::string& pattern, const std::string& path) {
  const Result<Glob> glob = Glob::compile(pattern);
  EXPECT_TRUE(glob) << glob.error().message();
  return glob && glob->matches(path);
}

std::string fault(const std::string& pattern) {
  const Result<Glob> glob = Glob::compile(pattern);
  return glob ? "accepted" : glob.error().message();
}

TEST(Glob, StarsStayInTheirComponent) {
  EXPECT_TRUE(matches("/data/*", "/data/a"));
  EXPECT_TRUE(matches("/data/*", "/data/.hidden"));
  EXPECT_FALSE(matches("/data/*", "/data/a/b"));
  EXPECT_FALSE(matches("/data/*", "/data"));
  EXPECT_TRUE(matches("/*/x*y*", "/a/xxyzz"));
  EXPECT_FALSE(matches("/*/x*y", "/a/xxyzz"));
  EXPECT_TRUE(matches("/a*b*c", "/abcbc"));
  EXPECT_TRUE(matches("/?", "/a"));
  EXPECT_FALSE(matches("/a?b", "/a/b"));
}

TEST(Glob, TwoStarsSpanComponents) {
  EXPECT_TRUE(matches("/data/**", "/data/a"));
  EXPECT_TRUE(matches("/data/**", "/data/a/b/c"));
  EXPECT_FALSE(matches("/data/**", "/data"));
  EXPECT_FALSE(matches("/data/**", "/database/a"));
  EXPECT_TRUE(matches("/a/**/b", "/a/b"));
  EXPECT_TRUE(matches("/a/**/b", "/a/x/y/b"));
  EXPECT_TRUE(matches("/a/**/b", "/a/b/b"));
  EXPECT_FALSE(matches("/a/**/b", "/a/x/b/y"));
  EXPECT_TRUE(matches("**/*.parquet", "/t.parquet"));
  EXPECT_TRUE(matches("**/*.parquet", "/lake/d/t.parquet"));
  EXPECT_TRUE(matches("**", "/a/b"));
  EXPECT_FALSE(matches("**", "/"));
  EXPECT_TRUE(matches("/**/**/a", "/a"));
  EXPECT_TRUE(matches("**/b/**/c/*", "/b/b/x/c/c/d"));
}

TEST(Glob, SetsBracesAndEscapes) {
  EXPECT_TRUE(matches("/part-[0-9][0-9]", "/part-07"));
  EXPECT_FALSE(matches("/part-[!0-9]", "/part-7"));
  EXPECT_TRUE(matches("/part-[^0-9]", "/part-x"));
  EXPECT_TRUE(matches("/[]a]", "/]"));
  EXPECT_TRUE(matches("/[a\\-c]", "/-"));
  EXPECT_FALSE(matches("/[a\\-c]", "/b"));
  EXPECT_FALSE(matches("/a[!x]b", "/a/b"));
  EXPECT_TRUE(matches("/{a,b/c}/d", "/b/c/d"));
  EXPECT_TRUE(matches("/{a,{b,c}x}", "/cx"));
  EXPECT_TRUE(matches("/a{,.bak}", "/a"));
  EXPECT_TRUE(matches("/a{,.bak}", "/a.bak"));
  EXPECT_TRUE(matches("/x/{**,a}/[{}]", "/x/q/q/}"));
  EXPECT_TRUE(matches("/a\\*\\{", "/a*{"));
  EXPECT_FALSE(matches("/a\\*", "/ab"));
  EXPECT_TRUE(matches("/\xff*", "/\xff\xfe"));
}

TEST(Glob, SaysAtWhichByteAPatternIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "byte 1: patterns begin with '/'"},
      {"*.txt", "byte 1: patterns begin with '/'"},
      {"/a//b", "byte 4: there is no name"},
      {"/a/", "byte 4: there is no name"},
      {"/a/../b", "byte 4: paths have no '.'"},
      {"/a**", "byte 3: ** stands alone"},
      {"/a/***", "byte 4: ** stands alone"},
      {"/[a", "byte 2: this '[' is never closed"},
      {"/[a/b]", "byte 2: this '[' is never closed in its component"},
      {"/[z-a]", "byte 3: the range goes backwards"},
      {"/{a,b", "byte 2: this '{' is never closed"},
      {"/a}", "byte 3: there is no '{'"},
      {"/a\\", "byte 3: nothing follows"},
      {"/a\\/b", "byte 4: a '/' can not be escaped"},
      {std::string("/a\0", 3), "byte 3: paths have no zero bytes"},
      {"/" + std::string(max_glob_bytes, 'a'), "at most 1024 bytes"},
      {"/{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", "more than 256 patterns"},
      {"/{a,c}/{x,**,y*}", "accepted"},
  };
  for (const auto& [pattern, says] : cases) EXPECT_NE(fault(pattern).find(says), std::string::npos) << pattern << ": " << fault(pattern);
}

TEST(Glob, CoversOnlyWhatItCertainlyMatches) {
  const auto covers = [](const std::string& wide, const std::string& narrow) {
    return Glob::compile(wide)->covers(*Glob::compile(narrow));
  };
  EXPECT_TRUE(covers("/a/**", "/a/b/*.txt"));
  EXPECT_TRUE(covers("/a/**", "/a/**/*.txt"));
  EXPECT_TRUE(covers("/a/**", "/a/{b,c/**}"));
  EXPECT_TRUE(covers("**", "/x"));
  EXPECT_TRUE(covers("/a/*", "/a/*"));
  EXPECT_FALSE(covers("/a/**", "/a"));
  EXPECT_FALSE(covers("/a/**", "/ab/c"));
  EXPECT_FALSE(covers("/a/**", "/{a,b}/c"));
  EXPECT_FALSE(covers("/a/*", "/a/b/c"));
}

// ---- the reference: by definition, over all ways to split, without braces (they are expanded beforehand)

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  std::string one;
  for (std::size_t i = 1; i <= text.size(); ++i) {
    if (i < text.size() && text[i] != '/') {
      one += text[i];
      continue;
    }
    if (!one.empty()) out.push_back(std::move(one));
    one.clear();
  }
  return out;
}

bool component(const std::string& pattern, const std::string& name) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] == '*') return component(pattern.substr(1), name) || (!name.empty() && component(pattern, name.substr(1)));
  if (name.empty()) return false;
  if (pattern[0] == '?') return component(pattern.substr(1), name.substr(1));
  if (pattern.starts_with("[!a]")) return name[0] != 'a' && component(pattern.substr(4), name.substr(1));
  if (pattern.starts_with("[a-b]")) return (name[0] == 'a' || name[0] == 'b') && component(pattern.substr(5), name.substr(1));
  return pattern[0] == name[0] && component(pattern.substr(1), name.substr(1));
}

bool components(const std::vector<std::string>& pattern, std::size_t p, const std::vector<std::string>& path, std::size_t n) {
  if (p == pattern.size()) return n == path.size();
  if (pattern[p] == "**") {
    const bool last = p + 1 == pattern.size();
    if (last && n < path.size()) return true;
    return (!last && components(pattern, p + 1, path, n)) || (n < path.size() && components(pattern, p, path, n + 1));
  }
  return n < path.size() && component(pattern[p], path[n]) && components(pattern, p + 1, path, n + 1);
}

TEST(Glob, AgreesWithANaiveReferenceOnRandomPatterns) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::vector<std::string> pieces{"a", "b", "ab", "*", "?", "[!a]", "[a-b]", "a*b", "c"};
  int matched = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::string> texts(1);  // what the braces stand for
    std::string pattern;
    const std::size_t depth = 1 + random() % 4;
    for (std::size_t i = 0; i < depth; ++i) {
      pattern += '/';
      for (std::string& text : texts) text += '/';
      if (random() % 4 == 0) {
        pattern += "**";
        for (std::string& text : texts) text += "**";
        continue;
      }
      std::string one;
      for (std::size_t k = 0; k <= random() % 3; ++k) {
        const std::string& piece = pieces[random() % pieces.size()];
        if (!(one.ends_with('*') && piece.starts_with('*'))) one += piece;
      }
      if (random() % 4 == 0 && !one.empty()) {
        const std::string other = pieces[random() % pieces.size()];
        pattern += "{" + one + "," + other + "}";
        std::vector<std::string> both;
        for (const std::string& text : texts) {
          both.push_back(text + one);
          both.push_back(text + other);
        }
        texts = std::move(both);
      } else {
        pattern += one;
        for (std::string& text : texts) text += one;
      }
    }
    const Result<Glob> glob = Glob::compile(pattern);
    ASSERT_TRUE(glob) << glob.error().message();
    for (int i = 0; i < 10; ++i) {
      std::string path;
      for (std::size_t k = 0; k <= random() % 4; ++k) {
        path += '/';
        for (std::size_t n = 0; n <= random() % 3; ++n) path += static_cast<char>('a' + random() % 3);
      }
      bool expected = false;
      for (const std::string& text : texts) expected = expected || components(split(text), 0, split(path), 0);
      ASSERT_EQ(glob->matches(path), expected) << pattern << " on " << path;
      matched += expected ? 1 : 0;
    }
  }
  EXPECT_GT(matched, 10'000) << "the patterns match too rarely to say much";
}

TEST(Glob, HostilePatternsAreNotSlow) {
  std::string pattern = "/";
  for (int i = 0; i < 200; ++i) pattern += "a*";
  pattern += "b";
  EXPECT_FALSE(matches(pattern, "/" + std::string(4000, 'a') + "c"));
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "**/a*/";
  std::string path;
  for (int i = 0; i < 1000; ++i) path += "/aa";
  EXPECT_FALSE(matches(deep + "b", path));
}

}  // namespace
}  // namespace hearth::policy

// The modes of `hearth chmod` and `hearth mkdir --mode`.
#include "cli/commands/mode_words.h"

#include <gtest/gtest.h>

#include <string_view>

namespace hearth::cli {
namespace {

using Kind = ModeWords::Kind;

struct ModeCase {
  std::string_view words;
  std::uint32_t before;
  std::uint32_t after;
  Kind kind = Kind::file;
  std::uint32_t umask = 022;
};

// As GNU chmod does on the same.
TEST(ModeWords, AreThoseOfChmod) {
  const ModeCase cases[] = {
      {"0644", 0777, 0644},
      {"7", 0777, 0007},
      {"4755", 0, 04755},
      {"0755", 02700, 02755, Kind::directory},
      {"u+x", 0644, 0744},
      {"go-rwx", 0777, 0700},
      {"a=r", 0731, 0444},
      {"+x", 0644, 0755},
      {"+x", 0644, 0744, Kind::file, 077},
      {"+w", 0444, 0644},
      {"a+w", 0444, 0666},
      {"=", 0777, 0},
      {"u=rw,go=", 0777, 0600},
      {"u+r-x", 0300, 0600},
      {"g=u", 0750, 0770},
      {"o=g", 0640, 0644},
      {"u+X", 0600, 0600},
      {"a+X", 0601, 0711},
      {"a+X", 0600, 0711, Kind::directory},
      {"u+s", 0755, 04755},
      {"g+s", 0755, 02755, Kind::directory},
      {"+t", 0777, 01777, Kind::directory},
      {"ug-s", 06755, 0755},
      {"u=rwx", 04644, 0744},
  };
  for (const ModeCase& one : cases) {
    const auto words = ModeWords::parse(one.words);
    ASSERT_TRUE(words) << one.words;
    EXPECT_EQ(words->applied_to(one.before, one.kind, one.umask), one.after) << one.words << " on " << std::oct << one.before;
  }
}

TEST(ModeWords, WhatIsNoneIsRefusedWithWhatIsOne) {
  for (const std::string_view wrong : {"", "8", "77777", "u", "x+u", "u+q", "u+x,", ",u+x", "0o644", "u+xg"}) {
    const auto words = ModeWords::parse(wrong);
    ASSERT_FALSE(words) << wrong;
    EXPECT_EQ(words.code(), Code::invalid_argument);
    EXPECT_NE(words.error().message().find("0644"), std::string::npos) << words.error().message();
  }
}

}  // namespace
}  // namespace hearth::cli

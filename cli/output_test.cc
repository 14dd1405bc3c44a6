// JSON, tables and progress lines.
#include "cli/output/json.h"
#include "cli/output/output.h"
#include "cli/output/progress.h"
#include "cli/output/text_diff.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hearth::cli {
namespace {

std::string written;
void keep(std::string_view text) { written += text; }

TEST(TextDiff, ShowsEachChangeWithThreeLinesAround) {
  EXPECT_EQ(unified_diff("a\nb\n", "a\nb", "old", "new"), "");
  EXPECT_EQ(unified_diff("", "x\n", "old", "new"), "--- old\n+++ new\n@@ -1,0 +1,1 @@\n+x\n");
  EXPECT_EQ(unified_diff("1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\nfive\n6\n", "old", "new"),
            "--- old\n+++ new\n@@ -2,5 +2,5 @@\n 2\n 3\n 4\n-5\n+five\n 6\n");
  std::string before;
  std::string after;
  for (int i = 0; i < 40; ++i) {
    before += std::to_string(i) + "\n";
    if (i != 5) after += std::to_string(i) + "\n";
    if (i == 30) after += "new\n";
  }
  EXPECT_EQ(unified_diff(before, after, "old", "new"),
            "--- old\n+++ new\n@@ -3,7 +3,6 @@\n 2\n 3\n 4\n-5\n 6\n 7\n 8\n"
            "@@ -29,6 +28,7 @@\n 28\n 29\n 30\n+new\n 31\n 32\n 33\n");
}

TEST(TextDiff, ManyChangesInLargeTextsAreStillAnswered) {
  std::string before;
  std::string after;
  for (int i = 0; i < 6000; ++i) {
    before += "a" + std::to_string(i) + "\n";
    after += "b" + std::to_string(i) + "\n";
  }
  const std::string diff = unified_diff(before, after, "old", "new");
  EXPECT_EQ(std::count(diff.begin(), diff.end(), '\n'), 12'003);
}

TEST(Json, EscapesWhatItMust) {
  EXPECT_EQ(json_quote("a\"b\\c\n\x01\x7f"), "\"a\\\"b\\\\c\\n\\u0001\\u007f\"");
  EXPECT_EQ(json_quote("grün €"), "\"grün €\"");
}

TEST(Json, KnowsUtf8FromWhatOnlyLooksLikeIt) {
  EXPECT_TRUE(is_utf8("\xF0\x9F\x94\xA5"));
  for (const char* bad : {"\xFF", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80"}) {
    EXPECT_FALSE(is_utf8(bad));
    EXPECT_NE(json_quote(bad).find("\xEF\xBF\xBD"), std::string::npos);
  }
}

TEST(Json, KeepsTheExactBytesOfANameThatIsNotUtf8) {
  written.clear();
  JsonWriter json(keep);
  json.begin_object();
  json.bytes("name", "a\xFF");
  json.bytes("path", "/ok");
  json.end();
  EXPECT_EQ(written, "{\"name\":\"a\xEF\xBF\xBD\",\"name_base64\":\"Yf8=\",\"path\":\"/ok\"}\n");
}

TEST(Json, EncodesBase64OfEveryRest) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
}

TEST(Json, WritesIdsAsTextAndClosesWhatWasOpen) {
  written.clear();
  JsonWriter json(keep);
  json.begin_object();
  json.begin_array("workers");
  json.begin_object();
  json.id("worker_id", 18446744073709551615ULL);
  json.unwind();
  json.text("error", "x");
  json.end();
  EXPECT_EQ(written, "{\"workers\":[{\"worker_id\":\"18446744073709551615\"}],\"error\":\"x\"}\n");
}

TEST(Progress, ShowsRateAndTimeLeftOnceTheTotalIsKnown) {
  ProgressFigures figures{.done_bytes = 512 << 20, .total_bytes = 1 << 30, .done_files = 5, .total_files = 10,
                          .failed_files = 1, .total_known = true, .elapsed = std::chrono::seconds(2)};
  const std::string text = progress_text("loading", figures, ProgressStyle::lines);
  EXPECT_NE(text.find(" 50%"), std::string::npos) << text;
  EXPECT_NE(text.find("5/10 files"), std::string::npos) << text;
  EXPECT_NE(text.find("256 MiB/s"), std::string::npos) << text;
  EXPECT_NE(text.find("eta 2"), std::string::npos) << text;
  EXPECT_NE(text.find("failed 1"), std::string::npos) << text;
}

TEST(Progress, PromisesNothingWhileTheTreeIsStillWalked) {
  const ProgressFigures figures{.done_bytes = 1, .total_bytes = 2, .elapsed = std::chrono::seconds(1)};
  const std::string text = progress_text("loading", figures, ProgressStyle::bar);
  EXPECT_EQ(text.find("eta"), std::string::npos) << text;
  EXPECT_EQ(text.find("%"), std::string::npos) << text;
}

TEST(Progress, HasNoThreadWhenNothingIsShown) {
  Progress progress("copying", ProgressStyle::none);
  progress.expect(2, 10);
  progress.add_bytes(10);
  progress.add_file();
  progress.stop();
  EXPECT_EQ(progress.figures().done_bytes, 10U);
  EXPECT_EQ(progress.figures().total_files, 2U);
}

}  // namespace
}  // namespace hearth::cli

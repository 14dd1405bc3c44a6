// What other programs read from us: log lines, journald fields, Prometheus text.
#include "common/log.h"
#include "common/log_format.h"
#include "common/metrics.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

namespace hearth {
namespace {

using namespace std::chrono_literals;

constexpr WallTime ten_o_clock{std::chrono::milliseconds(1795255200123)};

LogRecord record_of(std::string_view event, std::span<const LogField> fields) {
  return LogRecord{LogLevel::info, ten_o_clock, event, fields};
}

std::string text_of(std::string_view value) {
  const LogField field("path", value);
  return format_text(record_of("opened", {&field, 1}));
}

std::string json_of(const LogField& field) { return format_json(record_of("opened", {&field, 1})); }

// ---- formats -------------------------------------------------------------------------------------

TEST(LogText, HasTimeLevelEventAndFields) {
  const std::vector<LogField> fields{{"worker", "w1"}, {"capacity_bytes", 4096}, {"note", "two words"}, {"empty", ""}};
  EXPECT_EQ(format_text(record_of("worker_registered", fields)),
            "2026-11-21T10:00:00.123Z INFO worker_registered worker=w1 capacity_bytes=4096 note=\"two words\" empty=\"\"");
}

TEST(LogText, AValueCanNotForgeALineOrAField) {
  EXPECT_TRUE(text_of("a\n2026-11-21T10:00:00.123Z ERROR forged").ends_with(
      "path=\"a\\n2026-11-21T10:00:00.123Z ERROR forged\""));
  EXPECT_TRUE(text_of("a b=c").ends_with("path=\"a b=c\""));
  EXPECT_TRUE(text_of("say \"x\" \\").ends_with("path=\"say \\\"x\\\" \\\\\""));
  for (int byte = 0; byte < 256; ++byte) {
    const std::string line = text_of(std::string("a") + static_cast<char>(byte) + "b");
    for (const char c : line) ASSERT_GE(static_cast<unsigned char>(c), ' ') << byte;
  }
}

TEST(LogText, KeepsUtf8AndEscapesWhatIsNotOrWhatMisleadsATerminal) {
  EXPECT_TRUE(text_of("caf\xC3\xA9").ends_with("path=\"caf\xC3\xA9\""));
  EXPECT_TRUE(text_of("\xFF").ends_with("path=\"\\xff\""));
  EXPECT_TRUE(text_of("\xC3").ends_with("path=\"\\xc3\"")) << "cut short";
  EXPECT_TRUE(text_of("\xC0\xAF").ends_with("path=\"\\xc0\\xaf\"")) << "overlong";
  EXPECT_TRUE(text_of("\xED\xA0\x80").ends_with("path=\"\\xed\\xa0\\x80\"")) << "surrogate";
  EXPECT_TRUE(text_of("\xC2\x9B").ends_with("path=\"\\xc2\\x9b\"")) << "C1 control";
  EXPECT_TRUE(text_of("\xE2\x80\xA8").ends_with("path=\"\\xe2\\x80\\xa8\"")) << "line separator";
  EXPECT_TRUE(text_of("\x1b[31m").ends_with("path=\"\\x1b[31m\"")) << "terminal escape";
}

TEST(LogJson, IsOneObjectWithTypedFields) {
  EXPECT_EQ(json_of({"length_bytes", 7}),
            R"({"time":"2026-11-21T10:00:00.123Z","level":"info","event":"opened","length_bytes":7})");
  EXPECT_TRUE(json_of({"path", "a\n\"b\"\\"}).ends_with(R"("path":"a\u000a\"b\"\\"})"));
  EXPECT_TRUE(json_of({"path", "\xFFz"}).ends_with(R"("path":"\\xffz"})"));
  EXPECT_TRUE(json_of({"ratio", 0.5}).ends_with(R"("ratio":0.500000})"));
  EXPECT_TRUE(json_of({"ratio", std::numeric_limits<double>::quiet_NaN()}).ends_with(R"("ratio":"nan"})"));
}

TEST(LogJournal, GivesEachFieldAnEntryOfItsOwn) {
  const std::vector<LogField> fields{{"path", "a\nb"}, {"length_bytes", 3}};
  const auto entries = format_journal(record_of("opened", fields));
  EXPECT_EQ(entries, std::vector<std::string>({"MESSAGE=opened path=\"a\\nb\" length_bytes=3", "PRIORITY=6", "HEARTH_EVENT=opened",
                                               "HEARTH_PATH=a\nb", "HEARTH_LENGTH_BYTES=3"}));
  const std::string packed = pack_strings(entries);
  const auto unpacked = unpack_strings(packed);
  EXPECT_TRUE(std::equal(entries.begin(), entries.end(), unpacked.begin(), unpacked.end()));
}

// ---- logger --------------------------------------------------------------------------------------

class Logger : public ::testing::Test {
 protected:
  void SetUp() override {
    directory = std::filesystem::temp_directory_path() / ("hearth-log-test-" + std::to_string(::getpid()));
    std::filesystem::create_directories(directory);
    file = directory / "log";
  }
  void TearDown() override {
    stop_logging();
    set_log_level(LogLevel::info);
    std::filesystem::remove_all(directory);
  }
  std::vector<std::string> lines() const {
    std::ifstream in(file);
    std::vector<std::string> all;
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }
  std::filesystem::path directory;
  std::filesystem::path file;
};

TEST_F(Logger, StopFlushesEverythingInOrder) {
  start_logging({.level = LogLevel::info, .format = LogFormat::text, .file = file});
  for (int i = 0; i < 1000; ++i) log_info("counted", {{"i", i}});
  stop_logging();
  const auto all = lines();
  ASSERT_EQ(all.size(), 1000U);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(all[i].ends_with(" INFO counted i=" + std::to_string(i))) << all[i];
}

TEST_F(Logger, LevelsFilterAndCanChangeWhileRunning) {
  start_logging({.level = LogLevel::warn, .format = LogFormat::json, .file = file});
  log_info("hidden");
  log_error("shown");
  set_log_level(LogLevel::debug);
  log_debug("shown_too");
  set_log_level(LogLevel::off);
  log_error("silenced");
  EXPECT_FALSE(log_enabled(LogLevel::error));
  EXPECT_FALSE(log_enabled(LogLevel::off));
  stop_logging();
  const auto all = lines();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_NE(all[0].find("\"event\":\"shown\""), std::string::npos);
  EXPECT_NE(all[1].find("\"event\":\"shown_too\""), std::string::npos);
}

// Every record is written or counted as dropped, and the log itself says how many are missing.
TEST_F(Logger, AFloodDropsTheOldestAndCountsThem) {
  constexpr int threads = 4, each = 20000;
  const std::uint64_t dropped_before = log_dropped_records();
  start_logging({.level = LogLevel::info, .format = LogFormat::text, .file = file});
  std::vector<std::thread> writers;
  for (int t = 0; t < threads; ++t) {
    writers.emplace_back([] {
      for (int i = 0; i < each; ++i) log_info("flood", {{"i", i}});
    });
  }
  for (auto& writer : writers) writer.join();
  stop_logging();
  const std::uint64_t dropped = log_dropped_records() - dropped_before;
  std::uint64_t written = 0, reported = 0;
  for (const auto& line : lines()) {
    if (line.find(" flood ") != std::string::npos) ++written;
    const auto at = line.find("log_records_dropped count=");
    if (at != std::string::npos) reported += std::stoull(line.substr(at + 26));
  }
  EXPECT_EQ(written + dropped, std::uint64_t{threads} * each);
  EXPECT_EQ(reported, dropped);
}

TEST_F(Logger, AnUnusableFileFallsBackToStandardError) {
  ::testing::internal::CaptureStderr();
  start_logging({.level = LogLevel::info, .format = LogFormat::text, .file = directory / "missing" / "log"});
  log_info("still_here");
  stop_logging();
  const std::string output = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(output.find("log_file_unusable"), std::string::npos);
  EXPECT_NE(output.find("still_here"), std::string::npos);
}

TEST_F(Logger, ThreadsMayLogWhileItStartsAndStops) {
  std::atomic<bool> done{false};
  std::thread writer([&] {
    while (!done.load()) log_info("racing");
  });
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 20; ++i) {
    start_logging({.level = LogLevel::info, .format = LogFormat::text, .file = file});
    stop_logging();
  }
  done = true;
  writer.join();
  ::testing::internal::GetCapturedStderr();
  for (const auto& line : lines()) {
    ASSERT_TRUE(line.ends_with(" racing") || line.find("log_records_dropped") != std::string::npos) << line;
  }
}

// ---- metrics -------------------------------------------------------------------------------------

constexpr CounterDescriptor reads_total{"hearth_test_reads_total", "Reads.", {"source"}};
constexpr GaugeDescriptor used_bytes{"hearth_test_used_bytes", "Used."};
constexpr HistogramDescriptor read_seconds{"hearth_test_read_seconds", "Time of a read."};

TEST(Metrics, NoIncrementIsLostBetweenThreads) {
  MetricsRegistry registry;
  Counter& counter = registry.counter(reads_total, {"memory"});
  HistogramMetric& histogram = registry.histogram(read_seconds);
  std::vector<std::thread> threads;
  for (int t = 0; t < 20; ++t) {  // more than there are cells
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        counter.add();
        histogram.observe(1us);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 100000U);
  EXPECT_NE(registry.to_prometheus().find("hearth_test_read_seconds_count 100000\n"), std::string::npos);
}

TEST(Metrics, TheSameLabelsAreTheSameCell) {
  MetricsRegistry registry;
  EXPECT_EQ(&registry.counter(reads_total, {"a"}), &registry.counter(reads_total, {"a"}));
  EXPECT_NE(&registry.counter(reads_total, {"a"}), &registry.counter(reads_total, {"b"}));
}

TEST(Metrics, TextFormatIsInNameOrderWithHelpTypeAndEscapedLabels) {
  MetricsRegistry registry;
  registry.gauge(used_bytes).set(-5);
  registry.gauge(used_bytes).add(2);
  registry.counter(reads_total, {"a\"b\\c\nd"}).add(3);
  EXPECT_EQ(registry.to_prometheus(),
            "# HELP hearth_test_reads_total Reads.\n"
            "# TYPE hearth_test_reads_total counter\n"
            "hearth_test_reads_total{source=\"a\\\"b\\\\c\\nd\"} 3\n"
            "# HELP hearth_test_used_bytes Used.\n"
            "# TYPE hearth_test_used_bytes gauge\n"
            "hearth_test_used_bytes -3\n");
}

TEST(Metrics, HistogramBucketsAreCumulativeAndEndWithTheCount) {
  MetricsRegistry registry;
  HistogramMetric& histogram = registry.histogram(read_seconds);
  for (const auto value : {100ns, 600ns, 5000ns}) histogram.observe(value);
  histogram.observe(100s);
  histogram.observe(-1s);  // a clock that stepped back counts as 0
  const std::string text = registry.to_prometheus();
  EXPECT_NE(text.find("_bucket{le=\"5.12e-07\"} 2\n"), std::string::npos) << text;
  EXPECT_NE(text.find("_bucket{le=\"1.024e-06\"} 3\n"), std::string::npos);
  EXPECT_NE(text.find("_bucket{le=\"8.192e-06\"} 4\n"), std::string::npos);
  EXPECT_NE(text.find("_bucket{le=\"+Inf\"} 5\n"), std::string::npos);
  EXPECT_NE(text.find("_count 5\n"), std::string::npos);
  EXPECT_NE(text.find("# TYPE hearth_test_read_seconds_quantile gauge\n"), std::string::npos);
}

TEST(Metrics, LabelValuesFromOutsideCanNotGrowWithoutBound) {
  MetricsRegistry registry;
  for (int i = 0; i < 5000; ++i) registry.counter(reads_total, {std::to_string(i)}).add();
  const std::string text = registry.to_prometheus();
  EXPECT_NE(text.find("{source=\"other\"} 4000\n"), std::string::npos);
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 1003);
}

TEST(Metrics, AWrongNumberOfLabelsIsAProgrammersError) {
  MetricsRegistry registry;
  EXPECT_DEATH(registry.counter(reads_total), "one value for each label");
}

}  // namespace
}  // namespace hearth

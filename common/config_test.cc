// Configuration: what is read from where, and what is said when it is wrong.
#include "common/config.h"
#include "common/config_toml.h"
#include "common/nearest_name.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace hearth {
namespace {

using namespace std::chrono_literals;

enum class Stale { always, until_ttl, never };

struct MemoryConfig {
  ByteSize capacity = 1_GiB;
  Duration keep = 10s;

  template <class V>
  void describe(V& v) {
    v.field("capacity", capacity, {.help = "Bytes of the memory tier.", .min = 1_MiB, .max = 1_TiB, .flag = "--memory"});
    v.field("keep", keep, {.help = "How long.", .min = 1ms});
  }
};

struct WorkerConfig {
  std::string name = "w\"1";
  std::string token;
  bool drain = false;
  std::uint16_t port = 19801;
  std::int32_t nice = -5;
  std::uint64_t limit = 7;
  Stale stale = Stale::until_ttl;
  std::vector<std::string> tags{"a", "b"};
  MemoryConfig memory;

  Status validate() const {
    if (name == "forbidden") return Error(Code::invalid_argument, "name must not be 'forbidden'");
    return ok();
  }

  template <class V>
  void describe(V& v) {
    v.field("name", name, {.help = "Its name."});
    v.field("token", token, {.help = "Shared with the master.", .secrecy = Secrecy::secret});
    v.field("drain", drain, {.help = "Drain | stop.", .flag = "--drain"});
    v.field("port", port, {.help = "Listens here.", .min = 1, .flag = "--port"});
    v.field("nice", nice, {.help = "Niceness.", .min = -20, .max = 19});
    v.field("limit", limit, {.help = "A limit."});
    v.choice("stale", stale, {{"always", Stale::always}, {"until_ttl", Stale::until_ttl}, {"never", Stale::never}},
             {.help = "Old data."});
    v.field("tags", tags, {.help = "Labels."});
    v.section("memory", memory, "The memory tier.");
  }
};

class ConfigTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config.bind("worker", worker, "The worker.");
    config.skip_section("master");
  }
  // The message of a failure; "" when there was none.
  static std::string failure(const Status& status) {
    EXPECT_TRUE(status.code() == Code::ok || status.code() == Code::invalid_argument);
    return status ? "" : status.error().message();
  }
  std::string toml_failure(std::string_view text) { return failure(config.load_toml(text, "h.toml")); }

  WorkerConfig worker;
  Config config;
};

TEST_F(ConfigTest, ReadsEveryKindFromToml) {
  ASSERT_EQ(toml_failure(R"(
[worker]
name = "x"
token = "t"
drain = true
port = 80
nice = -20
stale = "never"
tags = ["x", "y,z"]
[worker.memory]
capacity = "64MiB"
keep = "1.5s"
[master]
anything = 1
)"), "");
  EXPECT_EQ(worker.name, "x");
  EXPECT_EQ(worker.token, "t");
  EXPECT_TRUE(worker.drain);
  EXPECT_EQ(worker.port, 80);
  EXPECT_EQ(worker.nice, -20);
  EXPECT_EQ(worker.stale, Stale::never);
  EXPECT_EQ(worker.tags, std::vector<std::string>({"x", "y,z"}));
  EXPECT_EQ(worker.memory.capacity, 64_MiB);
  EXPECT_EQ(worker.memory.keep, 1500ms);
  EXPECT_EQ(worker.limit, 7U) << "not named: stays at its default";
}

TEST_F(ConfigTest, LaterSourcesWinAndEachValueKnowsItsOrigin) {
  ASSERT_EQ(toml_failure("[worker]\nport = 1\nnice = 1\n[worker.memory]\ncapacity = '2GiB'\n"), "");
  ASSERT_EQ(failure(config.load_environment({"PATH=/bin", "HEARTH_WORKER__NICE=2", "HEARTH_WORKER__MEMORY__CAPACITY=3GiB"})), "");
  const auto rest = config.load_flags({"start", "--memory", "4GiB", "--drain", "--set", "worker.stale=never", "--", "--port", "9"});
  ASSERT_TRUE(rest);
  EXPECT_EQ(*rest, std::vector<std::string>({"start", "--", "--port", "9"}));
  EXPECT_EQ(worker.port, 1);
  EXPECT_EQ(worker.nice, 2);
  EXPECT_EQ(worker.memory.capacity, 4_GiB);
  EXPECT_TRUE(worker.drain);
  EXPECT_EQ(worker.stale, Stale::never);
  EXPECT_EQ(config.find("worker.port")->origin.to_string(), "h.toml:2");
  EXPECT_EQ(config.find("worker.nice")->origin.to_string(), "HEARTH_WORKER__NICE");
  EXPECT_EQ(config.find("worker.memory.capacity")->origin.to_string(), "--memory");
  EXPECT_EQ(config.find("worker.stale")->origin.to_string(), "--set");
  EXPECT_EQ(config.find("worker.limit")->origin.to_string(), "default");
}

TEST_F(ConfigTest, AnUnknownKeyNamesTheNearestOneWithLineAndColumn) {
  EXPECT_EQ(toml_failure("[worker.memory]\n  capcity = '1GiB'\n"),
            "h.toml:2:3: unknown key 'worker.memory.capcity'; did you mean 'worker.memory.capacity'?");
  EXPECT_NE(toml_failure("[wroker]\n").find("did you mean 'worker'?"), std::string::npos);
  EXPECT_NE(toml_failure("[worker.memroy]\nkeep = '1s'\n").find("did you mean 'worker.memory'?"), std::string::npos);
  EXPECT_NE(toml_failure("zzzzzzzzzzzz = 1\n").find("--help lists them"), std::string::npos);
  EXPECT_EQ(failure(config.set("worker.prot=1")), "--set: unknown key 'worker.prot'; did you mean 'worker.port'?");
  EXPECT_EQ(failure(config.load_environment({"HEARTH_WORKER__PROT=1"})),
            "environment variable HEARTH_WORKER__PROT: unknown key 'worker.prot'; did you mean 'worker.port'?");
}

TEST_F(ConfigTest, EnvironmentOfOtherProcessesIsLeftAlone) {
  EXPECT_EQ(failure(config.load_environment({"HEARTH_MASTER__PORT=x", "HEARTH_OTHER__A=1", "HEARTH_CONFIG=/x", "HEARTH_WORKER=1"})), "");
}

TEST_F(ConfigTest, WrongTypesAndRangesSayWhatIsAllowed) {
  EXPECT_EQ(toml_failure("[worker]\nport = 'abc'\n"),
            "h.toml:2:1: worker.port wants an integer from 1 to 65535, not the text 'abc'");
  EXPECT_EQ(toml_failure("[worker]\nport = 70000\n"), "h.toml:2:1: worker.port is 70000; allowed is 1 to 65535");
  EXPECT_EQ(toml_failure("[worker]\nport = 0\n"), "h.toml:2:1: worker.port is 0; allowed is 1 to 65535");
  EXPECT_EQ(toml_failure("[worker]\nport = 1.5\n"), "h.toml:2:1: worker.port wants an integer from 1 to 65535, not 1.500000");
  EXPECT_NE(toml_failure("[worker]\nname = 5\n").find("wants a string (in quotes), not 5"), std::string::npos);
  EXPECT_NE(toml_failure("[worker]\ndrain = 'true'\n").find("wants true or false, not the text 'true'"), std::string::npos);
  EXPECT_NE(toml_failure("[worker]\nstale = 'nevr'\n").find("wants one of always, until_ttl, never"), std::string::npos);
  EXPECT_NE(toml_failure("[worker]\ntags = [1]\n").find("wants a list of strings"), std::string::npos);
  EXPECT_NE(toml_failure("[worker.memory]\ncapacity = '1KiB'\n").find("is 1KiB; allowed is 1MiB to 1TiB"), std::string::npos);
  EXPECT_NE(toml_failure("[worker.memory]\nkeep = '0s'\n").find("is 0s; allowed is at least 1ms"), std::string::npos);
  EXPECT_NE(toml_failure("[worker.memory]\ncapacity = true\n").find("wants a size, not true"), std::string::npos);
  EXPECT_NE(toml_failure("[worker]\nlimit = -1\n").find("is -1; allowed is 0 to"), std::string::npos);
  EXPECT_NE(toml_failure("worker = 1\n").find("'worker' is a section: write [worker]"), std::string::npos);
  EXPECT_NE(toml_failure("[worker]\nport = [[1]\n").find("not valid TOML"), std::string::npos);
  EXPECT_EQ(worker.port, 19801) << "a refused value changes nothing";
}

TEST_F(ConfigTest, ABareSizeIsRefusedWithTheUnitSuggested) {
  for (const std::string_view text : {"[worker.memory]\ncapacity = 64\n", "[worker.memory]\ncapacity = '64'\n"}) {
    EXPECT_NE(toml_failure(text).find("did you mean '64MiB'"), std::string::npos);
  }
  EXPECT_NE(failure(config.set("worker.memory.keep=10")).find("did you mean '10s'"), std::string::npos);
}

TEST_F(ConfigTest, FlagsNeedTheirValuesAndAssignmentsTheirSign) {
  EXPECT_EQ(config.load_flags({"--port"}).error().message(), "--port needs a value after it");
  EXPECT_EQ(config.load_flags({"--port=x"}).error().message(), "--port: worker.port wants an integer from 1 to 65535, not the text 'x'");
  EXPECT_EQ(failure(config.set("worker.port")), "--set worker.port: write --set section.key=value");
  EXPECT_TRUE(config.load_flags({"--drain=false", "--port=5", "--set=worker.tags=p, q"}));
  EXPECT_EQ(worker.port, 5);
  EXPECT_EQ(worker.tags, std::vector<std::string>({"p", "q"}));
}

TEST_F(ConfigTest, CheckAsksTheStructForWhatOnlyValuesTogetherTell) {
  EXPECT_TRUE(config.check());
  ASSERT_TRUE(config.set("worker.name=forbidden"));
  EXPECT_EQ(failure(config.check()), "[worker]: name must not be 'forbidden'");
}

TEST_F(ConfigTest, SecretsAreNeverPrinted) {
  worker.token = "";
  ASSERT_TRUE(config.set("worker.token=hunter2"));
  EXPECT_EQ(worker.token, "hunter2");
  WorkerConfig with_default;
  with_default.token = "hunter2";
  Config packaged;
  packaged.bind("worker", with_default);
  for (const Config* each : {&config, &packaged}) {
    for (const std::string& text : {config_listing(*each), config_reference_markdown(*each), config_example_toml(*each)}) {
      EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
    }
  }
  EXPECT_EQ(toml_failure("[worker]\ntoken = 4711\n").find("4711"), std::string::npos);
}

TEST_F(ConfigTest, TheExampleFileIsValidAndSaysTheDefaults) {
  std::string example = config_example_toml(config);
  std::string uncommented;
  // "#key = value" is a setting, "# text" a comment.
  for (std::size_t at = 0; at < example.size();) {
    const std::size_t end = example.find('\n', at);
    std::string line = example.substr(at, end - at);
    if (line.size() > 1 && line[0] == '#' && line[1] != ' ') line.erase(0, 1);
    uncommented += line + "\n";
    at = end + 1;
  }
  worker.port = 1;
  worker.name = "changed";
  worker.tags.clear();
  worker.memory.capacity = 5_MiB;
  ASSERT_EQ(toml_failure(uncommented), "") << uncommented;
  EXPECT_EQ(worker.port, 19801);
  EXPECT_EQ(worker.name, "w\"1");
  EXPECT_EQ(worker.tags.size(), 2U);
  EXPECT_EQ(worker.memory.capacity, 1_GiB);
  for (const ConfigField& field : config.fields()) EXPECT_EQ(field.get(), field.default_text) << field.key;
}

TEST_F(ConfigTest, ReferenceAndListingNameEveryFieldWithItsRange) {
  const std::string reference = config_reference_markdown(config);
  const std::string listing = config_listing(config);
  for (const ConfigField& field : config.fields()) {
    EXPECT_NE(reference.find("`" + environment_name(field.key) + "`"), std::string::npos) << field.key;
    EXPECT_NE(listing.find("  " + field.key + " = "), std::string::npos) << field.key;
  }
  EXPECT_NE(reference.find("| `capacity` | `\"1GiB\"` | size, 1MiB to 1TiB | Bytes of the memory tier. Flag: `--memory`. | "
                           "`HEARTH_WORKER__MEMORY__CAPACITY` |"), std::string::npos) << reference;
  EXPECT_NE(reference.find("Drain \\| stop."), std::string::npos) << "cells stay cells";
}

TEST_F(ConfigTest, FilesThatCanNotBeReadSayWhy) {
  const auto directory = std::filesystem::temp_directory_path() / ("hearth-config-test-" + std::to_string(::getpid()));
  std::filesystem::create_directories(directory);
  const std::string path = directory / "h.toml";
  EXPECT_EQ(config.load_file(path).code(), Code::not_found);
  EXPECT_EQ(config.load_file(directory).code(), Code::is_directory);
  std::ofstream(path) << "[worker]\nport = 4\n";
  EXPECT_TRUE(config.load_file(path));
  EXPECT_EQ(worker.port, 4);
  std::ofstream(path) << std::string((1 << 20) + 1, '#');
  EXPECT_EQ(config.load_file(path).code(), Code::invalid_argument);
  std::filesystem::remove_all(directory);
}

TEST(TomlTables, AreOpenedWithTheirPlaces) {
  std::vector<TomlEntry> entries;
  ASSERT_FALSE(read_toml_tables("[[rule]]\nname = \"a\"\npath = [\"/x\",\n  \"/y\"]\n[[rule]]\nname = \"b\"\npin = { tier = \"m\" }\n", entries));
  std::map<std::string, std::pair<std::uint32_t, std::uint32_t>> places;
  for (const TomlEntry& entry : entries) places[entry.key] = {entry.line, entry.column};
  EXPECT_EQ(places["rule[0]"].first, 1u);
  EXPECT_EQ(places["rule[0].name"], std::pair(2u, 1u));
  EXPECT_EQ(places["rule[1].pin.tier"], std::pair(7u, 9u));
  for (const TomlEntry& entry : entries) {
    if (entry.key != "rule[0].path") continue;
    ASSERT_EQ(entry.items_at.size(), 2u);
    EXPECT_EQ(std::pair(entry.items_at[0].line, entry.items_at[0].column), std::pair(3u, 9u));
    EXPECT_EQ(std::pair(entry.items_at[1].line, entry.items_at[1].column), std::pair(4u, 3u));
  }
  const auto fault = read_toml_tables("a = \n", entries);
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->at.line, 1u);
  EXPECT_TRUE(read_toml("[[rule]]\nname = 1\n", "f").value().size() == 1) << "read_toml leaves arrays of tables closed";
}

TEST(NearestName, FindsTyposAndRefusesFarFetchedOnes) {
  const std::vector<std::string_view> names{"capacity", "port", "name"};
  EXPECT_EQ(nearest_name("capcity", names), "capacity");
  EXPECT_EQ(nearest_name("prot", names), "port");
  EXPECT_EQ(nearest_name("namex", names), "name");
  EXPECT_EQ(nearest_name("zzzz", names), std::nullopt);
  EXPECT_EQ(nearest_name("", names), std::nullopt);
  EXPECT_EQ(nearest_name(std::string(100000, 'a'), names), std::nullopt);
}

}  // namespace
}  // namespace hearth
